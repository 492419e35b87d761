"""SLERP: between two checkpoints on an arc instead of a line, tensor by tensor (Shoemake 1985).

https://doi.org/10.1145/325165.325242
"""

import functools
import math
from collections.abc import Callable
from typing import Unpack

import torch

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.checkpoints.vectors import dot
from lerpnb.errors import MismatchError
from lerpnb.paths.base import ScalarPath
from lerpnb.utils.coordinates import number
from lerpnb.utils.progress import track

# As mergekit has them: a cosine nearer to 1 or -1 than this is a line, a norm below this is none.
STRAIGHT, NOTHING = 0.9995, 1e-8
BLOCK = 2**22  # numbers multiplied at once, in float64: near 1 a cosine's rounding is the angle's


class Slerp(ScalarPath):
    """Spherical interpolation of each tensor: theta(a) = [sin((1 - a) W) minus + sin(a W) plus] / sin W.

    W is the angle between the tensor at the two ends, taken whole (Shoemake 1985, doi 10.1145/325165.325242; as in
    mergekit, arXiv 2403.13257). Where |cos W| > 0.9995 the tensor goes on the straight line, since sin W vanishes.

    Two fine-tunes of one base lie at such small angles that all their tensors do: SLERP is then the line. With
    `deltas` the arc is between the two task vectors instead, about the base (mergekit's nuslerp):
    theta(a) = base + [sin((1 - a) W) (minus - base) + sin(a W) (plus - base)] / sin W, W the angle between the two.

    Args:
        minus, plus: what lies at 0 and 1, both bit for bit.
        base: as for a `Line`; with `deltas`, what the task vectors start from.
        deltas: whether the arc is between the task vectors.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        MismatchError: `deltas` without a base.

    Example:
        >>> minus, plus = tiny_llama(), tiny_llama()
        >>> for end, place in ((minus, 0), (plus, 1)):
        ...     end.lm_head.weight.data.zero_()[place, place] = 1.0
        >>> [round(c, 4) for c in Slerp(minus, plus, device="cpu").coefficients(0.5)("lm_head.weight")]
        [0.7071, 0.7071]
    """

    kind, coordinate, landmarks = "slerp", "alpha", ((0.0, "minus"), (1.0, "plus"))

    def __init__(
        self,
        minus: ModelSource,
        plus: ModelSource,
        base: ModelSource | None = None,
        *,
        deltas: bool = False,
        **options: Unpack[DeviceOptions],
    ):
        if deltas and base is None:
            raise MismatchError("Slerp(deltas=True): no base.\nA task vector starts at one: pass base=...")
        self.deltas = deltas
        start = {"base": base} if deltas and base is not None else {}
        super().__init__({"minus": minus, "plus": plus, **start}, base, **options)

    @functools.cached_property
    def angles(self) -> dict[str, float | None]:
        """The angle between the ends of each tensor, in radians; None where it goes on the straight line."""
        ends = [end.tensors for end in self.checkpoints.values()]
        return {name: angle(*(end[name] for end in ends)) for name in track(list(ends[0]), label="angles")}

    def coefficients(self, point: float) -> Callable[[str], tuple[float, ...]]:
        """From a tensor's name to what minus, plus and, with deltas, the base are multiplied by there."""
        point = number(point, "Slerp.coefficients(alpha)")

        def of(name: str) -> tuple[float, ...]:
            wide = self.angles[name]
            minus, plus = 1.0 - point, point
            if wide is not None:
                minus, plus = (math.sin(share * wide) / math.sin(wide) for share in (minus, plus))
            return (minus, plus, 1.0 - minus - plus) if self.deltas else (minus, plus)

        return of

    def identity(self) -> dict:
        return super().identity() | {"settings": {"deltas": self.deltas}}

    def _recipe(self, point: float) -> str:
        arcs = sum(wide is not None for wide in self.angles.values())
        between = f"alpha {point:.10g} between {'the task vectors' if self.deltas else 'minus and plus'}"
        return f"{between}: {arcs} of {len(self.angles)} tensors on an arc, the others on the line"


def angle(minus: torch.Tensor, plus: torch.Tensor, base: torch.Tensor | None = None) -> float | None:
    """The angle between two tensors (less the base's), in radians; None where they are one direction, or opposite.

    A tensor of zeros is at a right angle to all others, as in mergekit.

    Example:
        >>> round(math.degrees(angle(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))), 6)
        45.0
    """
    a, b = (minus, plus) if base is None else (minus - base, plus - base)
    norms = [math.sqrt(dot(x, x, block=BLOCK)) for x in (a, b)]
    if max(norms) <= NOTHING:
        return None
    cosine = dot(a, b, block=BLOCK) / math.prod(norm if norm > NOTHING else 1.0 for norm in norms)
    return None if abs(cosine) > STRAIGHT else math.acos(cosine)
