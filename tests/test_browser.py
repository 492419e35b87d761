"""What a person sees: the page opened from disk, and a notebook in JupyterLab, in a real Chromium."""

import json
import re
import zlib
from contextlib import suppress
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_report import FACTS, HOSTILE, cell, shown

from lerpnb import report as reports
from lerpnb.curve import Curve, Measure
from lerpnb.plots import walk_figure

pytest_plugins = ["browser"]
pytestmark = pytest.mark.browser
ALPHAS = [-0.5, 0.0, 0.5, 1.0, 1.5]


def curve(texts: list[str]) -> Curve:
    """A made-up walk of five alphas; the text at alpha i is texts[i % len(texts)] with its alpha."""
    points, samples = {}, []
    for i, alpha in enumerate(ALPHAS):
        points[alpha] = {
            "loss/negative": Measure([4 + alpha**2, 5 + alpha**2], unit="nats/token"),
            "strength/positive": Measure([0.2 + i / 10, 0.4 + i / 10], unit="probability", items="prompts"),
        }
        told = {"prompt": "The film", "continuation": f"at {alpha} {texts[i % len(texts)]}", "n_tokens": 9}
        samples += [{"alpha": alpha, "prompt_id": p, "draw": 0, **told, "strength/positive": 0.5} for p in range(3)]
    return Curve.from_measures(points, pd.DataFrame(samples))


def written(folder: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A walk\n\nProse."), *cells]), folder / "executed.ipynb")
    (folder / "run.json").write_text(json.dumps(FACTS), encoding="utf-8")
    return reports.report(folder)


def drawn(curve: Curve) -> nbformat.NotebookNode:
    return cell(new_output("display_data", walk_figure(curve)._repr_mimebundle_()))


def quiet(tab) -> None:
    assert (tab.errors, tab.outside) == ([], [])


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_opens_from_disk_with_its_figure_and_its_slider_moves_the_text(tab, tmp_path, width, colours):
    page = written(tmp_path, drawn(curve(["and a story"])), cell(shown(plain="seven"), source="7"))
    seen = tab(width, colours)
    seen.page.goto(page.as_uri())
    place = seen.page.locator("#figure-1")
    place.locator(".scatterlayer .trace").first.wait_for(state="attached")
    assert place.locator(".scatterlayer .trace").count() == 6
    texts = place.locator("g.table")
    seen.expect(texts).to_contain_text("at 0.5 and a story")
    for share, alpha in [(0.99, 1.5), (0.01, -0.5)]:
        seen.slide(place, share)
        seen.expect(texts).to_contain_text(f"at {alpha} and a story")
        seen.expect(texts).not_to_contain_text("at 0.5 and a story")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}[colours]
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert seen.page.locator("footer").get_by_text("ab" * 32).count() == 1
    seen.shoot(f"page_{width}_{colours}", whole=True)
    quiet(seen)


def test_the_code_unfolds_and_the_share_button_is_gone(tab, tmp_path):
    page = written(tmp_path, drawn(curve(["x"])), cell(shown(plain="seven"), source="answer = 7"))
    seen = tab()
    seen.page.goto(page.as_uri())
    code = seen.page.get_by_text("answer = 7")
    assert not code.is_visible()
    seen.page.get_by_role("button", name="Show code").click()
    assert code.is_visible()
    seen.page.get_by_role("button", name="Hide code").click()
    assert not code.is_visible()
    buttons = [b.get_attribute("data-title") for b in seen.page.locator(".modebar-btn").all()]
    assert buttons and not [b for b in buttons if "loud" in b or "hare" in b or "roduced" in b]
    quiet(seen)


def test_a_dark_page_is_printed_in_daylight(tab, tmp_path):
    page = written(tmp_path, drawn(curve(["x"])))
    seen = tab(colours="dark")
    seen.page.goto(page.as_uri())
    seen.page.locator("#figure-1 .scatterlayer .trace").first.wait_for(state="attached")
    printed = b""
    for part in re.findall(rb"stream\r?\n(.*?)endstream", seen.page.pdf(), re.S):
        with suppress(zlib.error):
            printed += zlib.decompress(part)
    used = set(re.findall(rb"([\d.]+ [\d.]+ [\d.]+) rg", printed))
    day, night, blue = b".1137 .1373 .1882", b".8745 .8902 .9176", b"0 .4471 .698"  # ink, ink at night, the loss
    assert {day, blue} <= used and night not in used
    quiet(seen)


@pytest.mark.parametrize("cleaned", [True, False])
def test_hostile_texts_do_not_run(tab, tmp_path, monkeypatch, cleaned):
    if not cleaned:  # the page's policy must hold by itself, too
        monkeypatch.setattr(reports, "harmless", lambda page, twins: page)
    cells = [cell(shown(html=text)) for text in HOSTILE if cleaned or "refresh" not in text]
    cells += [cell(shown(markdown=text)) for text in HOSTILE if cleaned or "refresh" not in text]
    cells += [cell(shown(plain=text), new_output("stream", text=text)) for text in HOSTILE]
    page = written(tmp_path, drawn(curve(HOSTILE)), *cells)
    seen = tab()
    seen.page.goto(page.as_uri())
    place = seen.page.locator("#figure-1")
    place.locator(".scatterlayer .trace").first.wait_for(state="attached")
    for share in (0.01, 0.25, 0.5, 0.75, 0.99):
        seen.slide(place, share)
    for link in seen.page.get_by_text("press").all():
        link.click()
    seen.page.wait_for_timeout(300)
    assert seen.page.url == page.as_uri()
    assert seen.page.evaluate("window.hacked") is None
    assert seen.outside == []
    if cleaned:
        assert seen.errors == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1280
    else:
        assert seen.errors and all("Content Security Policy" in error for error in seen.errors)


def test_a_notebook_runs_in_jupyterlab_and_its_figure_is_drawn(tab, lab):
    code = """\
import pandas as pd
from lerpnb.curve import Measure
from lerpnb.plots import Curve
points = {a: {"loss/x": Measure([4 + a * a, 5 + a * a], unit="nats/token")} for a in (-0.5, 0.0, 0.5, 1.0, 1.5)}
told = {"prompt_id": 0, "draw": 0, "prompt": "A film", "n_tokens": 3}
rows = [{"alpha": a, **told, "continuation": f"at {a} <b>bold</b>"} for a in points]
Curve.from_measures(points, pd.DataFrame(rows))"""
    bar = "import time\nfrom lerpnb.progress import track\nfor _ in track(range(4), label='walk'):\n    time.sleep(1)"
    cells = [new_markdown_cell("# A walk"), new_code_cell("n: int = 3"), new_code_cell(code), new_code_cell(bar)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), lab.root / "walk.ipynb")
    seen = tab()
    panel = lab.open(seen, "walk.ipynb")
    lab.run_all(seen)
    seen.shoot("lab_run")
    place = panel.locator(".js-plotly-plot")
    place.locator(".scatterlayer .trace").first.wait_for(state="attached", timeout=30_000)
    texts = place.locator("g.table")
    seen.expect(texts).to_contain_text("at 0.5 <b>bold</b>")
    height = place.bounding_box()["height"]
    seen.slide(place, 0.99)
    seen.expect(texts).to_contain_text("at 1.5 <b>bold</b>")
    assert place.bounding_box()["height"] == height > 400  # with plotly's `responsive` the figure collapses here
    assert panel.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert "walk: 100%" in panel.locator(".jp-OutputArea-output[data-mime-type*='stdout']").last.inner_text()
    seen.shoot("lab")
    quiet(seen)
