"""A language model as a controller: each axis's prompt gets its own number, once, and other texts are NaN."""

import numpy as np
import pandas as pd

from lerpnb.generation import text_policy
from lerpnb.generation.text_policy import TextPolicy


def test_each_axis_gets_the_number_of_its_own_prompt(tiny, monkeypatch):
    asked = []

    def sample(model, tokenizer, spec):
        asked.extend(spec.prompts)
        assert spec.temperature == 0 and spec.n_samples == 1
        numbers = [prompt.split()[0] for prompt in spec.prompts]
        return pd.DataFrame({"continuation": [" none" if x == "+9.000" else f" {x}" for x in numbers]})

    monkeypatch.setattr(text_policy, "sample", sample)
    states = np.array([[1, 2, 1, 0, 0, 0], [2, 9, -3, 0, 0, 0.5]])
    assert np.array_equal(
        TextPolicy(tiny.llama(), tiny.tokenizer())(states), [[1, 2, 1], [2, np.nan, -3]], equal_nan=True
    )
    assert len(asked) == len(set(asked)) == 4
