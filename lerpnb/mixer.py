"""Mixer: puts sum_i c_i theta_i into one live model, in place."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .errors import MismatchError


class Mixer:
    """Puts theta = sum_i c_i theta_i into one live model, in place, tensor by tensor, computed from all ends each time.

    Two coefficients that add up to 1 are a `torch.lerp` in float32, exact to rounding. A single 1 among zeros is a
    copy, so the ends are met bit for bit (lerp would turn -0.0 into +0.0). A live model of another dtype is rounded
    to once, through a float32 scratch tensor. A tensor that all ends share is put once. No memory is taken a point.

    Args:
        model: the live model; its parameters and float buffers are overwritten. Tied ones are one tensor.
        ends: for each checkpoint its float32 tensors by name, see `Checkpoint.tensors`.

    Raises:
        MismatchError: a tensor of the model is missing at an end.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> mixer = Mixer(model, [{"weight": torch.zeros(1, 1)}, {"weight": torch.ones(1, 1)}])
        >>> mixer.put((0.25, 0.75))
        >>> model.weight.item()
        0.75
    """

    def __init__(self, model: nn.Module, ends: Sequence[Mapping[str, torch.Tensor]]):
        live = {n: p.data for n, p in model.named_parameters()}
        live |= {n: b for n, b in model.named_buffers() if b.is_floating_point()}
        absent = sorted(name for name in live if any(name not in end for end in ends))
        if absent:
            raise MismatchError(
                f"Mixer(model, ends): {len(absent)} of {len(live)} tensors are missing at an end: "
                f"{', '.join(absent[:3])}."
            )
        rows = [(tensor, [end[name] for end in ends]) for name, tensor in live.items()]
        self._common = [row for row in rows if all(_same(row[1][0], other) for other in row[1][1:])]
        common = {id(row[0]) for row in self._common}
        self._rows = [row for row in rows if id(row[0]) not in common]
        self._common_sum: float | None = None
        # Scratch is needed only where a live tensor cannot take a float32 result itself.
        rounded = [tensor for tensor, others in rows if _round(tensor, others[0])]
        self._scratch = torch.empty(
            max((t.numel() for t in rounded), default=0), device=rounded[0].device if rounded else None
        )

    @torch.no_grad()
    def put(self, coefficients: Sequence[float]) -> None:
        """Overwrite the live model with sum_i coefficients[i] * theta_i.

        Args:
            coefficients: one number an end, without unit; never renormalised.
        """
        total = sum(coefficients)
        if abs(total - 1.0) < 1e-12:
            total = 1.0
        for tensor, ends in self._rows:
            self._put(tensor, ends, coefficients, total)
        if total != self._common_sum:
            for tensor, ends in self._common:
                self._put(tensor, ends[:1], (total,), total)
            self._common_sum = total

    def _put(self, tensor: torch.Tensor, ends: list[torch.Tensor], coefficients: Sequence[float], total: float) -> None:
        used = [(c, end) for c, end in zip(coefficients, ends, strict=True) if c != 0]
        if len(used) == 1 and used[0][0] == 1:
            tensor.copy_(used[0][1])
            return
        out = self._scratch[: tensor.numel()].view(tensor.shape) if _round(tensor, ends[0]) else tensor
        if len(used) == 2 and total == 1:
            torch.lerp(used[0][1], used[1][1], used[1][0], out=out)
        else:
            out.zero_()
            for c, end in used:
                out.add_(end, alpha=c)
        if out is not tensor:
            tensor.copy_(out)


def _round(tensor: torch.Tensor, end: torch.Tensor) -> bool:
    return tensor.dtype != end.dtype or tensor.device != end.device


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
