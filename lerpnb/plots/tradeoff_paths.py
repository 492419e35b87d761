"""The trade-offs of several paths on one figure, and below it how far from the base their points are."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escape, escaped, number, with_interval
from lerpnb.plots.tradeoff_points import DISTANCE, Points, points_of, quantities, title_axes, word
from lerpnb.results.curve import Curve
from lerpnb.utils.text import plain

HEIGHT = 360  # pixels of the panel of the trade-off
NARROW, LETTER, LINE = 290, 7.4, 16  # pixels: a phone's plot, and a name's letter and height
AWAY = (15, -17, 31, -33, 47, -49)  # how far above or below its point a name may stand


def plot_paths(curves: Mapping[str, Curve], x: str | None = None, y: str | None = None) -> Figure:
    """See `plot_tradeoff`."""
    if not curves:
        raise CurveError("plot_tradeoff(curves): no curves. Pass {name: curve}.")
    calls = {name: f"plot_tradeoff(curves[{name!r}])" for name in curves}
    names = {name: quantities(curve, calls[name], x, y) for name, curve in curves.items()}
    paths = {name: points_of(curve, calls[name], *names[name]) for name, curve in curves.items()}
    first = next(iter(curves.values()))
    facts = {key: fact for key, fact in theme.facts(first.provenance).items() if key not in ("ends", "hashes")}
    parts = ("strength", "fluency", "distance")
    values = {what: pd.concat([points[what][["value"]] for points in paths.values()]) for what in parts}
    far = values["distance"]["value"].max(skipna=True)
    heights = [HEIGHT] if np.isnan(far) else [HEIGHT, 150]
    finding = [_extreme(paths, names, curves, what) for what in ("strength", "fluency")]
    alt = " ".join([*(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in finding), _alt(paths, names)])
    fig = Figure.panels(heights, alt, facts, gap=34, top=86)
    fig.add_finding(finding)
    for i, (name, points) in enumerate(paths.items()):
        _add_path(fig, name, points, names[name], curves[name], i)
    title_axes(fig, values, first, *next(iter(names.values())), row=len(heights))
    if len(heights) > 1:
        reach = [-0.08 * far, 1.12 * far or 1.0]
        fig.update_yaxes(title_text="distance from base", range=reach, nticks=5, row=2, col=1)
    fig.add_note("larger markers: further along the path", "right")
    _name_paths(fig, paths)
    return fig.update_layout(showlegend=False)


def _extreme(
    paths: Mapping[str, Points], names: Mapping[str, tuple[str, str]], curves: Mapping[str, Curve], what: str
) -> str:
    """The point that is strongest, or most fluent, in words: "highest strength: TIES at alpha 2, 0.85 [0.80, 0.89]"."""
    sign = 1 if what == "strength" else -1
    best = {name: points[what].iloc[int(np.argmax(sign * points[what]["value"]))] for name, points in paths.items()}
    name = max(best, key=lambda path: sign * best[path].value)
    coordinate, quantity = curves[name].provenance.get("coordinate", "alpha"), names[name][what == "fluency"]
    place = f"{plain(name, 60)} at {coordinate} {alpha_text(best[name].alpha)}"
    return f"{'highest' if sign > 0 else 'lowest'} {word(quantity)}: {place}, {with_interval(best[name])}"


def _name_paths(fig: Figure, paths: Mapping[str, Points]) -> None:
    """Each path's name at its last point, above or below it, where no other name stands on the narrowest screen."""
    (left, right), (low, high) = fig.layout.xaxis.range, fig.layout.yaxis.range
    taken: list[tuple[float, float, float]] = []  # from, to, height
    for i, (name, points) in enumerate(paths.items()):
        x, y = (float(points[what]["value"].iloc[-1]) for what in ("fluency", "strength"))
        x = math.log10(x) if fig.layout.xaxis.type == "log" else x
        text, share = plain(name, 30), (x - left) / (right - left)
        side = "left" if share < 0.33 else "right" if share > 0.67 else "center"
        start = share * NARROW - len(text) * LETTER * {"left": 0, "center": 0.5, "right": 1}[side]
        up = (y - low) / (high - low) * HEIGHT
        free = (d for d in AWAY if not any(_meets(start, len(text) * LETTER, up + d, other) for other in taken))
        shift = next(free, AWAY[0])
        taken.append((start, start + len(text) * LETTER, up + shift))
        place = dict(
            xref="x",
            yref="y",
            xanchor=side,
            yanchor="middle",
            yshift=shift,
            name="path",
            bgcolor="rgba(255,255,255,0.7)",
        )
        fig.add_annotation(x=x, y=y, text=f"<b>{escape(text)}</b>", font_color=theme.style(i)[0], **place)


def _meets(start: float, width: float, height: float, other: tuple[float, float, float]) -> bool:
    return start < other[1] and start + width > other[0] and abs(height - other[2]) < LINE


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
    look: dict[str, Any] = dict(name=escaped(name), line=dict(dash=dash), marker=marker)
    for row, what in ((1, "strength"), (2, "distance")):
        x, y = points["fluency"]["value"], points[what]["value"]
        if np.isfinite(y).any():
            fig.add_series(x, y, color, hover, row=row, **look)


def _alt(paths: Mapping[str, Points], names: Mapping[str, tuple[str, str]]) -> str:
    parts = []
    for name, points in paths.items():
        first, last = ([number(points[what]["value"].iloc[i]) for what in ("strength", "fluency")] for i in (0, -1))
        up, across = map(word, names[name])
        parts.append(f"{name} from {up} {first[0]} at {across} {first[1]} to {last[0]} at {last[1]}")
    return f"Trade-off of {len(paths)} paths: {'; '.join(parts)}."
