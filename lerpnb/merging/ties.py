"""TIES: task vectors trimmed, their signs elected, the agreeing ones averaged.

https://arxiv.org/abs/2306.01708
"""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import torch

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.merging.task_vector import TaskVectorPath
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import show


class Ties(TaskVectorPath):
    """TIES-Merging (Yadav et al., arXiv 2306.01708): theta(lambda) = theta_base + lambda tau.

    Of each task vector theta_i - theta_base the `density` share of numbers with the largest magnitudes is kept (trim).
    At each place the sign of the sum of what was kept is elected, and tau is the mean of the kept numbers of that sign
    (disjoint mean); it is 0 where none was kept. The trim is within each tensor, as in mergekit; the paper's is within
    the whole task vector.

    Args:
        base, tuned, options: as for `TaskArithmetic`. What tau costs in memory `TaskVectorPath` says.
        density: the share that is kept, in (0, 1]; the paper's k % as a fraction, 0.2 by its default.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: no fine-tunes, one called "base", or a density out of range.

    Example:
        >>> disjoint_mean([torch.tensor([3.0, 1.0, 0.0]), torch.tensor([1.0, -4.0, 0.0])]).tolist()
        [2.0, -4.0, 0.0]
        >>> base, one, two = (tiny_llama() for _ in range(3))
        >>> Ties(base, {"one": one, "two": two}, density=0.25, device="cpu").tau["model.norm.weight"].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    kind = "ties"

    def __init__(
        self,
        base: ModelSource,
        tuned: Mapping[str, ModelSource],
        *,
        density: float = 0.2,
        **options: Unpack[DeviceOptions],
    ):
        self.density = number(density, "Ties(density)")
        if not 0 < self.density <= 1:
            raise AlphaError(f"Ties(density): {show(density)}, expected a share above 0 and at most 1, such as 0.2.")
        super().__init__(base, tuned, **options)

    @property
    def settings(self) -> dict[str, Any]:
        return {"density": self.density}

    def derived(self, name: str, vectors: list[torch.Tensor]) -> torch.Tensor:
        return disjoint_mean([trimmed(vector, self.density) for vector in vectors])


def trimmed(tensor: torch.Tensor, density: float) -> torch.Tensor:
    """The tensor with a share of its numbers kept, those largest in magnitude (one at least), and 0 elsewhere.

    Example:
        >>> trimmed(torch.tensor([1.0, -4.0, 2.0, 0.5]), 0.5).tolist()
        [0.0, -4.0, 2.0, 0.0]
    """
    flat = tensor.reshape(-1)
    if density == 1 or not len(flat):
        return tensor
    kept = flat.abs().topk(max(1, int(density * len(flat))), sorted=False).indices
    return torch.zeros_like(flat).index_copy_(0, kept, flat[kept]).view(tensor.shape)


def disjoint_mean(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """At each place the mean of the numbers whose sign is that of the sum; a sum of 0 counts as positive, no number 0.

    Example:
        >>> disjoint_mean([torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 0.0]), torch.tensor([-3.0, 0.0])]).tolist()
        [-2.0, 2.0]
    """
    positive = sum(tensors) >= 0
    agree = [(tensor > 0) & positive | (tensor < 0) & ~positive for tensor in tensors]
    total = sum(tensor * chosen for tensor, chosen in zip(tensors, agree, strict=True))
    count: torch.Tensor = sum(agree, torch.zeros((), dtype=torch.int64, device=tensors[0].device))
    return total / count.clamp_(min=1)
