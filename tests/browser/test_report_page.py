"""What a person sees: the page opened from disk, and a notebook in JupyterLab, in a real Chromium."""

import html
import json
import re
import urllib.request
import zlib
from contextlib import suppress
from pathlib import Path

import nbformat
import nbformat.sign
import numpy as np
import pandas as pd
import pytest
from browser import GO_TO
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from pages import FACTS, HOSTILE, cell, shown

from lerpnb.plots.barriers import plot_barriers
from lerpnb.plots.curve import plot_curve
from lerpnb.plots.curves import plot_curves
from lerpnb.plots.deltas import plot_deltas
from lerpnb.plots.items import plot_items
from lerpnb.plots.texts import plot_texts
from lerpnb.plots.tradeoff import plot_tradeoff
from lerpnb.results.curve import Curve
from lerpnb.results.deltas import WeightDeltas
from lerpnb.results.measurement import Measurement
from lerpnb.runs.report import exporter as reports
from lerpnb.runs.report.images import with_images

pytest_plugins = ["browser"]
pytestmark = pytest.mark.browser
ALPHAS = [-0.5, 0.0, 0.5, 1.0, 1.5]


def curve(texts: list[str]) -> Curve:
    """A made-up curve of five alphas; the text at alpha i is texts[i % len(texts)] with its alpha."""
    points, samples = {}, []
    for i, alpha in enumerate(ALPHAS):
        points[alpha] = {
            "loss/negative": Measurement([4 + alpha**2, 5 + alpha**2], unit="nats/token"),
            "strength/positive": Measurement([0.2 + i / 10, 0.4 + i / 10], unit="probability", items="prompts"),
        }
        row = {"prompt": "The film", "continuation": f"at {alpha} {texts[i % len(texts)]}", "n_tokens": 9}
        samples += [{"alpha": alpha, "prompt_id": p, "draw": 0, **row, "strength/positive": 0.5} for p in range(3)]
    return Curve.from_measures(points, pd.DataFrame(samples))


def written(folder: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A walk\n\nProse."), *cells]), folder / "executed.ipynb")
    (folder / "run.json").write_text(json.dumps(FACTS), encoding="utf-8")
    return reports.write_report(folder)


def drawn(curve: Curve) -> nbformat.NotebookNode:
    return cell(new_output("display_data", plot_curve(curve)._repr_mimebundle_()))


def quiet(tab) -> None:
    assert (tab.errors, tab.outside) == ([], [])


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (400, "dark")])
def test_the_page_opens_from_disk_with_its_figure_and_its_slider_moves_the_text(tab, tmp_path, width, colours):
    page = written(tmp_path, drawn(curve(["and a story"])), cell(shown(plain="seven"), source="answer = 7"))
    seen = tab(width, colours)
    seen.page.goto(page.as_uri())
    place = seen.page.locator("#figure-1")
    place.locator(".scatterlayer .trace").first.wait_for(state="attached")
    assert place.locator(".scatterlayer .trace").count() > 6
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
    code_unfolds(seen) if colours == "light" else is_printed_in_daylight(seen)
    quiet(seen)


def code_unfolds(seen) -> None:
    """At a button; and the figure has no button that shares it."""
    code = seen.page.get_by_text("answer = 7")
    assert not code.is_visible()
    seen.page.get_by_role("button", name="Show code").click()
    assert code.is_visible()
    seen.page.get_by_role("button", name="Hide code").click()
    assert not code.is_visible()
    buttons = [b.get_attribute("data-title") for b in seen.page.locator(".modebar-btn").all()]
    assert buttons and not [b for b in buttons if "loud" in b or "hare" in b or "roduced" in b]


def is_printed_in_daylight(seen) -> None:
    """In the colors of a light page."""
    printed = b""
    for part in re.findall(rb"stream\r?\n(.*?)endstream", seen.page.pdf(), re.S):
        with suppress(zlib.error):
            printed += zlib.decompress(part)
    used = set(re.findall(rb"([\d.]+ [\d.]+ [\d.]+) rg", printed))
    day, night, blue = b".1137 .1373 .1882", b".8745 .8902 .9176", b"0 .4471 .698"  # ink, ink at night, the loss
    assert {day, blue} <= used and night not in used


LARGEST_PAINT = """window.painted = {}; new PerformanceObserver((list) => list.getEntries().forEach((paint) => {
  if (paint.element?.className === "still") painted.still ??= paint.startTime;
})).observe({type: "largest-contentful-paint", buffered: true})"""


