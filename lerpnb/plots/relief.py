"""A relief: a Surface in three dimensions, to be turned by hand. No torch."""

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.surface import BOTTOM, PLOT, TOP, alt_of, between, said_of
from lerpnb.plots.theme import Figure, escaped, rounded
from lerpnb.results.surface import Surface


def plot_surface_3d(surface: Surface, quantity: str | None = None) -> Figure:
    """A surface as a relief in three dimensions, to be turned by hand: height and colour are the quantity.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> fig = plot_surface_3d(Surface.from_measures(points, provenance={"marks": {"plus": [1, 0]}}))
        >>> [trace.type for trace in fig.data]
        ['surface', 'scatter3d', 'scatter3d']
    """
    quantity = surface.quantities[0] if quantity is None else quantity
    xs, ys, values, _ = between(surface, quantity)
    said, spline = said_of(surface.unit(quantity)), surface.spline(quantity)
    fig = Figure.blank(TOP + PLOT + BOTTOM, alt_of(surface, quantity), theme.facts(surface.provenance))
    fig.add_surface(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        colorscale=theme.MUCH,
        colorbar=dict(title=dict(text=said, side="top"), thickness=12, outlinewidth=0, nticks=8, len=0.7),
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {said} (interpolated)<extra></extra>",
        hoverlabel=theme.HOVER,
        lighting=dict(ambient=0.75, diffuse=0.5, specular=0.05),
    )
    marks = surface.marks
    low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
    tall = float(high - low) or 1.0
    ticks = _round_ticks(float(low), float(low) + tall)
    lift = 0.01 * tall  # the line lies on the surface, not in it
    if {"minus", "plus"} <= marks.keys():
        start, stop = np.array(marks["minus"]), np.array(marks["plus"])
        shares = np.linspace((xs[0] - start[0]) / (stop - start)[0], (xs[-1] - start[0]) / (stop - start)[0], 81)
        way = start + shares[:, None] * (stop - start)
        fig.add_scatter3d(
            x=rounded(way[:, 0]),
            y=rounded(way[:, 1]),
            z=rounded(spline.at(way) + lift),
            name="the line and its extension",
            mode="lines",
            line=dict(color="#222222", width=5),
            hoverinfo="skip",
            showlegend=False,
        )
    if marks:
        places = np.array(list(marks.values()))
        fig.add_scatter3d(
            x=rounded(places[:, 0]),
            y=rounded(places[:, 1]),
            z=rounded(spline.at(places) + 2 * lift),
            name="checkpoints",
            mode="markers+text",
            text=[f"<b>{escaped(name)}</b>" for name in marks],
            textposition="top center",
            textfont=dict(size=13, color="#222222"),
            marker=dict(symbol="diamond", size=5, color=theme.SKY, line=dict(color="#222222", width=1)),
            hoverinfo="skip",
            showlegend=False,
        )
    axis = dict(backgroundcolor=theme.CLEAR, gridcolor=theme.FAINT, zeroline=False, showbackground=False)
    across, up = float(np.ptp(xs)), float(np.ptp(ys))
    fig.update_layout(
        margin=dict(t=10, b=10, l=10, r=10),
        scene=dict(
            xaxis=dict(title=dict(text="along minus → plus"), **axis),
            yaxis=dict(title=dict(text="away from it"), **axis),
            zaxis=dict(
                title=dict(text=escaped(quantity)),
                range=[float(low) - 0.2 * tall, float(high) + 0.05 * tall],
                tickvals=rounded(ticks),  # none at the very bottom, where the other axes' begin
                ticktext=[f"{tick:.6g}" for tick in ticks],
                **axis,
            ),
            aspectmode="manual",
            aspectratio=dict(x=1.1 * across / max(across, up), y=1.1 * up / max(across, up), z=0.6),
            camera=dict(eye=dict(x=-1.0, y=-1.7, z=1.0), center=dict(x=0, y=0, z=-0.12)),
        ),
    )
    return fig


def _round_ticks(low: float, high: float) -> np.ndarray:
    """At most six round numbers from low to high.

    >>> _round_ticks(4.26, 7.17)
    array([5., 6., 7.])
    """
    step = 10.0 ** np.floor(np.log10((high - low) / 4))
    step *= next(n for n in (1, 2, 5, 10) if (high - low) / (n * step) <= 5)
    return step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)
