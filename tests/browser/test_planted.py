"""What is shared of a planted account says nothing of it; hostile texts run nowhere, ask for nothing and lead nowhere.

Planted are a user, a home, a machine, secrets and hostile texts (tests/helpers/planted.py, strangers.py); shared are
run folders, pages, a saved model, a stranger's notebook as a page, and the gallery.
"""

import base64
import html
import io
import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
import planted
import pyarrow.parquet as pq
import pytest
from pages import HOSTILE, PLOTLY
from PIL import Image, UnidentifiedImageError
from strangers import EVIL

from lerpnb.explorer import widget
from lerpnb.runs.report.exporter import plotly_js

pytest_plugins = ["browser"]
pytestmark = pytest.mark.browser
PATIENCE = 120_000  # milliseconds, for a machine that does much else


@pytest.fixture(scope="module")
def shared(tiny) -> Iterator[planted.Shared]:
    with tempfile.TemporaryDirectory() as root:  # a home of a usual length: long words are broken in figures
        yield planted.share(tiny, Path(root))


def parts(file: Path) -> Iterator[bytes]:
    """What a file says, also where it is packed: in parquet, beside pictures, in pictures within texts."""
    data = file.read_bytes()
    if file.suffix == ".html":
        data = data.replace(plotly_js().encode(), b"")
        yield html.unescape(data.decode()).encode()
    yield data
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        yield json.dumps([str(table.schema), table.to_pylist()], ensure_ascii=False).encode()
        yield repr(table.schema.metadata).encode()
    packed = [base64.b64decode(text + b"==") for text in re.findall(rb"(?:iVBOR|/9j/)[A-Za-z0-9+/]+", data)]
    for picture in [*packed, data] if file.suffix == ".png" else packed:
        try:
            image = Image.open(io.BytesIO(picture))
        except UnidentifiedImageError:  # one that is planted broken
            continue
        yield repr([image.info, dict(image.getexif()), getattr(image, "text", {})]).encode()


def test_nothing_private_is_in_what_is_shared(shared):
    words = {
        form: word
        for word in (planted.USER, planted.HOST, "planted picture", *planted.PASSWORDS)
        for form in planted.forms(word)
    }
    files = shared.files()
    found = {
        (str(file.relative_to(shared.home)), word, data[max(0, data.find(form) - 60) :][:140])
        for file in files
        for data in parts(file)
        for form, word in words.items()
        if form in data
    }
    assert len(files) > 15
    assert not found
    page = (shared.run / "report.html").read_text(encoding="utf-8")
    instead = ("***", "~/models", "/scratch/user/x", "/net/host/x", "file:///scratch/user/x", "words in a picture")
    assert [text for text in instead if text not in page] == []


PRESS = """() => [...document.querySelectorAll("a")].map((link) => {
  const to = link.getAttribute("href") ?? link.getAttribute("xlink:href"), click = { bubbles: true, cancelable: true };
  if (!/^(https?:|mailto:|walk.html)/.test(to ?? "")) link.dispatchEvent(new MouseEvent("click", click));
  return to;
})"""
MARKS = "performance.getEntriesByType('mark').length"
LINK = re.compile(r"#|https?://|mailto:|walk.html$")  # the gallery leads to its pages


def opened(tab, page: Path):
    """A tab in which a page has drawn all its figures, and each link was pressed that does not lead to the web."""
    seen = tab()
    left: list[str] = []
    for event in ("popup", "dialog", "download"):
        seen.page.on(event, lambda _, event=event: left.append(event))
    seen.page.goto(page.as_uri(), timeout=PATIENCE)
    figures = seen.page.locator(".figure").count()
    end = time.monotonic() + PATIENCE / 1000
    while seen.page.evaluate(MARKS) < figures and time.monotonic() < end:  # the page's policy lets nothing wait inside
        seen.page.wait_for_timeout(50)
    assert seen.page.evaluate(MARKS) == figures
    addresses = [address for address in seen.page.evaluate(PRESS) if address is not None]
    seen.page.wait_for_timeout(200)
    assert [address for address in addresses if not LINK.match(address)] == []
    assert (unquote(seen.page.url.partition("#")[0]), left, seen.outside) == (f"file://{page}", [], [])
    assert seen.page.evaluate("window.hacked ?? null") is None
    assert len(seen.page.frames) == 1
    return seen


@pytest.mark.parametrize("name", ["run/report.html", "failed/report.html", "gallery/walk.html", "gallery/index.html"])
def test_no_text_of_a_run_does_anything_on_a_page(shared, tab, name):
    folder, _, file = name.partition("/")
    seen = opened(tab, getattr(shared, folder) / file)
    assert seen.errors == []
    assert seen.page.get_by_text(HOSTILE[0]).count() > 0  # it is shown, as it is spelled
    for place in seen.page.locator(".figure").all():
        place.locator(".main-svg").first.wait_for(state="attached")


