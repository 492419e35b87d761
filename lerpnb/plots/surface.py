"""A surface over a plane: its contour, its relief in three dimensions, and a slice through it."""

from typing import Any

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, faint, number, rounded
from lerpnb.results.slice import Slice
from lerpnb.results.surface import Surface

FINE = 61  # places along the longer side at which the interpolated surface is drawn
PLOT = 470  # pixels
ACROSS, UP = "distance along minus → plus (no unit)", "distance from that line"


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
    quantity = surface.quantities[0] if quantity is None else quantity
    xs, ys, values, errors = _interpolated(surface, quantity)
    unit = theme.unit_label(surface.unit(quantity))
    fig = Figure.panels([PLOT], _alt(surface, quantity), theme.facts(surface.provenance), top=34, left=70, right=20)
    fig.add_contour(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        colorscale=theme.SEQUENTIAL,
        ncontours=16,
        line=dict(width=0.6, color=faint("#FFFFFF", 0.6)),
        colorbar=dict(title=dict(text=f"{escaped(quantity)}<br>{unit}", side="top"), nticks=8, **theme.COLORBAR),
        customdata=[[float(f"{error:.2g}") if np.isfinite(error) else None for error in row] for row in errors],
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {unit},<br>"
        "estimated error %{customdata} (interpolated)<extra></extra>",
        hoverongaps=False,
        connectgaps=False,
    )
    rows = surface[quantity]
    known = np.isfinite(rows["value"].to_numpy())
    marker = dict(
        size=[5 if ok else 10 for ok in known],
        symbol=["circle" if ok else "x" for ok in known],
        color=["#FFFFFF" if ok else theme.VERMILION for ok in known],
        line=dict(color="#333333", width=0.8),
    )
    hover = [f"At ({number(row.x)}, {number(row.y)}):<br>{_interval(row, unit)}" for row in rows.itertuples()]
    fig.add_series(rows["x"], rows["y"], theme.INK, hover, name="measured", mode="markers", marker=marker)
    _add_line(fig, surface, xs)
    ends = [[float(axis[0] - 0.01 * np.ptp(axis)), float(axis[-1] + 0.01 * np.ptp(axis))] for axis in (xs, ys)]
    fig.update_xaxes(title_text=ACROSS, range=ends[0], constrain="domain", showgrid=False)
    fig.update_yaxes(title_text=UP, range=ends[1], constrain="domain", showgrid=False, scaleanchor="x")
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
        note: dict[str, Any] = dict(
            yshift=17, bgcolor="rgba(255,255,255,0.8)", borderpad=2, font=dict(color=theme.INK, size=12)
        )
        for name, (x, y) in marks.items():
            fig.add_annotation(x=x, y=y, text=f"<b>{escaped(name)}</b>", **note)


def plot_surface_3d(surface: Surface, quantity: str | None = None) -> Figure:
    """A surface as a relief in three dimensions, to be turned by hand: height and color are the quantity.

    Args:
        surface, quantity: as of `plot_contour`, whose errors it has too.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> marks = {"minus": [0, 0], "plus": [1, 0]}
        >>> fig = plot_surface_3d(Surface.from_measures(points, provenance={"marks": marks}))
        >>> [trace.type for trace in fig.data]
        ['surface', 'scatter3d', 'scatter3d']
    """
    quantity = surface.quantities[0] if quantity is None else quantity
    xs, ys, values, _ = _interpolated(surface, quantity)
    unit, marks = theme.unit_label(surface.unit(quantity)), surface.marks
    fig = Figure.blank(570, _alt(surface, quantity), theme.facts(surface.provenance), t=10, b=10, l=10, r=10)
    fig.add_surface(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        colorscale=theme.SEQUENTIAL,
        colorbar=dict(title=dict(text=unit, side="top"), nticks=8, len=0.7, **theme.COLORBAR),
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {unit} (interpolated)<extra></extra>",
        lighting=dict(ambient=0.75, diffuse=0.5, specular=0.05),
    )
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 1.0)
    tall = high - low or 1.0
    lift = 0.01 * tall  # the line lies on the surface, not in it
    if {"minus", "plus"} <= marks.keys():
        start, stop = np.array(marks["minus"]), np.array(marks["plus"])
        shares = np.linspace((xs[0] - start[0]) / (stop - start)[0], (xs[-1] - start[0]) / (stop - start)[0], 81)
        along = start + shares[:, None] * (stop - start)
        line = dict(mode="lines", line=dict(color=theme.INK, width=5))
        _add_above(fig, surface, quantity, along, lift, name="the line and its extension", **line)
    if marks:
        _add_above(
            fig,
            surface,
            quantity,
            np.array(list(marks.values())),
            2 * lift,
            name="checkpoints",
            mode="markers+text",
            text=[f"<b>{escaped(name)}</b>" for name in marks],
            textposition="top center",
            textfont=dict(size=13, color=theme.INK),
            marker=dict(symbol="diamond", size=5, color=theme.SKY, line=dict(color=theme.INK, width=1)),
        )
    axis = dict(gridcolor=theme.FAINT, zeroline=False, showbackground=False)
    across, up = float(np.ptp(xs)), float(np.ptp(ys))
    return fig.update_scenes(
        xaxis=dict(title_text="along minus → plus", **axis),
        yaxis=dict(title_text="away from it", **axis),
        zaxis=dict(title_text=escaped(quantity), range=[low - 0.2 * tall, high + 0.05 * tall], nticks=6, **axis),
        aspectmode="manual",
        aspectratio=dict(x=1.1 * across / max(across, up), y=1.1 * up / max(across, up), z=0.6),
        camera=dict(eye=dict(x=-1.0, y=-1.7, z=1.0), center=dict(x=0, y=0, z=-0.12)),
    )


