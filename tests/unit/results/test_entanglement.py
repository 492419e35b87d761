"""Effects over two alphas and their entanglement in closed form, intervals over the items that all pairs share."""

import math

import numpy as np
import pandas as pd
import pytest

from lerpnb.errors import CurveError
from lerpnb.results.entanglement import Entanglement
from lerpnb.results.measurement import Measurement
from lerpnb.results.surface import Surface

A, B = (-1.0, 0.0, 1.0), (0.0, 0.25, 1.0, 2.0)
PAIRS = [(a, b) for a in A for b in B]


def crossing(glad, ornate, noise: float = 0.0, items: int = 40) -> Surface:
    """Two strengths as functions of both alphas; every item has an offset of its own and noise at each pair."""
    random = np.random.default_rng(0)
    offsets, pairs = random.normal(size=items), [(a, b) for a in A for b in B]
    measures = {
        f"strength/{name}": {
            pair: Measurement(
                f(*pair) + offsets + noise * random.normal(size=items), unit="probability", items="prompts"
            )
            for pair in pairs
        }
        for name, f in (("glad", glad), ("ornate", ornate))
    }
    return over(measures)


def over(measures: dict) -> Surface:
    """A surface over the alphas of two lines, from {quantity: {pair: its measurement}}."""
    points = {
        pair: {name: found[pair] for name, found in measures.items() if pair in found}
        for pair in dict.fromkeys(pair for found in measures.values() for pair in found)
    }
    return Surface.from_measures(points, axes=("mood", "style"))


def test_effects_and_shares_in_closed_form():
    found = Entanglement.of(crossing(lambda a, b: 0.5 * a - 0.1 * b, lambda a, b: 0.02 * a + 0.2 * b))
    assert found.effects["mood"]["strength/glad"].value == pytest.approx(0.5)
    assert found.effects["style"]["strength/glad"].value == pytest.approx(-0.1)
    assert found.shares["mood", "strength/ornate"].value == pytest.approx(0.1)  # 0.02 of 0.2
    assert found.shares["style", "strength/glad"].value == pytest.approx(-0.2)  # -0.1 of 0.5
    assert found.value.value == pytest.approx((0.02 + 0.1) / (0.5 + 0.2))
    # what differs between items is the same at all pairs, so that it is no noise
    assert found.value.high - found.value.low < 1e-9


def test_an_effect_is_the_mean_over_the_other_alpha():
    found = crossing(lambda a, b: a * b, lambda a, b: b * b)
    assert found.effect("strength/glad", "mood").value == pytest.approx(np.mean(B))
    assert found.effect("strength/ornate", "mood").value == pytest.approx(0, abs=1e-12)
    assert found.effect("strength/ornate", "style").value == pytest.approx(np.polyfit(B, np.square(B), 1)[0])


@pytest.mark.slow
def test_the_interval_holds_the_truth_and_grows_with_noise():
    widths = []
    for noise in (0.05, 0.2):
        found = Entanglement.of(crossing(lambda a, b: 0.5 * a + 0.1 * b, lambda a, b: 0.3 * b, noise))
        assert found.effects["mood"]["strength/glad"].low < 0.5 < found.effects["mood"]["strength/glad"].high
        share = found.shares["style", "strength/glad"]
        assert share.low < 0.2 < share.high
        widths.append(share.high - share.low)
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.2)


def test_it_says_what_it_is():
    pairs = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    glad = {(a, b): Measurement([0.5 * a + 0.125 * b] * 2) for a, b in pairs}
    ornate = {(a, b): Measurement([0.25 * b] * 2) for a, b in pairs}
    measures = {"strength/glad": glad, "strength/ornate": ornate}
    found = Entanglement.of(over(measures))
    assert repr(found) == (
        "Entanglement 0.167 [0.167, 0.167]: cross effects over own effects\n"
        "  a unit of mood moves strength/ornate by 0 [0, 0], a unit of style by 0.25 [0.25, 0.25]: 0 [0, 0] of it\n"
        "  a unit of style moves strength/glad by 0.125 [0.125, 0.125], a unit of mood by 0.5 [0.5, 0.5]: "
        "0.25 [0.25, 0.25] of it"
    )
    assert found.to_frame().index.tolist() == ["mood", "style"]
    assert found.to_frame().loc["mood", "strength/glad"] == "0.5 [0.5, 0.5]"


