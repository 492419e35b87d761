"""A trajectory: the broken line through the checkpoints of one training run."""

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.paths.base import ScalarPath
from lerpnb.utils.coordinates import number


class Trajectory(ScalarPath):
    """The broken line through a run's checkpoints, alpha counted in checkpoints.

    theta(alpha) = (1 - t) theta_i + t theta_(i+1) with i = floor(alpha) and t = alpha - i: 0 is the first checkpoint
    and n - 1 the last, all n of them bit for bit. Below 0 the first segment goes on, above n - 1 the last one. Each
    segment is the linear interpolation of Goodfellow et al. (arXiv 1412.6544). `Curve.barrier` is that of [0, 1], the
    first segment; give a `Line` two checkpoints for another one. All checkpoints are held in float32.

    Args:
        checkpoints: two or more in the order of training, each a name (`assets.resolve`), a `Checkpoint` or a live
            transformers model; or {what figures call it: checkpoint}, else "checkpoint 0", "checkpoint 1", ....
        base, options: as for a `BasePath`.

    Raises:
        AlphaError: fewer than two checkpoints; at a coordinate, no finite number.
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.

    Example:
        >>> run = Trajectory([tiny_llama() for _ in range(3)], device="cpu")
        >>> run.recipe(1.25), run.recipe(-0.5)
        ('0.75 x checkpoint 1 + 0.25 x checkpoint 2', '1.5 x checkpoint 0 + -0.5 x checkpoint 1')
    """

    kind, coordinate = "trajectory", "alpha"

    def __init__(
        self,
        checkpoints: Sequence[ModelSource] | Mapping[str, ModelSource],
        base: ModelSource | None = None,
        **options: Unpack[DeviceOptions],
    ):
        if len(checkpoints) < 2:
            raise AlphaError(
                f"Trajectory(checkpoints): got {checkpoints!r:.60}, expected two or more.\n"
                "Pass them in the order of training: ['out/checkpoint-100', 'out/checkpoint-200']."
            )
        if not isinstance(checkpoints, Mapping):
            checkpoints = {f"checkpoint {i}": checkpoint for i, checkpoint in enumerate(checkpoints)}
        self.landmarks = tuple((float(i), name) for i, name in enumerate(checkpoints))
        super().__init__(checkpoints, base, **options)

    def coefficients(self, point: float) -> tuple[float, ...]:
        """What each checkpoint is multiplied by: 1 - t and t at the two between which alpha lies, 0 elsewhere."""
        point, last = number(point, "Trajectory.coefficients(alpha)"), len(self.checkpoints) - 1
        i = min(max(math.floor(point), 0), last - 1)
        return tuple({i: 1.0 - (point - i), i + 1: point - i}.get(k, 0.0) for k in range(last + 1))

    def _recipe(self, point: float) -> str:
        used = zip(self.coefficients(point), self.checkpoints, strict=True)
        return " + ".join(f"{c:.10g} x {name}" for c, name in used if c)

    def identity(self) -> dict:
        return super().identity() | {"settings": {"order": list(self.checkpoints)}}
