"""Panels: traces as data, one color a way and one dash a state, intervals, gaps, and what cannot be drawn."""

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.curves import plot_curves
from lerpnb.plots.theme import COLORS
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

PANELS = {"accuracy/x": "clean accuracy", "attack/x": "attack success"}


def curve(shift: float = 0.0, nan: bool = False) -> Curve:
    points = {
        a: {
            "accuracy/x": Measurement([a, 1.0, np.nan if nan and a == 0.5 else shift], unit="share"),
            "attack/x": Measurement([a, a, 1.0], unit="share"),
        }
        for a in (0.0, 0.5, 1.0)
    }
    return Curve.from_measures(points, provenance={"device": "cpu"})


@pytest.fixture
def fig():
    ways = {"mask": {"mixed": curve(), "tuned": curve(0.5)}, "<b>mean": {"mixed": curve(1.0)}}
    return plot_curves(ways, PANELS, "ratio (no unit)")


def lines(fig) -> list:
    return [trace for trace in fig.data if trace.mode == "lines+markers"]


def test_values_ways_and_states_are_drawn(fig):
    drawn = lines(fig)
    names = ["mask, mixed", "mask, tuned", "&lt;b&gt;mean, mixed"]
    assert [trace.name for trace in drawn] == names * 2
    assert drawn[0].x == (0.0, 0.5, 1.0) and drawn[0].y == (0.33333, 0.5, 0.66667)
    assert [trace.line.color for trace in drawn] == [COLORS[0], COLORS[0], COLORS[1]] * 2
    assert [trace.line.dash for trace in drawn] == ["solid", "dot", "solid"] * 2
    assert [trace.line.width for trace in drawn[:3]] == [4.5, 4.5, 2.0]  # one on another hides none
    assert [trace.yaxis for trace in drawn] == ["y"] * 3 + ["y2"] * 3
    ends = [(note.text, note.font.color) for note in fig.layout.annotations]
    assert ends == [(trace.name.replace(", ", "<br>"), trace.line.color) for trace in drawn]


def test_every_name_stands_within_the_axis_where_all_lines_end_at_its_edge():
    same = Curve.from_measures({a: {"accuracy/x": Measurement([a, a], unit="share")} for a in (0.0, 1.0)})
    fig = plot_curves({way: {"mixed": same, "tuned": same} for way in ("mask", "mean")}, {"accuracy/x": "accuracy"})
    places = sorted(note.y for note in fig.layout.annotations)
    assert len(places) == 4 and min(np.diff(places)) > 0.1
    assert -0.04 <= places[0] and places[-1] <= 1.04  # plotly hides the others


def test_every_line_has_its_interval(fig):
    bands = [trace for trace in fig.data if trace.fill == "toself"]
    assert len(bands) == 6 and bands[0].y[:3] == tuple(curve()["accuracy/x"]["high"].round(5))
    assert bands[0].y[3:6] == tuple(curve()["accuracy/x"]["low"].round(5))[::-1]


def test_hover_and_axes_say_what_is_seen(fig):
    assert lines(fig)[3].hovertext[1] == (
        "mask, mixed: at ratio 0.5<br>attack/x is 0.667<br>(95 % interval [0.50, 1.00] over 3 texts)"
    )
    assert fig.layout.xaxis2.title.text == "ratio (no unit)" and fig.layout.xaxis2.anchor == "y2"
    assert fig.layout.yaxis.title.text == "clean accuracy<br>share 0 to 1"
    assert fig.layout.yaxis2.domain[1] < fig.layout.yaxis.domain[0]
    assert fig.layout.meta["alt"].startswith(
        "Clean accuracy: no change from end to end lies outside its interval. "
        "Attack success: no change from end to end lies outside its interval. "
        "Over the ratio. clean accuracy: mask, mixed, 0.333 at 0, 0.667 at 1; "
    )


@pytest.mark.slow
def test_the_title_says_which_changes_most_where_an_interval_bears_it_out():
    def rising(by: float) -> Curve:
        values = {a: [a * by + 0.1 * i for i in range(3)] for a in (0.0, 1.0)}
        return Curve.from_measures({a: {"accuracy/x": Measurement(of, unit="share")} for a, of in values.items()})

    def said(**by: float) -> str:
        return plot_curves(
            {name: {"": rising(size)} for name, size in by.items()}, {"accuracy/x": "a"}
        ).layout.title.text

    assert said(up=0.2, down=-0.3) == "<b>A changes most in down, by −0.3</b> [−0.3, −0.3] from 0 to 1"
    assert said(up=0.2) == "<b>A changes, by +0.2</b> [0.2, 0.2] from 0 to 1"
    assert said(flat=0.0) == "<b>A: no change from end to end lies outside its interval</b>"


def test_a_nan_is_a_gap_in_the_line_and_in_its_band():
    band, line, *_ = plot_curves({"a": {"b": curve(nan=True)}}, PANELS).data
    assert line.mode == "lines+markers" and line.y[1] is None
    assert band.x == (0, 0, 0, None, 1, 1, 1, None)


@pytest.mark.slow
def test_a_curve_without_a_quantity_is_left_out():
    other = Curve.from_measures({0.0: {"attack/x": Measurement([1.0, 0.0], unit="share")}})
    drawn = lines(plot_curves({"a": {"b": curve()}, "c": {"b": other}}, PANELS))
    assert [(trace.name, trace.yaxis) for trace in drawn] == [("a", "y"), ("a", "y2"), ("c", "y2")]


@pytest.mark.slow
def test_curves_are_joined_and_can_be_recorded(tmp_path):
    found = Curve.concat({"mask": {"mixed": curve(), "tuned": curve(0.5)}})
    assert found.value("accuracy/x (mask, tuned)").tolist() == curve(0.5).value("accuracy/x").tolist()
    assert found.difference("attack/x (mask, mixed)").value == pytest.approx(2 / 3)
    assert list(found.provenance["curves"]) == ["mask, mixed", "mask, tuned"] and found.provenance["device"] == "cpu"
    again = Curve.load(found.save(tmp_path))
    assert again.quantities == found.quantities and again.to_frame().equals(found.to_frame())


def test_nothing_to_draw_is_refused():
    with pytest.raises(CurveError) as error:
        plot_curves({}, PANELS)
    assert str(error.value) == ("plot_curves(curves, panels): nothing to draw.\nPass a curve and a quantity or more.")
    with pytest.raises(CurveError) as error:
        plot_curves({"a": {"b": curve()}}, {"loss/x": "loss"})
    assert str(error.value) == "plot_curves(panels): no curve has 'loss/x'.\nThe first has: accuracy/x, attack/x."
