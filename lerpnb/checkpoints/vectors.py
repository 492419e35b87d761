"""Vectors."""

from collections.abc import Mapping

import torch

from lerpnb.errors import MismatchError


def norm(direction: Mapping[str, torch.Tensor]) -> float:
    """The Euclidean norm of all tensors together, summed in float64."""
    return dot(direction, direction) ** 0.5


def cosine(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The cosine of the angle between two directions over all tensors; one that either lacks is zero there."""
    return dot(one, other) / (norm(one) * norm(other))


def dot(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The inner product over all tensors, summed in float64 by blocks."""
    total = 0.0
    for name, tensor in one.items():
        if name in other:
            against = tensor if other is one else other[name]
            pairs = zip(tensor.flatten().split(2**20), against.flatten().split(2**20), strict=True)
            total += sum(torch.dot(a.double(), b.double()).item() for a, b in pairs)
    return total


def _same_shape(other: torch.Tensor, theta: torch.Tensor, name: str) -> torch.Tensor:
    if other.shape != theta.shape:
        raise MismatchError(
            f"random_direction(orthogonal_to): {name} has shape {tuple(other.shape)} against {tuple(theta.shape)}.\n"
            "Pass directions of the same network."
        )
    return other.to(theta.device)