def test_the_curve_is_there_at_once_and_then_alive(tab, tmp_path):
    top = drawn(curve(["x"]))
    top.metadata.tags = ["headline"]
    prose = [new_markdown_cell(f"## Part {i}") for i in range(3)]
    node = with_images(new_notebook(cells=[new_markdown_cell("# A walk"), *prose, drawn(curve(["y"])), top]))
    page = written(tmp_path, *node.cells)
    seen = tab()
    seen.page.add_init_script(LARGEST_PAINT)
    seen.page.goto(page.as_uri())
    seen.expect(seen.page.locator("#figure-2 .scatterlayer .trace").first).to_be_attached()
    seen.expect(seen.page.locator(".still")).to_have_count(0)
    marks = "Object.fromEntries(performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime]))"
    times = seen.page.evaluate(f"({{...{marks}, ...painted}})")
    print({name: f"{time:.0f} ms" for name, time in times.items()})
    assert times["still"] < 1000 and times["figure 1"] < times["figure 2"]
    assert seen.page.locator(".top #figure-1").count() == 1
    order = seen.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert order[0] == 1 and all(b <= a + 1 for a, b in zip(order, order[1:], strict=False))
    seen.page.keyboard.press("Tab")  # the button, then the contents
    seen.page.locator("nav a").first.focus()
    seen.page.keyboard.press("Shift+Tab")
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    quiet(seen)
    still = seen.page.context.browser.new_context(java_script_enabled=False).new_page()
    still.goto(page.as_uri())
    assert still.locator("#figure-1 img.still").evaluate("(image) => image.naturalWidth") == 840
    assert still.locator("details.code").first.is_visible() and still.locator("#code").is_hidden()
    still.context.close()


def test_a_page_beside_a_shared_plotly_is_drawn_and_runs_no_other_script(tab, tmp_path):
    hostile = cell(shown(html='<script src="evil.js"></script><b>text</b>'))
    node = new_notebook(cells=[drawn(curve(["x"])), hostile])
    page = reports.render(node, {}, tmp_path, plotly="plotly.js")
    page = page.replace("<b>text</b>", '<script src="evil.js"></script><script>window.hacked = 1</script>')
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "plotly.js").write_text(reports.plotly_js(), encoding="utf-8")
    (tmp_path / "evil.js").write_text("window.hacked = 2", encoding="utf-8")
    seen = tab()
    seen.page.goto((tmp_path / "page.html").as_uri())
    seen.page.locator("#figure-1 .scatterlayer .trace").first.wait_for(state="attached")
    assert seen.page.evaluate("window.hacked") is None
    assert len(seen.errors) == 2 and all("Content Security Policy" in error for error in seen.errors)


def test_the_slider_and_the_menu_are_reached_and_moved_by_keys(tab, tmp_path):
    seen = tab(880, "dark")
    seen.page.goto(written(tmp_path, drawn(curve(["and a story"]))).as_uri())
    place = seen.page.locator("#figure-1")
    place.locator("input[type=range]").wait_for()
    seen.expect(place.locator("output")).to_contain_text("alpha = 0.5 loss/negative 4.75, strength/positive 0.5")
    found = []
    for _ in range(8):
        seen.page.keyboard.press("Tab")
        found.append(seen.page.evaluate("document.activeElement.type ?? document.activeElement.localName"))
        if found[-1] == "range":
            break
    assert found[-1] == "range" and not place.locator(".modebar-btn:not([tabindex='-1'])").count()
    seen.page.keyboard.press("ArrowRight")
    seen.expect(place.locator("g.table")).to_contain_text("at 1.0 and a story")
    seen.expect(place.locator("output")).to_contain_text("alpha = 1 loss/negative 5.5")
    assert place.locator("input[type=range]").get_attribute("aria-valuetext").startswith("alpha = 1 loss")
    seen.page.keyboard.press("Tab")
    seen.page.keyboard.press("ArrowDown")
    seen.expect(place.locator("select")).to_have_value("2. The film")
    seen.page.emulate_media(color_scheme="light")  # it is drawn again, where it stood
    seen.expect(place.locator("g.table")).to_contain_text("at 1.0 and a story")
    seen.expect(place.locator("g.table")).to_have_count(1)
    quiet(seen)


