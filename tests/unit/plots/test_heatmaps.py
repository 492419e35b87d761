"""The two maps as data: which way the cells lie, what the hover says, one scale for both."""

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.heatmaps import plot_heatmaps
from lerpnb.results.measurement import Measurement
from lerpnb.results.surface import Surface

A, B = (-1.0, 0.0, 1.0, 2.0), (0.0, 0.5, 1.0)
PAIRS = [(a, b) for a in A for b in B]


def crossing(**other) -> Surface:
    glad = {(a, b): Measurement([0.4 + 0.1 * a, 0.6 + 0.1 * a], unit="probability") for a, b in PAIRS}
    ornate = {(a, b): Measurement([0.2 + 0.25 * b] * 2, unit="probability") for a, b in PAIRS}
    return over(("mood", "style <b>"), {"strength/glad": glad, "strength/ornate": ornate, **other})


def over(axes: tuple[str, str], measures: dict) -> Surface:
    """A surface over two alphas, from {quantity: {pair: its measurement}}."""
    pairs = next(iter(measures.values()))
    points = {pair: {name: found[pair] for name, found in measures.items()} for pair in pairs}
    return Surface.from_measures(points, axes=axes)


@pytest.mark.slow
def test_cells_lie_across_for_the_first_line_and_up_for_the_second():
    fig = plot_heatmaps(crossing())
    glad, ornate = fig.data
    assert [list(row) for row in glad.z] == [[0.4, 0.5, 0.6, 0.7]] * 3
    assert [list(row) for row in ornate.z] == [[0.2] * 4, [0.325] * 4, [0.45] * 4]
    assert glad.text[0][0] == "0.40" and (glad.coloraxis, ornate.coloraxis) == ("coloraxis",) * 2
    assert fig.layout.xaxis.ticktext == ("−1", "<b>0</b><br><b>minus</b>", "<b>1</b><br><b>plus</b>", "2")
    assert fig.layout.yaxis.ticktext == ("<b>0</b> <b>minus</b>", "0.5", "<b>1</b> <b>plus</b>")
    assert fig.layout.yaxis.title.text == "alpha of style &lt;b&gt; (no unit)"
    assert ornate.hovertext[2][3] == "At mood 2 and style &lt;b&gt; 1:<br>strength/ornate 0.45 [0.45, 0.45]"


@pytest.mark.slow
def test_the_frame_holds_what_lies_between_the_ends():
    frames = plot_heatmaps(crossing()).layout.shapes
    assert [(f.x0, f.x1, f.y0, f.y1, f.xref) for f in frames] == [(0.5, 2.5, -0.5, 2.5, x) for x in ("x", "x2")]
    pairs = [(a, b) for a in (0.25, 0.5) for b in (0.25, 0.5)]
    strengths = {f"strength/{name}": {pair: Measurement([0.5]) for pair in pairs} for name in "xy"}
    fig = plot_heatmaps(over(("mood", "style"), strengths))
    assert not fig.layout.shapes
    assert fig.data[0].hovertext[0][0] == "At mood 0.25 and style 0.25:<br>strength/x 0.5"  # one item, no interval


def test_the_figure_in_words():
    fig = plot_heatmaps(crossing())
    assert fig.layout.title.text.splitlines()[0].startswith("<b>A unit of mood: glad +0.1</b> [0.1, 0.1]")
    assert fig.layout.meta["alt"] == (
        "A unit of mood: glad +0.1 [0.1, 0.1], ornate 0 [0, 0]. "
        "A unit of style <b>: glad 0 [0, 0], ornate +0.25 [0.25, 0.25]. "
        "Two maps over the alphas of mood and style <b>: strength/glad goes from 0.4 to 0.7, largest at mood 2, "
        "style <b> 0; strength/ornate goes from 0.2 to 0.45, largest at mood −1, style <b> 1."
    )


@pytest.mark.slow
def test_what_is_no_number_is_a_gap():
    data = crossing()
    row = (data.frame["quantity"] == "strength/glad") & (data.frame["mood"] == 0) & (data.frame["style <b>"] == 0.5)
    data.frame.loc[row, ["value", "low", "high"]] = np.nan
    fig = plot_heatmaps(data)
    assert fig.data[0].z[1][1] is None and fig.data[0].text[1][1] == "NaN"
    assert fig.data[0].hovertext[1][1] == "At mood 0 and style &lt;b&gt; 0.5:<br>strength/glad NaN"


@pytest.mark.parametrize(
    ("quantities", "said"),
    [
        (
            ("strength/glad",),
            "plot_heatmaps(quantities): got strength/glad, expected two that were measured.\n"
            "Measured are: strength/glad, strength/ornate, loss/x.",
        ),
        (
            ("strength/glad", "loss/x"),
            "plot_heatmaps(quantities): strength/glad is a probability, loss/x a nats/token.",
        ),
    ],
)
def test_what_is_refused(quantities, said):
    data = crossing(**{"loss/x": {pair: Measurement([1.0], unit="nats/token") for pair in PAIRS}})
    with pytest.raises(CurveError) as error:
        plot_heatmaps(data, quantities)
    assert str(error.value) == said
