"""The product of lines: an alpha for each attribute."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AlphaError
from lerpnb.paths.base import BasePath
from lerpnb.paths.combine import checkpoint_at
from lerpnb.paths.line import Line
from lerpnb.utils.coordinates import coordinates
from lerpnb.utils.text import show

Named = str | Path | Checkpoint | nn.Module


class MultiLine(BasePath):
    """Several lines at once, theta(a) = (1 - sum_i l_i) base + sum_i l_i (a_i plus_i + (1 - a_i) minus_i).

    This is continuous language model interpolation (arXiv 2404.07117), where the l_i add up to 1 and no base is left
    over; by default each is 1/n. Each line then pulls with a share of its delta alone. With `weights=(1, 1, ...)` each
    has the whole of it, and the base is taken away as often as it was counted too much:
    base + sum_i (line_i(a_i) - base), task arithmetic's way (arXiv 2212.04089). Coefficients are never renormalised.

    The coordinate is a tuple of alphas, one a line in their order: any finite numbers, without unit; at 0 a line is at
    its minus, at 1 at its plus.

    Args:
        lines: what an attribute is called -> its two ends, (minus, plus) as of `Line`, or a `Line`.
        base: the pre-trained model that all share; needed where the weights do not add up to 1.
        weights: l_i, one a line.
        device, dtype, ends_device, device_map: as of `BasePath`.

    Attributes:
        names: what the attributes are called.
        weights: (n,) l_i.

    Raises:
        AlphaError: no lines, weights that are not one a line, or that do not add up to 1 without a base; at a
            coordinate, alphas that are not one a line or not finite.
        AssetError, CheckpointError, MismatchError: as `load_all` says, before any long work.

    Example:
        >>> sad, glad, plain, ornate = (tiny_llama() for _ in range(4))
        >>> product = MultiLine({"mood": (sad, glad), "style": (plain, ornate)}, device="cpu")
        >>> product.coefficients((0.25, 1))
        (0.375, 0.125, 0.0, 0.5)
        >>> product
        Product: mood, style; weights 0.5, 0.5
    """

    kind, coordinate = "product", "alphas"

    def __init__(
        self,
        lines: Mapping[str, Line | tuple[Named, Named]],
        base: Named | None = None,
        *,
        weights: Sequence[float] | None = None,
        device: str = "auto",
        dtype: str = "float32",
        ends_device: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ):
        if not lines:
            raise AlphaError(
                'MultiLine(lines): no lines.\nPass a dict of them, such as {"mood": ("my/sad", "my/glad")}.'
            )
        self.names, self.start = tuple(lines), (0.0,) * len(lines)
        even = (1 / len(lines),) * len(lines)
        self.weights = even if weights is None else coordinates(weights, self.names, "MultiLine(weights)")
        if base is None:
            base = next((line.base for line in lines.values() if isinstance(line, Line) and line.base), None)
        self._rest = 1.0 - sum(self.weights)  # the base's share
        self._rest = 0.0 if abs(self._rest) < 1e-9 else self._rest
        if self._rest and base is None:
            raise AlphaError(
                f"MultiLine(weights): {', '.join(map(show, self.weights))} add up to {show(sum(self.weights))}, "
                "and no base takes the rest.\nName the base, or give weights that add up to 1."
            )
        named: dict[str, Named] = {}
        for name, line in lines.items():
            minus, plus = (line.minus, line.plus) if isinstance(line, Line) else line
            named |= {f"{name} minus": minus, f"{name} plus": plus}
        if self._rest:
            named["base"] = base
        super().__init__(named, base, device=device, dtype=dtype, ends_device=ends_device, device_map=device_map)

    def checked(self, at: Sequence[float], call: str) -> tuple[float, ...]:
        return coordinates(at, self.names, call)

    def coefficients(self, at: Sequence[float]) -> tuple[float, ...]:
        """What each checkpoint is multiplied by: minus and plus of each line, then the base where it has a share."""
        alphas = self.checked(at, "MultiLine.coefficients(alphas)")
        pairs = [(w * (1.0 - alpha), w * alpha) for w, alpha in zip(self.weights, alphas, strict=True)]
        return (*(c for pair in pairs for c in pair), *((self._rest,) if self._rest else ()))

    def line(self, at: Sequence[float | None]) -> Line:
        """The line along one attribute, the others' alphas fixed, with a live model of its own.

        Its ends are derived (`checkpoint_at`): low-rank on the base where all of the product's are, else dense copies.
        Its alpha is the attribute's, so that theta is this product's, to rounding.

        Args:
            at: an alpha a line, and None for the one to move along.

        Raises:
            AlphaError: not one None, or not one alpha a line.
        """
        at = list(at)
        if len(at) != len(self.names) or at.count(None) != 1:
            raise AlphaError(
                f"MultiLine.line(at): got {tuple(at)!r}, expected an alpha for each of {', '.join(self.names)}, and "
                "None for the one to move along."
            )
        free = at.index(None)
        minus, plus = (checkpoint_at(self, (*at[:free], end, *at[free + 1 :])) for end in (0.0, 1.0))
        return Line(minus, plus, self.base, device=str(self.device), dtype=self.dtype)

    def identity(self) -> dict:
        return super().identity() | {"weights": self.weights}

    def __repr__(self) -> str:
        rest = f", base {show(self._rest)}" if self._rest else ""
        return f"Product: {', '.join(self.names)}; weights {', '.join(map(show, self.weights))}{rest}"
