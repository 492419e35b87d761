"""Random-mask mixing: each number from one of two checkpoints, drawn at random.

https://arxiv.org/abs/2210.09545
"""

from typing import Any, Unpack

import torch

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions, writable_tensors
from lerpnb.checkpoints.low_rank import dense
from lerpnb.errors import AlphaError
from lerpnb.generation.noise import BITS, noise_key, random_bits
from lerpnb.paths.base import ScalarPath
from lerpnb.paths.mixer import BLOCK
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import show


class RandomMask(ScalarPath):
    """Each number of the weights is the fine-tuned one with probability `ratio`, else the pre-trained one.

    theta(ratio) = m * theta_fine_tuned + (1 - m) * theta_pretrained, m_i ~ Bernoulli(ratio): the first step of
    Fine-mixing (arXiv 2210.09545), a defence against backdoors. Nothing is averaged: every number is one that a
    checkpoint has. The mask is a hash of seed, tensor's name and place in it alone, so it is the same on every device,
    and it grows with the ratio: what is fine-tuned at 0.3 is so at 0.4. Both ends are met bit for bit. Tied tensors are
    one. What both checkpoints share stays as it is, such as the head that `Checkpoint.with_head` gives: Fine-mixing
    keeps the fine-tuned head, for the pre-trained model has none.

    Args:
        pretrained, fine_tuned: what lies at 0 and 1: a name, a `Checkpoint`, or a live transformers model.
        base: as for a `BasePath`.
        seed: of the mask.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: at a ratio that is not between 0 and 1.

    Example:
        >>> pretrained, fine_tuned = tiny_llama(), tiny_llama()
        >>> mixed = RandomMask(pretrained, fine_tuned, device="cpu").at(0.3).lm_head.weight
        >>> kept = mixed == fine_tuned.lm_head.weight
        >>> bool((kept | (mixed == pretrained.lm_head.weight)).all()), kept.sum().item()
        (True, 12)
    """

    kind, coordinate = "random mask", "ratio"

    def __init__(
        self,
        pretrained: ModelSource,
        fine_tuned: ModelSource,
        base: ModelSource | None = None,
        *,
        seed: int = 0,
        **options: Unpack[DeviceOptions],
    ):
        super().__init__({"pretrained": pretrained, "fine_tuned": fine_tuned}, base, **options)
        self.seed = seed

    def checked(self, point: float, call: str) -> float:
        point = number(point, call)
        if not 0 <= point <= 1:
            raise AlphaError(f"{call}: {show(point)}, expected a probability.\nPass a ratio from 0 to 1, such as 0.3.")
        return point

    def coefficients(self, point: float) -> tuple[float, float]:
        """The probabilities with which a number is the pre-trained and the fine-tuned one: (1 - ratio, ratio)."""
        point = self.checked(point, "RandomMask.coefficients(ratio)")
        return 1.0 - point, point

    def identity(self) -> dict:
        return super().identity() | {"seed": self.seed}

    @torch.no_grad()
    def _put(self, model: Any, mixer: Any, point: float) -> None:
        if point in (0.0, 1.0):
            mixer.put(self.coefficients(point))
            return
        ends = [end.weights for end in self.checkpoints.values()]
        for name, live in writable_tensors(model).items():
            a, b = (dense(end[name]) for end in ends)
            key, start = noise_key(self.seed, name), 0
            for x, y, out in zip(*(tensor.view(-1).split(BLOCK) for tensor in (a, b, live)), strict=True):
                out.copy_(torch.where(mask(key, start, len(x), point, x.device), y, x))
                start += len(x)

    def _recipe(self, point: float) -> str:
        return f"{show(point)} of fine_tuned and the rest of pretrained, number by number at random (seed {self.seed})"


def mask(key: int, start: int, n: int, ratio: float, device: torch.device | str = "cpu") -> torch.Tensor:
    """Which of the numbers `start` to `start + n` of a tensor are chosen, each with probability `ratio`: (n,) bool.

    All that is chosen at a ratio is chosen at every larger one.

    Example:
        >>> small, large = mask(7, 0, 1000, 0.3), mask(7, 0, 1000, 0.31)
        >>> small.sum().item(), large.sum().item(), bool((small <= large).all())
        (317, 322, True)
    """
    return random_bits(key, torch.arange(start, start + n, device=device)) < round(ratio * 2**BITS)
