"""Static images: a PNG beside each Plotly figure of a notebook, for a reader that runs no scripts.

They need a Chrome or Chromium. Without one the notebook keeps its figures and their alt texts, and no image.
"""

import base64
import io
import json

from nbformat import NotebookNode

from lerpnb.plots import image
from lerpnb.runs.report.facts import PLOTLY, figure_in
from lerpnb.runs.staging import say

WIDTH = 840  # pixels: JupyterLab shows an image at its own size, and cuts off what is wider than its panel


def with_images(notebook: NotebookNode) -> NotebookNode:
    """The same notebook, changed in place, with an image/png beside every Plotly figure that has none.

    Without a Chrome the notebook stays as it is, and one message says how to get one.
    """
    outputs = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    bundles = [out.data for out in outputs if figure_in(out) and "image/png" not in out.data]
    images = static_images([bundle[PLOTLY] for bundle in bundles])
    for bundle, png in zip(bundles, images, strict=True):
        if png is not None:
            bundle["image/png"] = base64.b64encode(png).decode()
    if missing := images.count(None):
        chrome = image.find_chrome()
        reason = f"{chrome} did not draw them." if chrome else "they need Chrome or Chromium, and none was found."
        say(f"{missing} of {len(images)} figures have no static image: {reason}\n{image.GET_CHROME}")
    return notebook


def static_images(figures: list[dict], width: int = WIDTH, scale: float = 1.0) -> list[bytes | None]:
    """Each figure (as Plotly's JSON) as a PNG in at most 256 colors; None where it cannot be drawn."""
    figures = [json.loads(json.dumps(figure), parse_constant=lambda _: None) for figure in figures]  # NaN is no JSON
    return [png and _quantized(png) for png in image.draw(figures, width, scale)]


def _quantized(png: bytes) -> bytes:
    """The image in at most 256 colors: a third of the bytes, with no visible difference."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
