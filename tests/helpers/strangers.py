"""A stranger's notebook, executed elsewhere: hostile texts in every place, and all that a page may ask for."""

import base64
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from pages import HOSTILE, PLOTLY, cell, shown

EVIL = '<img src=x onerror="window.hacked=21"><a href="javascript:window.hacked=22">press</a>%{x}$\\alpha$'

# HTML of other people, beside that of pages.py: links that are none of the web, what is loaded, what takes a place.
FOREIGN = [
    *HOSTILE,
    *(
        f"<a href='{address}'>press</a>"
        for address in (
            "vbscript:x",
            "data:text/html,<script>1</script>",
            "file:///etc/passwd",
            "//example.com",
            "x.html",
        )
    ),
    "<a href='https://example.com' target='_top' onclick='window.hacked=40'>a visible link</a>",
    "<svg><a xlink:href='javascript:window.hacked=41'><text y='9'>press</text></a></svg>",
    "<svg><use href='data:image/svg+xml,x#x'/></svg>",
    "<svg><animate attributeName='href' values='javascript:window.hacked=42'/></svg>",
    "<input autofocus onfocus='window.hacked=43'><details open ontoggle='window.hacked=44'>x</details>",
    "<video poster='//example.com/x.png' src='//example.com/x.mp4'></video><audio src='https://example.com'>",
    "<object data='//example.com'></object><embed src='//example.com'><input type='image' src='//example.com'>",
    "<link rel='dns-prefetch' href='//example.com'><link rel='preload' as='image' href='//example.com/x.png'>",
    "<img srcset='https://example.com/x.png 2x'><picture><source srcset='https://example.com/x.png'></picture>",
    "<table background='https://example.com/x.png'><tr><td background='https://example.com/x.png'>x</table>",
    "<p style='background-image:image-set(\"https://example.com/x.png\" 1x)'>x</p>",
    "<style>@import 'https://example.com/x.css'; @font-face{font-family:x;src:url(//example.com/x)}</style>",
    "<p id='plotly'>window.hacked=45</p><script id='plotly' type='text/plain'>window.hacked=46</script>",
    "<div id='figures'>[]</div><div id='figure-1'>clobbered</div><b id='code'>clobbered</b><img name='getElementById'>",
    "<img src='../../secret.png'><img src='/etc/passwd'><img src='link.png'>",
]


def hostile_figure(**more) -> dict:
    """A figure whose every text is hostile, that asks for pictures, maps, and a vendor's server."""
    trace = dict(
        type="scatter", x=[0, 1], y=[0, 1], name=EVIL, text=[EVIL, EVIL], hovertext=[EVIL, EVIL], mode="markers+text"
    )
    link = '<a href="https://example.com" target="_top">a visible link</a>'
    layout = {
        "title": {"text": f"{EVIL}{link}{HOSTILE[0]}"},
        "xaxis": {"title": {"text": HOSTILE[7]}, "ticktext": [EVIL, HOSTILE[2]], "tickvals": [0, 1]},
        "annotations": [{"text": text, "x": 0.5, "y": 0.5} for text in HOSTILE if len(text) < 1000],
        "images": [{"source": "https://example.com/x.png", "x": 0, "y": 1, "sizex": 1, "sizey": 1}],
        "font": {"family": "x;background:url(https://example.com/x.png)"},
        "meta": {"alt": EVIL, "facts": {"device": EVIL}},
        "sliders": [
            {"steps": [{"label": EVIL, "method": "update", "args": [{}, {}]}], "currentvalue": {"prefix": EVIL}}
        ],
    }
    config = {"showLink": True, "linkText": EVIL, "sendData": True, "plotlyServerURL": "https://example.com"}
    config |= {
        "showSendToCloud": True,
        "topojsonURL": "https://example.com/",
        "mapboxAccessToken": "pk.x",
        "editable": True,
    }
    return {"data": [trace], "layout": layout, "config": config} | more


