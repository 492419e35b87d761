"""A surface over a plane as a relief in three dimensions."""

from typing import Any

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.contour import described, interpolated
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, rounded
from lerpnb.results.surface import Surface


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
    quantity = quantity or surface.quantities[0]
    xs, ys, values, _ = interpolated(surface, quantity)
    unit, marks = theme.unit_label(surface.unit(quantity)), surface.marks
    fig = Figure.blank(570, described(surface, quantity), theme.facts(surface.provenance), t=10, b=10, l=10, r=10)
    fig.add_surface(
        x=rounded(xs),
        y=rounded(ys),
        z=[rounded(row) for row in values],
        name=escaped(quantity),
        colorbar=dict(title=dict(text=unit, side="top"), nticks=8, len=0.7),
        hovertemplate=f"At (%{{x:.4g}}, %{{y:.4g}}):<br>about %{{z:.4g}} {unit} (interpolated)<extra></extra>",
        lighting=dict(ambient=0.75, diffuse=0.5, specular=0.05),
    )
    low, high = (float(np.nanmin(values)), float(np.nanmax(values))) if np.isfinite(values).any() else (0.0, 1.0)
    tall = high - low or 1.0
    lift = 0.01 * tall  # the line lies on the surface, not in it
    spline = surface.spline(quantity)

    def add(places: np.ndarray, above: float, **look: Any) -> None:
        x, y, z = map(rounded, (*places.T, spline.at(places) + above))
        fig.add_scatter3d(x=x, y=y, z=z, hoverinfo="skip", showlegend=False, **look)

    if {"minus", "plus"} <= marks.keys():
        start, stop = np.array(marks["minus"]), np.array(marks["plus"])
        shares = np.linspace((xs[0] - start[0]) / (stop - start)[0], (xs[-1] - start[0]) / (stop - start)[0], 81)
        along, line = start + shares[:, None] * (stop - start), dict(color=theme.INK, width=5)
        add(along, lift, name="the line and its extension", mode="lines", line=line)
    if marks:
        marker = dict(symbol="diamond", size=5, color=theme.SKY, line=dict(color=theme.INK, width=1))
        text: dict[str, Any] = dict(textposition="top center", textfont=dict(size=13, color=theme.INK))
        text["text"] = [f"<b>{escaped(name)}</b>" for name in marks]
        places = np.array(list(marks.values()))
        add(places, 2 * lift, name="checkpoints", mode="markers+text", marker=marker, **text)
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
