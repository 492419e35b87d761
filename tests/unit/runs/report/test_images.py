"""images.py and plots/image.py: a PNG beside every Plotly figure where there is a browser, one message where not."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from lerpnb.errors import RunError
from lerpnb.plots import image
from lerpnb.plots.curve import plot_curve
from lerpnb.plots.deltas import plot_deltas
from lerpnb.plots.items import plot_items
from lerpnb.plots.tradeoff import plot_tradeoff
from lerpnb.results.curve import Curve
from lerpnb.results.deltas import WeightDeltas
from lerpnb.results.measurement import Measurement
from lerpnb.runs.report import images

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
    common = dict(draw=0, prompt="A film", n_tokens=3)
    rows = [dict(common, alpha=a, prompt_id=i, continuation="$5 and $x^2$ <b>") for a in GRID for i in range(2)]
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
    monkeypatch.setattr(image, "find_chrome", lambda: None)


@pytest.mark.slow
def test_without_a_browser_figures_stay_and_one_message_says_how_to_get_one(no_browser, capsys):
    node = images.with_images(notebook(*bundles()))
    assert [cell.outputs[0].data for cell in node.cells] == bundles()
    assert capsys.readouterr().err == (
        "4 of 4 figures have no static image: they need Chrome or Chromium, and none was found.\n"
        "Get one with `plotly_get_chrome`, or name yours in $BROWSER_PATH.\n"
    )


@pytest.mark.slow
def test_outputs_without_a_figure_or_with_an_image_stay(no_browser, capsys):
    drawn = {**bundles()[0], "image/png": "aGVsbG8="}
    node = notebook(drawn, {"text/plain": "7"})
    before = [dict(cell.outputs[0].data) for cell in node.cells]
    assert [dict(cell.outputs[0].data) for cell in images.with_images(node).cells] == before
    assert capsys.readouterr().err == ""


def test_a_figure_is_saved_as_an_image_or_the_error_says_how_to_get_a_browser(no_browser, tmp_path):
    with pytest.raises(RunError) as error:
        image.save_image(curve(), tmp_path / "curve.png")
    assert str(error.value) == (
        f"save_image('{tmp_path}/curve.png'): a static image needs Chrome or Chromium, and none was found.\n"
        "Get one with `plotly_get_chrome`, or name yours in $BROWSER_PATH."
    )
    with pytest.raises(RunError) as error:
        image.save_image(curve(), "curve.gif")
    assert str(error.value) == (
        "save_image('curve.gif'): no format '.gif'.\nPass a path that ends in one of: png, jpg, jpeg, webp, svg, pdf."
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", ["exit 1", "sleep 60"])
def test_a_browser_that_does_not_answer_is_given_up(tmp_path, monkeypatch, script, capsys):
    program = tmp_path / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(program))
    monkeypatch.setattr(image, "PATIENCE", 1)
    node = images.with_images(notebook(bundles()[1]))
    assert "image/png" not in node.cells[0].outputs[0].data
    assert f"1 of 1 figures have no static image: {program} did not draw them.\n" in capsys.readouterr().err
    with pytest.raises(RunError, match=f"{program} did not draw the figure"):
        image.save_image(curve(), tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_a_browser_is_found_by_its_name_or_its_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "chromium").write_text("")
    (tmp_path / "chromium").chmod(0o755)
    assert image.find_chrome() == str(Path(tmp_path / "chromium"))
    monkeypatch.setenv("BROWSER_PATH", "/opt/chrome")
    assert image.find_chrome() == "/opt/chrome"


@pytest.mark.browser
def test_chromium_draws_what_a_reader_of_the_page_sees(tmp_path):
    if image.find_chrome() is None:
        (pytest.fail if os.environ.get("LERPNB_REQUIRE_BROWSER") == "1" else pytest.skip)("no Chromium")
    pie = {"data": [{"type": "pie", "values": [1, 2]}], "layout": {}}
    foreign = [{images.PLOTLY: pie}, {images.PLOTLY: {"data": [{"type": "no such trace"}]}}, {images.PLOTLY: {}}]
    node = images.with_images(notebook(*bundles(), *foreign))
    drawn = [base64.b64decode(cell.outputs[0].data["image/png"]) for cell in node.cells[:5]]
    for png, bundle in zip(drawn, bundles(), strict=False):
        assert opened(png).size == (840, bundle[images.PLOTLY]["layout"]["height"])
        assert inks(png) > 10_000
        assert len(png) < 150_000
    assert inks(drawn[4]) > 500
    assert opened(image.save_image(curve(), tmp_path / "new" / "curve.png").read_bytes()).width == 2000
    assert image.save_image(plot_curve(curve()), tmp_path / "curve.svg").read_text().startswith("<svg")
