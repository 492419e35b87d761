"""The plane through three checkpoints, with coordinates true to scale."""

import math
from collections.abc import Iterator
from typing import Any, Unpack

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.checkpoints.vectors import dot
from lerpnb.errors import MismatchError
from lerpnb.paths.base import BasePath
from lerpnb.utils.coordinates import Window, lattice, pair
from lerpnb.utils.progress import track
from lerpnb.utils.text import show

FLAT = 1e-3  # of the longest side: a lower triangle is a line, whose height is rounding


class Plane(BasePath):
    """The plane through base, minus and plus, in the orthonormal frame of Garipov et al. (arXiv 1802.10026).

    theta(x, y) = theta_minus + x u + y v, with u = (theta_plus - theta_minus) / |theta_plus - theta_minus|, and v the
    part of theta_base - theta_minus that is orthogonal to u, normalized. Minus is the origin and the line minus -> plus
    the x axis, so that alpha on `Line` is x / |theta_plus - theta_minus|; base lies above it (y > 0). Distances in
    (x, y) are the Euclidean ones between weights, without unit. Any three checkpoints make a plane: `base` need not be
    the one that both others were fine-tuned from.

    Its coefficients: c_base = y / y_base, c_plus = x / x_plus - c_base x_base / x_plus, c_minus = 1 - c_base - c_plus.
    All three are met bit for bit at their coordinates. Low-rank adapters stay low-rank.

    Args:
        base, minus, plus: names (`assets.resolve`), `Checkpoint`s, or live transformers models.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Attributes:
        marks: the checkpoints' coordinates, {"minus": (0, 0), "plus": (x, 0), "base": (x, y)}, to nine digits.

    Raises:
        AssetError, CheckpointError, MismatchError: as `load_checkpoints` says, before any long work.
        MismatchError: two of the three are equal, or all lie on one line.

    Example:
        >>> base, minus, plus = (tiny_llama() for _ in range(3))
        >>> plane = Plane(base, minus, plus, device="cpu")
        >>> bool((plane.at(plane.marks["base"]).lm_head.weight == base.lm_head.weight).all())
        True
        >>> plane.coefficients(plane.on_line(0.25))  # minus, plus, base
        (0.75, 0.25, 0.0)
    """

    kind, coordinate, start = "plane", "point", (0.0, 0.0)
    axes = ("x", "y")

    def __init__(self, base: ModelSource, minus: ModelSource, plus: ModelSource, **options: Unpack[DeviceOptions]):
        base = Checkpoint.from_model(base) if isinstance(base, nn.Module) else base
        checkpoints = {"minus": minus, "plus": plus, "base": base}
        super().__init__(checkpoints, base, **options)
        self.marks = self._frame()

    def _frame(self) -> dict[str, tuple[float, float]]:
        """The coordinates, from the inner products of plus - minus and base - minus."""
        aa = ab = bb = 0.0
        for minus, plus, base in self._blocks():
            a, b = plus.double() - minus, base.double() - minus
            aa, ab, bb = aa + dot(a, a), ab + dot(a, b), bb + dot(b, b)
        sides = {"minus and plus": aa, "minus and base": bb, "plus and base": aa - 2 * ab + bb}
        call, way_out = "Plane(base, minus, plus)", "A plane needs three different checkpoints that are on no line."
        longest = math.sqrt(max(sides.values()))
        for two, square in sides.items():
            if math.sqrt(max(square, 0.0)) <= FLAT * longest:
                raise MismatchError(f"{call}: {two} are the same weights, or nearly.\n{way_out}")
        width = math.sqrt(aa)
        height = math.sqrt(max(bb - ab * ab / aa, 0.0))
        if height <= FLAT * longest:
            raise MismatchError(
                f"{call}: the three lie on one line: base is {height:.2g} from the line through minus and plus, which "
                f"are {width:.4g} apart.\n{way_out} For these, Line(minus, plus) is all there is."
            )
        # Nine digits: what the sums' order rounds away would make other coordinates, and other keys in the store.
        digits = 9 - math.ceil(math.log10(longest))
        across, x, y = (round(number, digits) + 0.0 for number in (width, ab / width, height))
        return {"minus": (0.0, 0.0), "plus": (across, 0.0), "base": (x, y)}

    def _blocks(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """minus, plus, base of each parameter that they do not share, in blocks of rows, which take little memory."""
        ends = list(self.checkpoints.values())
        for name, parameter in track(list(self.model.named_parameters()), label="plane"):
            weights = [end.weights[name] for end in ends]
            places = {id(weight) if isinstance(weight, LowRank) else weight.data_ptr() for weight in weights}
            if len(places) == 1 and not isinstance(weights[0], LowRank):
                continue
            rows = max(1, 2**20 * len(parameter) // max(1, parameter.numel()))
            yield from zip(*(end.tensors[name].split(rows) for end in ends), strict=True)

    def on_line(self, alpha: float) -> tuple[float, float]:
        """The coordinates of theta(alpha) of the line minus -> plus."""
        return alpha * self.marks["plus"][0], 0.0

    def window(self, margin: float = 0.4) -> Window:
        """x from, x to, y from, y to: the three's rectangle, wider all around by a share of its longer side."""
        xs, ys = zip(*self.marks.values(), strict=True)
        around = margin * max(max(xs) - min(xs), max(ys) - min(ys))
        return min(xs) - around, max(xs) + around, min(ys) - around, max(ys) + around

    def grid(self, n: int, margin: float = 0.4) -> list[tuple[float, float]]:
        """n x n even points over `window(margin)`."""
        return lattice(self.window(margin), n)

    def provenance(self) -> dict[str, Any]:
        return {"marks": {name: list(place) for name, place in self.marks.items()}}

    def checked(self, point: tuple[float, float], call: str) -> tuple[float, float]:
        return pair(point, call)

    def coefficients(self, point: tuple[float, float]) -> tuple[float, float, float]:
        """What minus, plus and base are multiplied by at (x, y).

        Raises:
            AlphaError: not a pair of finite numbers.
        """
        (x, y), across, (bx, by) = pair(point, "Plane.coefficients(point)"), self.marks["plus"][0], self.marks["base"]
        of_base = y / by
        of_plus = x / across - of_base * (bx / across)
        return 1.0 - of_base - of_plus, of_plus, of_base

    def __repr__(self) -> str:
        places = ", ".join(
            f"{role} {self.checkpoints[role].name} at {_short(point)}" for role, point in self.marks.items()
        )
        return f"Plane: {places}; computed in {self.dtype} on {self.device}"


def _short(point: tuple[float, float]) -> str:
    return show(tuple(float(f"{number:.4g}") for number in point))
