"""Which figure each kind of result is drawn as. `lerpnb.plots` registers them, so that no result imports a figure."""

from contextlib import suppress
from importlib import import_module
from typing import Any

from lerpnb.errors import LerpError

_PLOTS: dict[str, tuple[str, str]] = {}


def register(result: str, module: str, function: str) -> None:
    """Let `plot()` of a result, given by the name of its class, call a function of a module, imported on first use."""
    _PLOTS[result] = (module, function)


class Displayed:
    """A result that draws itself: `plot()` makes its figure, and a notebook shows that."""

    @property
    def _figure(self) -> str:  # under which name its figure is registered
        return type(self).__name__

    def plot(self, *args: Any, **options: Any) -> Any:
        """The figure of this result; the arguments are those of its function in `lerpnb.plots`."""
        module, function = _PLOTS[self._figure]
        return getattr(import_module(module), function)(self, *args, **options)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        figure: dict = {}
        with suppress(LerpError):  # there is nothing that this figure could show
            figure = self.plot()._repr_mimebundle_() if self._figure in _PLOTS else {}
        return {**figure, "text/plain": repr(self)}
