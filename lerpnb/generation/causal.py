"""Which models are causal language models, and by what the others are measured."""

from typing import Any

import torch

from lerpnb.errors import ProbeError

OWN = "A function of your own can measure it: ln.evaluate(path, points, [function])."
BOTH_WAYS = "It reads a text in both directions and gives no probability of the next token."


def refuse_not_causal(model: Any, call: str) -> None:
    """Refuse a model that gives no probability of a text token by token.

    It is tried at every point of a path: what the weights of one do not show, those of another may.

    Raises:
        ProbeError: an encoder-decoder, a classifier, a model without a head, or one whose logits at a place depend on
            later tokens.
    """
    if not is_causal(model):
        raise ProbeError(f"{call}: {type(model).__name__} is no causal language model.\n{measured_by(model)}")


def measured_by(model: Any) -> str:
    """Which of the built-in probes measures a model, as the last line of an error."""
    if "SequenceClassification" in type(model).__name__:
        return "Measure it with ln.Accuracy."
    if not has_head(model):
        return OWN
    if writes_targets(model):
        return "Measure it with ln.probes.Seq2SeqLoss."
    return "Measure it with ln.Loss." if is_causal(model) else BOTH_WAYS


def writes_targets(model: Any) -> bool:
    """Whether it is an encoder-decoder with a language model's head."""
    return bool(getattr(model.config, "is_encoder_decoder", False)) and has_head(model)


def has_head(model: Any) -> bool:
    return hasattr(model, "get_output_embeddings") and model.get_output_embeddings() is not None


@torch.inference_mode()
def is_causal(model: Any) -> bool:
    """Whether a model has logits of tokens that another last token does not change, beyond rounding.

    True where that cannot be seen, because weights are NaN or all logits equal.
    """
    kind, config = type(model).__name__, model.config
    if getattr(config, "is_encoder_decoder", False) or "Classification" in kind or "MaskedLM" in kind:
        return False
    ids = torch.arange(1, min(9, config.get_text_config().vocab_size), device=model.device).repeat(2, 1)
    ids[1, -1] = 0
    try:
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    except AttributeError:
        return False
    except (RuntimeError, TypeError):  # it takes other arguments
        return has_head(model)
    if found.ndim != 3 or found.shape[:2] != ids.shape:
        return False
    logits, changed = found[:, :-1].float()
    if not (logits.isfinite().all() and changed.isfinite().all() and logits.std() > 0):
        return True
    tolerance = 1e-3 if next(model.parameters()).dtype in (torch.float32, torch.float64) else 0.1
    return bool((logits - changed).abs().max() <= tolerance * logits.std())
