"""Gaps: how far each of several lines lies above or below the chord between its own ends, on one figure."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, number, rounded
from lerpnb.results.barrier import Barrier

COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.PURPLE, theme.ORANGE, theme.SKY)


SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "x")


UNITS = {"nats/token": "nats per token", "nats/text": "nats per text", "errors": "share of errors"}


PANEL, BETWEEN, BOTTOM, ROW = 230, 46, 62, 22  # pixels


def plot_barriers(
    barriers: Mapping[str, Barrier], broken: Collection[str] = (), tolerance: float = 0.0, facts: dict | None = None
) -> Figure:
    """The signed gap to the chord of several lines over alpha in [0, 1]; zero is the chord, below it is better.

    A panel a unit, and one of its own for the lines that are broken, whose scale would flatten the others. Thin bars
    are 95 % intervals. The dotted line is the chord, the dashed one the tolerance.

    Args:
        barriers: a line's name -> its barrier.
        broken: the names of those that have a panel of their own, above.
        tolerance: a rise that is still called none, in the quantity's unit.
        facts: what a page's footer tells, as `picture.facts` gives it.

    Raises:
        CurveError: no barriers.

    Example:
        >>> from lerpnb.results.curve import Curve
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2])} for a in (0.0, 0.5, 1.0)}
        >>> fig = plot_barriers({"a line": Curve.from_measures(points).barrier("loss/x")})
        >>> fig.data[0].x, fig.data[0].y
        ((0.0, 0.5, 1.0), (0.0, -0.25, 0.0))
    """
    if not barriers:
        raise CurveError("gaps_figure(barriers): none.\nAdd a condition to the study first.")
    panels = _panels(barriers, broken)
    told = (f"{name} {number(b.gaps['gap'].max())} {b.unit}".rstrip() for name, b in barriers.items())
    alt = f"Largest gap to the chord of {len(barriers)} lines: {'; '.join(told)}."
    inner = len(panels) * PANEL + (len(panels) - 1) * BETWEEN
    top = 50 + ROW * ((len(barriers) + 2) // 3)
    fig = Figure.blank(top + inner + BOTTOM, alt, facts)
    styles = {name: (COLOURS[i % 6], SYMBOLS[(i // 6 + i) % 6]) for i, name in enumerate(barriers)}
    for i, (title, names) in enumerate(panels):
        axis = "y" if i == 0 else f"y{i + 1}"
        for name in names:
            _add(fig, name, barriers[name], axis, *styles[name])
        _lay_out(fig, axis, title, tolerance, 1 - i * (PANEL + BETWEEN) / inner, inner)
    fig.update_layout(
        margin=dict(t=top, b=BOTTOM, l=80, r=30),
        legend=dict(orientation="h", itemwidth=40, x=0, xanchor="left", y=1 + 26 / inner, yanchor="bottom"),
        xaxis=dict(title="alpha (no unit)", range=[-0.03, 1.03], anchor="free", position=0, **theme.AXIS),
    )
    for end, name in ((0, "minus"), (1, "plus")):
        fig.add_annotation(x=end, text=f"<b>{name}</b>", yref="paper", y=1, yanchor="bottom", yshift=4, showarrow=False)
    return fig


def plot_study(study: Any) -> Figure:
    """Every condition's gap to the chord over alpha, of a `BarrierStudy`: see `plot_barriers`."""
    broken = [name for name, found in study.conditions.items() if found.verdict == "breaks"]
    barriers = {name: found.barrier for name, found in study.conditions.items()}
    return plot_barriers(barriers, broken, study.tolerance, theme.facts(study.curve.provenance) if barriers else None)


def _panels(barriers: Mapping[str, Barrier], broken: Collection[str]) -> list[tuple[str, list[str]]]:
    """The title and the names of each panel: of each unit the broken lines, then the others."""
    found = []
    for unit in dict.fromkeys(barrier.unit for barrier in barriers.values()):
        names = [name for name, barrier in barriers.items() if barrier.unit == unit]
        parts = ([n for n in names if n in broken], [n for n in names if n not in broken])
        for part, word in zip(parts, ("broken", "not broken"), strict=True):
            if part:
                kind = f"gap, {word}" if all(parts) else "gap"
                found.append((f"{kind}<br>{escaped(UNITS.get(unit, unit))}", part))
    return found


def _add(fig: Figure, name: str, barrier: Barrier, axis: str, colour: str, symbol: str) -> None:
    gaps = barrier.gaps
    alphas, values, low, high = (
        np.concatenate([[end], gaps[column].to_numpy(), [1.0 if column == "alpha" else 0.0]])
        for column, end in (("alpha", 0.0), ("gap", 0.0), ("low", 0.0), ("high", 0.0))
    )
    told = [
        f"{escaped(name)}<br>at alpha {number(a)}: {number(v)} {escaped(barrier.unit)} from the chord<br>"
        f"(95 % interval {number(lo)} to {number(hi)})"
        for a, v, lo, hi in zip(alphas, values, low, high, strict=True)
    ]
    bars = dict(type="data", symmetric=False, thickness=1, width=3, color=theme.faint(colour, 0.6))
    fig.add_scatter(
        x=rounded(alphas),
        y=rounded(values),
        yaxis=axis,
        name=escaped(name),
        mode="lines+markers",
        line=dict(color=colour, width=2),
        marker=dict(size=8, symbol=symbol),
        error_y=dict(array=rounded(high - values), arrayminus=rounded(values - low), **bars),
        hovertext=told,
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
    )


def _lay_out(fig: Figure, axis: str, title: str, tolerance: float, top: float, inner: int) -> None:
    """One panel's axis, its chord, and the tolerance."""
    line = dict(type="line", x0=0, x1=1, yref=axis)
    fig.add_shape(y0=0, y1=0, line=dict(color=theme.TEXT, dash="dot", width=1), **line)
    if tolerance:
        fig.add_shape(y0=tolerance, y1=tolerance, line=dict(color=theme.TEXT, dash="dash", width=1), **line)
    layout = dict(title=dict(text=title), domain=[max(0.0, top - PANEL / inner), top], anchor="x", **theme.AXIS)
    fig.update_layout({axis.replace("y", "yaxis"): layout})