def test_figures_and_wide_tables_are_whole_on_paper_and_as_wide_as_the_window_again(tab, tmp_path):
    wide = pd.DataFrame([[0.1234] * 12], columns=[f"perplexity/continuations_{i}" for i in range(12)])
    page = written(tmp_path, drawn(curve(["and a story"])), cell(shown(html=wide.to_html())))
    seen = tab(1280)
    seen.page.goto(page.as_uri())
    figure = seen.page.locator("#figure-1 .main-svg").first
    seen.expect(figure).to_have_attribute("width", "1000")
    seen.page.emulate_media(media="print")
    seen.page.set_viewport_size({"width": 718, "height": 1000})  # A4 within Chrome's margins
    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen.expect(figure).to_have_attribute("width", "700")
    header = "(at) => [at.getBBox().width, at.closest('.column-block').getBBox().width]"
    width, column = seen.page.locator("#figure-1 .cell-text", has_text="strength").first.evaluate(header)
    assert width + 16 <= column  # plotly's padding
    seen.shoot("page_print", whole=True)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 718
    box = seen.page.locator("table").locator("xpath=..")
    assert box.evaluate("(at) => [getComputedStyle(at).overflowX, at.scrollWidth - at.clientWidth]") == ["visible", 0]
    seen.page.emulate_media(media="screen")
    seen.page.set_viewport_size({"width": 1280, "height": 1000})
    seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
    seen.expect(figure).to_have_attribute("width", "1000")
    quiet(seen)


