"""slopes.py: values, exact slopes and second derivatives, as drawn."""

import json
import math

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.slopes import plot_slopes
from lerpnb.plots.theme import GREEN, PURPLE
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (-1.0, 0.0, 0.5, 1.0)


def curve(names=("x",), second: bool = True, at_half: float = 1.0) -> Curve:
    """Two texts whose losses are a cubed and a cubed plus 1: value, slope 3 a^2, second derivative 6 a."""
    points = {}
    for a in GRID:
        points[a] = {}
        for name in names:
            factor = at_half if a == 0.5 else 1.0
            points[a][f"loss/{name}"] = Measurement([factor * a**3, factor * a**3 + 1], unit="nats/token")
            points[a][f"slope/{name}"] = Measurement([3 * a**2 - 0.5, 3 * a**2 + 0.5], unit="nats/token per alpha")
            if second:
                points[a][f"curvature/{name}"] = Measurement([6 * a - 1, 6 * a + 1], unit="nats/token per alpha²")
    return Curve.from_measures(points)


def traces(fig) -> dict:
    return {trace.name: trace for trace in fig.data}


@pytest.mark.slow
def test_tangents_have_the_measured_slopes_and_reach_a_third_of_the_least_distance():
    fig = plot_slopes(curve())
    drawn = traces(fig)["loss/x, tangents"]
    x, y = (np.array([np.nan if v is None else v for v in values]).reshape(-1, 3) for values in (drawn.x, drawn.y))
    assert x[:, 1] - x[:, 0] == pytest.approx([0.35] * 4)  # twice 0.35 of 0.5
    assert (y[:, 1] - y[:, 0]) / (x[:, 1] - x[:, 0]) == pytest.approx([3 * a**2 for a in GRID], abs=1e-4)
    assert y[:, :2].mean(1) == pytest.approx([a**3 + 0.5 for a in GRID], abs=1e-4)
    assert np.isnan(x[:, 2]).all()


@pytest.mark.slow
def test_between_them_lies_the_cubic_with_their_values_and_slopes():
    drawn = traces(plot_slopes(curve()))["loss/x, cubic between"]
    assert len(drawn.x) == 3 * 12 + 1
    assert np.array(drawn.y) == pytest.approx(np.array(drawn.x) ** 3 + 0.5, abs=1e-4)
    lone = {0.5: {"loss/x": Measurement([5.0, 5.0]), "slope/x": Measurement([1.0, 1.0])}}
    drawn = traces(plot_slopes(Curve.from_measures(lone)))["loss/x, cubic between"]
    assert (drawn.x, drawn.y) == ((0.5,), (5.0,))


def test_below_stands_the_second_derivative_with_its_interval():
    fig = plot_slopes(curve())
    line, band = traces(fig)["curvature/x"], traces(fig)["curvature/x, 95 % interval"]
    assert line.yaxis == "y2" and line.y == (-6, 0, 3, 6) and line.x == GRID
    assert band.y[:8] == (-5, 1, 4, 7, 5, 2, -1, -7)
    assert fig.layout.yaxis2.title.text == "second derivative,<br>nats per token per alpha²"
    assert fig.layout.yaxis.title.text == "loss, nats per token"
    assert line.hovertext[3] == ("At alpha 1, the second derivative on x<br>is 6 (95 % interval [5.0, 7.0]).")
    assert traces(fig)["loss/x"].hovertext[0] == (
        "At alpha −1, the loss on x is −0.5 nats per token<br>and changes by 3 per unit of alpha"
        "<br>(95 % interval [2.5, 3.5])."
    )
    assert fig.layout.meta["alt"] == (
        "Tangents over 4 alphas: the slope of loss/x from 3 at alpha −1 to 3 at alpha 1; "
        "its second derivative on x between −6 and 6."
    )


@pytest.mark.slow
def test_each_corpus_has_a_color_and_names_are_escaped():
    fig = plot_slopes(curve(("x", "<b>y")))
    markers = [trace for trace in fig.data if trace.mode == "markers"]
    assert [trace.name for trace in markers] == ["loss/x", "loss/&lt;b&gt;y"]
    assert [trace.marker.color for trace in markers] == [GREEN, PURPLE]
    assert "<b>y" not in json.dumps(fig.to_plotly_json()["data"], default=str)


@pytest.mark.slow
def test_without_second_derivatives_there_is_no_lower_part():
    fig = plot_slopes(curve(second=False))
    assert [trace.name for trace in fig.data] == ["loss/x", "loss/x, cubic between", "loss/x, tangents"]
    assert fig.layout.height < plot_slopes(curve()).layout.height and "yaxis2" not in fig.layout


def test_a_nan_is_a_gap():
    fig = plot_slopes(curve(at_half=math.nan))
    drawn = traces(fig)
    assert drawn["loss/x"].y[2] is None and drawn["loss/x, tangents"].y[6:8] == (None, None)
    assert drawn["loss/x, cubic between"].y[13] is None and drawn["loss/x, cubic between"].y[0] == -0.5


def test_a_curve_without_slopes_is_refused():
    with pytest.raises(CurveError) as error:
        plot_slopes(Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}}))
    assert str(error.value) == (
        "plot_slopes(curve): no loss with its slope; it has loss/x.\n"
        "Evaluate ln.Loss(corpus) and ln.probes.LossSlope(line, corpus) of the same texts."
    )
