"""Low-rank weights: a base's tensor and the factors of a LoRA, and how they become dense."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from lerpnb.checkpoints.memory import move_tensor
from lerpnb.utils.coordinates import LARGEST


@dataclass(frozen=True, eq=False)
class LowRank:
    """A weight as its base's tensor and the factors of a LoRA: base + scaling * up @ down (arXiv 2106.09685).

    Attributes:
        base: the base's own tensor, as it is stored; (out, in), or (in, out) where transposed.
        up: (out, rank) float32, peft's B.
        down: (rank, in) float32, peft's A.
        scaling: what up @ down is multiplied by, without unit; peft's alpha / rank, or alpha / sqrt(rank) (rsLoRA).
        transposed: whether the product is transposed before it is added: Conv1D and Embedding.

    Example:
        >>> one = torch.ones(2, 1)
        >>> LowRank(torch.zeros(2, 2), one, one.T, 0.5).tensor()
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """

    base: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor
    scaling: float
    transposed: bool = False

    @property
    def shape(self) -> torch.Size:
        return self.base.shape

    @property
    def device(self) -> torch.device:
        return self.base.device

    def numel(self) -> int:
        return self.base.numel()

    @torch.no_grad()
    def tensor(self, out: torch.Tensor | None = None, scratch: torch.Tensor | None = None) -> torch.Tensor:
        """The dense float32 tensor, bit for bit what peft's merge into a float32 base gives; in `out`, if given.

        `scratch` is a flat tensor of numel() numbers or more, used where transposed; None takes new memory.
        """
        out = torch.empty_like(self.base, dtype=torch.float32) if out is None else out
        if self.transposed:  # peft multiplies first and transposes then: another order may round otherwise
            product = scratch[: self.numel()].view(self.base.T.shape) if scratch is not None else None
            torch.mul(torch.mm(self.up, self.down, out=product).T, self.scaling, out=out)
        else:
            torch.mm(self.up, self.down, out=out).mul_(self.scaling)
        return out.add_(self.base)

    def is_bounded(self) -> bool:
        """Whether the dense tensor is finite where the base is, seen without making it."""
        up, down = (float(factor.abs().max()) for factor in (self.up, self.down))
        return abs(self.scaling) * len(self.down) * up * down < LARGEST / 2

    def to(self, device: torch.device, moved: dict | None = None) -> "LowRank":
        """The same on another device; for `moved` see `memory.move`."""
        moved = {} if moved is None else moved
        base, up, down = (move_tensor(tensor, device, moved) for tensor in (self.base, self.up, self.down))
        return replace(self, base=base, up=up, down=down)


Weight = torch.Tensor | LowRank


def dense(weight: Weight) -> torch.Tensor:
    """The weight as a dense tensor: itself as it is stored, or made anew of a low-rank one, in float32."""
    return weight.tensor() if isinstance(weight, LowRank) else weight


def base_of(weight: Weight) -> torch.Tensor:
    """The tensor that a low-rank weight changes; a dense weight itself."""
    return weight.base if isinstance(weight, LowRank) else weight


class DenseView(Mapping[str, torch.Tensor]):
    """Weights by name as dense tensors of one dtype; what is not held so is made anew each time, and not kept.

    None leaves dense weights in the dtype that they are stored in.
    """

    def __init__(self, weights: Mapping[str, Weight], dtype: torch.dtype | None = torch.float32):
        self._weights, self._dtype = weights, dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        return dense(self._weights[name]).to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
