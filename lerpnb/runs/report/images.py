"""PNG twins: a still picture beside each Plotly figure of a notebook, for a reader that runs no scripts.

Chrome or Chromium draws them where there is one, else matplotlib, plainly. A notebook is never worse off for asking.
"""

import base64
import io
import json
import os
import shutil
import threading
from contextlib import suppress
from typing import Any

from nbformat import NotebookNode

from lerpnb.plots.theme import TEXT

PLOTLY = "application/vnd.plotly.v1+json"


BROWSERS = "chromium chromium-browser google-chrome google-chrome-stable chrome".split()


WIDTH = 840  # pixels: JupyterLab shows a twin at its own size, and cuts off what is wider than its panel


PATIENCE = 60  # seconds for all of a notebook's figures, before matplotlib draws them


def with_images(notebook: NotebookNode) -> NotebookNode:
    """The same notebook, changed in place, with an image/png beside every Plotly figure that has none."""
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    bundles = [out.data for out in outputs if PLOTLY in out.get("data", {}) and "image/png" not in out.data]
    figures = [json.loads(json.dumps(bundle[PLOTLY]), parse_constant=lambda _: None) for bundle in bundles]
    for bundle, png in zip(bundles, stills(figures), strict=True):
        bundle["image/png"] = base64.b64encode(png).decode()
    return notebook


def stills(figures: list[dict], width: int = WIDTH, scale: float = 1.0) -> list[bytes]:
    """Each figure (as plotly's JSON) as a PNG on white, in at most 256 colours."""
    figures = [_on_white(figure) for figure in figures]
    drawn = by_browser(figures, width, scale) if figures else []
    if drawn is None:
        drawn = [by_matplotlib(figure, width, scale) for figure in figures]
    return [_packed(png) for png in drawn]


def browser() -> str | None:
    """Where a Chrome or Chromium is: `BROWSER_PATH`, or one of its names on the PATH."""
    return os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, BROWSERS)), None)


def by_browser(figures: list[dict], width: int, scale: float) -> list[bytes] | None:
    """The figures drawn by kaleido, in one browser; None where there is no browser, or it does not answer."""
    if (path := browser()) is None:
        return None
    drawn: list[bytes] = []

    async def draw() -> None:
        import kaleido

        # mathjax would be asked of a network
        async with kaleido.Kaleido(n=1, timeout=PATIENCE / 2, mathjax=False, path=path) as artist:
            for figure in figures:
                size = dict(width=width, height=figure["layout"].get("height") or 450)
                spec = {"data": figure.get("data", []), "layout": figure["layout"]}
                drawn.append(await artist.calc_fig(spec, opts=dict(format="png", scale=scale, **size)))

    def work() -> None:  # a thread, since a notebook's kernel has a loop of its own
        import asyncio

        with suppress(Exception):  # whatever a browser can do wrong, matplotlib can draw
            asyncio.run(asyncio.wait_for(draw(), PATIENCE))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE + 10)
    return drawn if len(drawn) == len(figures) and not thread.is_alive() else None


def _on_white(figure: dict) -> dict:
    """The figure on white paper with darker letters, its buttons and templates gone."""
    figure = {"data": figure.get("data") or [], "layout": dict(figure.get("layout") or {})}
    layout = figure["layout"]
    layout |= {"paper_bgcolor": "white", "plot_bgcolor": "white"}
    if (layout.get("font") or {}).get("color") == TEXT:
        layout["font"] = {**layout["font"], "color": "#333333"}
    return figure


def _packed(png: bytes) -> bytes:
    """The picture in at most 256 colours: a third of the bytes, and no eye sees it."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def by_matplotlib(figure: dict, width: int, scale: float) -> bytes:
    """The figure drawn plainly; where even that fails, its words on a card."""
    from lerpnb.runs.report.drawing import card, drawing

    try:
        return drawing(figure, width, scale)
    except Exception:
        meta: Any = figure["layout"].get("meta")
        return card(meta.get("alt") or "" if isinstance(meta, dict) else "", width, scale)
