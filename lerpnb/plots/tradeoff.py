"""Attribute strength against fluency along one path or several, so that an alpha can be chosen at one look."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, number, rounded, with_interval
from lerpnb.plots.tradeoff_paths import plot_paths
from lerpnb.plots.tradeoff_points import Points, points_of, quantities, title_axes, word
from lerpnb.results.best import Best
from lerpnb.results.comparisons import PathComparison
from lerpnb.results.curve import Curve
from lerpnb.results.finding import of_change
from lerpnb.results.quantity import fluency_of


def plot_tradeoff(
    result: Curve | Mapping[str, Curve] | PathComparison,
    base: Curve | None = None,
    best: Best | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
) -> Figure:
    """Attribute strength (up) against perplexity of the continuations (across), or any quantity against another.

    Up and left is more of the attribute in more fluent text. The x axis is logarithmic where its values differ by more
    than eight times and are above 0.

    Of one curve: a point an alpha, joined in its order. Color is alpha; the checkpoints, the base and the best alpha
    are named, with thin crosses for their 95 % intervals; the others' are in the hover texts.

    Of several: a color each. Markers grow along a path, from its lowest coordinate to its highest. Below, under the
    same perplexities, how far from the base each point is: |theta - theta_base|, without unit; a path that is no point
    of weight space has none there. Intervals are in the hover texts.

    Args:
        result: a curve of an `AttributeStrength` probe with a perplexity model; or several, {name: curve}, or a
            `PathComparison`; these with a `WeightDistance`.
        base: the same probe at the base model, which is no point of the line: `evaluate(Line(o, o), [0], [attribute])`
            with o the base. Left out, no base is marked: its strength is not known.
        best: of one curve, what `curve.best` returned, to be named.
        x, y: other quantities, such as x="kl/base" with y="strength/positive"; left out, y is the first strength and x
            the perplexity of its continuations.

    Raises:
        CurveError: no curves, no such quantity, no strength, no perplexity of its continuations, nowhere a finite
            number, a base of more than one point, or a base beside several curves.

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
        return _plot_path(result, base, best, x, y)
    if base is not None:
        raise CurveError("plot_tradeoff(base): several curves have no base marked.\nPass one curve with it.")
    return plot_paths(result.curves if isinstance(result, PathComparison) else result, x, y)


def _plot_path(curve: Curve, base: Curve | None, best: Best | None, x: str | None, y: str | None) -> Figure:
    call = "plot_tradeoff(curve)"
    if base is not None and len(base.alphas) != 1:
        raise CurveError(
            f"plot_tradeoff(base): a curve of {len(base.alphas)} alphas, expected one.\n"
            "Pass evaluate(Line(o, o), [0], [attribute]) with o the base."
        )
    names = quantities(curve, call, x, y)
    spans = [points_of(curve, call, *names)]
    if base is not None:
        spans.append(points_of(base, "plot_tradeoff(base)", *quantities(base, "plot_tradeoff(base)", x, y)))
    finding = []
    with suppress(CurveError):  # alpha 0 or 1 was not measured
        finding = [of_change(name, curve) for name in names]
    alt = " ".join(
        [*(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in finding), _alt(curve, *names, *spans[1:])]
    )
    fig = Figure.panels([360], alt, theme.facts(curve.provenance), top=24 + 26 * len(finding))
    if finding:
        fig.add_finding(finding)
    ends = {alpha: f"<b>{name}</b>" for alpha, name in theme.landmarks(curve.provenance)}
    if best is not None and np.isfinite(best.alpha):
        ends = {best.alpha: f"<b>best, alpha {alpha_text(best.alpha)}</b>"} | ends
    alphas = list(spans[0]["strength"]["alpha"])
    marker = dict(
        opacity=1,
        size=[20 if alpha in ends else 13 for alpha in alphas],
        color=rounded(alphas),
        colorscale=theme.DIVERGING,
        cmid=0.5,
        line=dict(color=theme.TEXT, width=[3 if alpha in ends else 1 for alpha in alphas]),
        colorbar=dict(title_text="alpha", len=0.7, nticks=6),
    )
    labels = [ends.get(alpha, "") for alpha in alphas]
    text = dict(text=labels, textposition="middle left")  # what lies beyond is less fluent, and so on the right
    hover = [f"At alpha {alpha_text(alpha)}" for alpha in alphas]
    _add_points(fig, spans[0], names, hover, name="alpha", mode="lines+markers+text", marker=marker, **text)
    if base is not None:
        star = dict(symbol="star", size=17, color=theme.GREEN, line=dict(color=theme.TEXT, width=1))
        text = dict(text=["<b>base</b>"], textposition="bottom center")
        _add_points(fig, spans[1], names, ["The base"], name="base", mode="markers+text", marker=star, **text)
    values = {what: pd.concat([one[what][["value", "low", "high"]] for one in spans]) for what in spans[0]}
    title_axes(fig, values, curve, *names)
    if names[1] == fluency_of(names[0]):
        fig.update_layout(height=fig.layout.height + 56, margin_b=fig.layout.margin.b + 56)
        fig.add_note(_judge(spans), "left", 0, yanchor="top", yshift=-58, align="left", font_size=12)
    return fig


def _judge(spans: list[Points]) -> str:
    """How fluent in words, and whom the judge favors."""
    along = spans[0]["fluency"]["value"]
    words = f"Perplexity {number(along.min(), 2)} to {number(along.max(), 2)} along the line"
    words += f", about {number(spans[1]['fluency']['value'].iloc[0], 2)} for the base" if len(spans) > 1 else ""
    return f"{words}.<br>The judge is the base where no other was named; a judge favors texts like its own."


def _add_points(fig: Figure, points: Points, names: tuple[str, str], where: Sequence[str], **look) -> None:
    """At alpha 0.5: strength 0.45 (0.35 to 0.55), perplexity 50 (45 to 55)"""
    x, y = points["fluency"], points["strength"]
    hover = [
        f"{place}: {word(names[0])} {with_interval(up)},<br>{word(names[1])} {with_interval(across)}"
        for place, across, up in zip(where, x.itertuples(), y.itertuples(), strict=True)
    ]
    thin = dict(color="rgba(128,128,128,0.6)", thickness=1, width=0)
    named = pd.Series([bool(text) for text in look["text"]], index=x.index)  # a cross on every point hides the points
    bars = [theme.error_bars(of.where(named), **thin) for of in (x, y)]
    look |= dict(error_x=bars[0], error_y=bars[1])
    look |= dict(line=dict(width=1.5), cliponaxis=False, showlegend=False)
    fig.add_series(x["value"], y["value"], theme.TEXT, hover, **look)


def _alt(curve: Curve, strength: str, fluency: str, base: Points | None = None) -> str:
    parts = [
        f"{strength} {number(curve.value(strength)[i])} at {fluency} {number(curve.value(fluency)[i])} "
        f"for alpha {alpha_text(alpha)}"
        for i, alpha in enumerate(curve.alphas)
        if i in (0, len(curve.alphas) - 1) or alpha in (0, 1)
    ]
    if base is not None:
        at = [number(base[what]["value"].iloc[0]) for what in ("strength", "fluency")]
        parts.append(f"base {at[0]} at {at[1]}")
    return f"Trade-off over {len(curve.alphas)} alphas: {'; '.join(parts)}."
