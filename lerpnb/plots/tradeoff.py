"""Attribute strength against fluency along one path or several, so that an alpha can be chosen at one look."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, number, rounded
from lerpnb.results.comparisons import PathComparison
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import FLUENCY, fluency_of

DISTANCE = "distance/base"
HEIGHT, UPPER, LOWER = 360, 360, 150  # pixels
LEGEND = 84  # letters of the legend that a page of 900 pixels has room for


def plot_tradeoff(result: Curve | Mapping[str, Curve] | PathComparison, base: Curve | None = None) -> Figure:
    """Attribute strength (up) against perplexity of the continuations (across).

    Up and left is more of the attribute in more fluent text. The x axis is logarithmic where the perplexities differ by
    more than eight times.

    Of one curve: a point an alpha, joined in its order. Color is alpha; the checkpoints are ringed and named, thin
    crosses are 95 % intervals.

    Of several: a color each. Markers grow along a path, from its lowest coordinate to its highest. Below, under the
    same perplexities, how far from the base each point is: |theta - theta_base|, without unit; a path that is no point
    of weight space has none there. Intervals are in the hover texts.

    Args:
        result: a curve of an `AttributeStrength` probe with a perplexity model; or several, {name: curve}, or a
            `PathComparison`; these with a `WeightDistance`.
        base: the same probe at the base model, which is no point of the line: `evaluate(Line(o, o), [0], [attribute])`
            with o the base. Left out, no base is marked: its strength is not known.

    Raises:
        CurveError: no curves, no strength, no perplexity of its continuations, nowhere a finite number, a base of more
            than one point, or a base beside several curves.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> def point(a):
        ...     return {"strength/joy": Measurement([a / 2]),
        ...             "perplexity/continuations": Measurement([40 + 30 * a * a])}
        >>> curve = Curve.from_measures({a: point(a) for a in (0.0, 0.5, 1.0)})
        >>> fig = plot_tradeoff(curve)
        >>> fig.data[0].x, fig.data[0].y
        ((40.0, 47.5, 70.0), (0.0, 0.25, 0.5))
        >>> [trace.name for trace in plot_tradeoff({"near": curve, "far": curve}).data]
        ['near', 'far']
    """
    if isinstance(result, Curve):
        return _plot_path(result, base)
    if base is not None:
        raise CurveError("plot_tradeoff(base): several curves have no base marked.\nPass one curve with it.")
    return _plot_paths(result.curves if isinstance(result, PathComparison) else result)


def _plot_path(curve: Curve, base: Curve | None) -> Figure:
    call = "plot_tradeoff(curve)"
    if base is not None and len(base.alphas) != 1:
        raise CurveError(
            f"plot_tradeoff(base): a curve of {len(base.alphas)} alphas, expected one.\n"
            "Pass evaluate(Line(o, o), [0], [attribute]) with o the base."
        )
    points, names = _points(curve, call), _quantities(curve, call)
    fig = Figure.panels([HEIGHT], _alt(curve, *names, base), theme.facts(curve.provenance), top=24, left=70)
    ends = {alpha: f"<b>{name}</b>" for alpha, name in theme.landmarks(curve.provenance)}
    alphas = points["strength"]["alpha"].to_numpy()
    marker = dict(
        opacity=1,
        size=[20 if alpha in ends else 13 for alpha in alphas],
        color=rounded(alphas),
        colorscale=theme.DIVERGING,
        cmid=0.5,
        line=dict(color=theme.TEXT, width=[3 if alpha in ends else 1 for alpha in alphas]),
        colorbar=dict(title_text="alpha", len=0.7, nticks=6, **theme.COLORBAR),
    )
    hover = [f"At alpha {number(alpha)}" for alpha in alphas]
    labels = [ends.get(alpha, "") for alpha in alphas]
    _add_points(
        fig,
        points,
        theme.TEXT,
        hover,
        name="alpha",
        mode="lines+markers+text",
        marker=marker,
        text=labels,
        textposition="top center",
    )
    spans = [points]
    if base is not None:
        spans.append(_points(base, "plot_tradeoff(base)"))
        star = dict(symbol="star", size=17, color=theme.GREEN, line=dict(color=theme.TEXT, width=1))
        look = dict(name="base", mode="markers+text", marker=star, text=["<b>base</b>"], textposition="bottom center")
        _add_points(fig, spans[1], theme.TEXT, ["The base"], **look)
    intervals = {what: pd.concat([one[what][["value", "low", "high"]] for one in spans]) for what in points}
    _lay_out(fig, intervals, names[0])
    return fig


def _add_points(fig: Figure, points: dict[str, pd.DataFrame], color: str, where: Sequence[str], **look) -> None:
    """At alpha 0.5: strength 0.45 (0.35 to 0.55), perplexity 50 (45 to 55)"""
    x, y = points["fluency"], points["strength"]
    rows = zip(where, x.itertuples(), y.itertuples(), strict=True)
    hover = [f"{place}: strength {_interval(up)},<br>perplexity {_interval(across)}" for place, across, up in rows]
    fig.add_series(
        x["value"],
        y["value"],
        color,
        hover,
        error_x=_bars(x),
        error_y=_bars(y),
        line=dict(width=1.5),
        cliponaxis=False,
        showlegend=False,
        **look,
    )


def _bars(rows: pd.DataFrame) -> dict | None:
    """A point's 95 % interval, thin."""
    if not np.isfinite(rows["low"]).any():
        return None
    up, down = (rows["high"] - rows["value"]).to_numpy(), (rows["value"] - rows["low"]).to_numpy()
    faint = dict(color="rgba(128,128,128,0.4)", thickness=1, width=0)
    return dict(type="data", symmetric=False, array=rounded(up), arrayminus=rounded(down), **faint)


