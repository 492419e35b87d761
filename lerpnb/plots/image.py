"""Static images of figures, drawn by kaleido with a Chrome or Chromium."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from lerpnb.errors import RunError
from lerpnb.plots.theme import TEXT
from lerpnb.results.display import Displayed
from lerpnb.utils.atomic import atomic_file, disk_errors

FORMATS = ("png", "jpg", "jpeg", "webp", "svg", "pdf")
GET_CHROME = "Get one with `plotly_get_chrome`, or name yours in $BROWSER_PATH."
PATIENCE = 60  # seconds for all figures of one call


def save_image(figure: go.Figure | Displayed, path: str | Path, width: int = 1000, scale: float = 2.0) -> Path:
    """Write a figure, or the figure of a result, as a static image on white.

    Args:
        figure: a Plotly figure, or a result such as a `Curve`.
        path: where to; its suffix is the format: .png, .jpg, .webp, .svg or .pdf.
        width: pixels of the figure.
        scale: pixels of the image for each pixel of the figure.

    Returns:
        The path.

    Raises:
        RunError: an unknown format, no Chrome or Chromium that draws, or a full disk.

    Example:
        >>> save_image(go.Figure(), "curve.gif")
        Traceback (most recent call last):
            ...
        lerpnb.errors.RunError: save_image('curve.gif'): no format '.gif'.
        Pass a path that ends in one of: png, jpg, jpeg, webp, svg, pdf.
    """
    path, call = Path(path), f"save_image({str(path)!r})"
    if (kind := path.suffix[1:].lower()) not in FORMATS:
        raise RunError(f"{call}: no format {path.suffix!r}.\nPass a path that ends in one of: {', '.join(FORMATS)}.")
    if (chrome := find_chrome()) is None:
        raise RunError(f"{call}: a static image needs Chrome or Chromium, and none was found.\n{GET_CHROME}")
    drawn = figure.plot() if isinstance(figure, Displayed) else figure
    [image] = draw([json.loads(drawn.to_json())], width, scale, kind)
    if image is None:
        raise RunError(f"{call}: {chrome} did not draw the figure.\n{GET_CHROME}")
    with disk_errors(RunError, call, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary:
            temporary.write_bytes(image)
    return path


def find_chrome() -> str | None:
    """The path of a Chrome or Chromium: $BROWSER_PATH, what `plotly_get_chrome` has fetched, or one of the system's."""
    import os

    from choreographer.browsers.chromium import Chromium

    return os.environ.get("BROWSER_PATH") or Chromium.find_browser(skip_local=False)


def draw(figures: list[dict], width: int, scale: float = 1.0, kind: str = "png") -> list[bytes | None]:
    """Each figure (as Plotly's JSON) as an image on white; None where there is no Chrome, or it does not answer."""
    images: list[bytes | None] = [None] * len(figures)
    if not figures or (path := find_chrome()) is None:
        return images

    async def draw_all() -> None:
        import kaleido

        # MathJax would be fetched from a network.
        async with kaleido.Kaleido(n=1, timeout=PATIENCE / 2, mathjax=False, path=path) as chrome:
            for i, figure in enumerate(figures):
                with suppress(Exception):  # one figure that fails leaves the others theirs
                    figure = _on_white(figure)
                    size = dict(width=width, height=figure["layout"].get("height") or 450)
                    images[i] = await chrome.calc_fig(figure, opts=dict(format=kind, scale=scale, **size))

    def work() -> None:  # in a thread, since a notebook's kernel has an event loop of its own
        import asyncio

        with suppress(Exception):  # a browser fails in many ways
            asyncio.run(asyncio.wait_for(draw_all(), PATIENCE))

    (thread := threading.Thread(target=work, daemon=True)).start()
    thread.join(PATIENCE + 10)
    return list(images)


def _on_white(figure: dict) -> dict:
    """The figure on white paper, its text darker than on a page that may be dark."""
    layout: dict[str, Any] = (figure.get("layout") or {}) | {"paper_bgcolor": "white", "plot_bgcolor": "white"}
    fonts = [layout.get("font") or {}, ((layout.get("template") or {}).get("layout") or {}).get("font") or {}]
    if TEXT in [font.get("color") for font in fonts]:
        layout["font"] = {**fonts[0], "color": "#333333"}
    return {"data": figure.get("data") or [], "layout": layout}
