"""Every text of a stranger's parquet is drawn as it is spelled: no link can be pressed, in any figure."""

import re

import numpy as np
import pandas as pd
import pytest

import lerpnb as ln
from lerpnb.results.barrier import Barrier

EVIL = '<a href="https://evil.example/x">press</a><b>bold</b>%{x}'
PROVENANCE = {
    "ends": {"minus": EVIL, "plus": EVIL, "base": EVIL},
    "coordinate": EVIL,
    "named": [[0.0, EVIL], [1.0, EVIL]],
    "dtype": EVIL,
    "device": EVIL,
    "item_names": {f"loss/{EVIL}": [EVIL, EVIL]},
    "sampling": [EVIL],
}
# A tag that plotly draws as a link; a bold or a line break of our own is no harm.
LINK = re.compile(r"<a\b[^>]*href", re.I)


def curve() -> ln.Curve:
    points = {
        alpha: {
            f"loss/{EVIL}": ln.Measurement([alpha, 2 - alpha], unit=EVIL, items=EVIL),
            f"strength/{EVIL}": ln.Measurement([alpha / 2, 0.5], unit="probability", items="prompts"),
            "perplexity/continuations": ln.Measurement([9.0, 10 + alpha], unit=EVIL, items="prompts"),
            f"score/{EVIL}": ln.Measurement([alpha, -1.0], unit="score", items="prompts"),
        }
        for alpha in (0.0, 0.5, 1.0)
    }
    texts = pd.DataFrame(
        [
            {"alpha": alpha, "prompt_id": i, "draw": 0, "prompt": EVIL, "continuation": EVIL, "n_tokens": 3}
            | {f"strength/{EVIL}": 0.5}
            for alpha in points
            for i in (0, 1)
        ]
    )
    return ln.Curve.from_measures(points, texts, PROVENANCE)


def surface() -> ln.Surface:
    points = {
        (x, y): {f"loss/{EVIL}": ln.Measurement([x + y, x], unit=EVIL), f"strength/{EVIL}": ln.Measurement([x, y])}
        | {"strength/other": ln.Measurement([y, x])}
        for x in (0.0, 0.5, 1.0)
        for y in (0.0, 0.5, 1.0)
    }
    return ln.Surface.from_measures(points, None, PROVENANCE)


FIGURES = {
    "curve": lambda: curve().plot(),
    "best": lambda: ln.plots.plot_curve(curve(), curve().best(f"strength/{EVIL}")),
    "curves": lambda: ln.plots.plot_curves({EVIL: {EVIL: curve()}}, {f"loss/{EVIL}": EVIL}, EVIL),
    "items": lambda: ln.plots.plot_items(curve(), f"loss/{EVIL}"),
    "items of prompts": lambda: ln.plots.plot_items(curve(), f"strength/{EVIL}"),
    "tradeoff": lambda: ln.plots.plot_tradeoff(curve()),
    "tradeoff of two": lambda: ln.plots.plot_tradeoff(curve(), x=f"loss/{EVIL}", y=f"score/{EVIL}"),
    "surface": lambda: surface().plot(),
    "contour": lambda: ln.plots.plot_contour(surface(), f"loss/{EVIL}"),
    "surface in 3-D": lambda: ln.plots.plot_surface_3d(surface(), f"loss/{EVIL}"),
    "heat maps": lambda: ln.plots.plot_heatmaps(surface()),
}


def drawn(thing) -> list[str]:
    """The texts that plotly draws, wherever they stand in a figure; the alt text is none of them."""
    if isinstance(thing, str):
        return [thing]
    if isinstance(thing, dict):
        return [text for key, value in thing.items() if key != "meta" for text in drawn(value)]
    return [text for value in thing for text in drawn(value)] if isinstance(thing, (list, tuple)) else []


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_draws_a_strangers_link(name):
    figure = FIGURES[name]()
    texts = drawn(figure.to_plotly_json() | {"data": [trace.to_plotly_json() for trace in figure.data]})
    texts = [str(text) for text in np.ravel(texts)]
    assert any("press" in text for text in texts)  # it is drawn, as text
    assert [text[:200] for text in texts if LINK.search(text)] == []


def test_no_table_and_no_text_of_a_result_holds_a_strangers_link():
    one = curve()
    shown = [ln.plots.plot_texts(one), one, surface(), one.barrier(f"loss/{EVIL}")]
    for thing in shown:
        if hasattr(thing, "_repr_html_"):
            assert not LINK.search(thing._repr_html_() or "")
    assert isinstance(shown[-1], Barrier)
