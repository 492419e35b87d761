"""Task arithmetic: the base and task vectors, added or taken away.

https://arxiv.org/abs/2212.04089
"""

from collections.abc import Mapping
from typing import Unpack

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.paths.base import ScalarPath
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import listed


class TaskArithmetic(ScalarPath):
    """The base and scaled task vectors of its fine-tunes: theta(lambda) = theta_base + lambda sum_i w_i tau_i.

    tau_i = theta_i - theta_base (Ilharco et al., arXiv 2212.04089): adding several learns several tasks; lambda < 0, or
    a weight < 0, forgets one. Lambda has no unit: 0 is the base, bit for bit, and 1 with one fine-tune of weight 1 is
    that fine-tune. Nothing is renormalized, and no task vector is held.

    Args:
        base: the pre-trained model that all were fine-tuned from; perplexity is measured with it by default.
        tuned: {role: fine-tune}, each a name, a `Checkpoint`, or a live transformers model.
        weights: {role: w_i}, 1 where left out.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: no fine-tunes, one called "base", or a weight of none of them.

    Example:
        >>> base, one, two = (tiny_llama() for _ in range(3))
        >>> path = TaskArithmetic(base, {"one": one, "two": two}, weights={"two": -1}, device="cpu")
        >>> path.coefficients(0.5)
        (1.0, 0.5, -0.5)
    """

    kind, coordinate, landmarks = "task arithmetic", "lambda", ((0.0, "base"),)

    def __init__(
        self,
        base: ModelSource,
        tuned: Mapping[str, ModelSource],
        *,
        weights: Mapping[str, float] | None = None,
        **options: Unpack[DeviceOptions],
    ):
        checkpoints = with_base(base, tuned, "TaskArithmetic(tuned)")
        if odd := [repr(role) for role in weights or {} if role not in tuned]:
            what = f"{listed(odd)}, which no fine-tune is called"
            raise AlphaError(f"TaskArithmetic(weights): {what}.\nThey are: {', '.join(tuned)}.")
        given = {role: number(w, f"TaskArithmetic(weights[{role!r}])") for role, w in (weights or {}).items()}
        self.weights = {role: given.get(role, 1.0) for role in tuned}
        super().__init__(checkpoints, base, **options)

    def coefficients(self, point: float) -> tuple[float, ...]:
        """What the base and each fine-tune are multiplied by: (1 - lambda sum_i w_i, lambda w_1, ...)."""
        point = number(point, "TaskArithmetic.coefficients(lambda)")
        parts = [point * weight + 0.0 for weight in self.weights.values()]
        return 1.0 - sum(parts), *parts

    def identity(self) -> dict:
        return super().identity() | {"settings": {"weights": self.weights}}


def with_base(base: ModelSource, tuned: Mapping[str, ModelSource], call: str) -> dict[str, ModelSource]:
    """The base and its fine-tunes, each by its role; an AlphaError for no fine-tunes, or one called "base"."""
    if not isinstance(tuned, Mapping) or not tuned or "base" in tuned:
        came = ("one is 'base'" if tuned else "none") if isinstance(tuned, Mapping) else type(tuned).__name__
        way_out = "Pass {'positive': model, 'polite': another}, say."
        raise AlphaError(f"{call}: {came}, expected fine-tunes by role.\n{way_out}")
    return {"base": base, **tuned}
