"""Continuations of prompts, with the same noise at every alpha: of one model, or of all alphas of a line at once."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .errors import NotFiniteError, ProbeError
from .noise import draw_tokens, noise_key
from .paths import Line
from .rows import Rows, reads, refusal

# Up to how many rows an alpha all alphas at once are the faster way, by the table that tests/benchmarks/rows.py prints.
# A CPU's are measured; cuda's are estimates: a small batch waits for kernels to start, of which rows need a third.
ROWS_AN_ALPHA = {"cpu": {"low-rank": 32, "dense": 8}, "cuda": {"low-rank": 128, "dense": 64}}
# Prompts whose lengths differ by at most this many tokens share a batch.
SPREAD = 8


@dataclass(frozen=True)
class Continuations:
    """What to sample: `draws` continuations of each prompt.

    Nucleus sampling (Holtzman et al., arXiv 1904.09751): the fewest likeliest tokens that hold `top_p` of the mass
    at the given temperature. Of these the token with the largest log p + g is taken, g being Gumbel noise, which
    draws exactly from p (the Gumbel-max trick). The noise is a function of (seed, prompt, draw, step, token) and of
    nothing else: not of alpha, the batch or the device. So a text changes along a line only where the model does.

    Args:
        prompts: the texts to continue; each once.
        draws: continuations of each prompt.
        new_tokens: tokens a continuation has at most; an end-of-text token ends it sooner.
        top_p: mass of the nucleus, in (0, 1].
        temperature: logits are divided by it; 0 takes the likeliest token.
        seed: another seed, other noise.
        rows: continuations computed side by side, a matter of memory.

    Raises:
        ProbeError: a number out of range, no prompts, an empty one, or one given twice.

    Example:
        >>> Continuations(("The film", "My aunt"), draws=8, seed=1).top_p
        0.9
    """

    prompts: tuple[str, ...]
    draws: int = 4
    new_tokens: int = 20
    top_p: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    rows: int = 128

    def __post_init__(self):
        if isinstance(self.prompts, str):
            raise ProbeError(f"Continuations(prompts): got one text, {self.prompts[:30]!r}.\nIt takes a list of texts.")
        object.__setattr__(self, "prompts", tuple(self.prompts))
        for name, good, want in (
            ("prompts", self.prompts and all(p.strip() for p in self.prompts), "one or more texts, none empty"),
            ("prompts", len(set(self.prompts)) == len(self.prompts), "each prompt once; draws gives more of each"),
            ("draws", self.draws >= 1, "1 or more"),
            ("new_tokens", self.new_tokens >= 1, "1 or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0 and at most 1"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("rows", self.rows >= 1, "1 or more"),
        ):
            if not good:
                came = f"{len(self.prompts)} prompts" if name == "prompts" else repr(getattr(self, name))
                raise ProbeError(f"Continuations({name}): got {came}.\nIt takes {want}.")

    def identity(self) -> dict:
        """What the texts depend on, besides the model."""
        settings = asdict(self)
        del settings["rows"]
        return settings


def sample(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, spec: Continuations) -> pd.DataFrame:
    """Continue every prompt of `spec` with `model`.

    Args:
        model: a causal language model in eval mode, on any device.
        tokenizer: its tokenizer.

    Returns:
        A row a continuation: prompt_id, draw, prompt, continuation (special tokens left out), n_tokens.

    Raises:
        ProbeError: a prompt without tokens or beyond the model's positions, a model without a key-value cache.
        NotFiniteError: the model gives NaN or infinite logits.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
        >>> vocabulary = models.WordLevel({"end": 0, "a": 1, "film": 2}, unk_token="end")
        >>> words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(vocabulary), eos_token="end")
        >>> config = LlamaConfig(vocab_size=3, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                      num_attention_heads=2)
        >>> texts = sample(LlamaForCausalLM(config).eval(), words, Continuations(("a film",), draws=2, new_tokens=3))
        >>> texts.columns.tolist(), len(texts)
        (['prompt_id', 'draw', 'prompt', 'continuation', 'n_tokens'], 2)
    """
    writing = Writing(model, tokenizer, spec)
    for _ in writing:
        pass
    return writing.frame()


def sample_rows(
    rows: Rows, tokenizer: PreTrainedTokenizerBase, alphas: Sequence[float], spec: Continuations
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
        texts = sample_rows(Rows(line), line.tokenizer, alpha_grid(-1, 2, 13), Continuations(["The film"]))
        texts[0.5]["continuation"]
        ```
    """
    writing = Writing(rows, tokenizer, spec, alphas)
    for _ in writing:
        pass
    return {alpha: writing.frame(alpha) for alpha in alphas if alpha not in writing.unusable}


