"""items.py: bands, lines and names of single items."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.items import MAX_ITEMS, plot_items
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (-1.0, 0.0, 1.0, 2.0)
SLOPES = np.array([-1.0, 0.0, 1.0, 2.0])


def curve(slopes=SLOPES, weights=None, provenance=None, samples=None, items="texts") -> Curve:
    points = {a: {"loss/x": Measurement(4 + a * slopes, weights, unit="nats/token", items=items)} for a in GRID}
    return Curve.from_measures(points, samples, provenance)


def rows(fig) -> list[tuple]:
    """The heat map's rows, upwards."""
    [heat] = [trace for trace in fig.data if trace.type == "heatmap"]
    return [tuple(row) for row in heat.z]


def names(fig) -> list[str]:
    """Of the rows, downwards: what pointing at one shows in bold."""
    [heat] = [trace for trace in fig.data if trace.type == "heatmap"]
    return [re.match("<b>(.*?)</b><br>at alpha", row[0])[1] for row in heat.hovertext[::-1]]


def test_each_item_is_a_row_of_changes_since_alpha_0_sorted_by_its_rise():
    fig = plot_items(curve(slopes=SLOPES[::-1]))
    assert rows(fig) == [tuple(a * s for a in GRID) for s in SLOPES]
    [told] = [note.text for note in fig.layout.annotations if "Change of" in note.text]
    assert told == "<b>Change of loss/x since alpha 0</b><br>purple: 2 of 4 rise from alpha 0 to 1; green: 1 fall"
    assert fig.layout.yaxis.title.text == "loss, nats per token"
    assert (fig.layout.coloraxis.cmin, fig.layout.coloraxis.cmax) == (-4, 4)
    assert fig.data[-1].hovertext[0][3] == "<b>text 4</b><br>at alpha 2: 2 nats per token, changed by −2"


@pytest.mark.slow
def test_bands_hold_the_middle_half_and_most():
    fig = plot_items(curve(slopes=np.arange(101) / 100))
    wide, half, median = (next(t for t in fig.data if t.name == n) for n in ("middle 90 %", "middle half", "median"))
    assert wide.y[:8] == pytest.approx((3.95, 4, 4.95, 5.9, 4.1, 4.05, 4, 3.05))
    assert half.y[:8] == pytest.approx((3.75, 4, 4.75, 5.5, 4.5, 4.25, 4, 3.25))
    assert median.y == pytest.approx((3.5, 4, 4.5, 5))
    assert len(rows(fig)) == MAX_ITEMS  # of 101, those that change most
    assert names(fig) == [f"text {i}" for i in range(101, 41, -1)]


@pytest.mark.slow
def test_names_come_from_the_caller_the_curve_or_the_prompts():
    assert names(plot_items(curve(), texts=list("abcd"))) == list("dcba")
    known = curve(provenance={"item_names": {"loss/x": ["one <b>", "two", "three", "w" * 90]}})
    assert names(plot_items(known))[::-1] == [
        "one &lt;b&gt;",
        "two",
        "three",
        f"{'w' * 40}<br>{'w' * 40}<br>{'w' * 10}",
    ]
    told = dict(alpha=0.0, draw=0, continuation="c", n_tokens=1)
    samples = pd.DataFrame([dict(told, prompt_id=i, prompt=f"prompt {i}") for i in range(4)])
    by_prompt = plot_items(curve(samples=samples, items="prompts"))
    assert names(by_prompt) == [f"prompt {i}" for i in (3, 2, 1, 0)]
    assert names(plot_items(curve())) == [f"text {i}" for i in (4, 3, 2, 1)]


@pytest.mark.slow
def test_an_item_without_weight_and_a_nan_are_gaps():
    points = {a: {"x": Measurement([1.0, math.nan if a == 2 else a, 5.0], [1, 1, 0])} for a in GRID}
    third, first, second = rows(plot_items(Curve.from_measures(points)))  # an unknown rise stands below
    assert (first, second, third) == ((0, 0, 0, 0), (-1, 0, 1, None), (None,) * 4)


def test_a_curve_without_0_starts_at_its_lowest():
    points = {a: {"x": Measurement([a, 2 * a])} for a in (0.5, 0.75)}
    fig = plot_items(Curve.from_measures(points))
    assert rows(fig) == [(0, 0.25), (0, 0.5)]
    assert (
        fig.layout.meta["alt"]
        == "x of 2 texts over 2 alphas: purple: 2 of 2 rise from alpha 0.5 to 0.75; green: 0 fall."
    )


def test_hostile_texts_and_units_stay_text():
    nasty = "<script>alert(1)</script> $5 and $x$ %{y} \u202e" + "w" * 10_000
    points = {a: {"loss/<i>": Measurement([a, 1.0], unit="<i>%{x}$")} for a in GRID}
    drawn = json.dumps(
        plot_items(Curve.from_measures(points), texts=[nasty, nasty]).to_plotly_json()["data"], default=list
    )
    for markup in ("<script", "<i>", "$", "\\u202e", "w" * 41, "%{y} "):
        assert markup not in drawn


@pytest.mark.parametrize(
    ("quantity", "texts", "message"),
    [
        (
            "loss/x",
            ["one"],
            "plot_items(texts): 1 texts against 4 items of 'loss/x'.\nPass the probe's own texts, in their order.",
        ),
        ("loss/y", None, "Curve.unit(quantity): no quantity 'loss/y'. Did you mean 'loss/x'?\nIt has: loss/x."),
    ],
)
def test_what_does_not_fit_is_told(quantity, texts, message):
    with pytest.raises(CurveError) as error:
        plot_items(curve(), quantity, texts)
    assert str(error.value) == message


def test_one_item_is_no_distribution():
    alone = Curve.from_measures({0.0: {"x": Measurement([1.0])}})
    with pytest.raises(CurveError) as error:
        plot_items(alone)
    assert (
        str(error.value)
        == "plot_items(curve): no quantity has more than one item.\nEvaluate a Loss or an AttributeStrength probe."
    )
    with pytest.raises(CurveError) as error:
        plot_items(alone, "x")
    assert str(error.value) == "plot_items(curve, 'x'): one item. A distribution needs two or more."


@pytest.mark.parametrize(
    ("alphas", "value", "message"),
    [
        ([0.5], 1.0, "plot_items(curve, 'x'): one alpha. A change needs two or more."),
        ([0.0, 1.0], math.nan, "plot_items(curve, 'x'): no finite value to draw."),
    ],
)
def test_a_single_alpha_and_nothing_finite_are_told(alphas, value, message):
    with pytest.raises(CurveError) as error:
        plot_items(Curve.from_measures({a: {"x": Measurement([value, value])} for a in alphas}))
    assert str(error.value) == message
