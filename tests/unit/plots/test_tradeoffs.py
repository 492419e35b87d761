"""trade_offs.py: several paths by their traces."""

import math

import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.tradeoffs import COLOURS, plot_tradeoffs
from lerpnb.results.comparisons import PathComparison
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement


def point(strength: float, perplexity: float, far: float = math.nan) -> dict[str, Measurement]:
    return {
        "strength/joy": Measurement([strength - 0.1, strength + 0.1], unit="probability", items="prompts"),
        "perplexity/continuations": Measurement([perplexity - 5, perplexity + 5], items="prompts"),
        "distance/base": Measurement([far], items="values"),
    }


def curves() -> dict[str, Curve]:
    near = {a: point(0.4 + a / 5, 50 + 10 * a, 3 * a) for a in (0.0, 1.0, 2.0)}
    steered = {a: point(0.4 + a / 4, 50 + 40 * a) for a in (0.0, 1.0)}
    return {
        "near": Curve.from_measures(near, provenance={"coordinate": "lambda"}),
        "<b>steered": Curve.from_measures(steered),
    }


def test_a_colour_a_path_and_a_panel_of_distances():
    fig = plot_tradeoffs(curves())
    assert [(t.name, t.yaxis, t.showlegend) for t in fig.data] == [
        ("near", "y", True),
        ("near", "y2", False),
        ("&lt;b&gt;steered", "y", True),  # no point of weight space: no distance
    ]
    assert [t.line.color for t in fig.data] == [COLOURS[0], COLOURS[0], COLOURS[1]]
    assert fig.data[0].x == fig.data[1].x == (50, 60, 70) and fig.data[1].y == (0, 3, 6)
    assert fig.data[0].y == pytest.approx((0.4, 0.6, 0.8)) and fig.data[0].marker.size == (8, 11, 14)
    assert fig.data[0].hovertext[1] == (
        "near at lambda 1:<br>strength 0.6 (0.5 to 0.7),<br>perplexity 60 (55 to 65),<br>distance from the base 3"
    )
    assert fig.data[2].hovertext[1].endswith("<br>no point of weight space")
    assert fig.layout.xaxis.title.text == "perplexity of the continuations, ← more fluent"
    assert fig.layout.yaxis.title.text == "strength of joy, probability 0 to 1"
    assert fig.layout.yaxis2.title.text == "distance from base" and fig.layout.yaxis2.range[1] > 6
    assert fig.layout.meta["alt"] == (
        "Trade-off of 2 paths: near from strength 0.4 at perplexity 50 to 0.8 at 70; "
        "<b>steered from strength 0.4 at perplexity 50 to 0.65 at 90."
    )


@pytest.mark.slow
def test_more_paths_than_colours_differ_in_dashes_and_symbols():
    fig = plot_tradeoffs({f"path {i}": curves()["near"] for i in range(8)})
    told = [(t.line.color, t.line.dash, t.marker.symbol) for t in fig.data if t.yaxis == "y"]
    assert len(set(told)) == 8 and told[0][0] == told[6][0] and told[0][1:] != told[6][1:]


@pytest.mark.slow
def test_paths_show_their_figure_and_their_table():
    found = PathComparison(curves(), {})
    assert found._repr_mimebundle_()["text/plain"].startswith("2 paths\n")
    assert found.table().index.names == ["path", "at"] and len(found.table()) == 5
    assert found.plot().layout.meta["alt"] == plot_tradeoffs(curves()).layout.meta["alt"]


def test_some_paths_or_those_of_two_comparisons():
    near, steered = curves().items()
    both = PathComparison(dict([near]), {near[0]: {}}) | PathComparison(dict([steered]), {steered[0]: {}})
    assert list(both.curves) == ["near", "<b>steered"]
    assert both.only("<b>steered").curves == {"<b>steered": steered[1]}
    with pytest.raises(CurveError) as error:
        both.only("far")
    assert str(error.value) == "PathComparison.only(names): no path 'far'. They are: near, <b>steered."


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(CurveError) as error:
        plot_tradeoffs({})
    assert str(error.value) == "trade_offs_figure(curves): no curves. Pass {name: curve}."
    with pytest.raises(CurveError) as error:
        plot_tradeoffs({"a": Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}})})
    assert str(error.value) == (
        "trade_offs_figure(curves['a']): no strength/… with its perplexity/continuations.\n"
        "Walk with an Attribute probe, whose judge is the line's base or one that you name."
    )
    with pytest.raises(CurveError) as error:
        plot_tradeoffs({"a": Curve.from_measures({0.0: point(math.nan, 50)})})
    assert str(error.value) == (
        "trade_offs_figure(curves['a']): strength/joy and perplexity/continuations are nowhere both finite numbers."
    )