class Writing:
    """Continuations while they are written: each step of an iteration adds a token to those that are in hand.

    Between steps nothing is held but this object, so that a caller can show what is there, do other work, or stop for
    good. Two of them on one `Rows` may take turns.

    Args:
        model: a causal language model in eval mode, or the rows of a line.
        tokenizer: its tokenizer.
        spec: what to write.
        alphas: with rows: where on the line, each once.

    Attributes:
        tokens: {(alpha or None, prompt_id, draw): the token ids so far}, all of them from the start.
        unusable: alphas whose logits are not finite; they write no further.

    Raises:
        ProbeError: as `sample` says.

    Example:
        ```python
        writing = Writing(rows, line.tokenizer, Continuations([prompt], draws=1), alphas)
        for _ in writing:  # a decoding step of all alphas
            show({alpha: writing.frame(alpha)["continuation"][0] for alpha in alphas})
            if typed_again():
                break
        ```
    """

    def __init__(
        self,
        model: PreTrainedModel | Rows,
        tokenizer: PreTrainedTokenizerBase,
        spec: Continuations,
        alphas: Sequence[float | None] = (None,),
    ):
        self.rows = model if isinstance(model, Rows) else None
        self.model = model.model if isinstance(model, Rows) else model
        self.tokenizer, self.spec, self.alphas = tokenizer, spec, tuple(alphas)
        self._encoded = [context_ids(tokenizer, prompt) for prompt in spec.prompts]
        _check_prompts(self.model, self._encoded, spec)
        self._ends = _ends(self.model, tokenizer)
        self.tokens: dict[tuple[float | None, int, int], list[int]] = {
            (alpha, i, draw): [] for alpha in alphas for i in range(len(spec.prompts)) for draw in range(spec.draws)
        }
        self.unusable: set[float] = set()
        takes = inspect.signature(self.model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}  # a prefill's others are not asked for

    def __iter__(self) -> Iterator[None]:
        for group in self._groups():
            yield from self._write(group)

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

    def _groups(self) -> Iterator[list[tuple[float | None, int]]]:
        """(alpha, prompt) side by side whose prompts are of nearly equal length, `spec.rows` continuations at most."""
        group: list[tuple[float | None, int]] = []
        length = [len(ids) for ids in self._encoded]
        for i in sorted(range(len(length)), key=length.__getitem__):
            for alpha in self.alphas:
                full = (len(group) + 1) * self.spec.draws > self.spec.rows
                if group and (full or length[i] - length[group[0][1]] > SPREAD):
                    yield group
                    group = []
                group.append((alpha, i))
        yield group

    @torch.inference_mode()
    def _write(self, group: list[tuple[float | None, int]]) -> Iterator[None]:
        """Write the continuations of (alpha, prompt) pairs to their ends, a token a step.

        Nothing is padded: all rows begin with as many tokens as the shortest prompt has, and a longer one is given its
        own next tokens until it ends. So every architecture sees plain positions and needs no mask.
        """
        spec, device = self.spec, self.model.device
        prompts = [self._encoded[i] for _, i in group]
        shortest, each = min(map(len, prompts)), torch.arange(len(group), device=device).repeat_interleave(spec.draws)
        alphas = torch.tensor([alpha for alpha, _ in group], device=device) if self.rows else None
        cache, logits = self._forward([ids[:shortest] for ids in prompts], alphas)
        if not hasattr(cache, "reorder_cache"):
            raise ProbeError(
                f"sample(): {type(self.model).__name__} keeps no key-value cache.\nIts texts cannot be sampled here."
            )
        logits, alphas = logits[each], alphas[each] if self.rows else None
        cache.reorder_cache(each)

        places = [(*pair, draw) for pair in group for draw in range(spec.draws)]
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
                    if len(found) == spec.new_tokens:
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
            return draw_tokens(logits, keys, steps, self.spec.top_p, self.spec.temperature).tolist()
        except NotFiniteError:
            if self.rows is None:
                raise
            odd = (logits.isnan() | logits.isposinf()).any(-1)
            self.unusable |= {alpha for alpha, bad in zip(alphas, odd.tolist(), strict=True) if bad}
            logits = logits.masked_fill(odd.unsqueeze(-1), 0.0)  # their tokens are drawn, and not used
            return draw_tokens(logits, keys, steps, self.spec.top_p, self.spec.temperature).tolist()


def rows_pay(line: Line, spec: Continuations, alphas: int) -> tuple[bool, str]:
    """Whether `sample_rows` is the faster way to the texts of a line at so many alphas, and why, in words.

    A decoding step of few rows waits for the weights to be read: then all alphas share the reading. A step of many
    waits for arithmetic, of which dense ends need twice as much. Nothing is timed: the same question on the same kind
    of device has the same answer.

    Example:
        ```python
        pays, why = rows_pay(line, spec, len(alphas))
        texts = sample_rows(Rows(line), line.tokenizer, alphas, spec) if pays else ...
        ```
    """
    kind, each = "low-rank" if reads(line) < 1.5 else "dense", min(len(spec.prompts) * spec.draws, spec.rows)
    device = line.device.type
    most = ROWS_AN_ALPHA.get(device, ROWS_AN_ALPHA["cpu"])[kind]
    if alphas <= reads(line):
        return False, f"one alpha at a time: {alphas} with {kind} ends, nothing to share."
    if each > most:
        return (
            False,
            f"one alpha at a time: {each} texts an alpha; with {kind} ends on {device}, {most} at most share a pass.",
        )
    if why := refusal(line):
        return False, f"one alpha at a time: {why}"
    return (
        True,
        f"all {alphas} alphas in one pass: {each} texts an alpha, of at most {most} with {kind} ends on {device}.",
    )


def context_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that goes on: without the end-of-text token that some tokenizers append."""
    ids = tokenizer(text)["input_ids"]
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


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
    if most and len(encoded[longest]) + spec.new_tokens > most:
        raise ProbeError(
            f"sample(): {len(encoded[longest])} tokens of {spec.prompts[longest][:30]!r} and {spec.new_tokens} "
            f"new ones, but the model has {most} positions.\nShorten the prompt, or ask for fewer new_tokens."
        )


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    ends = model.generation_config.eos_token_id if model.generation_config else None
    found = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    return {end for end in found if end is not None}
