"""A derived path: base + lambda tau, where tau is made once from several task vectors. What TIES and DARE share."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Unpack

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.merging.task_arithmetic import with_base
from lerpnb.paths.base import ScalarPath
from lerpnb.paths.mixer import Mixer
from lerpnb.utils.coordinates import number
from lerpnb.utils.progress import track
from lerpnb.utils.text import show


class TaskVectorPath(ScalarPath):
    """theta(lambda) = theta_base + lambda tau; a method says how tau is made of the fine-tunes' task vectors.

    Such a tau is no sum of checkpoints with one number a tensor. It is made once, tensor by tensor, when the path is,
    and held in float32 where the ends lie: the weights once more, beside the base and the live model. A tensor that no
    fine-tune changed takes no memory. From then on a point costs what one of a line does.

    Lambda has no unit; 0 is the base, bit for bit.
    """

    coordinate, landmarks = "lambda", ((0.0, "base"),)

    def __init__(self, base: ModelSource, tuned: Mapping[str, ModelSource], **options: Unpack[DeviceOptions]):
        self.tau: dict[str, torch.Tensor] = {}
        super().__init__(with_base(base, tuned, f"{type(self).__name__}(tuned)"), base, **options)

    @abstractmethod
    def derived(self, name: str, vectors: list[torch.Tensor]) -> torch.Tensor:
        """A tensor of tau from the same tensor of all task vectors, theta_i - theta_base, float32."""

    @torch.no_grad()
    def _new_mixer(self, model: nn.Module) -> Mixer:
        base, *tuned = self.checkpoints.values()
        for name in () if self.tau else track(list(base.weights), label="task vector"):
            origin = base.tensors[name]
            vectors = [(end.tensors[name] - origin).contiguous() for end in tuned]
            if any(vector.any() for vector in vectors):
                self.tau[name] = self.derived(name, vectors)
            else:
                self.tau[name] = origin.new_zeros(()).expand(origin.shape)
        return Mixer(model, [base.weights, self.tau])

    def coefficients(self, point: float) -> tuple[float, float]:
        """What the base and tau are multiplied by: (1, lambda)."""
        return 1.0, number(point, f"{type(self).__name__}.coefficients(lambda)")

    def _recipe(self, point: float) -> str:
        base, *tuned = self.checkpoints
        settings = ", ".join(f"{key}={value!r}" for key, value in self.settings.items())
        return f"1 x {base} + {show(point)} x tau, tau of {', '.join(tuned)} by {type(self).__name__}({settings})"

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What tau depends on besides the checkpoints, as JSON."""

    def identity(self) -> dict:
        return super().identity() | {"settings": self.settings | {"tuned": list(self.checkpoints)[1:]}}
