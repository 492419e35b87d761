"""Limits: how many tokens a model has positions for, and which ids its embedding has."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from lerpnb.errors import LerpError, ProbeError


def position_limit(model: Any) -> int | None:
    """The tokens that a model reads at most; None where its configuration names no limit.

    Where positions are counted from the padding token's place on, as in RoBERTa, those below it are none.

    Example:
        >>> position_limit(tiny_llama())
        2048
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            return module.num_embeddings - module.padding_idx - 1
    return positions if positions and positions > 0 else None


def check_ids(model: Any, rows: Sequence[Sequence[int]], call: str, new_tokens: int = 0, way_out: str = "") -> None:
    """Refuse rows of token ids that a model cannot read, before it is run.

    Args:
        model: a transformers model.
        rows: the ids of each text.
        call: what the first line of an error names.
        new_tokens: tokens that are to follow each row.
        way_out: what to do about a row that is too long.

    Raises:
        ProbeError: more tokens than positions, or an id that the embedding does not have.

    Example:
        >>> check_ids(tiny_llama(), [[1, 2, 3], [1, 900]], "mine")
        Traceback (most recent call last):
            ...
        lerpnb.errors.ProbeError: mine: token id 900, but the model's embedding has 8 rows.
        Give the tokenizer that it was trained with, or resize its embedding: model.resize_token_embeddings(901).
    """
    limit, longest = position_limit(model), max(map(len, rows), default=0)
    if limit and longest + new_tokens > limit:
        what = f"{longest} tokens and {new_tokens} new ones" if new_tokens else f"a text of {longest} tokens"
        raise ProbeError(f"{call}: {what}, but the model has {limit} positions.\n{way_out}")
    check_vocabulary(model, max((max(row, default=0) for row in rows), default=0), call)


def check_vocabulary(model: Any, highest: int, call: str, error: type[LerpError] = ProbeError) -> None:
    """Refuse a token id that is beyond a model's embedding."""
    embedding = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    size = embedding.weight.shape[0] if embedding is not None and hasattr(embedding, "weight") else None
    if size is not None and highest >= size:
        raise error(
            f"{call}: token id {highest}, but the model's embedding has {size} rows.\n"
            "Give the tokenizer that it was trained with, or resize its embedding: "
            f"model.resize_token_embeddings({highest + 1})."
        )
