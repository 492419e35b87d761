"""The look of every figure: the Plotly template "lerpnb", one palette, one table of units, texts made safe.

Colors are Okabe and Ito's, safe for color-blind eyes: minus and plus have one each, everywhere; strength is neutral.
Paper is white and text dark, 9.7 to 1, in a dark JupyterLab too; an exported page takes its reader's colors.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io

from lerpnb.results.bootstrap import Estimate
from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import number as number
from lerpnb.utils.text import plain, show

BLUE, GREEN, SKY, PURPLE, VERMILION, ORANGE = "#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#E69F00"
MINUS, PLUS = VERMILION, BLUE
COLORS = (GREEN, PURPLE, ORANGE, SKY, BLUE, VERMILION)
LINES = (GREEN, PURPLE, ORANGE, SKY)  # of quantities, beside the colors of minus and plus
NEUTRALS = ("#333333", "#777777", "#999999")  # of strengths
SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dot", "dash", "dashdot")

TEXT, INK, CLEAR, FAINT, SHADE = (
    "#444444",
    "#222222",
    "rgba(0,0,0,0)",
    "rgba(128,128,128,0.25)",
    "rgba(128,128,128,0.12)",
)

# From little to much, and from apart to alike: both keep their order for color-blind eyes, and in print.
SEQUENTIAL = [[0, "#FDE9B8"], [0.25, "#F3B05A"], [0.5, "#D9702F"], [0.75, "#A03A3F"], [1, "#5B1A53"]]
DIVERGING = [[0, "#B5470B"], [0.25, "#E9A06B"], [0.5, "#EFEDE8"], [0.75, "#79B3DD"], [1, "#0F5A94"]]
CHANGE = [[0, "#00664B"], [0.25, "#6FBFA3"], [0.5, "#EFEDE8"], [0.75, "#D9A3C3"], [1, "#8A2F66"]]  # falls, rises
UNITS = {
    "nats/token": "nats per token",
    "nats/text": "nats per text",
    "probability": "probability 0 to 1",
    "share": "share 0 to 1",
    "score": "raw score",
    "errors": "share of errors",
    "difference": "−1 to 1",
}

ALPHA = "alpha (no unit)"
Landmarks = Sequence[tuple[float, str]]
LANDMARKS: Landmarks = ((0, "minus"), (1, "plus"))  # of a line: the checkpoints and their alphas

_COLORS = dict(colorscale=SEQUENTIAL, colorbar=dict(thickness=12, outlinewidth=0))
_AXIS = dict(gridcolor=FAINT, zeroline=False, ticks="outside", tickcolor=FAINT, linecolor=FAINT, showline=True)

template = go.layout.Template(
    layout=dict(
        paper_bgcolor="white",
        plot_bgcolor="white",
        colorway=COLORS,
        font=dict(color=TEXT, size=13),
        hovermode="closest",
        hoverlabel=dict(bgcolor="white", font=dict(color=INK, size=13), align="left"),
        modebar=dict(bgcolor=CLEAR, color=FAINT, activecolor=TEXT, remove=["select2d", "lasso2d", "autoscale"]),
        legend=dict(orientation="h", x=0, xanchor="left", yanchor="bottom", itemwidth=40),
        xaxis=dict(title=dict(standoff=6, font=dict(size=14)), **_AXIS),
        yaxis=dict(title=dict(font=dict(size=14)), **_AXIS),
        annotationdefaults=dict(showarrow=False),
        coloraxis=_COLORS,
        sliderdefaults=dict(
            yanchor="top",
            pad=dict(t=0, b=0),
            currentvalue=dict(prefix="alpha = ", font=dict(size=15), offset=12),
            font=dict(size=12),
            **dict(bgcolor=FAINT, activebgcolor=TEXT, bordercolor=TEXT, tickcolor=FAINT),
            minorticklen=0,
            transition=dict(duration=0),
        ),
    ),
    data=dict(
        contour=[_COLORS],
        surface=[_COLORS],
        scatter=[dict(marker_colorbar=_COLORS["colorbar"])],
        heatmap=[dict(xgap=1, ygap=1, hoverinfo="text", hoverongaps=False)],
    ),
)
plotly.io.templates["lerpnb"] = template


def style(i: int) -> tuple[str, str, str]:
    """Color, symbol and dash of the i-th of many lines; no two of the first 24 share all three."""
    turn, n = divmod(i, len(COLORS))
    return COLORS[n], SYMBOLS[(i + turn) % len(SYMBOLS)], DASHES[turn % len(DASHES)]


def line(i: int) -> tuple[str, str]:
    """Color and symbol of the i-th quantity on an axis."""
    return LINES[i % 4], SYMBOLS[(i + i // 4) % 4]


def span(low: float, high: float, bounds: tuple[float, float] | None = None) -> list[float]:
    """The range of an axis from low to high, with room: at least a tenth of the bounds, or 2 % of the values' size."""
    least = 0.1 * (bounds[1] - bounds[0]) if bounds else 0.02 * max(abs(low), abs(high))
    room = max(0.08 * (high - low), (least - (high - low)) / 2) or 0.5
    return [low - room, high + room]


