"""Panels: several curves over one coordinate, a panel a quantity, so that ways to mix can be compared; no torch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.curve import Curve

COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.PURPLE, theme.ORANGE, theme.SKY)


SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "hexagon")


DASHES = ("solid", "dot", "dash", "dashdot")


UNITS = {
    "share": "share, 0 to 1",
    "difference": "−1 to 1",
    "nats/token": "nats per token",
    "nats/text": "nats per text",
}


PANEL, BETWEEN, LEGEND = 240, 44, 24  # pixels


def plot_curves(
    curves: Mapping[str, Mapping[str, Curve]],
    panels: Mapping[str, str],
    coordinate: str = "alpha (no unit)",
) -> Figure:
    """Quantities of several curves over the coordinate that they share, each in a panel of its own.

    Args:
        curves: {way: {state: curve}}: a way has a colour and marker of its own, a state a dash.
        panels: {quantity: the panel's title}, from the top; a curve without a quantity is left out of its panel.
        coordinate: the name and unit of what goes across.

    Raises:
        CurveError: no curve, no panel, or a quantity that no curve has.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> curve = Curve.from_measures({a: {"accuracy/x": Measurement([a, 1.0], unit="share")} for a in (0.0, 1.0)})
        >>> fig = plot_curves({"mask": {"mixed": curve}}, {"accuracy/x": "accuracy"}, "ratio")
        >>> [trace.name for trace in fig.data]
        ['mask, mixed, 95 % interval', 'mask, mixed']
    """
    flat = {(way, state): curve for way, states in curves.items() for state, curve in states.items()}
    if not flat or not panels:
        raise CurveError("panels_figure(curves, panels): nothing to draw.\nPass a curve and a quantity or more.")
    for quantity in panels:
        if not any(quantity in curve.quantities for curve in flat.values()):
            raise CurveError(
                f"panels_figure(panels): no curve has {quantity!r}.\n"
                f"The first has: {', '.join(next(iter(flat.values())).quantities[:3])}."
            )
    states = list(dict.fromkeys(state for _, state in flat))
    fig = Figure.blank(100, _alt(flat, panels, coordinate), theme.facts(next(iter(flat.values())).provenance))
    for panel, quantity in enumerate(panels, start=1):
        for (way, state), curve in flat.items():
            if quantity in curve.quantities:
                place = list(curves).index(way)
                dress = dict(colour=COLOURS[place % 6], symbol=SYMBOLS[place % 6], dash=DASHES[states.index(state) % 4])
                width = 2.0 + 2.5 * (len(curves) - 1 - place)  # a way that lies on another does not hide it
                _add(fig, curve, quantity, f"{way}, {state}", panel, coordinate, width, **dress)
    _lay_out(fig, flat, panels, coordinate)
    return fig


def joined(curves: Mapping[str, Mapping[str, Curve]]) -> Curve:
    """One curve of all, to be recorded: each quantity with its way and state in brackets.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> curve = Curve.from_measures({0.5: {"accuracy/x": Measurement([1.0, 0.0])}})
        >>> joined({"mask": {"mixed": curve}, "mean": {"mixed": curve}}).quantities
        ['accuracy/x (mask, mixed)', 'accuracy/x (mean, mixed)']
    """
    flat = {f"{way}, {state}": curve for way, states in curves.items() for state, curve in states.items()}
    frames = [curve.frame.assign(quantity=curve.frame["quantity"] + f" ({name})") for name, curve in flat.items()]
    first = next(iter(flat.values())).provenance
    told = {name: curve.provenance for name, curve in flat.items()}
    frame = pd.concat(frames).sort_values("alpha", kind="stable", ignore_index=True)
    return Curve(frame, provenance=first | {"curves": told})


def _add(
    fig: Figure,
    curve: Curve,
    quantity: str,
    name: str,
    panel: int,
    coordinate: str,
    width: float,
    colour: str,
    symbol: str,
    dash: str,
) -> None:
    rows = curve.frame[curve.frame["quantity"] == quantity]
    x, y, low, high = (rounded(rows[column]) for column in ("alpha", "value", "low", "high"))
    where = dict(yaxis=_axis(panel), legendgroup=escaped(name))
    if None not in low + high:
        fig.add_scatter(
            x=x + x[::-1],
            y=low + high[::-1],
            name=f"{escaped(name)}, 95 % interval",
            mode="lines",
            fill="toself",
            fillcolor=faint(colour, 0.1),
            line=dict(width=0),
            hoverinfo="skip",
            showlegend=False,
            **where,
        )
    across = coordinate.partition(" (")[0]
    told = [
        f"{escaped(name)}: at {escaped(across)} {number(row.alpha)}<br>{escaped(quantity)} is {number(row.value)}<br>"
        f"(95 % interval {number(row.low)} to {number(row.high)} over {row.n} {escaped(row.items)})"
        for row in rows.itertuples()
    ]
    fig.add_scatter(
        x=x,
        y=y,
        name=escaped(name),
        showlegend=panel == 1,
        mode="lines+markers",
        line=dict(color=colour, width=width, dash=dash),
        marker=dict(size=5 + width, symbol=symbol),
        hovertext=told,
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        **where,
    )


def _axis(panel: int) -> str:
    return "y" if panel == 1 else f"y{panel}"


def _lay_out(fig: Figure, flat: Mapping[tuple, Curve], panels: Mapping[str, str], coordinate: str) -> None:
    alphas = np.concatenate([curve.alphas for curve in flat.values()])
    pad = 0.03 * (alphas.max() - alphas.min()) or 0.5
    inner = len(panels) * PANEL + (len(panels) - 1) * BETWEEN
    top = 16 + LEGEND * -(-len(flat) // 2)
    fig.update_layout(
        height=inner + top + 62,
        margin=dict(t=top, b=62, l=92, r=30),
        legend=dict(orientation="h", itemwidth=40, x=0, xanchor="left", y=1 + 10 / inner, yanchor="bottom"),
        xaxis=dict(
            title=dict(text=escaped(coordinate), font=dict(size=14)),
            range=[float(alphas.min() - pad), float(alphas.max() + pad)],
            anchor=_axis(len(panels)),
            **theme.AXIS,
        ),
    )
    for panel, (quantity, title) in enumerate(panels.items(), start=1):
        bottom = inner - panel * PANEL - (panel - 1) * BETWEEN
        units = [curve.unit(quantity) for curve in flat.values() if quantity in curve.quantities]
        unit = UNITS.get(units[0], units[0])
        axis = dict(domain=[bottom / inner, (bottom + PANEL) / inner], nticks=7, anchor="x", **theme.AXIS)
        text = "<br>".join(filter(None, [escaped(title), escaped(unit)]))
        if units[0] in ("share", "probability"):
            axis["range"] = [-0.04, 1.04]
        fig.update_layout({f"yaxis{panel if panel > 1 else ''}": dict(title=dict(text=text, standoff=12), **axis)})


def _alt(flat: Mapping[tuple, Curve], panels: Mapping[str, str], coordinate: str) -> str:
    """The figure in words, for who cannot see it."""
    told = []
    for quantity, title in panels.items():
        parts = []
        for (way, state), curve in flat.items():
            if quantity in curve.quantities:
                x, y = curve.alphas, curve.value(quantity)
                parts.append(f"{way}, {state}, {number(y[0])} at {number(x[0])}, {number(y[-1])} at {number(x[-1])}")
        told.append(f"{title}: {'; '.join(parts)}.")
    return f"Over the {coordinate.partition(' (')[0]}. {' '.join(told)}"