FIGURES = [
    hostile_figure(),
    hostile_figure(data=[{"type": "scattergeo", "lon": [0], "lat": [0], "text": [EVIL]}]),
    hostile_figure(data=[{"type": "scattermap", "lon": [0], "lat": [0], "text": [EVIL]}]),
    hostile_figure(data=[{"type": "image", "source": "https://example.com/x.png"}]),
    hostile_figure(data=[{"type": "table", "header": {"values": [EVIL]}, "cells": {"values": [[EVIL]]}}]),
    hostile_figure(data={"type": "scatter"}),
    hostile_figure(layout=[EVIL]),
    hostile_figure(layout={"height": EVIL, "annotations": EVIL, "sliders": EVIL, "title": [EVIL]}),
    hostile_figure(layout={"height": 1e999}),
    EVIL,
    [EVIL],
    hostile_figure(),
]
WIDGET = "application/vnd.jupyter.widget-view+json"


def write_foreign(path: Path) -> None:
    """Another person's notebook, executed elsewhere, in a folder with a link out of it."""
    (path.parent.parent / "secret.png").write_bytes(b"planted picture")
    (path.parent / "link.png").symlink_to("../secret.png")
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' onload='top.hacked=50'><script>top.hacked=51</script>{EVIL}</svg>"
    vega = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": {"url": "https://example.com/x.json"}}
    state = {"state": {"x": {"model_name": "HTMLModel", "state": {"value": HOSTILE[2]}}}, "version_major": 2}
    cells = [new_markdown_cell(f"# {EVIL}\n\n" + "\n\n".join(FOREIGN[:1]))]
    cells += [new_markdown_cell(text) for text in FOREIGN]
    cells += [
        new_markdown_cell(f"[press](javascript:window.hacked=52) <javascript:window.hacked=53> ${text[:200]}$")
        for text in FOREIGN
    ]
    cells += [
        new_markdown_cell(
            "![x](../secret.png) ![x](link.png) ![x](/etc/passwd) ![x](attachment:x.png) ![x](//example.com/x.png)"
        )
    ]
    cells[-1]["attachments"] = {"x.png": {"text/html": base64.b64encode(b"<script>top.hacked=54</script>").decode()}}
    cells += [new_raw_cell(text, metadata={"raw_mimetype": "text/html"}) for text in FOREIGN]
    cells += [new_raw_cell(text) for text in FOREIGN]
    cells += [cell(shown(html=text), shown(markdown=text), shown(svg=text), source=text) for text in FOREIGN]
    cells += [
        cell(shown(plain=text), new_output("stream", text=text), new_output("stream", name="stderr", text=text))
        for text in FOREIGN
    ]
    cells += [
        cell(new_output("error", ename=text, evalue=text, traceback=[text, f"\x1b[31m{text}"])) for text in FOREIGN
    ]
    cells += [
        cell(shown(svg=svg)),
        cell(shown(png='x" onerror="top.hacked=55'), shown(javascript="window.hacked = 56")),
    ]
    kinds = {"text/latex": EVIL, "image/jpeg": f'"><script>{EVIL}', "text/vnd.mermaid": EVIL, "application/pdf": EVIL}
    cells += [cell(new_output("display_data", {kind: value})) for kind, value in kinds.items()]
    for kind in (
        "application/vnd.vegalite.v5+json",
        "application/vnd.vega.v5+json",
        "application/geo+json",
        "application/json",
    ):
        cells.append(cell(new_output("display_data", {kind: vega, "text/plain": EVIL})))
    cells.append(cell(new_output("display_data", {WIDGET: {"model_id": "x"}, "text/plain": EVIL})))
    cells += [cell(new_output("display_data", {PLOTLY: figure, "text/plain": "a figure"})) for figure in FIGURES]
    cells[-1].metadata.tags = ["headline", EVIL]
    cells.insert(1, new_code_cell(f"name: str = {EVIL!r}", metadata={"tags": ["parameters"]}))
    cells.insert(2, new_code_cell(f"name = {EVIL!r}", metadata={"tags": ["injected-parameters"]}))
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": state}, "title": EVIL}
    metadata |= {"kernelspec": {"name": EVIL, "display_name": EVIL}, "papermill": {"parameters": {EVIL: EVIL}}}
    metadata |= {"language_info": {"name": EVIL, "pygments_lexer": "html"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
