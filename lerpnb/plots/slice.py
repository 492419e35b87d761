"""A slice through a surface."""

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.contour import measured
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, number
from lerpnb.results.slice import Slice


def plot_slice(result: Slice) -> Figure:
    """A slice: the interpolated value over the distance from a, its estimated error as a band, measured points on top.

    Args:
        result: what `surface.slice(a, b)` returns.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> from lerpnb.results.surface import Surface
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y * y])}
        ...           for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0, 2.0)}
        >>> fig = plot_slice(Surface.from_measures(points).slice((0, 0), (2, 0)))
        >>> fig.data[-1].x, fig.data[-1].y
        ((0.0, 1.0, 2.0), (0.0, 1.0, 4.0))
    """
    frame, met, unit = result.frame, result.met, theme.unit_label(result.unit)
    fig = Figure.panels([320], f"{result!r}.", top=54)
    low, high = frame["value"] - frame["error"], frame["value"] + frame["error"]
    band = dict(name="estimated error of the interpolation", showlegend=True)
    fig.add_band(frame["distance"], low, high, theme.BLUE, 0.18, **band)
    hover = [_guess(row, unit) for row in frame.itertuples()]
    look = dict(name="interpolated", mode="lines", line=dict(width=2.5))
    fig.add_series(frame["distance"], frame["value"], theme.BLUE, hover, **look)
    hover = [measured(row, unit) for row in met.itertuples()]
    marker = dict(size=9, color=theme.VERMILION, line=dict(color="white", width=1))
    fig.add_series(
        met["distance"], met["value"], theme.VERMILION, hover, name="measured", mode="markers", marker=marker
    )
    fig.update_xaxes(title_text=f"distance from {escaped(result.a)} towards {escaped(result.b)} (no unit)")
    return fig.update_yaxes(title_text=theme.quantity_title(result.quantity, result.unit))


def _guess(row, unit: str) -> str:
    """At (0.5, 1): about 4.35 nats per token, estimated error 0.01 (interpolated)."""
    if not np.isfinite(row.value):
        return ""
    sure = f",<br>estimated error {row.error:.2g}" if np.isfinite(row.error) else ""
    return f"At ({number(row.x)}, {number(row.y)}):<br>about {number(row.value)} {unit}{sure} (interpolated)"
