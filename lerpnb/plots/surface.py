"""Figures of a Surface: contour and section. No torch. Importing this module makes a Surface draw itself."""

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.surface import Slice, Surface

UNITS = {"nats/token": "nats per token", "probability": "probability 0 to 1"}


FINE = 61  # places along the longer side at which what lies in between is drawn


PLOT, TOP, BOTTOM = 470, 34, 62  # pixels


ACROSS, UP = "distance along minus → plus (no unit)", "distance from that line"


def plot_contour(surface: Surface, quantity: str | None = None) -> Figure:
    """A contour over the plane, true to scale: the checkpoints, the line through minus and plus, the measured points.

    What lies between the points is interpolated; pointing at it tells the value and the error believed there, pointing
    at a point what was measured. White is where nothing is known: nearest to a point whose value is not finite.

    Args:
        surface: what `survey` returns.
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
    xs, ys, values, errors = between(surface, quantity)
    said = said_of(surface.unit(quantity))
    fig = Figure.blank(TOP + PLOT + BOTTOM, alt_of(surface, quantity), theme.facts(surface.provenance))
    fig.add_contour(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        colorscale=theme.MUCH,
        ncontours=16,
        contours=dict(showlabels=False),
        line=dict(width=0.6, color=faint("#FFFFFF", 0.6)),
        colorbar=dict(
            title=dict(text=f"{escaped(quantity)}<br>{said}", side="top"), thickness=12, outlinewidth=0, nticks=8
        ),
        customdata=[[float(f"{error:.2g}") if np.isfinite(error) else None for error in row] for row in errors],
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {said},<br>"
        "believed to be within %{customdata} (interpolated)<extra></extra>",
        hoverlabel=theme.HOVER,
        hoverongaps=False,
        connectgaps=False,
    )
    rows = surface[quantity]
    known = np.isfinite(rows["value"].to_numpy())
    fig.add_scatter(
        x=rounded(rows["x"]),
        y=rounded(rows["y"]),
        name="measured",
        mode="markers",
        marker=dict(
            size=[5 if ok else 10 for ok in known],
            symbol=["circle" if ok else "x" for ok in known],
            color=["#FFFFFF" if ok else theme.VERMILION for ok in known],
            line=dict(color="#333333", width=0.8),
        ),
        hovertext=[_measured(row, said) for row in rows.itertuples()],
        hoverinfo="text",
        hoverlabel=theme.HOVER,
    )
    _add_line(fig, surface, xs)
    across, up = np.ptp(xs), np.ptp(ys)
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=70, r=20),
        showlegend=False,
        xaxis=dict(
            title=dict(text=ACROSS, standoff=6, font=dict(size=14)),
            range=[float(xs[0] - 0.01 * across), float(xs[-1] + 0.01 * across)],
            constrain="domain",
            **{**theme.AXIS, "showgrid": False},
        ),
        yaxis=dict(
            title=dict(text=UP, font=dict(size=14)),
            range=[float(ys[0] - 0.01 * up), float(ys[-1] + 0.01 * up)],
            scaleanchor="x",
            constrain="domain",
            **{**theme.AXIS, "showgrid": False},
        ),
    )
    return fig


def _add_line(fig: Figure, surface: Surface, xs: np.ndarray) -> None:
    """Minus and plus joined, the line through them dotted to the picture's ends, and all checkpoints named."""
    marks = surface.marks
    if {"minus", "plus"} <= marks.keys():
        (x0, y0), (x1, y1) = marks["minus"], marks["plus"]
        slope = (y1 - y0) / (x1 - x0)
        ends = [(x, y0 + slope * (x - x0)) for x in (float(xs[0]), x0, x1, float(xs[-1]))]
        for i, dash in ((0, "dot"), (1, "solid"), (2, "dot")):
            (a, b), (c, d) = ends[i : i + 2]
            if a >= c:
                continue
            fig.add_scatter(
                x=rounded([a, c]),
                y=rounded([b, d]),
                name="the line" if i == 1 else "its extension",
                mode="lines",
                line=dict(color="#222222", width=3 if i == 1 else 2, dash=dash),
                hoverinfo="skip",
            )
    if marks:
        names = list(marks)
        fig.add_scatter(
            x=rounded([marks[name][0] for name in names]),
            y=rounded([marks[name][1] for name in names]),
            name="checkpoints",
            mode="markers",
            marker=dict(symbol="diamond", size=13, color=theme.SKY, line=dict(color="#222222", width=1.5)),
            hoverinfo="skip",
        )
        for name in names:
            x, y = marks[name]
            fig.add_annotation(
                x=x,
                y=y,
                text=f"<b>{escaped(name)}</b>",
                showarrow=False,
                yshift=17,
                bgcolor="rgba(255,255,255,0.8)",
                borderpad=2,
                font=dict(color="#222222", size=12),
            )


