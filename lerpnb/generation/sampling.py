"""Continuations of prompts, with the same noise at every alpha: of one model, or of all alphas of a line at once."""

import inspect
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize, is_out_of_memory
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.generation.continuations import Continuations, context_ids
from lerpnb.generation.noise import draw_tokens, noise_key

# A continuation: its alpha (None without rows), its prompt, its draw.
Place = tuple[float | None, int, int]


# Prompts whose lengths differ by at most this many tokens share a batch.
SPREAD = 8


def sample(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    spec: Continuations,
    halving: ExecutableBatchSize | None = None,
) -> pd.DataFrame:
    """Continue every prompt of `spec` with `model`; where memory runs out, fewer of them side by side, which is said.

    Args:
        model: a causal language model in eval mode, on any device.
        tokenizer: its tokenizer.
        halving: what remembers how many fit, from call to call.

    Returns:
        A row a continuation: prompt_id, draw, prompt, continuation (special tokens left out), n_tokens.

    Raises:
        ProbeError: a prompt without tokens or beyond the model's positions, a model without a key-value cache.
        NotFiniteError: the model gives NaN or infinite logits.

    Example:
        >>> texts = sample(tiny_llama(), tiny_tokenizer(), Continuations(("a film",), n_samples=2, max_new_tokens=3))
        >>> texts.columns.tolist(), len(texts)
        (['prompt_id', 'draw', 'prompt', 'continuation', 'n_tokens'], 2)
    """
    writing = Decoder(model, tokenizer, spec, halving=halving)
    for _ in writing:
        pass
    return writing.frame()


def sample_batched(
    rows: BatchedLine,
    tokenizer: PreTrainedTokenizerBase,
    alphas: Sequence[float],
    spec: Continuations,
    halving: ExecutableBatchSize | None = None,
) -> dict[float, pd.DataFrame]:
    """Continue every prompt of `spec` at every alpha, all of them side by side: one pass a token.

    The texts are those of `sample(line.at(alpha), tokenizer, spec)` up to rounding: a draw that falls within 1e-5 or so
    of the border between two tokens can go the other way, and the text with it.

    Returns:
        {alpha: what `sample` returns}, in the order given. An alpha whose logits are not finite is left out, and the
        others go on.

    Raises:
        ProbeError: as `sample` says.

    Example:
        ```python
        texts = sample_rows(BatchedLine(line), line.tokenizer, alpha_grid(-1, 2, 13), Continuations(["The film"]))
        texts[0.5]["continuation"]
        ```
    """
    writing = Decoder(rows, tokenizer, spec, alphas, halving)
    for _ in writing:
        pass
    return {alpha: writing.frame(alpha) for alpha in alphas if alpha not in writing.unusable}


