"""The decoder: writes continuations step by step, so that a caller can watch, take turns, or stop."""

import inspect
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from lerpnb.checkpoints.limits import check_ids
from lerpnb.data.chat import Chat, Prompt, thinking_length
from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize, is_out_of_memory
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.generation.cached_pass import cached_pass, has_cache
from lerpnb.generation.causal import refuse_not_causal
from lerpnb.generation.continuations import BATCH_SIZE, Continuations, context_ids
from lerpnb.generation.noise import draw_tokens, noise_key
from lerpnb.generation.row_memory import RowMemory
from lerpnb.generation.rows import Rows, Slot
from lerpnb.utils.progress import report

MAX_LENGTH_SPREAD = 8  # prompts whose lengths differ by at most this many tokens share a batch
MAX_WASTE = 0.1  # of a large batch's work, in what is computed twice
CHECK_EVERY = 8  # steps on an accelerator, which goes on ahead of the host meanwhile
NOT_FINITE = (
    "sample(): the model's logits hold NaN or infinity.\n"
    "The weights at this alpha cannot be used: narrow lo and hi, or take dtype='float32'."
)


class Decoder:
    """Writes continuations step by step: each step of an iteration adds a token to those of the present batch.

    Between steps a caller can show what is there, do other work, or stop for good. Two decoders on one `BatchedLine`
    may take turns. Within a step the device is asked nothing: every `check_every` steps the tokens drawn since are
    read, and the continuations that have ended leave the batch. Where memory runs out, the present batch begins again
    with half as many: the noise is the same, and so are the texts, to rounding.

    Args:
        model: a causal language model in eval mode, or a `BatchedLine`.
        tokenizer: its tokenizer.
        spec: the prompts and the sampling.
        alphas: for a `BatchedLine`, without unit, each once.
        batch_size: remembers how many continuations fit in memory.
        check_every: steps between two readings; None takes 1 on a CPU, where reading costs nothing, else 8.

    Attributes:
        tokens: {(alpha or None, prompt_id, draw): its token ids so far}, with a key for each from the start.
        unusable: alphas whose logits are not finite; they are written no further.

    Raises:
        ProbeError: as `sample` says.
    """

    def __init__(
        self,
        model: nn.Module | BatchedLine,
        tokenizer: PreTrainedTokenizerBase,
        spec: Continuations,
        alphas: Sequence[float | None] = (None,),
        batch_size: ExecutableBatchSize | None = None,
        check_every: int | None = None,
    ):
        self.batched = model if isinstance(model, BatchedLine) else None
        self.model: Any = model.model if isinstance(model, BatchedLine) else model
        self.tokenizer, self.spec, self.alphas = tokenizer, spec, tuple(alphas)
        self._encoded = [context_ids(tokenizer, prompt) for prompt in spec.prompts]
        self._live: Any = model.line.model if isinstance(model, BatchedLine) else model
        refuse_not_causal(self._live, "sample()")
        _check_prompts(self.model, self._encoded, spec)
        self._stop_tokens = _stop_tokens(self.model, tokenizer)
        self._batch_size = batch_size or ExecutableBatchSize("texts")
        self.tokens: dict[Slot, list[int]] = {
            (alpha, i, draw): [] for alpha in alphas for i in range(len(spec.prompts)) for draw in range(spec.n_samples)
        }
        self.unusable: set[float | None] = set()
        self._check_every = check_every or (1 if self.model.device.type == "cpu" else CHECK_EVERY)
        self._top_p = 1.0 if getattr(self.model, "truncates", False) else spec.top_p  # an ensemble cut its own nucleus
        self._arguments = inspect.signature(self.model.forward).parameters
        self._has_cache = has_cache(self._live)

    def __iter__(self) -> Iterator[None]:
        waiting = sorted(self.tokens, key=lambda slot: len(self._encoded[slot[1]]))
        memory = RowMemory(self._live)
        while waiting:
            report(1 - len(waiting) / len(self.tokens))
            batch = self._next_batch(waiting, memory)
            try:
                yield from self._write(batch)
                waiting = waiting[len(batch) :]
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._batch_size.reduce(len(batch))  # here the error, and with it every tensor of its frames, is gone
            for slot in batch:
                self.tokens[slot].clear()

    def frame(self, alpha: float | None = None) -> pd.DataFrame:
        """The continuations at an alpha as they stand, in the form of `sample`."""
        rows = []
        for (at, i, draw), ids in self.tokens.items():
            if at != alpha:
                continue
            prompt, before, thinking = self.spec.prompts[i], self._encoded[i], 0
            if isinstance(prompt, Chat):
                thinking = thinking_length(self.tokenizer, before, ids)
            text = _continuation(self.tokenizer, before, ids[thinking:])
            row = {"prompt_id": i, "draw": draw, "prompt": str(prompt), "continuation": text, "n_tokens": len(ids)}
            if isinstance(prompt, Chat):
                thought = _continuation(self.tokenizer, before, ids[:thinking])
                row |= {"continuation": text.lstrip(), "n_thinking": thinking, "thinking": thought}
            rows.append(row)
        return pd.DataFrame(rows)

    def _next_batch(self, waiting: list[Slot], memory: RowMemory) -> list[Slot]:
        """The next to be written side by side: as many as fit, whose prompts are of nearly equal length.

        A longer prompt's own tokens are fed once a draw, where reading it would have done: a large batch ends before
        that is a tenth of its work.
        """
        spec, shortest = self.spec, len(self._encoded[waiting[0][1]])
        size = spec.batch_size or memory.rows(shortest + MAX_LENGTH_SPREAD + spec.max_new_tokens)
        size = min(size, self._batch_size.largest or size)
        lengths = [len(self._encoded[i]) for _, i, _ in waiting[:size]]
        for spread in range(MAX_LENGTH_SPREAD, -1, -1):
            n = bisect_right(lengths, shortest + spread)
            again = (sum(lengths[:n]) - n * shortest) * (1 - 1 / spec.n_samples)
            if n <= BATCH_SIZE or again <= MAX_WASTE * n * spec.max_new_tokens:
                break
        return waiting[:n]

    @torch.inference_mode()
    def _write(self, slots: list[Slot]) -> Iterator[None]:
        """Write a batch of continuations to their ends, a token a step.

        Nothing is padded: all rows begin with as many tokens as the shortest prompt has, and a longer one is fed its
        own next tokens until it ends, so no architecture needs a mask. A prompt is read once an alpha, for all draws.
        Between two readings a row that has ended goes on, and what it writes is not kept.
        """
        device, most = self.model.device, self.spec.max_new_tokens
        pairs = {pair: place for place, pair in enumerate(dict.fromkeys((alpha, i) for alpha, i, _ in slots))}
        shortest = min(len(self._encoded[i]) for _, i in pairs)
        alphas = torch.tensor([alpha for alpha, _ in pairs], device=device) if self.batched else None
        first = torch.tensor([self._encoded[i][:shortest] for _, i in pairs], device=device)
        cache, logits = self._forward(first, 0, alphas)
        draws = torch.tensor([pairs[alpha, i] for alpha, i, _ in slots], device=device)
        cache.reorder_cache(draws)
        logits, alphas = logits[draws], None if alphas is None else alphas[draws]
        rest = [self._encoded[i][shortest:] for _, i, _ in slots]
        keys = [noise_key(self.spec.seed, _spelled(self.spec.prompts[i]), draw) for _, i, draw in slots]
        rows, position, drawn = Rows(slots, rest, keys, alphas, device), 0, []

        while True:
            drawn.append(self._draw(logits, rows.keys, rows.steps(position)))
            tokens = rows.fed(position, drawn[-1])
            position += 1
            if len(drawn) == self._check_every or any(length + most == position for length in rows.lengths):
                kept = self._read(rows, torch.stack(drawn, 1).tolist(), position - len(drawn))
                drawn = []
                if not kept:
                    yield
                    return
                if len(kept) < len(rows.slots):
                    index = torch.tensor(kept, device=device)
                    cache.reorder_cache(index)
                    rows, tokens = rows.select(kept), tokens[index]
            yield
            cache, logits = self._forward(tokens, shortest + position - 1, rows.alphas, cache)

    def _read(self, rows: Rows, drawn: list[list[int]], start: int) -> list[int]:
        """Keep what each row has drawn since the step `start`, up to its end; the places of the rows that go on."""
        each = zip(rows.slots, drawn, rows.lengths, strict=True)
        going_on = [self._keep(slot, ids, length - start) for slot, ids, length in each]
        return [place for place, goes in enumerate(going_on) if goes and rows.slots[place][0] not in self.unusable]

    def _keep(self, slot: Slot, drawn: list[int], n_prompt: int) -> bool:
        """Keep a continuation's tokens, but for the draws within its prompt; whether it goes on."""
        tokens = self.tokens[slot]
        for place, token in enumerate(drawn):
            if token < 0 and self.batched is None:
                raise NotFiniteError(NOT_FINITE)
            if token < 0:
                self.unusable.add(slot[0])
            if token < 0 or (place >= n_prompt and token in self._stop_tokens):
                return False
            if place >= n_prompt:
                tokens.append(token)
            if len(tokens) == self.spec.max_new_tokens:
                return False
        return True

    def _forward(self, tokens: torch.Tensor, start: int, alphas: torch.Tensor | None, cache: Any = None) -> Any:
        """One pass over tokens from the position `start` on: the cache, and the logits after the last of each row."""
        options: dict[str, Any] = {}
        if self.batched is not None and alphas is not None:
            self.batched.alphas = alphas  # anew each time: another decoder may have had its turn
            options = {"logits_to_keep": 1} if "logits_to_keep" in self._arguments else {}
        return cached_pass(self.model, tokens, start, cache, has_cache=self._has_cache, **options)

    def _draw(self, logits: torch.Tensor, keys: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        return draw_tokens(logits, keys, steps, self._top_p, self.spec.temperature, self._check_every == 1)


def _spelled(prompt: Prompt) -> str:
    """What a prompt's noise is drawn from."""
    return prompt if isinstance(prompt, str) else repr(prompt)


def _continuation(tokenizer: PreTrainedTokenizerBase, prompt: list[int], ids: list[int]) -> str:
    """The text of `ids` after a prompt: decoded alone, some tokenizers drop the space that begins it."""

    def text(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    before, whole = text(prompt), text(prompt + ids)
    return whole.removeprefix(before) if whole.startswith(before) else text(ids)


def _check_prompts(model: Any, encoded: list[list[int]], spec: Continuations) -> None:
    if [] in encoded:
        empty = str(spec.prompts[encoded.index([])])
        raise ProbeError(f"sample(): the prompt {empty!r} has no tokens.\nGive it a word.")
    longest = str(spec.prompts[max(range(len(encoded)), key=lambda i: len(encoded[i]))])
    way_out = f"Shorten the prompt {longest[:30]!r}, or ask for fewer max_new_tokens."
    check_ids(model, encoded, "sample()", spec.max_new_tokens, way_out)


def _stop_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of the end-of-text tokens, by the model and by its tokenizer."""
    eos = model.generation_config.eos_token_id if model.generation_config else None
    ids = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])}
    return {i for i in ids if i is not None}
