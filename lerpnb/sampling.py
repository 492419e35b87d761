"""Continuations of prompts, with the same noise at every alpha."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .errors import NotFiniteError, ProbeError
from .noise import gumbel, noise_key

# Candidates looked at, one width after the other, until they hold the nucleus.
WIDTHS = (256, 4096)
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
    texts: dict[tuple[int, int], list[int]] = {}
    encoded = [context_ids(tokenizer, prompt) for prompt in spec.prompts]
    _check_positions(model, encoded, spec)
    for group in _groups(encoded, spec):
        places = [(i, draw) for i in group for draw in range(spec.draws)]
        keys = [noise_key(spec.seed, spec.prompts[i], draw) for i, draw in places]
        tokens = _continue(model, [encoded[i] for i in group], keys, spec, _ends(model, tokenizer))
        texts |= zip(places, tokens, strict=True)
    return pd.DataFrame(
        {
            "prompt_id": i,
            "draw": draw,
            "prompt": spec.prompts[i],
            "continuation": _rest(tokenizer, encoded[i], ids),
            "n_tokens": len(ids),
        }
        for (i, draw), ids in sorted(texts.items())
    )


def _groups(encoded: list[list[int]], spec: Continuations) -> Iterator[list[int]]:
    """Prompts of nearly equal length side by side."""
    group: list[int] = []
    for i in sorted(range(len(encoded)), key=lambda i: len(encoded[i])):
        if not encoded[i]:
            raise ProbeError(f"sample(): the prompt {spec.prompts[i]!r} has no tokens.\nGive it a word.")
        full = (len(group) + 1) * spec.draws > spec.rows
        if group and (full or len(encoded[i]) - len(encoded[group[0]]) > SPREAD):
            yield group
            group = []
        group.append(i)
    yield group


def context_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that goes on: without the end-of-text token that some tokenizers append."""
    ids = tokenizer(text)["input_ids"]
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id else ids


def _rest(tokenizer: PreTrainedTokenizerBase, prompt: list[int], ids: list[int]) -> str:
    """The text of `ids` after a prompt: decoded alone, some tokenizers drop the space that begins it."""
    before, whole = (tokenizer.decode(part, skip_special_tokens=True) for part in (prompt, prompt + ids))
    return whole.removeprefix(before) if whole.startswith(before) else tokenizer.decode(ids, skip_special_tokens=True)


def _check_positions(model: PreTrainedModel, encoded: list[list[int]], spec: Continuations) -> None:
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


@torch.inference_mode()
def _continue(
    model: PreTrainedModel, prompts: list[list[int]], keys: list[int], spec: Continuations, ends: set[int]
) -> list[list[int]]:
    """Token ids of `spec.draws` continuations of each prompt, in order, an end-of-text token left out.

    Nothing is padded: all rows begin with as many tokens as the shortest prompt has, and a longer one is given its
    own next tokens until it ends. So every architecture sees plain positions and needs no mask.
    """
    device, shortest = model.device, min(map(len, prompts))
    output = model(input_ids=torch.tensor([ids[:shortest] for ids in prompts], device=device), use_cache=True)
    cache, logits = getattr(output, "past_key_values", None), output.logits[:, -1].repeat_interleave(spec.draws, 0)
    if not hasattr(cache, "reorder_cache"):
        raise ProbeError(
            f"sample(): {type(model).__name__} keeps no key-value cache.\nIts texts cannot be sampled here."
        )
    cache.reorder_cache(torch.arange(len(prompts), device=device).repeat_interleave(spec.draws))

    given = [ids[shortest:] for ids in prompts for _ in range(spec.draws)]
    found: list[list[int]] = [[] for _ in given]
    rows, position = list(range(len(given))), 0
    while True:
        steps = torch.tensor([len(found[row]) for row in rows], device=device)
        key = torch.tensor([keys[row] for row in rows], device=device)
        drawn = draw_tokens(logits, key, steps, spec.top_p, spec.temperature).tolist()
        fed, kept = [], []
        for place, (row, token) in enumerate(zip(rows, drawn, strict=True)):
            if position < len(given[row]):
                token = given[row][position]
            elif token in ends:
                continue
            else:
                found[row].append(token)
                if len(found[row]) == spec.new_tokens:
                    continue
            fed.append([token])
            kept.append(place)
        if not kept:
            return found
        if len(kept) < len(rows):
            cache.reorder_cache(torch.tensor(kept, device=device))
            rows = [rows[place] for place in kept]
        logits = model(input_ids=torch.tensor(fed, device=device), past_key_values=cache, use_cache=True).logits[:, -1]
        position += 1


def draw_tokens(
    logits: torch.Tensor, keys: torch.Tensor, steps: torch.Tensor, top_p: float, temperature: float
) -> torch.Tensor:
    """One token a row by nucleus sampling with keyed Gumbel noise.

    Args:
        logits: (rows, vocabulary), any float dtype; worked on in float32.
        keys: (rows,) int64, see `noise_key`.
        steps: (rows,) int64, the place of the token within its continuation.

    Returns:
        (rows,) int64 token ids.

    Raises:
        NotFiniteError: the logits hold NaN or infinity.
    """
    logits = logits.float()
    if logits.isnan().any() or logits.isposinf().any():
        raise NotFiniteError(
            "sample(): the model's logits hold NaN or infinity.\n"
            "The weights at this alpha cannot be used: narrow lo and hi, or take dtype='float32'."
        )
    if temperature == 0:
        return logits.argmax(-1)
    logp = torch.log_softmax(logits / temperature, -1)
    keys, drawn = keys + steps * 0x632BE59BD9B4E019, torch.empty_like(keys)
    rows = torch.arange(len(keys), device=keys.device)
    for width in (*WIDTHS, logp.shape[-1]):  # few nuclei are wide: only those pay for a long sort
        top, tokens = logp[rows].topk(min(width, logp.shape[-1]), -1)
        before = top.exp().cumsum(-1) - top.exp()  # mass of the likelier tokens
        whole = (before[:, -1] >= top_p) | (top.shape[-1] == logp.shape[-1])
        top = top.masked_fill(before >= top_p, -torch.inf)[whole]
        best = (top + gumbel(keys[rows[whole]], tokens[whole])).argmax(-1, keepdim=True)
        drawn[rows[whole]] = tokens[whole].gather(-1, best).squeeze(-1)
        rows = rows[~whole]
        if not len(rows):
            break
    return drawn
