"""Row memory: how many continuations fit side by side in a GPU's free memory, from what a short pass leaves."""

from typing import Any

import torch
from torch import Tensor

from lerpnb.generation.cached_pass import cached_pass, has_cache
from lerpnb.generation.continuations import BATCH_SIZE

SHARE = 0.8  # of what is free: passes need room for their own results
MOST_ROWS = 1024  # beyond it a step computes for as long as it reads, and no more tokens a second come out
DRAW_BYTES = 96  # a row and token of the vocabulary: logits, their order and noise, as sorted in a draw


class RowMemory:
    """How many continuations a device holds side by side: on a GPU by its free memory at the start, else 128.

    A power of two, so that a little more or less free memory changes no batch.

    Args:
        model: what is sampled; its weights are there already.
    """

    def __init__(self, model: Any):
        self.free = _free_bytes(model.device) if has_cache(model) else None
        if self.free is not None:
            self.state, self.per_position = row_bytes(model)
            self.state += DRAW_BYTES * model.config.get_text_config().vocab_size

    def rows(self, positions: int) -> int:
        """Of so many tokens each, prompt included."""
        if self.free is None:
            return BATCH_SIZE
        fitting = int(SHARE * self.free / (self.state + self.per_position * positions))
        return min(MOST_ROWS, 1 << max(1, fitting).bit_length() - 1)


def _free_bytes(device: torch.device) -> int | None:
    """Of a GPU; what torch has reserved and not given out counts. None of other devices."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


@torch.inference_mode()
def row_bytes(model: Any) -> tuple[float, float]:
    """Bytes that a row of a model's cache takes whatever its length, and those for each of its tokens."""
    sizes = []
    for length in (2, 4):
        cache, _ = cached_pass(model, torch.ones(1, length, dtype=torch.long, device=model.device), 0)
        sizes.append(_tensor_bytes(cache, set()))
    return max(0.0, 2 * sizes[0] - sizes[1]), (sizes[1] - sizes[0]) / 2


def _tensor_bytes(thing: Any, seen: set[int]) -> int:
    """Bytes of all tensors of a cache: of its layers, or of the caches of several models."""
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        return thing.nbytes
    parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list | tuple) else ()
    parts = parts or getattr(thing, "__dict__", {}).values()
    return sum(_tensor_bytes(part, seen) for part in parts)
