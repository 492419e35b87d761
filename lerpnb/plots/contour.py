"""A contour of a quantity over a plane, and what it shares with the relief and the slice."""

from typing import Any

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, faint, number, rounded
from lerpnb.results.surface import Surface

FINE = 61  # places along the longer side at which the interpolated surface is drawn


def plot_contour(surface: Surface, quantity: str | None = None) -> Figure:
    """A contour over the plane, true to scale: the checkpoints, the line through minus and plus, the measured points.

    What lies between the points is interpolated; pointing at it shows the value and its estimated error, pointing at a
    point what was measured. White is where nothing is known: nearest to a point whose value is not finite.

    Args:
        surface: of a `Plane`.
        quantity: by default the first.

    Raises:
        CurveError: no such quantity.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> fig = plot_contour(Surface.from_measures(points, provenance={"marks": {"minus": [0, 0], "plus": [1, 0]}}))
        >>> [trace.name for trace in fig.data]
        ['loss/x', 'measured', 'the line', 'its extension', 'checkpoints']
    """
    quantity = quantity or surface.quantities[0]
    xs, ys, values, errors = interpolated(surface, quantity)
    unit = theme.unit_label(surface.unit(quantity))
    fig = Figure.panels([470], described(surface, quantity), theme.facts(surface.provenance), top=34, right=20)
    fig.add_contour(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        ncontours=16,
        line=dict(width=0.6, color=faint("#FFFFFF", 0.6)),
        colorbar=dict(title=dict(text=f"{escaped(quantity)}<br>{unit}", side="top"), nticks=8),
        customdata=[[float(f"{error:.2g}") if np.isfinite(error) else None for error in row] for row in errors],
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {unit},<br>"
        "estimated error %{customdata} (interpolated)<extra></extra>",
        **dict(hoverongaps=False, connectgaps=False),
    )
    rows = surface[quantity]
    known = np.isfinite(rows["value"].to_numpy())
    looks = [(5, "circle", "#FFFFFF") if ok else (10, "x", theme.VERMILION) for ok in known]
    marker: dict[str, Any] = dict(zip(("size", "symbol", "color"), map(list, zip(*looks, strict=True)), strict=True))
    marker["line"] = dict(color="#333333", width=0.8)
    hover = [f"At ({number(row.x)}, {number(row.y)}):<br>{measured(row, unit)}" for row in rows.itertuples()]
    fig.add_series(rows["x"], rows["y"], theme.INK, hover, name="measured", mode="markers", marker=marker)
    _add_line(fig, surface, xs)
    ends = [[float(axis[0] - 0.01 * np.ptp(axis)), float(axis[-1] + 0.01 * np.ptp(axis))] for axis in (xs, ys)]
    fig.update_xaxes(
        title_text="distance along minus → plus (no unit)", range=ends[0], constrain="domain", showgrid=False
    )
    fig.update_yaxes(
        title_text="distance from that line", range=ends[1], constrain="domain", showgrid=False, scaleanchor="x"
    )
    return fig.update_layout(showlegend=False)


def _add_line(fig: Figure, surface: Surface, xs: np.ndarray) -> None:
    """Minus and plus joined, the line through them dotted to the figure's ends, and all checkpoints named."""
    marks = surface.marks
    if {"minus", "plus"} <= marks.keys():
        (x0, y0), (x1, y1) = marks["minus"], marks["plus"]
        slope = (y1 - y0) / (x1 - x0)
        ends = [(x, y0 + slope * (x - x0)) for x in (float(xs[0]), x0, x1, float(xs[-1]))]
        for i, dash in ((0, "dot"), (1, "solid"), (2, "dot")):
            (a, b), (c, d) = ends[i : i + 2]
            if a < c:
                look = dict(name="the line" if i == 1 else "its extension", mode="lines")
                fig.add_series([a, c], [b, d], theme.INK, line=dict(width=3 if i == 1 else 2, dash=dash), **look)
    if marks:
        marker: dict[str, Any] = dict(symbol="diamond", size=13, color=theme.SKY, line=dict(color=theme.INK, width=1.5))
        across, up = zip(*marks.values(), strict=True)
        fig.add_series(across, up, theme.SKY, name="checkpoints", mode="markers", marker=marker)
        note: dict[str, Any] = dict(yshift=17, borderpad=2, bgcolor="rgba(255,255,255,0.8)")
        note["font"] = dict(color=theme.INK, size=12)
        for name, (x, y) in marks.items():
            fig.add_annotation(x=x, y=y, text=f"<b>{escaped(name)}</b>", **note)


def interpolated(surface: Surface, quantity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x (n,), y (m,), values and estimated errors (m, n) on an even fine grid over what was measured."""
    spline = surface.spline(quantity)
    (x0, y0), (x1, y1) = spline.points.min(0), spline.points.max(0)
    step = max(x1 - x0, y1 - y0) / (FINE - 1)
    xs, ys = (np.linspace(low, high, max(2, round((high - low) / step) + 1)) for low, high in ((x0, x1), (y0, y1)))
    places = np.stack([grid.ravel() for grid in np.meshgrid(xs, ys)], axis=1)
    shape = len(ys), len(xs)
    return xs, ys, spline.at(places).reshape(shape), spline.error(places).reshape(shape)


def measured(row, unit: str) -> str:
    """A measured point in words, for its hover."""
    spread = f",<br>95 % interval {theme.interval(row)}" if np.isfinite(row.low) else ""
    return f"measured {number(row.value)} {unit}{spread}"


def described(surface: Surface, quantity: str) -> str:
    """The figure in words, for who cannot see it."""
    rows = surface[quantity]
    finite = rows["value"][np.isfinite(rows["value"])]
    parts = [f"{quantity} over a plane, from {len(rows)} measured points"]
    for name, (x, y) in surface.marks.items():
        at = rows[(rows["x"] == x) & (rows["y"] == y)]
        if len(at):
            parts.append(f"{number(at['value'].iloc[0])} at {name}")
    for word, place in (("lowest", finite.idxmin()), ("highest", finite.idxmax())) if len(finite) else ():
        row = rows.loc[place]
        parts.append(f"{word} {number(row['value'])} at ({number(row['x'])}, {number(row['y'])})")
    return "; ".join(parts) + "."
