"""A path's live weights beside those of its checkpoints."""

import torch


def tensors(path, *roles: str):
    """(name, the live tensor, each role's, all float64) of every parameter."""
    for name, live in path.model.named_parameters():
        yield name, live.double(), *(path.checkpoints[role].tensors[name].double() for role in roles)


def close(live: torch.Tensor, want: torch.Tensor) -> bool:
    return (live - want).abs().max().item() <= 1e-6 * max(1.0, want.abs().max().item())


def both(trio) -> dict:
    return {"one": trio.minus, "two": trio.plus}
