"""twins.py and drawing.py: a PNG beside every Plotly figure, with a browser or without."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from lerpnb.plots.curve import plot_curve
from lerpnb.plots.deltas import plot_deltas
from lerpnb.plots.items import plot_items
from lerpnb.plots.tradeoff import plot_tradeoff
from lerpnb.results.curve import Curve
from lerpnb.results.deltas import WeightDeltas
from lerpnb.results.measurement import Measurement
from lerpnb.runs.report import images
from lerpnb.runs.report.drawing import card, drawing, plain

GRID = (-1.0, 0.0, 0.5, 1.0, 2.0)


def curve() -> Curve:
    points = {
        a: {
            "loss/x": Measurement([4 + a * a, 5 + a], unit="nats/token"),
            "strength/joy": Measurement([0.2 + a / 10, 0.4], unit="probability", items="prompts"),
            "perplexity/continuations": Measurement([40 + 300 * a * a, 41.0], items="prompts"),
        }
        for a in GRID
    }
    told = dict(draw=0, prompt="A film", n_tokens=3)
    rows = [dict(told, alpha=a, prompt_id=i, continuation="$5 and $x^2$ <b>") for a in GRID for i in range(2)]
    return Curve.from_measures(points, pd.DataFrame(rows))


def bundles() -> list[dict]:
    frame = pd.DataFrame(
        {"layer": ["in", "0"], "kind": ["embeddings", "MLP"], "minus": 0.1, "plus": 0.2, "cosine": [np.nan, 0.5]}
    )
    figures = [plot_curve(curve()), plot_tradeoff(curve()), plot_items(curve()), plot_deltas(WeightDeltas(frame))]
    return [figure._repr_mimebundle_() for figure in figures]


def notebook(*bundles: dict):
    return new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", bundle)]) for bundle in bundles])


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def inks(png: bytes) -> int:
    """How many pixels are not white."""
    return int((np.asarray(opened(png).convert("L")) < 250).sum())


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setattr(images.shutil, "which", lambda name: None)


def test_without_a_browser_matplotlib_draws_every_figure_of_ours(no_browser, monkeypatch):
    monkeypatch.setattr("lerpnb.runs.report.drawing.card", lambda *_: pytest.fail("a figure of ours became a card"))
    node = images.with_images(notebook(*bundles()))
    drawn = [base64.b64decode(cell.outputs[0].data["image/png"]) for cell in node.cells]
    for png, bundle in zip(drawn, bundles(), strict=True):
        height = bundle[images.PLOTLY]["layout"]["height"]
        assert opened(png).size == pytest.approx((840, height), abs=2)
        assert inks(png) > 10_000
        assert len(png) < 150_000


def test_outputs_without_a_figure_or_with_a_twin_stay(no_browser):
    twin = {**bundles()[0], "image/png": "aGVsbG8="}
    node = notebook(twin, {"text/plain": "7"})
    before = [dict(cell.outputs[0].data) for cell in node.cells]
    assert [dict(cell.outputs[0].data) for cell in images.with_images(node).cells] == before


def test_a_figure_of_someone_elses_becomes_a_card_of_words(no_browser):
    pie = {images.PLOTLY: {"data": [{"type": "pie", "values": [1, 2]}], "layout": {"meta": {"alt": "A pie of two."}}}}
    broken = {images.PLOTLY: {"data": [{"type": "scatter", "x": [[1]], "y": "?"}], "layout": {}}}
    empty = {images.PLOTLY: {}}
    for cell in images.with_images(notebook(pie, broken, empty)).cells:
        assert inks(base64.b64decode(cell.outputs[0].data["image/png"])) > 500


@pytest.mark.slow
@pytest.mark.parametrize("script", ["exit 1", "sleep 60"])
def test_a_browser_that_does_not_answer_is_given_up(tmp_path, monkeypatch, script):
    program = tmp_path / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(program))
    monkeypatch.setattr(images, "PATIENCE", 1)
    figure = bundles()[1][images.PLOTLY]
    assert images.by_browser([figure], 900, 1.0) is None
    assert inks(images.stills([figure])[0]) > 10_000


def test_a_browser_is_found_by_its_name_or_told(monkeypatch, tmp_path):
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert images.browser() is None
    (tmp_path / "chromium").write_text("")
    (tmp_path / "chromium").chmod(0o755)
    assert images.browser() == str(Path(tmp_path / "chromium"))
    monkeypatch.setenv("BROWSER_PATH", "/opt/chrome")
    assert images.browser() == "/opt/chrome"


@pytest.mark.browser
def test_chromium_draws_what_a_reader_of_the_page_sees():
    if images.browser() is None:
        (pytest.fail if os.environ.get("LERPNB_REQUIRE_BROWSER") == "1" else pytest.skip)("no Chromium")
    figures = [bundle[images.PLOTLY] for bundle in bundles()]
    drawn = images.by_browser(figures, 840, 1.0)
    assert [opened(png).size for png in drawn] == [(840, f["layout"]["height"]) for f in figures]
    assert all(inks(png) > 10_000 for png in drawn)


def test_curves_are_drawn_where_they_lie():
    line = dict(type="scatter", x=[0, 1], y=[0, 1], mode="lines", line=dict(color="#ff0000", width=4))
    layout = dict(height=300, margin=dict(l=50, r=50, t=50, b=50), xaxis=dict(range=[0, 1]), yaxis=dict(range=[0, 1]))
    picture = np.asarray(opened(drawing({"data": [line], "layout": layout}, 300, 1.0)).convert("RGB")).astype(int)
    red = np.argwhere((picture[..., 0] > 200) & (picture[..., 1] < 80) & (picture[..., 2] < 80))
    assert len(red) > 300
    for down, across in red:  # from the lower left of the inner 200 x 200 pixels to its upper right
        assert abs((300 - down) - across) < 8


def test_words_lose_their_tags_and_are_no_formulas():
    assert plain("<b>a</b> &lt;i&gt;<br>&#36;x&#36;") == "a <i>\n$x$"
    assert inks(card("costs $5, or $x^{2$", 900, 1.0)) > 500  # half a formula would raise
