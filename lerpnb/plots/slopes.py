"""Tangents: a loss over alpha with the exact slope at each measured alpha, and below it the second derivative."""

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.curve import Curve
from lerpnb.utils.text import listed

COLOURS = (theme.BLUE, theme.GREEN, theme.SKY, theme.PURPLE)


SYMBOLS = ("circle", "square", "triangle-up", "cross")


REACH = 0.35  # how far a tangent reaches to either side, as a share of the least distance between two alphas


FINE = 12  # pieces in which the cubic between two alphas is drawn


UPPER, GAP, LOWER, TOP, BOTTOM = 330, 44, 190, 66, 62  # pixels


def plot_slopes(curve: Curve) -> Figure:
    """Above: losses over alpha, each with its exact tangent at every measured alpha. Below: the second derivative.

    A tangent is what `LossSlope` measured, not a difference of neighbours. The thin line between two alphas is the one
    cubic with their values and slopes (Hermite's): where it leaves what is believed of the loss, measure in between.
    Bands are 95 % intervals over texts. Where the second derivative is above 0 the loss is convex along the path.

    Args:
        curve: a walk with a `Loss` and a `LossSlope` of the same texts, once or several times.

    Raises:
        CurveError: no loss comes with its slope.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, a * a]), "slope/x": Measurement([2 * a, 2 * a]),
        ...               "curvature/x": Measurement([2.0, 2.0])} for a in (0.0, 0.5, 1.0)}
        >>> [trace.name for trace in plot_slopes(Curve.from_measures(points)).data]
        ['loss/x', 'loss/x, cubic between', 'loss/x, tangents', 'curvature/x, 95 % interval', 'curvature/x']
    """
    names = [q.removeprefix("loss/") for q in curve.quantities if q.startswith("loss/")]
    names = [name for name in names if f"slope/{name}" in curve.quantities]
    if not names:
        raise CurveError(
            f"tangents_figure(curve): no loss with its slope; it has {listed(curve.quantities)}.\n"
            "Walk with ln.Loss(corpus) and ln.probes.LossSlope(line, corpus) of the same texts."
        )
    below = [name for name in names if f"curvature/{name}" in curve.quantities]
    fig = Figure.blank(_height(below), _alt(curve, names, below), theme.facts(curve.provenance))
    for i, name in enumerate(names):
        _add_loss(fig, curve, name, COLOURS[i % 4], SYMBOLS[(i + i // 4) % 4])
    for name in below:
        i = names.index(name)
        _add_second(fig, curve, name, COLOURS[i % 4], SYMBOLS[(i + i // 4) % 4])
    _lay_out(fig, curve, names, below)
    return fig


def hermite(x: np.ndarray, y: np.ndarray, slope: np.ndarray, pieces: int = FINE) -> tuple[np.ndarray, np.ndarray]:
    """Points of the cubics that have the values y and slopes at x: each interval in so many pieces.

    >>> x, y = hermite(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 3.0]), 2)  # of a cube
    >>> x.tolist(), y.tolist()
    ([0.0, 0.5, 1.0], [0.0, 0.125, 1.0])
    """
    t = np.arange(pieces) / pieces
    wide = np.diff(x)[:, None]
    start, stop = y[:-1, None], y[1:, None]
    left, right = wide * slope[:-1, None], wide * slope[1:, None]
    inner = start + t * (left + t * (3 * (stop - start) - 2 * left - right + t * (left + right - 2 * (stop - start))))
    return np.append((x[:-1, None] + wide * t).ravel(), x[-1]), np.append(inner.ravel(), y[-1])


def _add_loss(fig: Figure, curve: Curve, name: str, colour: str, symbol: str) -> None:
    rows, steep = curve[f"loss/{name}"], curve[f"slope/{name}"].set_index("alpha")
    x, y = rows["alpha"].to_numpy(), rows["value"].to_numpy()
    slope = steep["value"].reindex(x).to_numpy()
    group = dict(legendgroup=escaped(name))
    unit = "nats per token" if curve.unit(f"loss/{name}") == "nats/token" else curve.unit(f"loss/{name}")
    told = [
        f"At alpha {number(a)}, the loss on {escaped(name)} is {number(v)} {escaped(unit)}<br>and changes by "
        f"{number(s)} per unit of alpha<br>(95 % interval {number(low)} to {number(high)})."
        for a, v, s, low, high in zip(x, y, slope, steep["low"].reindex(x), steep["high"].reindex(x), strict=True)
    ]
    fig.add_scatter(
        x=rounded(x),
        y=rounded(y),
        name=f"loss/{escaped(name)}",
        mode="markers",
        marker=dict(size=8, symbol=symbol, color=colour),
        hovertext=told,
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        **group,
    )
    thin, thick = dict(color=faint(colour, 0.55), width=1.5), dict(color=colour, width=3.5)
    curve_x, curve_y = hermite(x, y, slope) if len(x) > 1 else (x, y)
    quiet = dict(mode="lines", hoverinfo="skip", showlegend=False, **group)
    label = f"loss/{escaped(name)}"
    fig.add_scatter(x=rounded(curve_x), y=rounded(curve_y), name=f"{label}, cubic between", line=thin, **quiet)
    reach = REACH * (np.diff(x).min() if len(x) > 1 else 1.0)
    ends = np.stack([x - reach, x + reach, np.full_like(x, np.nan)], 1).ravel()
    heights = np.stack([y - reach * slope, y + reach * slope, np.full_like(x, np.nan)], 1).ravel()
    fig.add_scatter(x=rounded(ends), y=rounded(heights), name=f"{label}, tangents", line=thick, **quiet)


def _add_second(fig: Figure, curve: Curve, name: str, colour: str, symbol: str) -> None:
    rows = curve[f"curvature/{name}"]
    known = rows[np.isfinite(rows["low"])]
    group = dict(legendgroup=escaped(name), showlegend=False, yaxis="y2")
    fig.add_scatter(
        x=rounded(np.append(known["alpha"], known["alpha"][::-1])),
        y=rounded(np.append(known["high"], known["low"][::-1])),
        name=f"curvature/{escaped(name)}, 95 % interval",
        mode="lines",
        fill="toself",
        fillcolor=faint(colour, 0.12),
        line=dict(width=1, color=faint(colour, 0.3)),
        hoverinfo="skip",
        **group,
    )
    fig.add_scatter(
        x=rounded(rows["alpha"]),
        y=rounded(rows["value"]),
        name=f"curvature/{escaped(name)}",
        mode="lines+markers",
        line=dict(color=colour, width=2),
        marker=dict(size=7, symbol=symbol),
        hovertext=[
            f"At alpha {number(r.alpha)}, the second derivative on {escaped(name)}<br>is {number(r.value)}"
            + (f" (95 % interval {number(r.low)} to {number(r.high)})." if np.isfinite(r.low) else ".")
            for r in rows.itertuples()
        ],
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        **group,
    )


def _height(below: list[str]) -> int:
    return TOP + UPPER + BOTTOM + (GAP + LOWER if below else 0)


def _lay_out(fig: Figure, curve: Curve, names: list[str], below: list[str]) -> None:
    paper = UPPER + (GAP + LOWER if below else 0)
    alphas = curve["loss/" + names[0]]["alpha"]
    start, stop = fig.mark_ends(float(alphas.iloc[0]), float(alphas.iloc[-1]))
    across = dict(text="alpha (no unit)", standoff=6, font=dict(size=14))
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=76, r=30),
        legend=dict(orientation="h", x=0, y=1 + 22 / paper, yanchor="bottom", itemwidth=40),
        xaxis=dict(title=across, range=[start, stop], anchor="y2" if below else "y", **theme.AXIS),
        yaxis=dict(title=_title("loss, nats per token"), domain=[1 - UPPER / paper, 1], **theme.AXIS),
    )
    if below:
        for shape in [shape for shape in fig.layout.shapes if shape.yref == "y domain"]:
            fig.add_shape(**{**shape.to_plotly_json(), "yref": "y2 domain"})
        fig.add_shape(type="line", x0=start, x1=stop, y0=0, y1=0, yref="y2", line=dict(color=theme.TEXT, width=1))
        second = dict(
            title=_title("second derivative,<br>nats per token per alpha²"), domain=[0, LOWER / paper], anchor="x"
        )
        fig.update_layout(yaxis2=dict(**second, **theme.AXIS))


def _title(text: str) -> dict:
    return dict(text=text, font=dict(size=14))


def _alt(curve: Curve, names: list[str], below: list[str]) -> str:
    told = []
    for name in names:
        slope = curve[f"slope/{name}"]
        first, last = slope.iloc[0], slope.iloc[-1]
        told.append(
            f"the slope of loss/{name} from {number(first['value'])} at alpha {number(first['alpha'])} "
            f"to {number(last['value'])} at alpha {number(last['alpha'])}"
        )
    for name in below:
        values = curve[f"curvature/{name}"]["value"]
        told.append(f"its second derivative on {name} between {number(values.min())} and {number(values.max())}")
    return f"Tangents over {len(curve['loss/' + names[0]])} alphas: {'; '.join(told)}."