def _add_above(fig: Figure, surface: Surface, quantity: str, places: np.ndarray, lift: float, **scatter) -> None:
    heights = surface.spline(quantity).at(places) + lift
    x, y, z = (rounded(values) for values in (*places.T, heights))
    fig.add_scatter3d(x=x, y=y, z=z, hoverinfo="skip", showlegend=False, **scatter)


def plot_slice(result: Slice) -> Figure:
    """A slice: the interpolated value over the distance from a, its estimated error as a band, measured points on top.

    Args:
        result: what `surface.slice(a, b)` returns.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> fig = plot_slice(Surface.from_measures(points).slice((0, 0), (2, 0)))
        >>> fig.data[-1].x, fig.data[-1].y
        ((0.0, 1.0, 2.0), (0.0, 1.0, 4.0))
    """
    frame, met, unit = result.frame, result.met, theme.unit_label(result.unit)
    fig = Figure.panels([320], f"{result!r}.", top=54, left=70)
    low, high = frame["value"] - frame["error"], frame["value"] + frame["error"]
    band = dict(name="estimated error of the interpolation", showlegend=True)
    fig.add_band(frame["distance"], low, high, theme.BLUE, 0.18, **band)
    hover = [_guess(row.x, row.y, row.value, row.error, unit) for row in frame.itertuples()]
    look = dict(name="interpolated", mode="lines", line=dict(width=2.5))
    fig.add_series(frame["distance"], frame["value"], theme.BLUE, hover, **look)
    hover = [_interval(row, unit) for row in met.itertuples()]
    marker = dict(size=9, color=theme.VERMILION, line=dict(color="white", width=1))
    fig.add_series(
        met["distance"], met["value"], theme.VERMILION, hover, name="measured", mode="markers", marker=marker
    )
    fig.update_xaxes(title_text=f"distance from {escaped(result.a)} towards {escaped(result.b)} (no unit)")
    return fig.update_yaxes(title_text=theme.quantity_title(result.quantity, result.unit))


def _interpolated(surface: Surface, quantity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x (n,), y (m,), values and estimated errors (m, n) on an even fine grid over what was measured."""
    spline = surface.spline(quantity)
    (x0, y0), (x1, y1) = spline.points.min(0), spline.points.max(0)
    step = max(x1 - x0, y1 - y0) / (FINE - 1)
    xs, ys = (np.linspace(low, high, max(2, round((high - low) / step) + 1)) for low, high in ((x0, x1), (y0, y1)))
    places = np.stack([grid.ravel() for grid in np.meshgrid(xs, ys)], axis=1)
    shape = len(ys), len(xs)
    return xs, ys, spline.at(places).reshape(shape), spline.error(places).reshape(shape)


def _guess(x: float, y: float, value: float, error: float, unit: str) -> str:
    """At (0.5, 1): about 4.35 nats per token, estimated error 0.01 (interpolated)."""
    if not np.isfinite(value):
        return ""
    sure = f",<br>estimated error {error:.2g}" if np.isfinite(error) else ""
    return f"At ({number(x)}, {number(y)}):<br>about {number(value)} {unit}{sure} (interpolated)"


def _interval(row, unit: str) -> str:
    spread = f",<br>95 % interval {number(row.low)} to {number(row.high)}" if np.isfinite(row.low) else ""
    return f"measured {number(row.value)} {unit}{spread}"


def _alt(surface: Surface, quantity: str) -> str:
    """The figure in words, for who cannot see it."""
    rows = surface[quantity]
    finite = rows[np.isfinite(rows["value"])]
    parts = [f"{quantity} over a plane, from {len(rows)} measured points"]
    for name, (x, y) in surface.marks.items():
        at = rows[(rows["x"] == x) & (rows["y"] == y)]
        if len(at):
            parts.append(f"{number(at['value'].iloc[0])} at {name}")
    if len(finite):
        low, high = finite.loc[finite["value"].idxmin()], finite.loc[finite["value"].idxmax()]
        for word, row in (("lowest", low), ("highest", high)):
            parts.append(f"{word} {number(row['value'])} at ({number(row['x'])}, {number(row['y'])})")
    return "; ".join(parts) + "."
