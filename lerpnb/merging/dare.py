"""DARE: task vectors with most of their numbers dropped at random, and the rest rescaled.

https://arxiv.org/abs/2311.03099
"""

from collections.abc import Mapping
from typing import Any, Unpack

import torch

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.generation.noise import BITS, noise_key, random_bits
from lerpnb.merging.task_vector import TaskVectorPath
from lerpnb.merging.ties import disjoint_mean
from lerpnb.paths.mixer import BLOCK
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import show


class Dare(TaskVectorPath):
    """Drop And REscale (Yu et al., arXiv 2311.03099): theta(lambda) = theta_base + lambda tau.

    Each number of a task vector theta_i - theta_base is dropped with probability p, and what is left is divided by
    1 - p, so that its expectation stays. tau is the sum over the fine-tunes (DARE on task arithmetic), or with `elect`
    their disjoint mean after an election of signs (DARE on TIES, without a trim). What is dropped is a hash of the
    seed, the fine-tune's place, the tensor's name and the place in it alone: the same on every device.

    Args:
        base, tuned, options: as for `TaskArithmetic`. What tau costs in memory `TaskVectorPath` says.
        drop: p, in [0, 1).
        seed: another seed, other numbers.
        elect: whether signs are elected.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: no fine-tunes, one called "base", or a p out of range.

    Example:
        >>> base, tuned = tiny_llama(), tiny_llama()
        >>> tau = Dare(base, {"tuned": tuned}, drop=0.75, device="cpu").tau["lm_head.weight"]
        >>> kept = tau != 0
        >>> delta = tuned.lm_head.weight - base.lm_head.weight
        >>> kept.sum().item(), torch.equal(tau[kept], delta[kept] / 0.25)
        (18, True)
    """

    kind = "dare"

    def __init__(
        self,
        base: ModelSource,
        tuned: Mapping[str, ModelSource],
        *,
        drop: float = 0.9,
        seed: int = 0,
        elect: bool = False,
        **options: Unpack[DeviceOptions],
    ):
        self.drop, self.seed, self.elect = number(drop, "Dare(drop)"), seed, elect
        if not 0 <= self.drop < 1:
            raise AlphaError(f"Dare(drop): {show(drop)}, expected a probability from 0 to below 1, such as 0.9.")
        super().__init__(base, tuned, **options)

    @property
    def settings(self) -> dict[str, Any]:
        return {"drop": self.drop, "seed": self.seed, "elect": self.elect}

    def derived(self, name: str, vectors: list[torch.Tensor]) -> torch.Tensor:
        for place, vector in enumerate(vectors):
            dropped_and_rescaled(vector, self.drop, noise_key(self.seed, name, place))
        return disjoint_mean(vectors) if self.elect else sum(vectors[1:], vectors[0])


def dropped_and_rescaled(vector: torch.Tensor, drop: float, key: int) -> torch.Tensor:
    """The same tensor, in place: each number dropped with probability `drop`, the others divided by 1 - drop.

    Example:
        >>> dropped_and_rescaled(torch.ones(8), 0.5, key=3).tolist()
        [0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 0.0, 2.0]
    """
    for start, part in zip(range(0, vector.numel(), BLOCK), vector.view(-1).split(BLOCK), strict=True):
        places = torch.arange(start, start + len(part), device=vector.device)
        part.masked_fill_(random_bits(key, places) < round(drop * 2**BITS), 0.0).div_(1 - drop)
    return vector
