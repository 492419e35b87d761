"""The figures that a saved notebook holds, and a person who uses each in JupyterLab."""

from pathlib import Path

import nbformat
from browser import GO_TO

PLOTLY = "application/vnd.plotly.v1+json"
UNTRUSTED = "() => window.jupyterapp.shell.currentWidget.content.widgets.some((cell) => !cell.model.trusted)"


def outputs(path: Path) -> list[tuple[int, list]]:
    """(place, outputs) of every code cell."""
    return [(i, cell.outputs) for i, cell in enumerate(nbformat.read(path, 4).cells) if cell.cell_type == "code"]


def figures(path: Path) -> list[tuple[int, int, dict]]:
    """(place of the cell, which of its figures, figure) of every figure that a saved notebook holds."""
    collected = []
    for place, shown in outputs(path):
        drawn = [out["data"][PLOTLY] for out in shown if PLOTLY in out.get("data", {})]
        collected += [(place, number, figure) for number, figure in enumerate(drawn)]
    return collected


def see_and_press(seen, panel, shown: list[tuple[int, int, dict]]) -> None:
    """Go to every figure, as a cell is drawn when it comes into sight, and press its own slider: the label follows."""
    for cell, number, figure in shown:
        seen.page.evaluate(GO_TO, cell)
        place = panel.locator(f'[data-windowed-list-index="{cell}"] .jp-RenderedPlotly').nth(number)
        seen.expect(place.locator(".plot-img:visible, .main-svg:visible").first).to_be_visible()
        place.scroll_into_view_if_needed()
        box = place.bounding_box()
        inside = min(max(box["y"] + 20, 260), box["y"] + box["height"] - 5)  # a tall one's top may be out of sight
        seen.page.mouse.move(box["x"] + box["width"] / 2, inside)  # a stored picture comes alive under the mouse
        place.locator(".main-svg").first.wait_for(state="attached", timeout=90_000)
        if sliders := figure["layout"].get("sliders"):
            look = figure["layout"]["template"]["layout"]["sliderdefaults"] | sliders[0]
            for share, step in ((0.99, -1), (0.01, 0)):
                seen.slide(place, share)
                label = look["currentvalue"]["prefix"] + look["steps"][step]["label"]
                seen.expect(place.locator(".slider-label").first).to_have_text(label)
