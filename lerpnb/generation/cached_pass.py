"""The cached pass: tokens computed after those of a cache, and whether a model can be sampled so."""

import inspect
import weakref
from typing import Any

import torch
from torch import Tensor

from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import is_out_of_memory
from lerpnb.utils.text import first_line

MAX_OFF = 0.05  # how far logits of a cached and a whole pass may differ, relative to the largest: bfloat16 rounds
MAX_LOGIT = 1e3  # beyond it, weights far out on a line amplify rounding, and say nothing about the model
_checked: weakref.WeakSet[Any] = weakref.WeakSet()


def cached_pass(model: Any, ids: Tensor, start: int, cache: Any = None, **options: Any) -> tuple[Any, Tensor]:
    """One pass over tokens that follow those of a cache.

    Args:
        model: a causal language model.
        ids: (rows, n) int64 token ids.
        start: position of the first of them: how many tokens the cache holds.
        cache: what a pass before returned; None at the start.
        options: more arguments of the model's forward.

    Returns:
        The cache, and the logits after the last token, (rows, vocabulary).
    """
    if "position_ids" in inspect.signature(model.forward).parameters:  # some models do not take them from their cache
        options["position_ids"] = torch.arange(start, start + ids.shape[1], device=ids.device).unsqueeze(0)
    output = model(input_ids=ids, past_key_values=cache, use_cache=True, **options)
    return getattr(output, "past_key_values", None), output.logits[:, -1]


@torch.inference_mode()
def check_cache(model: Any) -> None:
    """Check, once a model, that its cache can be reordered and continued: on four tokens, in three short passes.

    Raises:
        ProbeError: it keeps a state that cannot be reordered, or continues from it with other logits.
    """
    if model in _checked:
        return
    name, size = type(model).__name__, getattr(model.config.get_text_config(), "vocab_size", 8)
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 5]], device=model.device) * (size // 8)
    cache, _ = cached_pass(model, ids[:, :3], 0)
    if not hasattr(cache, "reorder_cache"):
        raise ProbeError(f"sample(): {name} keeps no key-value cache.\nIts texts cannot be sampled here.")
    turned = torch.tensor([1, 0, 1], device=ids.device)
    try:
        cache.reorder_cache(turned)
        _, logits = cached_pass(model, ids[turned, 3:], 3, cache)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ProbeError(
            f"sample(): the cache of {name} cannot be reordered.\n  {first_line(error)}\n"
            "Its texts cannot be sampled here."
        ) from error
    _, expected = cached_pass(model, ids[turned], 0)
    known = logits.isfinite() & expected.isfinite()
    if not known.any() or (largest := expected[known].abs().max().item()) > MAX_LOGIT:
        return
    if (off := (logits - expected)[known].abs().max().item()) > MAX_OFF * largest:
        raise ProbeError(
            f"sample(): {name} continues from its cache with logits that are {off:.2g} off, of at most {largest:.2g}.\n"
            "Its texts cannot be sampled here."
        )
    _checked.add(model)
