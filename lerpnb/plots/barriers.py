"""A forest plot of barriers: how far each of several lines goes beyond the chord between its own ends, at most."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import TEXT, alpha_text, escaped
from lerpnb.results.barrier import Barrier
from lerpnb.utils.text import plain

ROW, BETWEEN = 44, 84  # pixels of a condition, and between two panels
VERDICTS = {  # color, symbol, words
    "breaks": ("#A61C3C", "x", "barrier"),
    "open": (theme.ORANGE, "diamond-open", "undecided"),
    "holds": (theme.GREEN, "circle", "no barrier"),
    "unknown": (TEXT, "circle-open", "cannot tell"),
    "unmeasured": (TEXT, "circle-open", "cannot tell"),
}


def plot_barriers(barriers: Mapping[str, Barrier], *, tolerance: float = 0.0, facts: dict | None = None) -> Figure:
    """A row a line: its largest signed gap to the chord inside (0, 1) with its paired 95 % interval, the worst on top.

    Zero, the heavy line, is the chord, and the dashed line the tolerance. Color and symbol are the verdict, which is
    that of all inner alphas. A panel a unit, and one of its own for lines that break, whose scale would flatten others.

    Args:
        barriers: a line's name -> its barrier.
        tolerance: a rise up to which there is no barrier, in the quantity's unit.
        facts: what a page's footer says of the figure, as `theme.facts` gives it.

    Raises:
        CurveError: no barriers.

    Example:
        >>> from lerpnb.results.curve import Curve
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2])} for a in (0.0, 0.5, 1.0)}
        >>> fig = plot_barriers({"a line": Curve.from_measures(points).barrier("loss/x")})
        >>> fig.data[0].x, fig.data[0].marker.symbol, fig.layout.title.text
        ((-0.25,), ('circle',), '<b>No barrier: 1 of 1</b>')
    """
    if not barriers:
        raise CurveError("plot_barriers(barriers): none.\nAdd a condition to the study first.")
    verdicts = {name: barrier.verdict(tolerance) for name, barrier in barriers.items()}
    panels = _panels(barriers, verdicts)
    words = [VERDICTS[verdict][2] for verdict in verdicts.values()]
    counts = [f"{word}: {words.count(word)} of {len(words)}" for word in dict.fromkeys(v[2] for v in VERDICTS.values())]
    finding = "; ".join(count for count in counts if ": 0 of" not in count)
    each = "; ".join(f"{name} {_text(barrier)} {barrier.unit}".rstrip() for name, barrier in barriers.items())
    alt = f"{finding[:1].upper()}{finding[1:]}. Largest gap to the chord: {each}."
    heights = [ROW * len(names) + 24 for _, names in panels]
    fig = Figure.panels(heights, alt, facts, gap=BETWEEN, top=64, bottom=72, left=140, shared_xaxes=False)
    fig.add_finding([finding])
    for row, (title, names) in enumerate(panels, start=1):
        _add_panel(fig, row, title, {name: barriers[name] for name in names}, verdicts, tolerance)
    return fig.update_layout(showlegend=False)


def plot_study(study: Any) -> Figure:
    """Every condition's gap to the chord, of a `BarrierStudy`: see `plot_barriers`."""
    barriers = {name: condition.barrier for name, condition in study.conditions.items()}
    facts = theme.facts(study.curve.provenance) if barriers else None
    return plot_barriers(barriers, tolerance=study.tolerance, facts=facts)


def _panels(barriers: Mapping[str, Barrier], verdicts: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The title and the names of each panel: of each unit the lines that break, then the others."""
    panels = []
    for unit in dict.fromkeys(barrier.unit for barrier in barriers.values()):
        names = [name for name, barrier in barriers.items() if barrier.unit == unit]
        parts = [[n for n in names if (verdicts[n] == "breaks") is broken] for broken in (True, False)]
        panels += [(theme.title("largest gap to the chord", theme.unit_label(unit)), part) for part in parts if part]
    return panels


def _add_panel(fig: Figure, row: int, title: str, barriers: dict, verdicts: Mapping[str, str], limit: float) -> None:
    size = {name: _worse(barrier) for name, barrier in barriers.items()}
    names = sorted(barriers, key=lambda name: size[name])  # plotly counts upwards
    found = [barriers[name].worst for name in names]
    gaps = [[np.nan] * 3 if one is None else [one[0].value, one[0].low, one[0].high] for one in found]
    value, low, high = np.array(gaps, float).T
    looks = [VERDICTS[verdicts[name]] for name in names]
    hover = [_sentence(name, barriers[name], look[2]) for name, look in zip(names, looks, strict=True)]
    places, colors = list(range(len(names))), [look[0] for look in looks]
    for place, (down, up, color) in enumerate(zip(low, high, colors, strict=True)):
        if np.isfinite(down):
            bar: dict[str, Any] = dict(x0=down, x1=up, y0=place, y1=place, line=dict(color=color, width=3))
            fig.add_shape(type="line", row=row, col=1, **bar)
    marker = dict(symbol=[look[1] for look in looks], color=colors, size=12, line_width=2, opacity=1)
    fig.add_series(value, places, TEXT, hover, mode="markers", marker=marker, row=row, name="largest gap")
    start, stop = theme.span(*(f(theme.finite(value, low, high, [0.0, limit])) for f in (np.min, np.max)))
    axis = row if row > 1 else ""
    for place, (name, look) in enumerate(zip(names, looks, strict=True)):
        at = float(value[place]) if np.isfinite(value[place]) else 0.0
        share = (at - start) / (stop - start)
        side = "left" if share < 0.3 else "right" if share > 0.7 else "center"
        text = f"{_text(barriers[name])} <b>{look[2]}</b>"
        where = dict(
            x=at, y=place, xref=f"x{axis}", yref=f"y{axis}", yshift=16, xanchor=side, font_size=12, name="verdict"
        )
        fig.add_annotation(
            text=text, bgcolor="rgba(255,255,255,0.8)", font_color=look[0] if look[0] != theme.ORANGE else TEXT, **where
        )
    fig.add_vline(0, row=row, col=1, line=dict(color=TEXT, width=3), layer="below")
    if limit:
        fig.add_vline(limit, row=row, col=1, line=dict(color=TEXT, dash="dash", width=1.5))
    ticks = ["<br>".join(map(theme.escape, textwrap.wrap(plain(name, 60), 20))) for name in names]
    fig.update_yaxes(tickvals=places, ticktext=ticks, range=[-0.6, len(names) - 0.2], row=row, col=1)
    fig.update_yaxes(automargin=True, showgrid=False, ticks="")
    limits = f"<br>dashed: the limit, {theme.number(limit)}" if limit else ""
    fig.update_xaxes(title_text=title + limits, range=[start, stop], nticks=5, row=row, col=1)


def _worse(barrier: Barrier) -> float:
    if barrier.worst is None:
        return -np.inf
    return barrier.worst[0].value * (-1 if barrier.better == "above" else 1)


def _text(barrier: Barrier) -> str:
    return barrier.worst[0].text() if barrier.worst else "unknown"


def _sentence(name: str, barrier: Barrier, verdict: str) -> str:
    at = f"<br>at alpha {alpha_text(barrier.worst[1])}" if barrier.worst else ""
    return f"{escaped(name)}: {verdict}<br>largest gap {_text(barrier)} {theme.unit_label(barrier.unit)}{at}"
