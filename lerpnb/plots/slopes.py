"""A loss over alpha with the exact slope at each measured alpha, and below it the second derivative."""

from typing import Any

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, faint, number
from lerpnb.results.curve import Curve
from lerpnb.utils.text import listed

REACH = 0.35  # how far a tangent reaches to either side, as a share of the least distance between two alphas
PIECES = 12  # in which the cubic between two alphas is drawn
UPPER, LOWER = 330, 190  # pixels


def plot_slopes(curve: Curve) -> Figure:
    """Above: losses over alpha, each with its exact tangent at every measured alpha. Below: the second derivative.

    A tangent is what `LossSlope` measured, not a difference of neighbors. The thin line between two alphas is the one
    cubic with their values and slopes (Hermite's): where it looks wrong, measure in between. Bands are 95 % intervals
    over texts. Where the second derivative is above 0 the loss is convex along the path.

    Args:
        curve: of a `Loss` and a `LossSlope` of the same texts, once or several times.

    Raises:
        CurveError: no loss comes with its slope.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, a * a]), "slope/x": Measurement([2 * a, 2 * a]),
        ...               "curvature/x": Measurement([2.0, 2.0])} for a in (0.0, 0.5, 1.0)}
        >>> [trace.name for trace in plot_slopes(Curve.from_measures(points)).data]
        ['loss/x', 'loss/x, cubic between', 'loss/x, tangents', 'curvature/x, 95 % interval', 'curvature/x']
    """
    names = [curve.quantity(name).label for name in curve.of_kind("loss")]
    names = [name for name in names if f"slope/{name}" in curve.quantities]
    if not names:
        raise CurveError(
            f"plot_slopes(curve): no loss with its slope; it has {listed(curve.quantities)}.\n"
            "Evaluate ln.Loss(corpus) and ln.probes.LossSlope(line, corpus) of the same texts."
        )
    below = [name for name in names if f"curvature/{name}" in curve.quantities]
    heights = [UPPER, LOWER] if below else [UPPER]
    fig = Figure.panels(heights, _alt(curve, names, below), theme.facts(curve.provenance), left=76)
    for i, name in enumerate(names):
        _add_loss(fig, curve, name, i)
    for name in below:
        _add_second(fig, curve, name, names.index(name))
    alphas = curve["loss/" + names[0]]["alpha"]
    fig.mark_alphas(alphas.iloc[0], alphas.iloc[-1])
    fig.update_yaxes(title_text="loss, nats per token", row=1, col=1)
    if below:
        fig.update_yaxes(title_text="second derivative,<br>nats per token per alpha²", row=2, col=1)
        fig.add_hline(0, row=2, col=1, line=dict(color=theme.TEXT, width=1))
    return fig


def _add_loss(fig: Figure, curve: Curve, name: str, i: int) -> None:
    rows = curve[f"loss/{name}"]
    steep = curve[f"slope/{name}"].set_index("alpha").reindex(rows["alpha"]).reset_index()
    x, y, slope = (column.to_numpy() for column in (rows["alpha"], rows["value"], steep["value"]))
    (color, symbol), label = theme.line(i), f"loss/{escaped(name)}"
    unit = theme.unit_label(curve.unit(f"loss/{name}"))
    hover = [
        f"At alpha {alpha_text(at.alpha)}, the loss on {escaped(name)} is {number(value)} {unit}<br>and changes by "
        f"{number(at.value)} per unit of alpha<br>(95 % interval {theme.interval(at)})."
        for value, at in zip(y, steep.itertuples(), strict=True)
    ]
    group: dict[str, Any] = dict(legendgroup=escaped(name))
    marker = dict(size=8, symbol=symbol, color=color)
    fig.add_series(x, y, color, hover, name=label, mode="markers", marker=marker, **group)
    quiet: dict[str, Any] = dict(mode="lines", showlegend=False, **group)
    thin, thick = dict(color=faint(color, 0.55), width=1.5), dict(width=3.5)
    fig.add_series(*_cubics(x, y, slope), color, name=f"{label}, cubic between", line=thin, **quiet)
    reach = REACH * (np.diff(x).min() if len(x) > 1 else 1.0)
    gap = np.full_like(x, np.nan)
    ends = np.stack([x - reach, x + reach, gap], 1).ravel()
    heights = np.stack([y - reach * slope, y + reach * slope, gap], 1).ravel()
    fig.add_series(ends, heights, color, name=f"{label}, tangents", line=thick, **quiet)


def _cubics(x: np.ndarray, y: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the cubic between each two neighbors; NaN where a value or a slope is."""
    pieces = [np.linspace(*ends, PIECES, endpoint=False) for ends in zip(x, x[1:], strict=False)]
    fine = np.concatenate([*pieces, x[-1:]])
    heights = np.full_like(fine, np.nan)
    for i in range(len(x) - 1):
        pair = slice(i, i + 2)
        if np.isfinite([y[pair], slope[pair]]).all():
            inside = slice(i * PIECES, (i + 1) * PIECES)
            heights[inside] = CubicHermiteSpline(x[pair], y[pair], slope[pair])(fine[inside])
    heights[-1] = y[-1]
    return fine, heights


def _add_second(fig: Figure, curve: Curve, name: str, i: int) -> None:
    rows, (color, symbol) = curve[f"curvature/{name}"], theme.line(i)
    label, edge = f"curvature/{escaped(name)}", dict(width=1, color=faint(color, 0.3))
    where: dict[str, Any] = dict(legendgroup=escaped(name), showlegend=False, row=2)
    band = rows["alpha"], rows["low"], rows["high"]
    fig.add_band(*band, color, name=f"{label}, 95 % interval", line=edge, **where)
    hover = [
        f"At alpha {alpha_text(r.alpha)}, the second derivative on {escaped(name)}<br>is {number(r.value)}"
        + (f" (95 % interval {theme.interval(r)})." if np.isfinite(r.low) else ".")
        for r in rows.itertuples()
    ]
    fig.add_series(rows["alpha"], rows["value"], color, hover, name=label, marker=dict(size=7, symbol=symbol), **where)


def _alt(curve: Curve, names: list[str], below: list[str]) -> str:
    parts = [f"the slope of loss/{name} {theme.from_to(curve[f'slope/{name}'])}" for name in names]
    for name in below:
        values = curve[f"curvature/{name}"]["value"]
        parts.append(f"its second derivative on {name} between {number(values.min())} and {number(values.max())}")
    return f"Tangents over {len(curve['loss/' + names[0]])} alphas: {'; '.join(parts)}."
