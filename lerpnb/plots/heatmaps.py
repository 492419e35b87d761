"""Two strengths: each attribute over both alphas, two maps side by side. No torch."""

from itertools import product

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, number, rounded
from lerpnb.results.surface import Surface

HEIGHT, TOP, BOTTOM = 430, 56, 74  # pixels: of the picture; above and below its axes


LEFT, RIGHT = (0, 0.42), (0.53, 0.95)  # shares of the width; the colours' bar stands behind the second


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
    strengths = [q for q in surface.quantities if q.startswith("strength/")][:2]
    shown = tuple(strengths if quantities is None else quantities)
    if len(shown) != 2 or any(q not in surface.quantities for q in shown):
        raise CurveError(
            f"plot_heatmaps(quantities): got {', '.join(shown) or 'none'}, expected two that were measured.\n"
            f"Measured are: {', '.join(surface.quantities)}."
        )
    frame = surface.frame.set_index(["quantity", *surface.axes]).sort_index()
    units = [frame.loc[q, "unit"].iloc[0] for q in shown]
    if units[0] != units[1]:
        raise CurveError(f"plot_heatmaps(quantities): {shown[0]} is a {units[0]}, {shown[1]} a {units[1]}.")
    fig = Figure.blank(HEIGHT, _alt(surface, shown), theme.facts(surface.provenance))
    for i, quantity in enumerate(shown):
        at = "" if i == 0 else "2"
        cells = surface.matrix(quantity).T  # the second line's alpha goes up
        cells_of = frame.loc[quantity].reindex(pd.MultiIndex.from_product(surface.levels))
        rows = [[cells_of.loc[(a, b)] for a in surface.levels[0]] for b in surface.levels[1]]
        fig.add_heatmap(
            x=list(range(len(surface.levels[0]))),
            y=list(range(len(surface.levels[1]))),
            z=[rounded(row) for row in cells],
            text=[["NaN" if np.isnan(value) else f"{value:.2f}" for value in row] for row in cells],
            texttemplate="%{text}",
            textfont=dict(size=12),
            xaxis=f"x{at}",
            yaxis=f"y{at}",
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
            hovertext=[[_sentence(surface, quantity, row) for row in line] for line in rows],
            hoverinfo="text",
            hoverlabel=theme.HOVER,
            hoverongaps=False,
        )
        _add_frame(fig, surface, at)
        fig.add_annotation(
            text=f"<b>{escaped(quantity, 60)}</b>",
            x=(LEFT, RIGHT)[i][0],
            xref="paper",
            xanchor="left",
            y=1,
            yref="paper",
            yanchor="bottom",
            yshift=6,
            showarrow=False,
        )
    _lay_out(fig, surface, shown, units[0])
    return fig


def _add_frame(fig: Figure, surface: Surface, at: str) -> None:
    """The square between the ends, where both 0 and 1 of both lines were measured."""
    if not all(end in grid for grid in surface.levels for end in (0.0, 1.0)):
        return
    (x0, x1), (y0, y1) = ((grid.index(0.0), grid.index(1.0)) for grid in surface.levels)
    sides = dict(x0=x0 - 0.5, x1=x1 + 0.5, y0=y0 - 0.5, y1=y1 + 0.5, xref=f"x{at}", yref=f"y{at}")
    fig.add_shape(type="rect", line=dict(color=theme.TEXT, width=3, dash="dot"), **sides)


def _lay_out(fig: Figure, surface: Surface, shown: tuple[str, ...], unit: str) -> None:
    names = [escaped(name, 40) for name in surface.axes]
    ends = {0.0: "minus", 1.0: "plus"}
    across, up = (
        [f"<b>{number(a)}</b>{between}<b>{ends[a]}</b>" if a in ends else number(a) for a in grid]
        for grid, between in zip(surface.levels, ("<br>", " "), strict=True)
    )
    bare = dict(showgrid=False, zeroline=False, ticks="", tickmode="array", ticklabelstandoff=4)
    for i, domain in enumerate((LEFT, RIGHT)):
        at = "" if i == 0 else "2"
        x = dict(bare, domain=domain, anchor=f"y{at}", tickvals=list(range(len(across))), ticktext=across)
        y = dict(bare, anchor=f"x{at}", tickvals=list(range(len(up))), ticktext=up, showticklabels=i == 0)
        x["title"] = dict(text=f"alpha of {names[0]} (no unit)", standoff=6, font=dict(size=14))
        if i == 0:
            y["title"] = dict(text=f"alpha of {names[1]} (no unit)", standoff=6, font=dict(size=14))
        fig.update_layout({f"xaxis{at}": x, f"yaxis{at}": y})
    values = np.concatenate([surface.matrix(quantity).ravel() for quantity in shown])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    bar = dict(thickness=12, outlinewidth=0, ypad=0, nticks=6, x=0.965, xanchor="left")
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=90, r=20),
        coloraxis=dict(
            colorscale=theme.MUCH, cmin=low, cmax=high, colorbar=dict(bar, title=dict(text=unit, side="right"))
        ),
    )


def _sentence(surface: Surface, quantity: str, row) -> str:
    """At sentiment 0.5 and voice 1, strength/positive is 0.57 (0.5 to 0.63)."""
    *_, a, b = row.name
    where = " and ".join(f"{escaped(n, 40)} {number(v)}" for n, v in zip(surface.axes, (a, b), strict=True))
    interval = f" ({number(row['low'])} to {number(row['high'])})" if np.isfinite(row["low"]) else ""
    return f"At {where}:<br>{escaped(quantity, 60)} {number(row['value'])}{interval}"


def _alt(surface: Surface, quantities: tuple[str, ...]) -> str:
    told = []
    for quantity in quantities:
        cells = surface.matrix(quantity)
        if not np.isfinite(cells).any():
            told.append(f"{quantity} is nowhere a finite number")
            continue
        most = [*product(*surface.levels)][int(np.nanargmax(cells))]
        where = ", ".join(f"{name} {number(alpha)}" for name, alpha in zip(surface.axes, most, strict=True))
        low, high = number(np.nanmin(cells)), number(np.nanmax(cells))
        told.append(f"{quantity} goes from {low} to {high}, largest at {where}")
    return f"Two maps over the alphas of {' and '.join(surface.axes)}: {'; '.join(told)}."