def finite(*columns: Iterable[float]) -> np.ndarray:
    """All finite numbers among some columns; 0 and 1 where there are none."""
    values = np.concatenate([np.asarray(list(column), float) for column in columns]) if columns else np.array([])
    values = values[np.isfinite(values)]
    return values if len(values) else np.array([0.0, 1.0])


def spread(heights: Sequence[float], least: float, low: float = -np.inf, high: float = np.inf) -> list[float]:
    """The heights, moved apart where two are nearer than the least distance, above low and, where they fit, below high;
    their order stays.

    >>> spread([0.0, 10.0, 1.0], 4.0), spread([9.0, 9.0], 4.0, high=10.0)
    ([-1.5, 10.0, 2.5], [6.0, 10.0])
    """
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    for i in order:
        groups.append([i])
        while len(groups) > 1 and _edge(heights, groups[-1], least, -1) - _edge(heights, groups[-2], least, 1) < least:
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = {i: _edge(heights, group, least, -1) + least * k for group in groups for k, i in enumerate(group)}
    for i in reversed(order):
        placed[i] = min(placed[i], high)
        high = placed[i] - least
    for i in order:
        placed[i] = max(placed[i], low)
        low = placed[i] + least
    return [float(placed[i]) for i in range(len(heights))]


def _edge(heights: Sequence[float], group: list[int], least: float, side: int) -> float:
    return float(np.mean([heights[i] for i in group])) + side * least * (len(group) - 1) / 2


def unit_label(unit: str) -> str:
    """A unit in words, as plotly may show it."""
    return escaped(UNITS.get(unit, unit))


def title(*parts: str, between: str = ", ") -> str:
    """The title of an axis: the parts that are not empty."""
    return between.join(filter(None, parts))


def quantity_title(quantity: str, unit: str) -> str:
    """The title of an axis of one quantity: "loss (negative), nats per token"."""
    of = Quantity.named(quantity)
    kind = "KL" if of.kind == "kl" else escaped(of.kind)
    return title(kind + (f" ({escaped(of.label)})" if of.label else ""), unit_label(unit))


def landmarks(provenance: dict) -> Landmarks:
    """The checkpoints on a curve's path and their alphas, from its provenance; a line's where that has none."""
    return [(float(alpha), escaped(str(name), 60)) for alpha, name in provenance.get("named", LANDMARKS)]


def facts(provenance: dict) -> dict:
    """What a page's footer says of a curve, from its provenance."""
    kept = ("ends", "device", "dtype", "seeds", "hashes", "versions", "started", "seconds")
    return {key: provenance[key] for key in kept if key in provenance}


def escaped(text: str, letters: int = 300) -> str:
    r"""A text from a model as plotly may show it: no tag, formula, template, control character or endless word.

    A newline becomes a return sign, since plotly does not wrap a table cell that holds a <br>. Longer texts end in ….

    >>> escaped("<b>$5</b>\n%{x}")
    '&lt;b&gt;&#36;5&lt;/b&gt; ↵ &#37;{x}'
    """
    return escape(plain(text, letters))


def escape(text: str) -> str:
    """A text without a tag, formula or template that plotly would take for its own; &quot; it would show as spelled."""
    return html.escape(text, quote=False).replace("$", "&#36;").replace("%{", "&#37;{")


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Five significant digits, None where not finite; a plain list, since plotly writes numpy as base64."""
    return [None if value is None or not np.isfinite(value) else float(f"{value:.5g}") for value in values]


def interval(row) -> str:
    """The 95 % interval of a row of a frame, "[0.50, 0.63]"."""
    text = Estimate(row.value, row.low, row.high).text()
    return text[text.index("[") :] if "[" in text else "unknown"


def with_interval(row) -> str:
    """A row's value, and its interval where it has one: "0.57 [0.50, 0.63]"."""
    return Estimate(row.value, row.low, row.high).text()


def from_to(rows: pd.DataFrame) -> str:
    """The first and the last value of a curve in words, for alt texts: "from 4 at alpha 0 to 5 at alpha 1"."""
    first, last = (f"{number(at.value)} at alpha {alpha_text(at.alpha)}" for at in rows.iloc[[0, -1]].itertuples())
    return f"from {first} to {last}"


def error_bars(rows: pd.DataFrame, **look: Any) -> dict | None:
    """The 95 % intervals of rows as thin bars; None where there are none."""
    if not np.isfinite(rows["low"]).any():
        return None
    up, down = rows["high"] - rows["value"], rows["value"] - rows["low"]
    return dict(type="data", symmetric=False, array=rounded(up), arrayminus=rounded(down), **look)


def alpha_text(alpha: float) -> str:
    """An alpha in full, with a true minus: 0.5625, not 0.562."""
    return show(float(f"{alpha:.6g}")).replace("-", "−")


def ends(alphas: Iterable[float]) -> tuple[int, int]:
    """Where minus and plus stand on a grid: at 0 and 1, else its first and last."""
    grid = list(alphas)
    return grid.index(0.0) if 0.0 in grid else 0, grid.index(1.0) if 1.0 in grid else len(grid) - 1


def diamond(color: str) -> dict:
    """The marker of the one alpha that is pointed out."""
    return dict(symbol="diamond", size=14, color=color, line=dict(width=1.5, color="white"))


def faint(color: str, opacity: float) -> str:
    """A #rrggbb color as rgba."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
