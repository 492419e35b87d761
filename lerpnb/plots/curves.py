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
Flat = dict[tuple[str, str], Curve]  # by method and state


def plot_curves(
    curves: Mapping[str, Mapping[str, Curve]], panels: Mapping[str, str], coordinate: str = theme.ALPHA
) -> Figure:
    """Quantities of several curves over the coordinate that they share, each in a panel of its own.

    The title says of each quantity which curve changes most from its first to its last coordinate, where an interval
    bears it out. Bands are 95 % intervals.

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
        >>> [trace.name for trace in fig.data], [note.text for note in fig.layout.annotations]
        (['mask, 95 % interval', 'mask'], ['mask'])
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
    names = {key: ", ".join(key) if len(states) > 1 else key[0] for key in flat}
    finding = [_finding(flat, names, quantity, title[:1].upper() + title[1:]) for quantity, title in panels.items()]
    facts = theme.facts(next(iter(flat.values())).provenance)
    longest = max(len(part) for name in names.values() for part in name.split(", "))
    room = dict(top=40 + 22 * len(finding), left=92, right=24 + 7 * min(longest, 24))
    fig = Figure.panels([PANEL] * len(panels), _alt(flat, names, finding, panels, coordinate), facts, **room)
    for row, (quantity, title) in enumerate(panels.items(), start=1):
        shown = {key: curve for key, curve in flat.items() if quantity in curve.quantities}
        ends = []
        for (method, state), curve in shown.items():
            place, dash = list(curves).index(method), theme.DASHES[states.index(state) % 4]
            width = 2.0 + 2.5 * (len(curves) - 1 - place)  # a line that lies on another does not hide it
            name, style = names[method, state], theme.style(place)
            _add_line(fig, curve, quantity, row, coordinate, name, style, dash, width)
            ends.append(
                (curve.value(quantity)[-1], "<br>".join(escaped(part, 24) for part in name.split(", ")), style[0])
            )
        unit = next(iter(shown.values())).unit(quantity)
        text = theme.title(escaped(title), theme.unit_label(unit), between="<br>")
        span = [-0.04, 1.04] if unit in ("share", "probability") else _span(shown, quantity)
        fig.update_yaxes(title_text=text, title_standoff=12, nticks=7, range=span, row=row, col=1)
        fig.name_lines(row, ends, PANEL)
    alphas = np.concatenate([curve.alphas for curve in flat.values()])
    fig.mark_alphas(alphas.min(), alphas.max(), (), escaped(coordinate))
    fig.add_finding(finding)
    return fig.update_layout(showlegend=False)


def _add_line(
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
    fig.add_band(rows["alpha"], rows["low"], rows["high"], color, 0.1, name=f"{name}, 95 % interval", row=row)
    across = escaped(coordinate.partition(" (")[0])
    hover = [
        f"{name}: at {across} {alpha_text(at.alpha)}<br>{escaped(quantity)} is {number(at.value)}<br>"
        f"(95 % interval {theme.interval(at)} over {at.n} {escaped(at.items)})"
        for at in rows.itertuples()
    ]
    look: dict[str, Any] = dict(line=dict(width=width, dash=dash), marker=dict(size=5 + width, symbol=symbol), row=row)
    fig.add_series(rows["alpha"], rows["value"], color, hover, name=name, **look)


def _span(shown: Flat, quantity: str) -> list[float]:
    values = theme.finite(*(curve[quantity][column] for curve in shown.values() for column in ("value", "low", "high")))
    return theme.span(values.min(), values.max())


def _finding(flat: Flat, names: Mapping[tuple, str], quantity: str, title: str) -> str:
    """Accuracy changes most in mask, mixed, by +0.26 [0.19, 0.33] from 0 to 1."""
    changes = {
        key: curve.difference(quantity, curve.alphas[0], curve.alphas[-1])
        for key, curve in flat.items()
        if quantity in curve.quantities and len(curve.alphas) > 1
    }
    sure = [key for key, change in changes.items() if change.low > 0 or change.high < 0]
    if not sure:
        return f"{title}: no change from end to end lies outside its interval"
    key = max(sure, key=lambda one: abs(changes[one].value))
    first, last = (alpha_text(flat[key].alphas[i]) for i in (0, -1))
    where = f" most in {names[key]}" if len(changes) > 1 else ""
    return f"{title} changes{where}, by {changes[key].text(sign=True)} from {first} to {last}"


def _alt(flat: Flat, names: Mapping[tuple, str], finding: list[str], panels: Mapping[str, str], coordinate: str) -> str:
    lines = []
    for quantity, title in panels.items():
        parts = []
        for key, curve in flat.items():
            if quantity in curve.quantities:
                x, y = curve.alphas, curve.value(quantity)
                parts.append(f"{names[key]}, {number(y[0])} at {number(x[0])}, {number(y[-1])} at {number(x[-1])}")
        lines.append(f"{title}: {'; '.join(parts)}.")
    return f"{'. '.join(finding)}. Over the {coordinate.partition(' (')[0]}. {' '.join(lines)}"
