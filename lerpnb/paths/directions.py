"""Directions in parameter space: random ones that are filter-normalized, and a checkpoint moved along one."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.vectors import norm
from lerpnb.errors import MismatchError

Direction = dict[str, torch.Tensor]


def random_direction(
    checkpoint: Checkpoint, seed: int = 0, orthogonal_to: Sequence[Mapping[str, torch.Tensor]] = ()
) -> Direction:
    """A random direction, filter-normalized: |d_ij| = |theta_ij| for every filter (Li et al., arXiv 1712.09913).

    A filter is the weights into one neuron: a row of a linear layer, a column of a `Conv1D`, a token's embedding.
    Biases and norms, all that is no matrix, are left out: the direction is zero there. Without this a network that
    scales its weights up, and computes the same, would seem to lie in a flatter valley.

    Orthogonal to others means both at once, and really: each filter's noise loses its part along the others' filters
    before it is scaled to its norm. It then is orthogonal to them filter by filter, which no scaling of single filters
    undoes, and so as a whole too. A filter that has no more numbers than there are others is left out.

    Args:
        checkpoint: theta.
        seed: of the noise; the same direction for the same seed, whatever the device.
        orthogonal_to: directions, or other tensors by name; a name that one lacks counts as zero there.

    Returns:
        {name of each matrix: float32 tensor of its shape, where its weights lie}; what is left out is absent.

    Raises:
        MismatchError: a tensor in `orthogonal_to` of another shape.

    Example:
        >>> from lerpnb.checkpoints.vectors import cosine
        >>> checkpoint = Checkpoint.from_model(tiny_llama())
        >>> one = random_direction(checkpoint, seed=1)
        >>> two = random_direction(checkpoint, seed=2, orthogonal_to=[one])
        >>> abs(cosine(one, two)) < 1e-6
        True
        >>> name = "model.layers.0.mlp.up_proj.weight"
        >>> torch.allclose(two[name].norm(dim=1), checkpoint.tensors[name].norm(dim=1))
        True
    """
    generator = torch.Generator().manual_seed(seed)
    direction: Direction = {}
    for name, counted in checkpoint.filters.items():
        theta = checkpoint.tensors[name]
        noise = torch.randn(theta.shape, generator=generator).to(theta.device)
        others = [_same_shape(other[name], theta, name) for other in orthogonal_to if name in other]
        own, filters, *taken = (tensor.movedim(counted, 0).flatten(1) for tensor in (noise, theta, *others))
        made = _normalized(own, filters, taken)
        direction[name] = made.view(noise.movedim(counted, 0).shape).movedim(0, counted).contiguous()
    return direction


def _normalized(noise: torch.Tensor, theta: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
    """Rows of noise, each orthogonal to its row of the others, and as long as its row of theta; in place."""
    if others and theta.shape[1] <= len(others):
        return noise.zero_()
    basis: list[torch.Tensor] = []
    for other in others:
        other = other.clone()
        for _ in range(2):  # once more, since what is left of a large part would be a rounding error
            for unit in basis:
                other -= (other * unit).sum(1, keepdim=True) * unit
        size = other.norm(dim=1, keepdim=True)
        basis.append(torch.where(size > 0, other / size, 0.0))
    for _ in range(2):
        for unit in basis:
            noise -= (noise * unit).sum(1, keepdim=True) * unit
    return noise.mul_(theta.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True))


def _same_shape(other: torch.Tensor, theta: torch.Tensor, name: str) -> torch.Tensor:
    if other.shape != theta.shape:
        raise MismatchError(
            f"random_direction(orthogonal_to): {name} has shape {tuple(other.shape)} against {tuple(theta.shape)}.\n"
            "Pass directions of the same network."
        )
    return other.to(theta.device)


class Delta(Mapping[str, torch.Tensor]):
    """The direction from one checkpoint to another, theta_b - theta_a: each tensor is made when it is asked for."""

    def __init__(self, a: Checkpoint, b: Checkpoint):
        self.a, self.b = a, b

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.b.tensors[name] - self.a.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.a.weights)

    def __len__(self) -> int:
        return len(self.a.weights)


def moved(checkpoint: Checkpoint, direction: Mapping[str, torch.Tensor], length: float, name: str) -> Checkpoint:
    """The checkpoint, gone a length along a direction: theta + length d / |d|.

    What the direction lacks stays as it is; the length is Euclidean, without unit. The checkpoint is not changed.

    Example:
        >>> here = Checkpoint.from_model(tiny_llama())
        >>> there = moved(here, random_direction(here), 2.0, "two away")
        >>> apart = {name: there.tensors[name] - here.tensors[name] for name in here.tensors}
        >>> round(norm(apart), 5)
        2.0
    """
    model = checkpoint.new_model()
    share, live = length / norm(direction), dict(model.named_parameters())
    for key, tensor in direction.items():
        live[key].data.add_(tensor, alpha=share)
    return Checkpoint.from_model(model, checkpoint.tokenizer, name)
