"""A point of a path as a checkpoint of its own, which other paths can begin or end at."""

from collections.abc import Sequence
from typing import Any

import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank, Weight, dense
from lerpnb.paths.base import BasePath


def checkpoint_at(path: BasePath, point: Any) -> Checkpoint:
    """theta(point) of a path as a checkpoint, from the path's own checkpoints; its live model stays where it is.

    A tensor whose checkpoints are all low-rank changes of one tensor, or that tensor itself, stays low-rank: factors
    side by side, base + [c_1 s_1 up_1, c_2 s_2 up_2, ...] @ [down_1; down_2; ...], of rank r_1 + r_2 + .... All
    others are dense and float32, but for one that is a checkpoint's own.

    Example:
        >>> from lerpnb.paths.line import Line
        >>> line = Line(tiny_llama(), tiny_llama(), device="cpu")
        >>> quarter = checkpoint_at(line, 0.25)
        >>> torch.allclose(quarter.tensors["lm_head.weight"], line.at(0.25).lm_head.weight)
        True
    """
    point = path.checked(point, "checkpoint_at(point)")
    coefficients, ends = path.coefficients(point), list(path.checkpoints.values())
    weights = {
        name: combined(
            [end.weights[name] for end in ends], coefficients(name) if callable(coefficients) else coefficients
        )
        for name in ends[0].weights
    }
    return ends[0].with_weights(weights, path._recipe(point))


@torch.no_grad()
def combined(weights: Sequence[Weight], coefficients: Sequence[float]) -> Weight:
    """sum_i coefficients[i] * weights[i], low-rank where it can be.

    Example:
        >>> one, base = torch.ones(2, 1), torch.zeros(2, 2)
        >>> sum_ = combined([LowRank(base, one, one.T, 0.5), base], (3.0, -2.0))
        >>> sum_.base is base, sum_.tensor().tolist()
        (True, [[1.5, 1.5], [1.5, 1.5]])
    """
    used = [(c, weight) for c, weight in zip(coefficients, weights, strict=True) if c != 0]
    if len(used) == 1 and used[0][0] == 1:
        return used[0][1]
    bases = [weight.base if isinstance(weight, LowRank) else weight for weight in weights]
    low = [(c, weight) for c, weight in used if isinstance(weight, LowRank)]
    one_base = all(base.data_ptr() == bases[0].data_ptr() and base.shape == bases[0].shape for base in bases)
    if one_base and abs(sum(coefficients) - 1) < 1e-12 and len({weight.transposed for _, weight in low}) < 2:
        if not low:
            return bases[0]
        up = torch.cat([c * weight.scaling * weight.up for c, weight in low], dim=1)
        down = torch.cat([weight.down for _, weight in low])
        return LowRank(bases[0], up, down, 1.0, low[0][1].transposed)
    total = torch.zeros_like(bases[0], dtype=torch.float32)
    for c, weight in used:
        total.add_(dense(weight), alpha=c)
    return total