def _plot_paths(curves: Mapping[str, Curve]) -> Figure:
    if not curves:
        raise CurveError("plot_tradeoff(curves): no curves. Pass {name: curve}.")
    paths = {name: _points(curve, f"plot_tradeoff(curves[{name!r}])") for name, curve in curves.items()}
    top = 34 + 22 * -(-sum(len(name) + 8 for name in paths) // LEGEND)
    facts = theme.facts(next(iter(curves.values())).provenance)
    facts = {key: facts[key] for key in facts if key not in ("ends", "hashes")}
    fig = Figure.panels([UPPER, LOWER], _alt_paths(paths), facts, gap=34, top=top, left=70)
    for i, (name, points) in enumerate(paths.items()):
        _add_path(fig, name, points, curves[name].provenance.get("coordinate", "alpha"), i)
    values = {what: pd.concat([points[what][["value"]] for points in paths.values()]) for what in points}
    _lay_out(fig, values, _quantities(next(iter(curves.values())), "")[0], row=2)
    far = np.nanmax(values["distance"]["value"]) if np.isfinite(values["distance"]["value"]).any() else 1.0
    fig.update_yaxes(title_text="distance from base", range=[-0.08 * far, 1.12 * far or 1.0], nticks=5, row=2, col=1)
    corner = dict(xref="paper", x=1, xanchor="right", yref="paper", y=1, yanchor="bottom")
    fig.add_annotation(text="larger markers: further along the path", **corner)
    return fig


def _add_path(fig: Figure, name: str, points: dict[str, pd.DataFrame], coordinate: str, i: int) -> None:
    color, symbol, dash = theme.style(i)
    n, hover = len(points["strength"]), []
    for strength, fluency, distance in zip(*(frame.itertuples() for frame in points.values()), strict=True):
        far = np.isfinite(distance.value)
        hover.append(
            f"{escaped(name)} at {coordinate} {number(strength.alpha)}:<br>strength {_interval(strength)},<br>"
            f"perplexity {_interval(fluency)},<br>"
            + (f"distance from the base {number(distance.value)}" if far else "no point of weight space")
        )
    sizes = [round(8 + 6 * k / max(1, n - 1), 1) for k in range(n)]
    marker = dict(color=color, symbol=symbol, opacity=1, size=sizes, line=dict(color="white", width=0.5))
    for row, what in ((1, "strength"), (2, "distance")):
        if np.isfinite(points[what]["value"]).any():
            fig.add_series(
                points["fluency"]["value"],
                points[what]["value"],
                color,
                hover,
                name=escaped(name),
                legendgroup=name,
                showlegend=row == 1,
                line=dict(dash=dash),
                marker=marker,
                row=row,
            )


def _quantities(curve: Curve, call: str) -> tuple[str, str]:
    """The first strength with a perplexity of the same texts, and that perplexity."""
    for strength in curve.of_kind("strength"):
        if (fluency := fluency_of(strength)) in curve.quantities:
            return strength, fluency
    raise CurveError(
        f"{call}: no strength/… with its {FLUENCY}.\n"
        "Evaluate an AttributeStrength probe, whose perplexity model is the line's base or one that you name."
    )


def _points(curve: Curve, call: str) -> dict[str, pd.DataFrame]:
    """alpha, value, low and high of strength, fluency and distance where the first two are finite numbers."""
    strength, fluency = _quantities(curve, call)
    points = {
        what: curve[quantity].set_index("alpha").reindex(curve.alphas).reset_index()
        if quantity in curve.quantities
        else pd.DataFrame({"alpha": curve.alphas, "value": np.nan, "low": np.nan, "high": np.nan})
        for what, quantity in dict(strength=strength, fluency=fluency, distance=DISTANCE).items()
    }
    known = np.isfinite(points["strength"]["value"]) & np.isfinite(points["fluency"]["value"])
    if not known.any():
        raise CurveError(f"{call}: {strength} and {fluency} are nowhere both finite numbers.")
    return {what: frame[known] for what, frame in points.items()}


def _lay_out(fig: Figure, values: dict[str, pd.DataFrame], strength: str, row: int = 1) -> None:
    """The x axis of perplexities, whose title stands below `row`, and the y axis of strengths."""
    (left, right), (low, high) = (_reach(values[what]) for what in ("fluency", "strength"))
    log = right > 8 * left > 0
    ends = (math.log10(left), math.log10(right)) if log else (left, right)
    pad = 0.06 * (ends[1] - ends[0]) or 0.1 * (ends[0] or 1)
    ticks = dict(type="log", dtick="D2", tickformat=",~g") if log else dict(nticks=8)
    fig.update_xaxes(range=[ends[0] - pad, ends[1] + pad], **ticks)
    title = "perplexity of the continuations" + (" (log scale)" if log else "") + ", ← more fluent"
    fig.update_xaxes(title_text=title, row=row, col=1)
    pad = 0.06 * (high - low) or 0.05
    title = f"strength of {escaped(strength.partition('/')[2])}, probability 0 to 1"
    fig.update_yaxes(title_text=title, range=[low - pad, high + pad], nticks=8, row=1, col=1)


def _reach(frame: pd.DataFrame) -> tuple[float, float]:
    values = frame.to_numpy()
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max())


