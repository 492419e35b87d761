"""barriers.py: the forest plot by its rows, marks and words."""

import re

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.barriers import VERDICTS, plot_barriers
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


def barrier(height: float, unit: str = "nats/token", noise: float = 0.0):
    """Of a loss that rises above its flat chord by 4 height a (1 - a), and its texts by noise more or less."""
    tops = [height - noise, height, height + noise]
    points = {a: {"loss/x": Measurement([4 + 4 * top * a * (1 - a) for top in tops], unit=unit)} for a in GRID}
    return Curve.from_measures(points).barrier("loss/x")


@pytest.mark.slow
def test_a_row_a_line_sorted_with_its_verdict():
    lines = {"good": barrier(-0.5), "<b>fair": barrier(0.01), "open": barrier(0.1, noise=0.9)}
    fig = plot_barriers(lines, tolerance=0.02)
    [marks] = fig.data
    assert marks.x == pytest.approx((-0.375, 0.01, 0.1))  # upwards: the worst on top
    assert fig.layout.yaxis.ticktext == ("good", "&lt;b&gt;fair", "open")
    looks = [VERDICTS[verdict] for verdict in ("holds", "holds", "open")]
    assert (marks.marker.color, marks.marker.symbol) == tuple(tuple(look[i] for look in looks) for i in (0, 1))
    bars = [(shape.x0, shape.x1) for shape in fig.layout.shapes if shape.y0 == 2 and shape.yref == "y"]
    assert bars == [pytest.approx((-0.8, 1.0), abs=1e-9)]
    lines = {(shape.x0, shape.line.dash) for shape in fig.layout.shapes if shape.x0 == shape.x1 in (0, 0.02)}
    assert (0, None) in lines and (0.02, "dash") in lines
    hover = "&lt;b&gt;fair: no barrier<br>largest gap 0.01 [0.01, 0.01] nats per token<br>at alpha 0.5"
    assert marks.hovertext[1] == hover
    assert re.sub("</?b>", "", fig.layout.title.text) == "Undecided: 1 of 3; no barrier: 2 of 3"
    assert "no barrier: 2 of 3. Largest gap to the chord: good −0.375" in fig.layout.meta["alt"]


def test_no_two_verdicts_share_color_and_symbol():
    known = [VERDICTS[verdict] for verdict in ("breaks", "open", "holds", "unknown")]
    assert len({look[0] for look in known}) == len({look[1] for look in known}) == len({look[2] for look in known}) == 4


@pytest.mark.slow
def test_a_panel_a_unit_and_one_for_what_breaks():
    fig = plot_barriers({"a": barrier(2.0), "b": barrier(0.01), "c": barrier(0.1, "errors")}, tolerance=0.02)
    assert [(trace.yaxis, trace.x) for trace in fig.data] == [("y", (2,)), ("y2", (0.01,)), ("y3", (0.1,))]
    titles = [fig.layout[axis].title.text.partition("<br>")[0] for axis in ("xaxis", "xaxis2", "xaxis3")]
    assert titles == ["largest gap to the chord, nats per token"] * 2 + ["largest gap to the chord, share of errors"]
    domains = [fig.layout[axis].domain for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert all(upper[0] > lower[1] for upper, lower in zip(domains, domains[1:], strict=False))


def test_a_nan_cannot_tell():
    points = {a: {"loss/x": Measurement([np.nan if a == 0.5 else 1.0] * 2)} for a in GRID}
    fig = plot_barriers({"x": Curve.from_measures(points).barrier("loss/x")})
    assert "cannot tell: 1 of 1" in fig.layout.title.text.lower()


def test_nothing_to_draw_is_said():
    with pytest.raises(CurveError) as error:
        plot_barriers({})
    assert str(error.value) == "plot_barriers(barriers): none.\nAdd a condition to the study first."
