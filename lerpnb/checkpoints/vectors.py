"""Inner products, norms and angles of tensors, and of directions: one tensor for each name."""

from collections.abc import Mapping

import torch

BLOCK = 2**20  # numbers that are multiplied at once, so that a float64 copy stays small


def dot(a: torch.Tensor, b: torch.Tensor, *, dtype: torch.dtype | None = torch.float64, block: int = BLOCK) -> float:
    """The inner product of two tensors of one shape: blocks in a dtype (None: their own), added in float64.

    Example:
        >>> dot(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
        11.0
    """
    pairs = zip(a.reshape(-1).split(block), b.reshape(-1).split(block), strict=True)
    return sum((torch.dot(x.to(dtype or x.dtype), y.to(dtype or y.dtype)).item() for x, y in pairs), 0.0)


def dot_by_rows(a: torch.Tensor, b: torch.Tensor) -> float:
    """The inner product of two tensors of one shape, as float32 sums along the last dimension, added in float64.

    It reads each number once and makes no float64 copy: for many large tensors, where seven digits are enough.

    Example:
        >>> dot_by_rows(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])), dot_by_rows(*[torch.tensor(2.0)] * 2)
        (11.0, 4.0)
    """
    return torch.linalg.vecdot(a, b).double().sum().item() if a.dim() else float(a * b)


def inner(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The inner product of two directions over all tensors; one that either lacks is zero there."""
    # Once for a square: what is asked of a view may be made anew each time.
    return sum((dot(t, t if other is one else other[name]) for name, t in one.items() if name in other), 0.0)


def norm(direction: Mapping[str, torch.Tensor]) -> float:
    """The Euclidean norm of all tensors of a direction together."""
    return inner(direction, direction) ** 0.5


def cosine(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The cosine of the angle between two directions.

    Example:
        >>> cosine({"a": torch.tensor([1.0, 0.0])}, {"a": torch.tensor([2.0, 0.0]), "b": torch.tensor([0.0])})
        1.0
    """
    return inner(one, other) / (norm(one) * norm(other))
