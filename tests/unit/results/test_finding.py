"""What is said of a change: a direction only where the interval has one, and where a reader would see it."""

import pytest

from lerpnb.results.curve import Curve
from lerpnb.results.finding import of_change
from lerpnb.results.measurement import Measurement


@pytest.mark.parametrize(
    ("name", "unit", "rise", "said"),
    [
        ("strength/glad", "probability", 0.25, "strength of “glad” rises by 0.25"),
        ("strength/glad", "probability", -0.25, "strength of “glad” falls by 0.25"),
        ("strength/glad", "probability", 2e-6, "strength of “glad” hardly changes (+2e−06"),
        ("strength/glad", "probability", -2e-6, "strength of “glad” hardly changes (−2e−06"),
        ("score/reward", "score", 2e-6, "score of “reward” rises by 2e−06"),
    ],
)
def test_a_change_in_words(name, unit, rise, said):
    points = {a: {name: Measurement([0.25 + a * rise, 0.5 + a * rise], unit=unit)} for a in (0.0, 1.0)}
    assert of_change(name, Curve.from_measures(points)).startswith(said)
