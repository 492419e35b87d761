"""Answers: how long they are, how many end by themselves, and what share of them is thinking."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lerpnb.generation.continuations import Continuations
from lerpnb.probes.base import by_prompt
from lerpnb.results.measurement import Measurement


@dataclass(frozen=True)
class Answers:
    """How the texts that a model writes end, and how long they are.

    - `ended`: share of continuations that end by themselves, with an end-of-text token before `max_new_tokens`;
    - `length`: their mean number of tokens, thinking included, the end-of-text token not;
    - `thinking`: tokens of thinking over all tokens, where prompts are chats: 0 for a model without such marks.

    An item is a prompt. Give it the `continuations` of another probe, and the texts are sampled once.

    Args:
        continuations: what is sampled, such as `attribute.continuations`.

    Example:
        >>> frame = pd.DataFrame({"prompt_id": [0, 0], "n_tokens": [20, 10]})
        >>> measured = Answers(Continuations(("The film",), max_new_tokens=20)).score(frame)[0]
        >>> {name: found.value() for name, found in measured.items()}
        {'ended': 0.5, 'length': 15.0}
    """

    continuations: Continuations
    name: str = "answers"

    def identity(self) -> dict:
        return {"probe": "answers"}

    def score(self, samples: pd.DataFrame) -> tuple[dict[str, Measurement], dict[str, Sequence[float]]]:
        tokens = samples["n_tokens"].to_numpy(float)
        measured = {
            "ended": by_prompt(samples, tokens < self.continuations.max_new_tokens, "share", kind="ended"),
            "length": by_prompt(samples, tokens, "tokens", kind="length"),
        }
        if "n_thinking" in samples:
            sums = samples.groupby("prompt_id", sort=True)[["n_thinking", "n_tokens"]].sum().to_numpy(float)
            shares = sums[:, 0] / np.maximum(sums[:, 1], 1)
            measured["thinking"] = Measurement(shares, sums[:, 1], "share", "prompts", kind="thinking")
        return measured, {}
