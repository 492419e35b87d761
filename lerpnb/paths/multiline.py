"""Several lines at once: an alpha for each attribute."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Unpack

import numpy as np

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.paths.base import BasePath
from lerpnb.paths.combine import checkpoint_at
from lerpnb.paths.line import Line
from lerpnb.utils.coordinates import coordinates, distinct, number
from lerpnb.utils.text import show


class MultiLine(BasePath):
    """Several lines at once, theta(a) = (1 - sum_i l_i) base + sum_i l_i (a_i plus_i + (1 - a_i) minus_i).

    This is continuous language model interpolation (arXiv 2404.07117), where the l_i add up to 1 and no base is left
    over; by default each is 1/n. Each line then pulls with a share of its delta alone. With `weights=(1, 1, ...)` each
    has the whole of it, and the base is taken away as often as it was counted too much:
    base + sum_i (line_i(a_i) - base), task arithmetic's way (arXiv 2212.04089). Coefficients are never renormalized.

    The coordinate is a tuple of alphas, one a line in their order: any finite numbers, without unit; at 0 a line is at
    its minus, at 1 at its plus.

    Args:
        lines: what an attribute is called -> its two ends, (minus, plus) as of `Line`, or a `Line`.
        base: the pre-trained model that all share; needed where the weights do not add up to 1.
        weights: l_i, one a line.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Attributes:
        names: what the attributes are called.
        weights: (n,) l_i.

    Raises:
        AlphaError: no lines, weights that are not one a line, or that do not add up to 1 without a base; at a
            coordinate, alphas that are not one a line or not finite.
        AssetError, CheckpointError, MismatchError: as `load_checkpoints` says, before any long work.

    Example:
        >>> sad, glad, plain, ornate = (tiny_llama() for _ in range(4))
        >>> both = MultiLine({"mood": (sad, glad), "style": (plain, ornate)}, device="cpu")
        >>> both.coefficients((0.25, 1))
        (0.375, 0.125, 0.0, 0.5)
        >>> both
        MultiLine: mood, style; weights 0.5, 0.5
    """

    kind, coordinate = "product", "alphas"

    def __init__(
        self,
        lines: Mapping[str, Line | tuple[ModelSource, ModelSource]],
        base: ModelSource | None = None,
        *,
        weights: Sequence[float] | None = None,
        **options: Unpack[DeviceOptions],
    ):
        if not lines:
            raise AlphaError(
                'MultiLine(lines): no lines.\nPass a dict of them, such as {"mood": ("my/sad", "my/glad")}.'
            )
        self.names = self.axes = tuple(lines)
        self.start = (0.0,) * len(lines)
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
        checkpoints: dict[str, ModelSource] = {}
        for name, line in lines.items():
            minus, plus = (line.minus, line.plus) if isinstance(line, Line) else line
            checkpoints |= {f"{name} minus": minus, f"{name} plus": plus}
        if self._rest and base is not None:
            checkpoints["base"] = base
        super().__init__(checkpoints, base, **options)

    def provenance(self) -> dict[str, Any]:
        return {"weights": list(self.weights)}

    def checked_points(self, points: Any, call: str) -> list[tuple[float, ...]]:
        """All combinations of the lines' alphas: of one grid for all lines, or of a grid for each."""
        points = list(points)
        one_each = len(points) == len(self.names) and not any(np.ndim(grid) == 0 for grid in points)
        grids = points if one_each else [points] * len(self.names)
        return list(product(*(sorted(distinct([number(a, call) for a in grid], call)) for grid in grids)))

    def checked(self, point: Sequence[float], call: str) -> tuple[float, ...]:
        return coordinates(point, self.names, call)

    def coefficients(self, point: Sequence[float]) -> tuple[float, ...]:
        """What each checkpoint is multiplied by: minus and plus of each line, then the base where it has a share."""
        alphas = self.checked(point, "MultiLine.coefficients(alphas)")
        pairs = [(w * (1.0 - alpha), w * alpha) for w, alpha in zip(self.weights, alphas, strict=True)]
        return (*(c for pair in pairs for c in pair), *((self._rest,) if self._rest else ()))

    def line(self, point: Sequence[float | None]) -> Line:
        """The line along one attribute, the others' alphas fixed, with a live model of its own.

        Its ends are made by `checkpoint_at`: low-rank on the base where all checkpoints here are, else dense.
        Its alpha is the attribute's, so that theta is the same as here, to rounding.

        Args:
            point: an alpha for each line, and None for the one to move along.

        Raises:
            AlphaError: not one None, or not one alpha a line.
        """
        point = list(point)
        if len(point) != len(self.names) or point.count(None) != 1:
            raise AlphaError(
                f"MultiLine.line(point): got {tuple(point)!r}, expected an alpha for each of {', '.join(self.names)}, "
                "and None for the one to move along."
            )
        free = point.index(None)
        minus, plus = (checkpoint_at(self, (*point[:free], end, *point[free + 1 :])) for end in (0.0, 1.0))
        return Line(minus, plus, self.base, device=str(self.device), dtype=self.dtype)

    def identity(self) -> dict:
        return super().identity() | {"weights": self.weights}

    def __repr__(self) -> str:
        rest = f", base {show(self._rest)}" if self._rest else ""
        return f"MultiLine: {', '.join(self.names)}; weights {', '.join(map(show, self.weights))}{rest}"