@pytest.mark.parametrize("cleaned", [True, False])
def test_hostile_texts_do_not_run(tab, tmp_path, monkeypatch, cleaned):
    if not cleaned:  # the page's policy must hold by itself, too
        monkeypatch.setattr(reports, "sanitize", lambda page: page)
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
        link.dispatch_event("click")  # a part of a figure may lie over it
    seen.page.wait_for_timeout(300)
    assert seen.page.url == page.as_uri()
    assert seen.page.evaluate("window.hacked") is None
    assert seen.outside == []
    if cleaned:
        assert seen.errors == []
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1280
    else:
        assert seen.errors and all("Content Security Policy" in error for error in seen.errors)


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll(".js-plotly-plot text")].filter((text) => {
    const style = getComputedStyle(text);
    return style.visibility !== "hidden" && Number(style.opacity) > 0 && text.textContent.trim();
  }).map((text) => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
  const met = [];
  boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1.5 && down > 3) met.push(`${one} | ${other}`);
  }));
  const wide = boxes.filter(([, box]) => box.right > innerWidth + 1 || box.left < -1);
  return [boxes.length, [...met, ...wide.map(([text]) => `outside: ${text}`)]];
}"""


def several() -> dict[str, Curve | WeightDeltas]:
    """Curves of two and of three quantities, whose perplexities lie near each other and far apart, and deltas."""
    points = {}
    for alpha in [-1 + i / 4 for i in range(13)]:
        points[alpha] = {
            "loss/negative": Measurement([4 + alpha**2, 5 + alpha**2, 4.5 - alpha], unit="nats/token"),
            "loss/positive": Measurement([5 - alpha / 2, 4 + alpha**2 / 3, 4], unit="nats/token"),
            "strength/positive": Measurement(
                [0.25 + alpha / 5, 0.4 + alpha / 5, 0.3], unit="probability", items="prompts"
            ),
            "perplexity/continuations": Measurement(40 + 25 * alpha**4 * np.array([0.5, 1, 1.5]), items="prompts"),
        }
    row = {"prompt": "The film", "continuation": "was long and " * 12, "n_tokens": 9, "draw": 0}
    rows = [{"alpha": a, "prompt_id": p, **row, "strength/positive": 0.5} for a in points for p in range(4)]
    three = Curve.from_measures(points, pd.DataFrame(rows))
    two = Curve(three.frame[three.frame["quantity"] != "loss/positive"], three.samples)
    layers = [(layer, kind) for kind in ("attention q", "MLP") for layer in map(str, range(30))]
    frame = pd.DataFrame([("in", "embeddings"), *layers, ("out", "norms")], columns=["layer", "kind"])
    return {"three": three, "two": two, "deltas": WeightDeltas(frame.assign(minus=0.01, plus=0.02, cosine=0.5))}


@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_in_a_figure_overlaps(tab, tmp_path, width):
    made = several()
    figures = [plot_curve(made["three"]), plot_curve(made["two"]), plot_deltas(made["deltas"])]
    figures += [
        plot_tradeoff(made["three"]),
        plot_tradeoff(made["three"], curve_at_base()),
        plot_items(made["two"]),
    ]
    page = written(tmp_path, *[cell(new_output("display_data", figure._repr_mimebundle_())) for figure in figures])
    seen = tab(width)
    seen.page.goto(page.as_uri())
    seen.page.locator("#figure-6 .scatterlayer .trace").first.wait_for(state="attached")
    found, overlaps = seen.page.evaluate(OVERLAPS)
    assert found > 100 and overlaps == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.shoot(f"figures_{width}", whole=True)
    quiet(seen)


HOVER = """async ([id, place, point, subplot]) => {
  const figure = document.getElementById(id);
  await new Promise((resolve) => setTimeout(resolve, 80)); // plotly leaves out what follows too fast
  Plotly.Fx.hover(figure, [{ curveNumber: place, pointNumber: point }], subplot);
  return [...figure.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ").trim();
}"""


def letters(text: str) -> str:
    """A text without tags and spaces."""
    return "".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


def test_what_a_mouse_reads_on_every_kind_of_figure_is_a_text(tab, tmp_path):
    made = several()
    figures = [plot_curve(made["three"]), made["deltas"].plot(), plot_tradeoff(made["three"], curve_at_base())]
    figures += [plot_items(made["two"]), plot_barriers({"a line": made["three"].barrier("loss/negative")})]
    figures += [plot_curves({"a": {"b": made["three"]}}, {"loss/negative": "loss"})]
    page = written(tmp_path, *[cell(new_output("display_data", figure._repr_mimebundle_())) for figure in figures])
    seen = tab(1280)
    seen.page.goto(page.as_uri())
    seen.page.locator(f"#figure-{len(figures)} .scatterlayer .trace").first.wait_for(state="attached")
    for i, figure in enumerate(figures, start=1):
        read = 0
        for place, trace in enumerate(figure.data):
            if trace.type != "scatter" or not any(trace.hovertext or ()):
                continue
            point = max(k for k, text in enumerate(trace.hovertext) if text)
            subplot = (trace.xaxis or "x") + (trace.yaxis or "y")
            shown = seen.page.evaluate(HOVER, [f"figure-{i}", place, point, subplot])
            assert letters(trace.hovertext[point]) in letters(shown), (i, trace.name, shown)
            read += 1
        cells = [text for trace in figure.data if trace.type == "heatmap" for row in trace.hovertext for text in row]
        for image in seen.page.locator(f"#figure-{i} .heatmaplayer image").all():
            image.scroll_into_view_if_needed()
            image.hover(force=True)
            label = seen.page.locator(f"#figure-{i} .hoverlayer text").first
            label.wait_for()
            assert letters(label.text_content()) in map(letters, cells)
            read += 1
        assert read, i
    quiet(seen)


def curve_at_base() -> Curve:
    strength = Measurement([0.3, 0.5], unit="probability", items="prompts")
    return Curve.from_measures(
        {0.0: {"strength/positive": strength, "perplexity/continuations": Measurement([20, 24.0])}}
    )


@pytest.fixture
def written_by_a_model(tiny, tiny_llama_pair, tmp_path) -> Curve:
    """A walk with a model whose tokenizer turns whatever it writes into hostile texts."""
    import lerpnb as ln

    line = ln.Line(*tiny_llama_pair[1:], device="cpu")
    kind = type(line.tokenizer)

    class Hostile(kind):
        def decode(self, ids, **settings):
            text = kind.decode(self, ids, **settings)
            return text if text in PROMPTS else " ".join([text, HOSTILE[0], HOSTILE[len(text) % 10], *HOSTILE])

    line.tokenizer.__class__ = Hostile
    scored = ln.probes.TextFunctionProbe("strength/evil", len, ln.Continuations(PROMPTS, n_samples=1, max_new_tokens=4))
    corpus = ln.Corpus(tuple(HOSTILE[:4]) + ("w" * 2000,), (0,) * 5, ("x",), "evil")
    return ln.evaluate(line, [0.0, 0.5, 1.0], [scored, ln.Loss(corpus, max_length=100)], store=False, check=False)


PROMPTS = ("the film", "nobody")


def test_texts_of_a_hostile_model_run_neither_in_the_page_nor_in_a_notebook(
    tab, lab, reader, tmp_path, written_by_a_model
):
    walked = written_by_a_model
    assert "window.hacked = 1" in walked.samples["continuation"][0]
    shown = [walked._repr_mimebundle_(), plot_items(walked)._repr_mimebundle_()]
    table = plot_texts(walked)
    shown += [{"text/html": table._repr_html_(), "text/plain": repr(table)}]
    cells = [cell(new_output("display_data", bundle)) for bundle in shown]
    page = written(tmp_path, *cells)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    node = new_notebook(cells=[new_markdown_cell("# Hostile"), *cells], metadata={"kernelspec": kernel})
    for trusted in (None, False, True):
        if trusted is None:
            seen = tab()
            seen.page.goto(page.as_uri())
            place = seen.page.locator("#figure-1")
        else:
            if trusted:
                nbformat.sign.NotebookNotary(data_dir=str(lab.root.parent / "data")).sign(node)
            seen = reader
            nbformat.write(node, lab.root / f"hostile_{trusted}.ipynb")
            place = lab.turn_to(seen, f"hostile_{trusted}.ipynb").locator(".js-plotly-plot").first
        place.locator(".scatterlayer .trace").first.wait_for(state="attached", timeout=30_000)
        for share in (0.01, 0.5, 0.99):
            seen.slide(place, share)
        seen.page.wait_for_timeout(300)
        assert seen.page.evaluate("window.hacked") is None
        assert seen.page.locator(".MathJax, mjx-container").count() == 0
        assert seen.page.get_by_text("<script>window.hacked = 1</script>").count() > 0
        assert (seen.outside, seen.errors) == ([], [])


def test_an_untrusted_notebook_shows_every_figure_and_the_menu_exports_it(lab, reader):
    made = several()
    bundles = [made["three"]._repr_mimebundle_(), plot_tradeoff(made["three"])._repr_mimebundle_()]
    bundles += [plot_items(made["two"])._repr_mimebundle_(), made["deltas"]._repr_mimebundle_()]
    bundles += [{"text/html": plot_texts(made["two"])._repr_html_(), "text/plain": "texts"}]
    cells = [cell(new_output("display_data", bundle)) for bundle in bundles]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    node = with_images(new_notebook(cells=cells, metadata={"kernelspec": kernel}))
    nbformat.write(node, lab.root / "sent.ipynb")
    assert (lab.root / "sent.ipynb").stat().st_size < 1_500_000
    seen = reader
    panel = lab.turn_to(seen, "sent.ipynb")
    for number in range(4):
        seen.page.evaluate(GO_TO, number)
        place = panel.locator(f'[data-windowed-list-index="{number}"]')
        # plotly's extension shows the twin first, and the live figure once it is wanted
        place.locator(".jp-OutputArea-output img:visible, .js-plotly-plot .main-svg:visible").first.wait_for()
    assert seen.page.evaluate("window.jupyterapp.shell.currentWidget.content.model.cells.get(0).trusted") is False
    seen.page.evaluate(GO_TO, 4)
    coloured = panel.locator("td[style*='background-color']")
    seen.expect(coloured.first).to_be_visible()
    assert coloured.count() > 3
    seen.shoot("lab_untrusted")
    from playwright.sync_api import TimeoutError

    exporters = json.load(urllib.request.urlopen(f"{lab.url}/api/nbconvert", timeout=60))
    assert "lerpnb_html" in exporters  # the menu is filled with them once JupyterLab has asked, too
    ours = seen.page.locator(".lm-Menu-itemLabel", has_text="Lerpnb_html")
    for _ in range(6):
        seen.page.locator(".lm-MenuBar-itemLabel", has_text="File").first.click()
        seen.page.locator(".lm-Menu-itemLabel", has_text="Save and Export Notebook As").hover()
        with suppress(TimeoutError):
            ours.wait_for(timeout=10_000)
            break
        seen.page.keyboard.press("Escape")
        seen.page.keyboard.press("Escape")
    seen.expect(ours).to_be_visible()
    seen.shoot("lab_menu")
    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("Escape")
    exported = urllib.request.urlopen(f"{lab.url}/nbconvert/lerpnb_html/sent.ipynb", timeout=60).read().decode()
    assert exported.count("plotly.js v") == 1 and exported.count('class="figure"') == 4
    quiet(seen)


def test_a_notebook_runs_in_jupyterlab_and_its_figure_is_drawn(lab, reader):
    code = """\
import pandas as pd
from lerpnb.results.measurement import Measurement
from lerpnb.results.curve import Curve
points = {a: {"loss/x": Measurement([4 + a * a, 5 + a * a], unit="nats/token")} for a in (-0.5, 0.0, 0.5, 1.0, 1.5)}
row = {"prompt_id": 0, "draw": 0, "prompt": "A film", "n_tokens": 3}
rows = [{"alpha": a, **row, "continuation": f"at {a} <b>bold</b>"} for a in points]
Curve.from_measures(points, pd.DataFrame(rows))"""
    bar = "import time\nfrom lerpnb.utils.progress import track\n"
    bar += "for _ in track(range(4), label='walk'):\n    time.sleep(1)"
    cells = [new_markdown_cell("# A walk"), new_code_cell("n: int = 3"), new_code_cell(code), new_code_cell(bar)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), lab.root / "walk.ipynb")
    seen = reader
    panel = lab.turn_to(seen, "walk.ipynb")
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
