"""What a page says of its run."""

import numpy as np
import pytest

from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.report.facts import fact_row


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"sampling": {"n_samples": 4}}, "3, 4 texts each"),
        ({"n_samples": 1}, "3, 1 text each"),
        ({"sampling": "greedy"}, "3"),
        ({}, "3"),
    ],
)
def test_the_number_of_openings_says_how_many_texts_each(tmp_path, parameters, said):
    strength = {a: {"strength/x": Measurement(np.array([a, a, 1.0]), items="prompts")} for a in (0.0, 1.0)}
    folder = Curve.from_measures(strength).save(tmp_path / "run")
    assert dict(fact_row({"parameters": parameters}, folder))["openings"] == said