def test_a_point_without_a_number_leaves_none():
    data = crossing(lambda a, b: math.nan if (a, b) == (0.0, 1.0) else a, lambda a, b: b)
    found = Entanglement.of(data)
    assert np.isnan(found.value.value) and np.isnan(found.value.low)
    assert found.effects["style"]["strength/ornate"].value == pytest.approx(1)


def test_a_grid_tells_and_keeps_its_values(tmp_path):
    data = crossing(lambda a, b: a + 10 * b, lambda a, b: b)
    assert repr(data).startswith("Surface over mood, style: 12 points\n  strength/glad    from ")
    matrix = data.matrix("strength/glad")
    assert matrix.shape == (3, 4) and matrix[2, 3] - matrix[0, 0] == pytest.approx(22)
    assert list(data.frame)[:9] == ["mood", "style", "quantity", "kind", "value", "low", "high", "n", "unit"]
    assert len(data.frame) == 24 and set(data.frame["n"]) == {40}
    back = Surface.load(data.save(tmp_path / "kept"))
    pd.testing.assert_frame_equal(back.frame, data.frame)
    assert back.axes == ("mood", "style") and back.levels == (A, B) and not len(back.samples)
    assert back.effect("strength/glad", "mood") == data.effect("strength/glad", "mood")


one = {(0.0, 0.0): Measurement([1.0, 2.0])}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda c: over({"x": one | {(0.0, 1.0): one[0.0, 0.0], (1.0, 0.0): one[0.0, 0.0]}}).effect("x", "mood"),
            "Surface.effect(quantity, axis): 'x' was measured at 3 of the 4 points of the grid.\n"
            "An effect takes all of them: evaluate it over a full grid.",
        ),
        (
            lambda c: over({"x": one | {(0.0, 1.0): Measurement([1.0])}}),
            "Surface.from_measures(points): 'x' has 1 texts at mood 0, style 1 against 2 at mood 0, style 0. "
            "Measure the same items at every mood and style.",
        ),
        (
            lambda c: c.matrix("joy"),
            "Surface.matrix(quantity): no quantity 'joy'.\nIt has: strength/glad, strength/ornate.",
        ),
        (
            lambda c: c.effect("strength/glad", "voice"),
            "Surface.effect(quantity, axis): no coordinate 'voice'. It has: mood, style.",
        ),
        (
            lambda c: over({"x": one}).effect("x", "mood"),
            "Surface.effect(quantity, axis): one value of mood. A slope takes two or more.",
        ),
        (
            lambda c: Entanglement.of(c, ("strength/glad",)),
            "Entanglement.of(quantities): got strength/glad, expected the quantity of mood, then that of style.\n"
            "Measured are: strength/glad, strength/ornate.",
        ),
        (
            lambda c: Entanglement.of(over(dict.fromkeys(c.quantities, dict.fromkeys(PAIRS, Measurement([0.5]))))),
            "Entanglement.of(quantities): neither alpha moves its own quantity, strength/glad and strength/ornate.",
        ),
        (
            lambda c: Entanglement.of(
                over(
                    {
                        "loss/x": dict.fromkeys(PAIRS, Measurement([1.0])),
                        "strength/ornate": dict.fromkeys(PAIRS, Measurement([0.5] * 40)),
                    }
                ),
                ("loss/x", "strength/ornate"),
            ),
            "Entanglement.of(quantities): loss/x has 1 items, strength/ornate 40.\n"
            "Measure both on the same prompts, in one call.",
        ),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(CurveError) as error:
        call(crossing(lambda a, b: a, lambda a, b: b))
    assert str(error.value) == said
