"""Two quantities over the alphas of two lines, as two heat maps side by side."""

from itertools import product

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number, rounded
from lerpnb.results.quantity import ATTRIBUTES, Quantity
from lerpnb.results.surface import Surface
from lerpnb.utils.text import hundredths


def plot_heatmaps(surface: Surface, quantities: tuple[str, str] | None = None) -> Figure:
    """Two quantities over both alphas as heat maps side by side, on one scale: a cell a measured pair, its value in it.

    Across is the first line's alpha, up the second's, one step a measured value. The dotted frame holds what lies
    between the ends; outside, at least one alpha goes beyond. Where each alpha moves its own attribute alone, the first
    map changes across and not up, the second up and not across.

    Args:
        surface: over the alphas of two lines.
        quantities: two of one unit; by default the first two strengths.

    Raises:
        CurveError: `quantities` are not two that were measured, or differ in unit.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(a, b): {"strength/glad": Measurement([0.2 + 0.5 * a] * 2),
        ...                    "strength/ornate": Measurement([0.2 + 0.5 * b] * 2)} for a in (0, 1) for b in (0, 1)}
        >>> fig = plot_heatmaps(Surface.from_measures(points, axes=("mood", "style")))
        >>> [[list(row) for row in trace.z] for trace in fig.data]  # rows go up: style
        [[[0.2, 0.7], [0.2, 0.7]], [[0.2, 0.2], [0.7, 0.7]]]
    """
    if len(surface.axes) != 2:
        raise CurveError(f"plot_heatmaps(surface): it is over {', '.join(surface.axes)}, expected two coordinates.")
    shown = tuple(surface.of_kind(*ATTRIBUTES)[:2] if quantities is None else quantities)
    if len(shown) != 2 or any(q not in surface.quantities for q in shown):
        raise CurveError(
            f"plot_heatmaps(quantities): got {', '.join(shown) or 'none'}, expected two that were measured.\n"
            f"Measured are: {', '.join(surface.quantities)}."
        )
    frame = surface.frame.set_index(["quantity", *surface.axes]).sort_index()
    units = [frame.loc[q, "unit"].iloc[0] for q in shown]
    if units[0] != units[1]:
        raise CurveError(f"plot_heatmaps(quantities): {shown[0]} is a {units[0]}, {shown[1]} a {units[1]}.")
    finding = _finding(surface, shown)
    top, alt = 56 + 26 * len(finding), " ".join([*(f"{sentence}." for sentence in finding), _alt(surface, shown)])
    fig = Figure.blank(374 + top, alt, theme.facts(surface.provenance), t=top, b=74, l=90, r=20)
    titles = [f"<b>{escaped(quantity, 60)}</b>" for quantity in shown]
    fig.set_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, subplot_titles=titles)
    fig.update_annotations(font=None, yshift=6)
    for col, quantity in enumerate(shown, start=1):
        across, up = surface.levels
        cells = surface.matrix(quantity).T  # the second line's alpha goes up
        rows = frame.loc[quantity].reindex(pd.MultiIndex.from_product(surface.levels))
        fig.add_heatmap(
            x=list(range(len(across))),
            y=list(range(len(up))),
            z=[rounded(row) for row in cells],
            text=[[hundredths(value) for value in row] for row in cells],
            hovertext=[[_sentence(surface, quantity, rows.loc[(a, b)]) for a in across] for b in up],
            **dict(texttemplate="%{text}", textfont=dict(size=12), coloraxis="coloraxis", row=1, col=col),
        )
        if all(end in grid for grid in surface.levels for end in (0.0, 1.0)):  # the square between the ends
            (x0, x1), (y0, y1) = ((grid.index(0.0), grid.index(1.0)) for grid in surface.levels)
            sides = dict(x0=x0 - 0.5, x1=x1 + 0.5, y0=y0 - 0.5, y1=y1 + 0.5)
            fig.add_shape(type="rect", line=dict(color=theme.TEXT, width=3, dash="dot"), row=1, col=col, **sides)
    _lay_out(fig, surface, shown, units[0])
    if finding:
        fig.add_finding(finding)
    return fig


def _finding(surface: Surface, shown: tuple[str, ...]) -> list[str]:
    """Of each line what a unit of its alpha does to both; nothing where a point of the grid is missing."""
    try:
        moved = {line: [surface.effect(quantity, line).text(sign=True) for quantity in shown] for line in surface.axes}
    except CurveError:
        return []
    labels = [Quantity.named(quantity).label or quantity for quantity in shown]
    return [f"A unit of {line}: {labels[0]} {first}, {labels[1]} {second}" for line, (first, second) in moved.items()]


def _lay_out(fig: Figure, surface: Surface, shown: tuple[str, ...], unit: str) -> None:
    titles = [f"alpha of {escaped(name, 40)} (no unit)" for name in surface.axes]
    ends = {0.0: "minus", 1.0: "plus"}
    across, up = (
        [f"<b>{alpha_text(a)}</b>{between}<b>{ends[a]}</b>" if a in ends else alpha_text(a) for a in grid]
        for grid, between in zip(surface.levels, ("<br>", " "), strict=True)
    )
    bare = dict(showgrid=False, showline=False, ticks="", tickmode="array", ticklabelstandoff=4)
    fig.update_xaxes(title_text=titles[0], tickvals=list(range(len(across))), ticktext=across, **bare)
    fig.update_yaxes(tickvals=list(range(len(up))), ticktext=up, **bare)
    fig.update_yaxes(title_text=titles[1], row=1, col=1)
    values = np.concatenate([surface.matrix(quantity).ravel() for quantity in shown])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    bar = dict(title=dict(text=unit, side="right"), nticks=6, ypad=0)
    fig.update_layout(coloraxis=dict(cmin=low, cmax=high, colorbar=bar))


def _sentence(surface: Surface, quantity: str, row) -> str:
    """At sentiment 0.5 and voice 1, strength/positive is 0.57 (0.5 to 0.63)."""
    *_, a, b = row.name
    where = " and ".join(f"{escaped(n, 40)} {number(v)}" for n, v in zip(surface.axes, (a, b), strict=True))
    return f"At {where}:<br>{escaped(quantity, 60)} {theme.with_interval(row)}"


def _alt(surface: Surface, quantities: tuple[str, ...]) -> str:
    parts = []
    for quantity in quantities:
        cells = surface.matrix(quantity)
        if not np.isfinite(cells).any():
            parts.append(f"{quantity} is nowhere a finite number")
            continue
        most = [*product(*surface.levels)][int(np.nanargmax(cells))]
        where = ", ".join(f"{name} {alpha_text(alpha)}" for name, alpha in zip(surface.axes, most, strict=True))
        low, high = number(np.nanmin(cells)), number(np.nanmax(cells))
        parts.append(f"{quantity} goes from {low} to {high}, largest at {where}")
    return f"Two maps over the alphas of {' and '.join(surface.axes)}: {'; '.join(parts)}."
