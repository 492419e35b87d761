"""Sampling: continuations of prompts with the same noise at every alpha, of one model or of all alphas side by side."""

from collections.abc import Sequence

import pandas as pd
from torch import nn
from transformers import PreTrainedTokenizerBase

from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.decoder import Decoder


def sample(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    spec: Continuations,
    batch_size: ExecutableBatchSize | None = None,
) -> pd.DataFrame:
    """Continue every prompt of `spec` with `model`; where memory runs out, in smaller batches, with a warning.

    Args:
        model: a causal language model in eval mode, on any device.
        tokenizer: its tokenizer.
        spec: the prompts and the sampling.
        batch_size: remembers from call to call how many continuations fit in memory.

    Returns:
        A row a continuation: prompt_id, draw, prompt, continuation (special tokens left out), n_tokens. Where prompts
        are chats, `prompt` is the last message, `continuation` the answer without what was thought before it, which
        `thinking` has, of the n_thinking first tokens.

    Raises:
        ProbeError: a prompt without tokens or beyond the model's positions, a model that reads in both directions.
        NotFiniteError: the model gives NaN or infinite logits.

    Example:
        >>> texts = sample(tiny_llama(), tiny_tokenizer(), Continuations(("a film",), n_samples=2, max_new_tokens=3))
        >>> texts.columns.tolist(), len(texts)
        (['prompt_id', 'draw', 'prompt', 'continuation', 'n_tokens'], 2)
    """
    decoder = Decoder(model, tokenizer, spec, batch_size=batch_size)
    for _ in decoder:
        pass
    return decoder.frame()


def sample_batched(
    batched: BatchedLine,
    tokenizer: PreTrainedTokenizerBase,
    alphas: Sequence[float],
    spec: Continuations,
    batch_size: ExecutableBatchSize | None = None,
) -> dict[float, pd.DataFrame]:
    """Continue every prompt of `spec` at every alpha, all of them side by side: one pass a token.

    The texts are those of `sample(line.at(alpha), tokenizer, spec)` up to rounding: a draw that falls within about 1e-5
    of the border between two tokens can give the other one, and the texts differ from there on.

    Args:
        batched: the line.
        tokenizer: its tokenizer.
        alphas: without unit, each once.
        spec, batch_size: as of `sample`.

    Returns:
        {alpha: what `sample` returns}, in the order given. An alpha whose logits are not finite is left out, and the
        others go on.

    Raises:
        ProbeError: as `sample` says.

    Example:
        >>> from lerpnb.paths.line import Line
        >>> line = Line(tiny_checkpoint(), tiny_checkpoint(), device="cpu")
        >>> spec = Continuations(["a film"], n_samples=2, max_new_tokens=3)
        >>> texts = sample_batched(BatchedLine(line), line.tokenizer, [0, 0.5, 1], spec)
        >>> {alpha: len(frame) for alpha, frame in texts.items()}
        {0: 2, 0.5: 2, 1: 2}
    """
    decoder = Decoder(batched, tokenizer, spec, alphas, batch_size)
    for _ in decoder:
        pass
    return {alpha: decoder.frame(alpha) for alpha in alphas if alpha not in decoder.unusable}
