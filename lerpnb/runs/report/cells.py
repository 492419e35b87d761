"""What leaves a notebook's order on the page: title, headline and figures, and the lines that say how work went."""

import html
import json
import re
import uuid
from typing import Any

from nbformat import NotebookNode

from lerpnb.runs.report.facts import PLOTLY, figure_in

HEADLINE = "headline"  # tag of the cell whose figure stands at the top
LONGEST = 300  # letters of a finding: more is a description, which stays the figure's alt text
HEIGHT, MOST = 450, 10_000  # pixels of a figure: where it says none, and of any
LINE = 22  # pixels of one line of a figure's title
NEVER_SHOWN = ("application/vnd.jupyter.widget-view+json", "application/javascript")
CONFIG = {"showSendToCloud": False, "displaylogo": False, "typesetMath": False, "responsive": True}
PROGRESS = re.compile(  # what lerpnb prints of its work, not of a result
    r"[\w ()-]*: (\d+ of )?\d+ in (\d+ h )?(\d+ min )?[\d.]+ (s|min)(, stopped early)?$"
    r"|(texts|store|alpha_grid\(.*\)|evaluate\(adaptive\)): |recorded in "
    r"|[\w &+,-]+ at [\d.,() -]+: (alpha \S+ in |([a-z]+: )?-?[\d.]+ x )"
)


def headline(notebook: NotebookNode) -> dict | None:
    """The figure, as Plotly's JSON, of the first cell that is tagged `headline`."""
    tagged = [cell for cell in notebook.cells if HEADLINE in cell.metadata.get("tags", [])]
    return next(filter(None, (figure_in(out) for cell in tagged for out in cell.get("outputs", []))), None)


def finding(figure: dict) -> str:
    """What a figure says, as plain text: its title, else its alt text; empty where neither is there, or too long.

    >>> finding({"layout": {"title": {"text": "Loss stays <b>below</b>"}, "meta": {"alt": "two lines"}}})
    'Loss stays below'
    >>> finding({"layout": {"title": "<b>Loss</b> stays<br>below<br><b>Strength</b> rises"}})
    'Loss stays below. Strength rises.'
    """
    layout = figure.get("layout") or {}
    title, meta = layout.get("title"), layout.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    text = (title.get("text") if isinstance(title, dict) else title) or meta.get("alt")
    if not isinstance(text, str):
        return ""
    sentences = re.sub(r"[.]?<br>(?=(<\w+>)?[A-Z])", ". ", text)  # one a line
    plain = " ".join(html.unescape(re.sub(r"<[^>]*>", "", sentences.replace("<br>", " "))).split())
    if not plain or len(plain) > LONGEST:
        return ""
    return f"{plain}." if ". " in plain and plain[-1] != "." else plain


def take_title(notebook: NotebookNode) -> str:
    """Take the heading out of the first cell that begins with one; its text."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (heading := re.match(r"\s*#[ \t]+(.+)\n?", cell.source)):
            cell.source = cell.source[heading.end() :]
            return re.sub(r"[*`]|<[^>]*>", "", heading[1]).strip()
    return ""


def take_progress(notebook: NotebookNode) -> list[str]:
    """Take the lines out of what cells printed that say how work went; these lines."""
    lines = []
    for cell in notebook.cells:
        for out in cell.get("outputs", []):
            if out.output_type == "stream" and out.name == "stdout":
                printed = "".join(out.text).split("\n")
                lines += [line for line in printed if PROGRESS.match(line)]
                out.text = "\n".join(line for line in printed if not PROGRESS.match(line))
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("text", True)]
    return lines


def take_figures(notebook: NotebookNode) -> tuple[list[dict], dict[str, str], str]:
    """Move every Plotly figure out of the notebook, and drop widgets.

    Returns the figures, the headline first; a mark -> the static image that it stands for; the headline's place.
    """
    top, first = headline(notebook), ""
    notebook.metadata.pop("widgets", None)
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    for out in outputs:
        for kind in (*NEVER_SHOWN, *([] if figure_in(out) else [PLOTLY])):
            out.data.pop(kind, None)
    drawn = sorted((out for out in outputs if PLOTLY in out.data), key=lambda out: out.data[PLOTLY] is not top)
    figures: list[dict] = []
    images: dict[str, str] = {}
    for number, out in enumerate(drawn, start=1):
        # JSON knows no NaN; null is drawn as the gap that it is.
        figure = json.loads(json.dumps(out.data[PLOTLY]), parse_constant=lambda _: None)
        figure |= {"config": CONFIG, "data": figure.get("data") or [], "layout": figure.get("layout") or {}}
        figures.append(figure)
        mark = f"image-{uuid.uuid4().hex}"
        place, images[mark] = _place(figure, number, mark, out.data.get("image/png", ""))
        if out.data[PLOTLY] is top:
            first = place
            _drop_title(figure["layout"])
            place = '<p class="moved"><a href="#figure-1">This figure is at the top of the page.</a></p>'
        out["data"] = NotebookNode({"text/html": place})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("data", True)]
    return figures, images, first


def _place(figure: dict[str, Any], number: int, mark: str, png: str) -> tuple[str, str]:
    """Where a figure is drawn, as HTML with the mark in it; and the static image, which is there until then."""
    layout = figure["layout"]
    meta, height = layout.get("meta"), layout.get("height")
    alt = str(meta.get("alt") or "") if isinstance(meta, dict) else ""
    alt = alt or finding(figure) or f"Figure {number}"
    if not isinstance(height, int | float) or not 0 < height < MOST:
        layout.pop("height", None)
        height = HEIGHT
    label, data = html.escape(re.sub(r"<[^>]*>", " ", alt)), html.escape("".join(png.split()))
    image = f'<img class="still" src="data:image/png;base64,{data}" alt="{label}">' if png else ""
    place = f'id="figure-{number}" class="figure" role="group" aria-label="{label}"'
    return f'<div {place} style="height: {int(height)}px">{mark}</div>', image


def _drop_title(layout: dict[str, Any]) -> None:
    """Take the title away, which stands above the figure as text, and its room."""
    title, margin = layout.pop("title", None), layout.get("margin")
    margin = margin if isinstance(margin, dict) else {}
    text = title.get("text") if isinstance(title, dict) else title
    room = LINE * len(str(text).split("<br>")) if text else 0
    top = margin.get("t")
    if layout.get("height") and isinstance(top, int | float) and top > room:
        layout["height"] -= room
        margin["t"] = top - room
