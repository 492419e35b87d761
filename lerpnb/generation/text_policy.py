"""A language model as a controller: states in, forces out, both as text."""

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.data.spring import parsed, state_prompts
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample

LONGEST = 12  # tokens of a number: a sign, a point, four digits, zeros or an exponent


class TextPolicy:
    """A policy for `ln.data.Spring`: the likeliest continuation of each axis's prompt, read as a number.

    Args:
        model: a causal language model, as `line.at(alpha)` gives it.
        tokenizer: its tokenizer.

    Example:
        >>> TextPolicy(tiny_llama(), tiny_tokenizer())([[1, 0, 0, 0, 0, 0]])  # it knows no numbers
        array([[nan, nan, nan]])
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self.model, self.tokenizer = model, tokenizer

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """(n, 6) states to (n, 3) forces in N, NaN where the text is no number."""
        prompts = state_prompts(states)
        once = tuple(dict.fromkeys(prompts))
        texts = sample(self.model, self.tokenizer, Continuations(once, 1, LONGEST, temperature=0))["continuation"]
        forces = dict(zip(once, map(parsed, texts), strict=True))
        return np.array([forces[prompt] for prompt in prompts]).reshape(-1, 3)
