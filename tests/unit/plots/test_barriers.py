"""barriers.py: the figure by its traces, panels and words."""

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.barriers import plot_barriers
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


def barrier(height: float, unit: str = "nats/token"):
    """Of a loss that rises above its flat chord by 4 height a (1 - a)."""
    points = {a: {"loss/x": Measurement([4 + 4 * height * a * (1 - a)] * 3, unit=unit)} for a in GRID}
    return Curve.from_measures(points).barrier("loss/x")


def test_a_line_is_its_gaps_between_zeros():
    fig = plot_barriers({"<b>one": barrier(1.0), "two": barrier(-0.5)}, tolerance=0.02)
    assert [trace.name for trace in fig.data] == ["&lt;b&gt;one", "two"]
    assert fig.data[0].x == GRID and fig.data[0].y == (0, 0.75, 1, 0.75, 0)
    assert fig.data[1].y == (0, -0.375, -0.5, -0.375, 0)
    assert fig.data[0].error_y.array == (0, 0, 0, 0, 0)
    assert {shape.y0 for shape in fig.layout.shapes} == {0, 0.02}
    assert "at alpha 0.5: 1 nats/token from the chord" in fig.data[0].hovertext[2]
    assert fig.layout.meta["alt"] == "Largest gap to the chord of 2 lines: <b>one 1 nats/token; two −0.375 nats/token."


def test_a_panel_a_unit_and_one_for_what_is_broken():
    lines = {"a": barrier(2.0), "b": barrier(0.01), "c": barrier(0.1, "errors")}
    fig = plot_barriers(lines, ["a"])
    assert [trace.yaxis for trace in fig.data] == ["y", "y2", "y3"]
    titles = [fig.layout[axis].title.text for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert titles == ["gap, broken<br>nats per token", "gap, not broken<br>nats per token", "gap<br>share of errors"]
    domains = [fig.layout[axis].domain for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert (domains[0][1], domains[2][0]) == pytest.approx((1, 0), abs=1e-9)
    assert all(upper[0] > lower[1] for upper, lower in zip(domains, domains[1:], strict=False))


def test_thirteen_lines_differ():
    fig = plot_barriers({f"line {i}": barrier(i / 10) for i in range(13)})
    assert len({(trace.line.color, trace.marker.symbol) for trace in fig.data}) == 13


def test_a_nan_is_a_gap_in_the_line():
    points = {a: {"loss/x": Measurement([np.nan if a == 0.5 else 1.0] * 2)} for a in GRID}
    fig = plot_barriers({"x": Curve.from_measures(points).barrier("loss/x"), "y": barrier(1.0, "")})
    assert fig.data[0].y[2] is None


def test_nothing_to_draw_is_said():
    with pytest.raises(CurveError) as error:
        plot_barriers({})
    assert str(error.value) == "plot_barriers(barriers): none.\nAdd a condition to the study first."