def _interval(row) -> str:
    """0.57 (0.5 to 0.63)"""
    return number(row.value) + (f" ({number(row.low)} to {number(row.high)})" if np.isfinite(row.low) else "")


def _alt(curve: Curve, strength: str, fluency: str, base: Curve | None) -> str:
    parts = [
        f"{strength} {number(curve.value(strength)[i])} at {fluency} {number(curve.value(fluency)[i])} "
        f"for alpha {number(alpha)}"
        for i, alpha in enumerate(curve.alphas)
        if i in (0, len(curve.alphas) - 1) or alpha in (0, 1)
    ]
    if base is not None:
        points = _points(base, "plot_tradeoff(base)")
        at = [number(points[what]["value"].iloc[0]) for what in ("strength", "fluency")]
        parts.append(f"base {at[0]} at {at[1]}")
    return f"Trade-off over {len(curve.alphas)} alphas: {'; '.join(parts)}."


def _alt_paths(paths: Mapping[str, dict[str, pd.DataFrame]]) -> str:
    parts = []
    for name, points in paths.items():
        first, last = ([number(points[what]["value"].iloc[i]) for what in ("strength", "fluency")] for i in (0, -1))
        parts.append(f"{name} from strength {first[0]} at perplexity {first[1]} to {last[0]} at {last[1]}")
    return f"Trade-off of {len(paths)} paths: {'; '.join(parts)}."
