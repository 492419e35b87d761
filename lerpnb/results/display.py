"""Which figure each kind of result is drawn as. `lerpnb.plots` registers them, so that no result imports a figure."""

from importlib import import_module
from typing import Any

_PLOTS: dict[str, tuple[str, str]] = {}


def register(result: str, module: str, function: str) -> None:
    """Let `plot()` of a result, given by the name of its class, call a function of a module, imported on first use.

    Example:
        >>> register("Curve", "lerpnb.plots.curve", "plot_curve")
    """
    _PLOTS[result] = (module, function)


class Displayed:
    """A result that draws itself: `plot()` makes its figure, and a notebook shows that."""

    def plot(self, *args: Any, **options: Any) -> Any:
        """The figure of this result; the arguments are those of its function in `lerpnb.plots`."""
        module, function = _PLOTS[type(self).__name__]
        return getattr(import_module(module), function)(self, *args, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        return {**self.plot()._repr_mimebundle_(), "text/plain": repr(self)}
