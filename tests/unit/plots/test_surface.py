"""surface.py: contour, slice and relief by their traces and data."""

import json

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.contour import plot_contour
from lerpnb.plots.slice import plot_slice
from lerpnb.plots.surface_3d import plot_surface_3d
from lerpnb.results.measurement import Measurement
from lerpnb.results.surface import Surface

GRID = [(float(x), float(y)) for x in range(-1, 4) for y in range(-1, 3)]
MARKS = {"minus": [0, 0], "plus": [2, 0], "base": [1, 2]}


def made(hole: tuple | None = None, marks=MARKS) -> Surface:
    points = {
        (x, y): {
            "loss/x": Measurement(
                [np.nan if (x, y) == hole else x * x + y * y - d for d in (1, -1)], unit="nats/token"
            ),
            "strength/y<b>": Measurement([x / 4], unit="probability"),
        }
        for x, y in GRID
    }
    return Surface.from_measures(points, provenance={"marks": marks})


def named(fig) -> dict:
    return {trace.name: trace for trace in fig.data}


@pytest.mark.slow
def test_the_contour_shows_what_lies_between_and_what_was_measured():
    fig = plot_contour(made())
    traces = named(fig)
    contour = traces["loss/x"]
    assert contour.x[0] == -1 and contour.x[-1] == 3 and len(contour.x) == 61 and len(contour.y) == 46
    middle = contour.z[list(contour.y).index(0.0)][list(contour.x).index(1.0)]
    assert middle == pytest.approx(1.0, abs=1e-4)
    assert contour.hovertemplate == (
        "At (%{x:.4g}, %{y:.4g}):<br>about %{z:.4g} nats per token,<br>estimated error %{customdata} "
        "(interpolated)<extra></extra>"
    )
    assert 0 <= contour.customdata[15][31] < 1e-4  # a bowl is met exactly
    measured = traces["measured"]
    assert list(zip(measured.x, measured.y, strict=True)) == sorted(GRID)
    assert measured.hovertext[0] == "At (−1, −1):<br>measured 2 nats per token,<br>95 % interval [1.0, 3.0]"
    assert fig.layout.yaxis.scaleanchor == "x"  # true to scale


@pytest.mark.slow
def test_the_line_its_extension_and_the_checkpoints_are_drawn_in():
    fig = plot_contour(made())
    lines = [(trace.name, trace.x, trace.y) for trace in fig.data[1:] if trace.mode == "lines"]
    assert lines == [
        ("its extension", (-1, 0), (0, 0)),
        ("the line", (0, 2), (0, 0)),
        ("its extension", (2, 3), (0, 0)),
    ]
    checkpoints = named(fig)["checkpoints"]
    assert (checkpoints.x, checkpoints.y) == ((0, 2, 1), (0, 0, 2))
    assert [note.text for note in fig.layout.annotations] == ["<b>minus</b>", "<b>plus</b>", "<b>base</b>"]
    bare = plot_contour(made(marks={}))
    assert [trace.name for trace in bare.data] == ["loss/x", "measured"]


@pytest.mark.slow
def test_a_nan_is_blank_and_crossed():
    fig = plot_contour(made(hole=(1.0, 1.0)))
    contour, measured = named(fig)["loss/x"], named(fig)["measured"]
    assert contour.z[30][30] is None and contour.customdata[30][30] is None
    at = list(zip(measured.x, measured.y, strict=True)).index((1.0, 1.0))
    assert measured.marker.symbol[at] == "x" and measured.hovertext[at].startswith("At (1, 1):<br>measured NaN")
    assert measured.marker.symbol.count("x") == 1


@pytest.mark.slow
def test_it_says_in_words_what_it_shows():
    told = plot_contour(made()).layout.meta["alt"]
    assert told == (
        "loss/x over a plane, from 20 measured points; 0 at minus; 4 at plus; 5 at base; lowest 0 at (0, 0); "
        "highest 13 at (3, 2)."
    )


@pytest.mark.slow
def test_another_quantity_is_drawn_by_its_name_and_escaped():
    fig = plot_contour(made(), "strength/y<b>")
    assert fig.data[0].name == "strength/y&lt;b&gt;" and "probability 0 to 1" in fig.data[0].colorbar.title.text
    with pytest.raises(CurveError) as error:
        plot_contour(made(), "loss/y")
    assert str(error.value) == (
        "Surface.spline(quantity): no quantity 'loss/y'. Did you mean 'loss/x'?\nIt has: loss/x, strength/y<b>."
    )


@pytest.mark.slow
def test_the_relief_has_the_line_on_it():
    fig = plot_surface_3d(made(hole=(3.0, 2.0)))
    relief, line, checkpoints = fig.data
    assert relief.type == "surface" and len(relief.z) == 46 and relief.z[-1][-1] is None
    assert min(line.x) == -1 and max(line.x) == 3 and set(line.y) == {0}
    assert checkpoints.z == pytest.approx((0.0, 4.0, 5.0), abs=0.5)
    assert [trace.type for trace in plot_surface_3d(made(marks={})).data] == ["surface"]


def test_a_section_has_its_band_and_the_points_on_it():
    fig = plot_slice(made().slice("minus", "plus"))
    band, line, measured = fig.data
    assert (measured.x, measured.y) == ((0, 1, 2), (0, 1, 4))
    assert line.x[50] == 1 and line.y[50] == pytest.approx(1, abs=1e-4)
    assert len(band.x) == 2 * len(line.x) + 2 and fig.layout.xaxis.title.text.startswith(
        "distance from minus towards plus"
    )
    assert fig.layout.yaxis.title.text == "loss (x), nats per token"
    gap = plot_slice(made(hole=(1.0, 0.0)).slice("minus", "plus"))
    assert gap.data[1].y[50] is None and gap.data[2].y == (0, None, 4)


@pytest.mark.slow
def test_they_show_themselves_in_a_notebook():
    for thing in (made(), made().slice("minus", "base")):
        bundle = thing._repr_mimebundle_()
        assert set(bundle) == {"application/vnd.plotly.v1+json", "text/plain"}
        assert "NaN" not in json.dumps(bundle["application/vnd.plotly.v1+json"])