def plot_slice(section: Slice) -> Figure:
    """A cut: the interpolated value over the distance from a, the error believed as a band, measured points on top.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> fig = plot_slice(Surface.from_measures(points).section((0, 0), (2, 0)))
        >>> fig.data[-1].x, fig.data[-1].y
        ((0.0, 1.0, 2.0), (0.0, 1.0, 4.0))
    """
    frame, met, said = section.frame, section.met, said_of(section.unit)
    fig = Figure.blank(320 + TOP + 20 + BOTTOM, f"{section!r}.")
    low, high = frame["value"] - frame["error"], frame["value"] + frame["error"]
    known = np.isfinite(low) & np.isfinite(high)
    way = frame["distance"][known]
    fig.add_scatter(
        x=rounded([*way, *way[::-1]]),
        y=rounded([*high[known], *low[known][::-1]]),
        name="error believed of the interpolation",
        mode="lines",
        fill="toself",
        fillcolor=faint(theme.BLUE, 0.18),
        line=dict(width=0),
        hoverinfo="skip",
    )
    fig.add_scatter(
        x=rounded(frame["distance"]),
        y=rounded(frame["value"]),
        name="interpolated",
        mode="lines",
        line=dict(color=theme.BLUE, width=2.5),
        hovertext=[_guess(row.x, row.y, row.value, row.error, said) for row in frame.itertuples()],
        hoverinfo="text",
        hoverlabel=dict(bordercolor=theme.BLUE, **theme.HOVER),
    )
    fig.add_scatter(
        x=rounded(met["distance"]),
        y=rounded(met["value"]),
        name="measured",
        mode="markers",
        marker=dict(size=9, color=theme.VERMILION, line=dict(color="white", width=1)),
        hovertext=[_interval(row, said) for row in met.itertuples()],
        hoverinfo="text",
        hoverlabel=dict(bordercolor=theme.VERMILION, **theme.HOVER),
    )
    across = f"distance from {escaped(section.a)} towards {escaped(section.b)} (no unit)"
    kind, _, label = section.quantity.partition("/")
    title = ", ".join(filter(None, [escaped(kind) + (f" ({escaped(label)})" if label else ""), said]))
    fig.update_layout(
        margin=dict(t=TOP + 20, b=BOTTOM, l=70, r=30),
        legend=dict(orientation="h", x=0, y=1.02, yanchor="bottom", itemwidth=40),
        xaxis=dict(title=dict(text=across, standoff=6, font=dict(size=14)), **theme.AXIS),
        yaxis=dict(title=dict(text=title, font=dict(size=14)), **theme.AXIS),
    )
    return fig


def between(surface: Surface, quantity: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x (n,), y (m,), values and errors believed (m, n) on an even fine grid over what was measured."""
    spline = surface.spline(quantity)
    (x0, y0), (x1, y1) = spline.points.min(0), spline.points.max(0)
    step = max(x1 - x0, y1 - y0) / (FINE - 1)
    xs, ys = (np.linspace(low, high, max(2, round((high - low) / step) + 1)) for low, high in ((x0, x1), (y0, y1)))
    places = np.stack([found.ravel() for found in np.meshgrid(xs, ys)], axis=1)
    shape = len(ys), len(xs)
    return xs, ys, spline.at(places).reshape(shape), spline.error(places).reshape(shape)


def said_of(unit: str) -> str:
    return escaped(UNITS.get(unit, unit))


def _guess(x: float, y: float, value: float, error: float, said: str) -> str:
    """At (0.5, 1): about 4.35 nats per token, believed to be within 0.01 (interpolated)."""
    if not np.isfinite(value):
        return ""
    sure = f",<br>believed to be within {error:.2g}" if np.isfinite(error) else ""
    return f"At ({number(x)}, {number(y)}):<br>about {number(value)} {said}{sure} (interpolated)"


def _measured(row, said: str) -> str:
    return f"At ({number(row.x)}, {number(row.y)}):<br>{_interval(row, said)}"


def _interval(row, said: str) -> str:
    spread = f",<br>95 % interval {number(row.low)} to {number(row.high)}" if np.isfinite(row.low) else ""
    return f"measured {number(row.value)} {said}{spread}"


def alt_of(surface: Surface, quantity: str) -> str:
    """The figure in words, for who cannot see it."""
    rows = surface[quantity]
    finite = rows[np.isfinite(rows["value"])]
    told = [f"{quantity} over a plane, from {len(rows)} measured points"]
    for name, (x, y) in surface.marks.items():
        at = rows[(rows["x"] == x) & (rows["y"] == y)]
        if len(at):
            told.append(f"{number(at['value'].iloc[0])} at {name}")
    if len(finite):
        low, high = finite.loc[finite["value"].idxmin()], finite.loc[finite["value"].idxmax()]
        for word, row in (("lowest", low), ("highest", high)):
            told.append(f"{word} {number(row['value'])} at ({number(row['x'])}, {number(row['y'])})")
    return "; ".join(told) + "."
