"""The trade-offs of several paths on one figure, and below it how far from the base their points are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number, with_interval
from lerpnb.plots.tradeoff_points import DISTANCE, Points, points_of, quantities, title_axes, word
from lerpnb.results.curve import Curve

LEGEND = 84  # letters of the legend that a page of 900 pixels has room for


def plot_paths(curves: Mapping[str, Curve], x: str | None = None, y: str | None = None) -> Figure:
    """See `plot_tradeoff`."""
    if not curves:
        raise CurveError("plot_tradeoff(curves): no curves. Pass {name: curve}.")
    calls = {name: f"plot_tradeoff(curves[{name!r}])" for name in curves}
    names = {name: quantities(curve, calls[name], x, y) for name, curve in curves.items()}
    paths = {name: points_of(curve, calls[name], *names[name]) for name, curve in curves.items()}
    top = 34 + 22 * -(-sum(len(name) + 8 for name in paths) // LEGEND)
    first = next(iter(curves.values()))
    facts = {key: fact for key, fact in theme.facts(first.provenance).items() if key not in ("ends", "hashes")}
    parts = ("strength", "fluency", "distance")
    values = {what: pd.concat([points[what][["value"]] for points in paths.values()]) for what in parts}
    far = values["distance"]["value"].max(skipna=True)
    heights = [360] if np.isnan(far) else [360, 150]
    fig = Figure.panels(heights, _alt(paths, names), facts, gap=34, top=top)
    for i, (name, points) in enumerate(paths.items()):
        _add_path(fig, name, points, names[name], curves[name], i)
    title_axes(fig, values, first, *next(iter(names.values())), row=len(heights))
    if len(heights) > 1:
        reach = [-0.08 * far, 1.12 * far or 1.0]
        fig.update_yaxes(title_text="distance from base", range=reach, nticks=5, row=2, col=1)
    fig.add_note("larger markers: further along the path", "right")
    return fig


def _add_path(fig: Figure, name: str, points: Points, names: tuple[str, str], curve: Curve, i: int) -> None:
    (color, symbol, dash), (up, across) = theme.style(i), map(word, names)
    n, hover, coordinate = len(points["strength"]), [], curve.provenance.get("coordinate", "alpha")
    for strength, fluency, distance in zip(*(frame.itertuples() for frame in points.values()), strict=True):
        known = np.isfinite(distance.value)
        away = f"distance from the base {number(distance.value)}" if known else "no point of weight space"
        at = f"{escaped(name)} at {coordinate} {alpha_text(strength.alpha)}:<br>{up} {with_interval(strength)}"
        away = f",<br>{away}" if DISTANCE in curve.quantities else ""
        hover.append(f"{at},<br>{across} {with_interval(fluency)}{away}")
    sizes = [round(8 + 6 * k / max(1, n - 1), 1) for k in range(n)]
    marker = dict(color=color, symbol=symbol, opacity=1, size=sizes, line=dict(color="white", width=0.5))
    look: dict[str, Any] = dict(name=escaped(name), legendgroup=name, line=dict(dash=dash), marker=marker)
    for row, what in ((1, "strength"), (2, "distance")):
        x, y = points["fluency"]["value"], points[what]["value"]
        if np.isfinite(y).any():
            fig.add_series(x, y, color, hover, showlegend=row == 1, row=row, **look)


def _alt(paths: Mapping[str, Points], names: Mapping[str, tuple[str, str]]) -> str:
    parts = []
    for name, points in paths.items():
        first, last = ([number(points[what]["value"].iloc[i]) for what in ("strength", "fluency")] for i in (0, -1))
        up, across = map(word, names[name])
        parts.append(f"{name} from {up} {first[0]} at {across} {first[1]} to {last[0]} at {last[1]}")
    return f"Trade-off of {len(paths)} paths: {'; '.join(parts)}."