def test_a_strangers_notebook_does_nothing_on_its_page(shared, tab):
    seen = opened(tab, shared.foreign)
    drawn = seen.page.locator(".figure").evaluate_all("(all) => all.map((one) => !!one.querySelector('.main-svg'))")
    assert drawn[0] and drawn[-1] and sum(drawn) > 5
    assert seen.page.get_by_text("a visible link").count() > 2
    # The pictures and maps that its figures ask for are refused by the page's policy.
    assert any("Content Security Policy" in error for error in seen.errors)


def own_outputs(run: Path) -> tuple[list[dict], str]:
    """The figures and the HTML that lerpnb itself has put into an executed notebook."""
    cells = nbformat.read(run / "executed.ipynb", 4).cells
    shown = [out.data for cell in cells if "ln." in cell.source for out in cell.get("outputs", []) if "data" in out]
    return [data[PLOTLY] for data in shown if PLOTLY in data], "".join(data.get("text/html", "") for data in shown)


DRAW = """async (figures) => {
  for (const figure of figures) {
    const place = document.body.appendChild(document.createElement("div"));
    await Plotly.newPlot(place, figure.data, figure.layout, figure.config);
    for (const step of figure.layout.sliders?.[0]?.steps ?? []) await Plotly.update(place, ...step.args);
    for (const button of figure.layout.updatemenus?.[0]?.buttons ?? []) await Plotly.restyle(place, ...button.args);
  }
}"""
HOVER = """async ([number, trace, point, subplot]) => {
  await new Promise((resolve) => setTimeout(resolve, 80)); // plotly leaves out what follows too fast
  const place = document.querySelectorAll(".js-plotly-plot")[number];
  Plotly.Fx.hover(place, [{ curveNumber: trace, pointNumber: point }], subplot);
  return [...place.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ");
}"""


def test_figures_and_tables_of_a_run_do_nothing_where_no_page_guards_them(shared, tab):
    figures, tables = own_outputs(shared.run)
    assert len(figures) == 4 and "<table" in tables
    seen = tab()
    seen.page.set_content(f"<body>{tables}")
    seen.page.evaluate(plotly_js())
    seen.page.evaluate(DRAW, figures)
    read = []
    for number, figure in enumerate(figures):
        for place, trace in enumerate(figure["data"]):
            texts = trace.get("hovertext") or []
            if trace["type"] in ("scatter", "bar") and (points := [i for i, text in enumerate(texts) if text]):
                subplot = trace.get("xaxis", "x") + trace.get("yaxis", "y")
                read.append(seen.page.evaluate(HOVER, [number, place, points[-1], subplot]))
    assert sum("<" in text for text in read) > 5 and any(EVIL.partition(">")[0] in text for text in read)
    assert seen.page.locator("a, img, iframe, body script").count() == 0
    assert seen.page.evaluate("window.hacked ?? null") is None
    assert (seen.errors, seen.outside) == ([], [])


RENDER = """async ([source, messages]) => {
  const module = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const heard = [], model = { send() {}, on: (_, hear) => heard.push(hear), off() {} };
  (await import(module)).default.render({ model, el: document.body });
  for (const message of messages) heard.forEach((hear) => hear(message));
  await new Promise((resolve) => setTimeout(resolve, 200));
}"""


def test_the_live_explorer_shows_hostile_texts_as_they_are(tab):
    evil, curve = EVIL, dict(alpha=[0, 1], value=[0, 1], low=[0, None], high=[1, None], unit=EVIL)
    names = [f"strength/{evil}", "constructor/x", "__proto__/x", evil]
    messages = [
        dict(kind="setup", alphas=[0, 1], labels=["0", evil], index=0, axis=evil, ends=[0, 1], prompt=evil, to=evil)
        | dict(settings=dict(max_new_tokens=3, temperature=1, top_p=1, seed=0), others=[dict(name=evil, index=0)])
        | dict(curve=[dict(name=name, **curve) for name in names], unsupported=evil),
        dict(kind="page", prompt=evil, words=[HOSTILE, [evil]], diff=[[15] * len(HOSTILE), [15]], notes=[evil, evil])
        | dict(tokens=2, step=1, of=1, done=True),
        dict(kind="bars", index=0, word=0, context=evil, labels=[evil, HOSTILE[0]], p=[[0.5, 0.5], [0.1, 0.1]]),
        *(dict(kind=kind, text=evil) for kind in ("error", "saved", "not saved")),
        dict(kind="kept", alpha=evil, count=1, path=evil),
    ]
    seen = tab()
    source = Path(widget.__file__).with_name("static") / "widget.js"
    seen.page.evaluate(RENDER, [source.read_text(encoding="utf-8"), messages])
    root = seen.page.locator(".lerp-explorer")
    for place in (".alpha", ".text", ".strip", ".heading bdi", ".legend", ".error", ".others", ".curves", ".notice"):
        assert "<img" in root.locator(place).first.text_content(), place
    assert root.locator("a, img, script, iframe").count() == 0
    assert seen.page.evaluate("window.hacked ?? null") is None
    assert (seen.errors, seen.outside) == ([], [])
