"""The curve along a line beside those along random directions of its length, on one figure."""

from typing import Any

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, faint, number
from lerpnb.results.comparisons import DirectionComparison


def plot_random_directions(comparison: DirectionComparison, quantity: str | None = None) -> Figure:
    """The line strong, the random directions thin, over alpha: 0 is minus, 1 is |plus - minus| away from it.

    Args:
        comparison: what `compare_random_directions` returns.
        quantity: by default the first.

    Raises:
        CurveError: no such quantity.

    Example:
        >>> from lerpnb.results.curve import Curve
        >>> from lerpnb.results.measurement import Measurement
        >>> def curve(slope):
        ...     return Curve.from_measures({a: {"loss/x": Measurement([4 + slope * a])} for a in (0.0, 1.0)})
        >>> fig = plot_random_directions(DirectionComparison(curve(0.1), [curve(1), curve(2)], {}))
        >>> [trace.y for trace in fig.data]
        [(4.0, 5.0), (4.0, 6.0), (4.0, 4.1)]
    """
    line, others = comparison.line, comparison.others
    quantity = quantity or line.quantities[0]
    rows, unit = line[quantity], theme.unit_label(line.unit(quantity))
    fig = Figure.panels([380], _alt(comparison, quantity), theme.facts(line.provenance))
    look: dict[str, Any] = dict(mode="lines", line=dict(color=faint(theme.VERMILION, 0.6), width=1.2))
    look |= dict(name=f"{len(others)} random directions of the same length", legendgroup="random")
    for i, other in enumerate(others, start=1):
        found = other[quantity]
        hover = [
            f"random direction {i}, {number(at.alpha)} lengths away:<br>{number(at.value)} {unit}"
            for at in found.itertuples()
        ]
        fig.add_series(found["alpha"], found["value"], theme.VERMILION, hover, showlegend=i == 1, **look)
    hover = [f"the line, at alpha {alpha_text(at.alpha)}:<br>{number(at.value)} {unit}" for at in rows.itertuples()]
    look = dict(name="the line from minus to plus", line=dict(width=3.5), marker=dict(size=8))
    fig.add_series(rows["alpha"], rows["value"], theme.BLUE, hover, **look)
    across = "alpha on the line; on the others distance from minus, in lengths of the line"
    fig.mark_alphas(rows["alpha"].min(), rows["alpha"].max(), title=across)
    return fig.update_yaxes(title_text=theme.quantity_title(quantity, line.unit(quantity)))


def _alt(comparison: DirectionComparison, quantity: str) -> str:
    if not comparison.others:
        return f"{quantity} on the line."
    table = comparison.to_frame(quantity)
    parts = [
        f"at alpha {alpha_text(alpha)} {number(row['line'])} on the line and {number(row['least'])} to "
        f"{number(row['most'])} on the random directions"
        for alpha, row in table.iterrows()
        if alpha in (0.0, 1.0, table.index[0], table.index[-1])
    ]
    return f"{quantity} on the line and on {len(comparison.others)} random directions: {'; '.join(parts)}."
