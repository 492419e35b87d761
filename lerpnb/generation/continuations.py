"""What to sample: the continuations of prompts, and the tokens that they go on from."""

from dataclasses import asdict, dataclass
from math import inf
from numbers import Integral, Real
from typing import Any

from transformers import PreTrainedTokenizerBase

from lerpnb.data.batching import begun_once
from lerpnb.data.chat import Chat, Prompt
from lerpnb.errors import ProbeError

BATCH_SIZE = 128  # on a CPU


@dataclass(frozen=True)
class Continuations:
    """What to sample: `n_samples` continuations of each prompt.

    Nucleus sampling (Holtzman et al., arXiv 1904.09751): the fewest likeliest tokens that hold `top_p` of the mass
    at the given temperature. Of these the token with the largest log p + g is taken, g being Gumbel noise, which
    draws exactly from p (the Gumbel-max trick). The noise is a function of (seed, prompt, draw, step, token) and of
    nothing else: not of alpha, the batch or the device. So a text changes along a line only where the model does.

    Args:
        prompts: the texts to continue, or lists of messages (see `Chat`); each once.
        n_samples: continuations of each prompt.
        max_new_tokens: tokens a continuation has at most; an end-of-text token ends it sooner.
        top_p: mass of the nucleus, in (0, 1].
        temperature: logits are divided by it; 0 takes the likeliest token.
        seed: another seed, other noise.
        batch_size: continuations computed side by side at most, a matter of memory; None takes 128, and on a GPU what
            its free memory holds.

    Raises:
        ProbeError: a number out of range, no prompts, an empty one, or one given twice.

    Example:
        >>> Continuations(("The film", "My aunt"), n_samples=8, seed=1).top_p
        0.9
    """

    prompts: tuple[Prompt, ...]
    n_samples: int = 4
    max_new_tokens: int = 20
    top_p: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    batch_size: int | None = None

    def __post_init__(self):
        if isinstance(self.prompts, str):
            raise ProbeError(f"Continuations(prompts): got one text, {self.prompts[:30]!r}.\nIt takes a list of texts.")
        prompts = tuple(p if isinstance(p, str | Chat) else Chat.of(p) for p in self.prompts)
        object.__setattr__(self, "prompts", prompts)
        size = self.batch_size
        for name, good, want in (
            ("prompts", self.prompts and all(str(p).strip() for p in self.prompts), "one or more texts, none empty"),
            ("prompts", len(set(self.prompts)) == len(self.prompts), "each prompt once; n_samples gives more of each"),
            ("n_samples", _whole(self.n_samples) and self.n_samples >= 1, "a whole number, 1 or more"),
            ("max_new_tokens", _whole(self.max_new_tokens) and self.max_new_tokens >= 1, "a whole number, 1 or more"),
            ("top_p", isinstance(self.top_p, Real) and 0 < self.top_p <= 1, "more than 0 and at most 1"),
            ("temperature", isinstance(self.temperature, Real) and 0 <= self.temperature < inf, "0 or more"),
            ("seed", _whole(self.seed), "a whole number"),
            ("batch_size", size is None or (_whole(size) and size >= 1), "a whole number, 1 or more"),
        ):
            if not good:
                came = f"{len(self.prompts)} prompts" if name == "prompts" else repr(getattr(self, name))
                raise ProbeError(f"Continuations({name}): got {came}.\nIt takes {want}.")

    def identity(self) -> dict:
        """What the texts depend on, besides the model."""
        settings = asdict(self)
        del settings["batch_size"]
        return settings


def _whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def context_ids(tokenizer: PreTrainedTokenizerBase, text: Prompt) -> list[int]:
    """Token ids of a text that goes on: without the end-of-text token that some tokenizers append.

    What the text spells itself stays, and a begin-of-text token is not doubled: the ids of a chat, and of a prompt out
    of a chat template, are the template's own.
    """
    if isinstance(text, Chat):
        return tokenizer(text.render(tokenizer), add_special_tokens=False)["input_ids"]
    ids = begun_once(tokenizer, tokenizer(text)["input_ids"])
    if len(ids) < 2 or ids[-1] != tokenizer.eos_token_id:
        return ids
    spelled = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids[:-1] if spelled[-1:] != ids[-1:] or ids[-len(spelled) - 1 : -1] == spelled else ids


def continued(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, text: str) -> tuple[list[int], int]:
    """Token ids of a prompt and the text that goes on from it, and how many of them are the prompt's own.

    Both are tokenized together, for the text may begin inside a word; the first token that the prompt alone does not
    have in its place is the text's.
    """
    if isinstance(prompt, Chat):
        rendered = prompt.render(tokenizer)
        before, whole = (tokenizer(x, add_special_tokens=False)["input_ids"] for x in (rendered, rendered + text))
    else:
        before, whole = context_ids(tokenizer, prompt), context_ids(tokenizer, prompt + text)
    own = next((i for i, (x, y) in enumerate(zip(before, whole, strict=False)) if x != y), len(before))
    return (whole, min(own, len(whole))) if text else (before, len(before))
