"""The cached pass: tokens computed after those of a cache, and whether a model can be sampled so."""

import inspect
import warnings
import weakref
from typing import Any

import torch
from torch import Tensor

from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import is_out_of_memory
from lerpnb.utils.text import first_line

MAX_OFF = 0.05  # how far logits of a cached and a whole pass may differ, relative to the largest: bfloat16 rounds
MAX_LOGIT = 1e3  # beyond it, weights far out on a line amplify rounding, and say nothing about the model
_has_cache: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


class WholeText:
    """In place of a cache: the tokens so far, (rows, n) int64, which each pass computes anew."""

    def __init__(self, ids: Tensor):
        self.ids = ids

    def reorder_cache(self, rows: Tensor) -> None:
        self.ids = self.ids[rows]


def cached_pass(
    model: Any, ids: Tensor, start: int, cache: Any = None, *, has_cache: bool = True, **options: Any
) -> tuple[Any, Tensor]:
    """One pass over tokens that follow those of a cache: the cache, and the logits after the last token of each row.

    Args:
        ids: (rows, n) int64 token ids.
        start: position of the first of them: how many tokens the cache holds.
        cache: what a pass before returned; None at the start.
        has_cache: what `has_cache` says of the model.
        options: more arguments of the model's forward.
    """
    arguments = inspect.signature(model.forward).parameters
    if not has_cache:
        whole = WholeText(ids if cache is None else torch.cat([cache.ids, ids], 1))
        options |= {"use_cache": False} if "use_cache" in arguments else {}
        return whole, model(input_ids=whole.ids, **options).logits[:, -1]
    if "position_ids" in arguments:  # some models do not take them from their cache
        options["position_ids"] = torch.arange(start, start + ids.shape[1], device=ids.device).unsqueeze(0)
    name = "cache_params" if "cache_params" in arguments else "past_key_values"
    output = model(input_ids=ids, use_cache=True, **{name: cache}, **options)
    return getattr(output, name, None), output.logits[:, -1]


@torch.inference_mode()
def has_cache(model: Any) -> bool:
    """Whether a model's cache can be reordered and continued, tried once a model: on four tokens, in short passes.

    Where it cannot, a warning says that each token costs a pass over its whole text.

    Raises:
        ProbeError: an ensemble with such a model.
    """
    if model in _has_cache:
        return _has_cache[model]
    name, size = type(model).__name__, getattr(model.config.get_text_config(), "vocab_size", 8)
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 5]], device=model.device) * (size // 8)
    turned = torch.tensor([1, 0, 1], device=ids.device)
    try:
        cache, _ = cached_pass(model, ids[:, :3], 0)
        cache.reorder_cache(turned)
        _, logits = cached_pass(model, ids[turned, 3:], 3, cache)
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        reason = first_line(error)
    else:
        _, expected = cached_pass(model, ids[turned], 0)
        known = logits.isfinite() & expected.isfinite()
        if not known.any() or (largest := expected[known].abs().max().item()) > MAX_LOGIT:
            return True
        off = (logits - expected)[known].abs().max().item()
        reason = f"its logits are {off:.2g} off, of at most {largest:.2g}" if off > MAX_OFF * largest else ""
    if reason and hasattr(model, "truncates"):
        raise ProbeError(f"sample(): {name} cannot go on from its cache.\n  {reason}\nIt cannot be sampled here.")
    if reason:
        why = (
            f"sample(): {name} cannot go on from its cache, so each token costs a pass over its whole text. ({reason})"
        )
        warnings.warn(why, stacklevel=2)
    _has_cache[model] = not reason
    return not reason