class Decoder:
    """Continuations while they are written: each step of an iteration adds a token to those that are in hand.

    Between steps nothing is held but this object, so that a caller can show what is there, do other work, or stop for
    good. Two of them on one `BatchedLine` may take turns. Where memory runs out, those in hand begin again, half of
    them at a
    time: the noise is the same, and so are their texts, to rounding.

    Args:
        model: a causal language model in eval mode, or the rows of a line.
        tokenizer: its tokenizer.
        spec: what to write.
        alphas: with rows: where on the line, each once.
        halving: what remembers how many continuations fit in memory.

    Attributes:
        tokens: {(alpha or None, prompt_id, draw): the token ids so far}, all of them from the start.
        unusable: alphas whose logits are not finite; they write no further.

    Raises:
        ProbeError: as `sample` says.

    Example:
        ```python
        writing = Decoder(rows, line.tokenizer, Continuations([prompt], n_samples=1), alphas)
        for _ in writing:  # a decoding step of all alphas
            show({alpha: writing.frame(alpha)["continuation"][0] for alpha in alphas})
            if typed_again():
                break
        ```
    """

    def __init__(
        self,
        model: PreTrainedModel | BatchedLine,
        tokenizer: PreTrainedTokenizerBase,
        spec: Continuations,
        alphas: Sequence[float | None] = (None,),
        halving: ExecutableBatchSize | None = None,
    ):
        self.rows = model if isinstance(model, BatchedLine) else None
        self.model = model.model if isinstance(model, BatchedLine) else model
        self.tokenizer, self.spec, self.alphas = tokenizer, spec, tuple(alphas)
        self._encoded = [context_ids(tokenizer, prompt) for prompt in spec.prompts]
        _check_prompts(self.model, self._encoded, spec)
        self._ends, self._halving = _ends(self.model, tokenizer), halving or ExecutableBatchSize("texts")
        self.tokens: dict[Place, list[int]] = {
            (alpha, i, draw): [] for alpha in alphas for i in range(len(spec.prompts)) for draw in range(spec.n_samples)
        }
        self.unusable: set[float] = set()
        self._top_p = 1.0 if getattr(self.model, "truncates", False) else spec.top_p  # it cut a nucleus of its own
        takes = inspect.signature(self.model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}  # a prefill's others are not asked for

    def __iter__(self) -> Iterator[None]:
        waiting = sorted(self.tokens, key=lambda place: len(self._encoded[place[1]]))
        while waiting:
            group = self._group(waiting)
            try:
                yield from self._write(group)
                waiting = waiting[len(group) :]
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halving.halve(len(group))  # here the error, and with it every tensor of its frames, is gone
            for place in group:
                self.tokens[place].clear()

    def frame(self, alpha: float | None = None) -> pd.DataFrame:
        """The continuations at an alpha as they stand, in the form of `sample`."""
        return pd.DataFrame(
            {
                "prompt_id": i,
                "draw": draw,
                "prompt": self.spec.prompts[i],
                "continuation": _rest(self.tokenizer, self._encoded[i], ids),
                "n_tokens": len(ids),
            }
            for (at, i, draw), ids in self.tokens.items()
            if at == alpha
        )

    def _group(self, waiting: list[Place]) -> list[Place]:
        """The next to be written side by side: as many as fit, whose prompts are of nearly equal length."""
        length = [
            len(self._encoded[i])
            for _, i, _ in waiting[: min(self.spec.batch_size, self._halving.largest or self.spec.batch_size)]
        ]
        return waiting[: bisect_right(length, length[0] + SPREAD)]

    @torch.inference_mode()
    def _write(self, places: list[Place]) -> Iterator[None]:
        """Write some continuations to their ends, a token a step.

        Nothing is padded: all rows begin with as many tokens as the shortest prompt has, and a longer one is given its
        own next tokens until it ends. So every architecture sees plain positions and needs no mask. A prompt is read
        once an alpha, for all its draws.
        """
        spec, device = self.spec, self.model.device
        pairs = list(dict.fromkeys((alpha, i) for alpha, i, _ in places))
        prompts = [self._encoded[i] for _, i in pairs]
        shortest = min(map(len, prompts))
        each = torch.tensor([pairs.index((alpha, i)) for alpha, i, _ in places], device=device)
        alphas = torch.tensor([alpha for alpha, _ in pairs], device=device) if self.rows else None
        cache, logits = self._forward([ids[:shortest] for ids in prompts], alphas)
        if not hasattr(cache, "reorder_cache"):
            raise ProbeError(
                f"sample(): {type(self.model).__name__} keeps no key-value cache.\nIts texts cannot be sampled here."
            )
        logits, alphas = logits[each], alphas[each] if self.rows else None
        cache.reorder_cache(each)

        keys = [noise_key(spec.seed, spec.prompts[i], draw) for _, i, draw in places]
        rows, position = list(range(len(places))), 0
        while True:
            steps = torch.tensor([len(self.tokens[places[row]]) for row in rows], device=device)
            key = torch.tensor([keys[row] for row in rows], device=device)
            drawn = self._draw(logits, key, steps, [places[row][0] for row in rows])
            fed, kept = [], []
            for place, (row, token) in enumerate(zip(rows, drawn, strict=True)):
                given, found = self._encoded[places[row][1]][shortest:], self.tokens[places[row]]
                if places[row][0] in self.unusable:
                    continue
                if position < len(given):
                    token = given[position]
                elif token in self._ends:
                    continue
                else:
                    found.append(token)
                    if len(found) == spec.max_new_tokens:
                        continue
                fed.append([token])
                kept.append(place)
            yield
            if not kept:
                return
            if len(kept) < len(rows):
                stay = torch.tensor(kept, device=device)
                cache.reorder_cache(stay)
                rows, alphas = [rows[place] for place in kept], alphas[stay] if self.rows else None
            cache, logits = self._forward(fed, alphas, cache)
            position += 1

    def _forward(
        self, ids: list[list[int]], alphas: torch.Tensor | None, cache: Any = None
    ) -> tuple[Any, torch.Tensor]:
        """One pass: the cache, and the logits after the last token of each row."""
        ids = torch.tensor(ids, device=self.model.device)
        if self.rows is None:
            output = self.model(input_ids=ids, past_key_values=cache, use_cache=True)
        else:
            self.rows.alphas = alphas  # anew each time: another one may have had its turn
            output = self.model(input_ids=ids, past_key_values=cache, use_cache=True, **self._last)
        return getattr(output, "past_key_values", None), output.logits[:, -1]

    def _draw(
        self, logits: torch.Tensor, keys: torch.Tensor, steps: torch.Tensor, alphas: list[float | None]
    ) -> list[int]:
        try:
            return draw_tokens(logits, keys, steps, self._top_p, self.spec.temperature).tolist()
        except NotFiniteError:
            if self.rows is None:
                raise
            odd = (logits.isnan() | logits.isposinf()).any(-1)
            self.unusable |= {alpha for alpha, bad in zip(alphas, odd.tolist(), strict=True) if bad}
            logits = logits.masked_fill(odd.unsqueeze(-1), 0.0)  # their tokens are drawn, and not used
            return draw_tokens(logits, keys, steps, self._top_p, self.spec.temperature).tolist()


def _rest(tokenizer: PreTrainedTokenizerBase, prompt: list[int], ids: list[int]) -> str:
    """The text of `ids` after a prompt: decoded alone, some tokenizers drop the space that begins it."""
    before, whole = (tokenizer.decode(part, skip_special_tokens=True) for part in (prompt, prompt + ids))
    return whole.removeprefix(before) if whole.startswith(before) else tokenizer.decode(ids, skip_special_tokens=True)


def _check_prompts(model: PreTrainedModel, encoded: list[list[int]], spec: Continuations) -> None:
    if [] in encoded:
        empty = spec.prompts[encoded.index([])]
        raise ProbeError(f"sample(): the prompt {empty!r} has no tokens.\nGive it a word.")
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = max(range(len(encoded)), key=lambda i: len(encoded[i]))
    if most and len(encoded[longest]) + spec.max_new_tokens > most:
        raise ProbeError(
            f"sample(): {len(encoded[longest])} tokens of {spec.prompts[longest][:30]!r} and {spec.max_new_tokens} "
            f"new ones, but the model has {most} positions.\nShorten the prompt, or ask for fewer max_new_tokens."
        )


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    ends = model.generation_config.eos_token_id if model.generation_config else None
    found = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    return {end for end in found if end is not None}
