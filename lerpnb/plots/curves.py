"""Several curves over one coordinate, a panel for each quantity, so that ways to mix can be compared."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number
from lerpnb.results.curve import Curve

PANEL = 240  # pixels


def plot_curves(
    curves: Mapping[str, Mapping[str, Curve]], panels: Mapping[str, str], coordinate: str = theme.ALPHA
) -> Figure:
    """Quantities of several curves over the coordinate that they share, each in a panel of its own.

    Args:
        curves: {method: {state: curve}}: a method has a color and marker of its own, a state a dash.
        panels: {quantity: the panel's title}, from the top; a curve without a quantity is left out of its panel.
        coordinate: the name and unit of the x axis.

    Raises:
        CurveError: no curve, no panel, or a quantity that no curve has.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> curve = Curve.from_measures({a: {"accuracy/x": Measurement([a, 1.0], unit="share")} for a in (0.0, 1.0)})
        >>> fig = plot_curves({"mask": {"mixed": curve}}, {"accuracy/x": "accuracy"}, "ratio")
        >>> [trace.name for trace in fig.data]
        ['mask, mixed, 95 % interval', 'mask, mixed']
    """
    flat = {(method, state): curve for method, states in curves.items() for state, curve in states.items()}
    if not flat or not panels:
        raise CurveError("plot_curves(curves, panels): nothing to draw.\nPass a curve and a quantity or more.")
    for quantity in panels:
        if not any(quantity in curve.quantities for curve in flat.values()):
            raise CurveError(
                f"plot_curves(panels): no curve has {quantity!r}.\n"
                f"The first has: {', '.join(next(iter(flat.values())).quantities[:3])}."
            )
    states = list(dict.fromkeys(state for _, state in flat))
    facts = theme.facts(next(iter(flat.values())).provenance)
    top = 16 + 24 * -(-len(flat) // 2)  # two names a row in the legend
    fig = Figure.panels([PANEL] * len(panels), _alt(flat, panels, coordinate), facts, top=top, left=92)
    for row, (quantity, title) in enumerate(panels.items(), start=1):
        shown = {key: curve for key, curve in flat.items() if quantity in curve.quantities}
        for (method, state), curve in shown.items():
            place, dash = list(curves).index(method), theme.DASHES[states.index(state) % 4]
            width = 2.0 + 2.5 * (len(curves) - 1 - place)  # a line that lies on another does not hide it
            _add(fig, curve, quantity, row, coordinate, f"{method}, {state}", theme.style(place), dash, width)
        unit = next(iter(shown.values())).unit(quantity)
        text = theme.title(escaped(title), theme.unit_label(unit), between="<br>")
        span = [-0.04, 1.04] if unit in ("share", "probability") else None
        fig.update_yaxes(title_text=text, title_standoff=12, nticks=7, range=span, row=row, col=1)
    alphas = np.concatenate([curve.alphas for curve in flat.values()])
    fig.mark_alphas(alphas.min(), alphas.max(), (), escaped(coordinate))
    return fig


def _add(
    fig: Figure,
    curve: Curve,
    quantity: str,
    row: int,
    coordinate: str,
    name: str,
    style: tuple[str, str, str],
    dash: str,
    width: float,
) -> None:
    rows, (color, symbol, _), name = curve.frame[curve.frame["quantity"] == quantity], style, escaped(name)
    where: dict[str, Any] = dict(row=row, legendgroup=name)
    fig.add_band(rows["alpha"], rows["low"], rows["high"], color, 0.1, name=f"{name}, 95 % interval", **where)
    across = escaped(coordinate.partition(" (")[0])
    hover = [
        f"{name}: at {across} {alpha_text(at.alpha)}<br>{escaped(quantity)} is {number(at.value)}<br>"
        f"(95 % interval {theme.interval(at)} over {at.n} {escaped(at.items)})"
        for at in rows.itertuples()
    ]
    look = dict(line=dict(width=width, dash=dash), marker=dict(size=5 + width, symbol=symbol), showlegend=row == 1)
    fig.add_series(rows["alpha"], rows["value"], color, hover, name=name, **look, **where)


def _alt(flat: Mapping[tuple, Curve], panels: Mapping[str, str], coordinate: str) -> str:
    lines = []
    for quantity, title in panels.items():
        parts = []
        for (method, state), curve in flat.items():
            if quantity in curve.quantities:
                x, y = curve.alphas, curve.value(quantity)
                parts.append(f"{method}, {state}, {number(y[0])} at {number(x[0])}, {number(y[-1])} at {number(x[-1])}")
        lines.append(f"{title}: {'; '.join(parts)}.")
    return f"Over the {coordinate.partition(' (')[0]}. {' '.join(lines)}"
