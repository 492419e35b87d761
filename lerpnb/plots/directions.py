"""A fan: the curve along a line beside those along random directions of its length, as one figure. No torch."""

from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.comparisons import DirectionComparison

PLOT, TOP, BOTTOM = 380, 62, 62  # pixels


UNITS = {"nats/token": "nats per token", "probability": "probability 0 to 1"}


def plot_random_directions(fan: DirectionComparison, quantity: str | None = None) -> Figure:
    """The line strong, the random directions thin, over alpha: 0 is minus, 1 is |plus - minus| away from it.

    Args:
        fan: what `compare_random_directions` returns.
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
    quantity = fan.line.quantities[0] if quantity is None else quantity
    line = fan.line[quantity]
    unit = fan.line.unit(quantity)
    said = escaped(UNITS.get(unit, unit))
    fig = Figure.blank(TOP + PLOT + BOTTOM, _alt(fan, quantity), theme.facts(fan.line.provenance))
    for i, other in enumerate(fan.others):
        rows = other[quantity]
        fig.add_scatter(
            x=rounded(rows["alpha"]),
            y=rounded(rows["value"]),
            name=f"{len(fan.others)} random directions of the same length",
            legendgroup="random",
            showlegend=i == 0,
            mode="lines",
            line=dict(color=faint(theme.VERMILION, 0.6), width=1.2),
            hovertemplate=f"random direction {i + 1}, %{{x}} lengths away:<br>%{{y:.4g}} {said}<extra></extra>",
            hoverlabel=dict(bordercolor=theme.VERMILION, **theme.HOVER),
        )
    fig.add_scatter(
        x=rounded(line["alpha"]),
        y=rounded(line["value"]),
        name="the line from minus to plus",
        mode="lines+markers",
        line=dict(color=theme.BLUE, width=3.5),
        marker=dict(size=8),
        hovertemplate=f"the line, at alpha %{{x}}:<br>%{{y:.4g}} {said}<extra></extra>",
        hoverlabel=dict(bordercolor=theme.BLUE, **theme.HOVER),
    )
    kind = escaped(quantity.partition("/")[0])
    start, stop = fig.mark_ends(float(line["alpha"].min()), float(line["alpha"].max()))
    across = "alpha on the line; on the others distance from minus, in lengths of the line"
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=70, r=30),
        legend=dict(orientation="h", x=0, y=1 + 22 / PLOT, yanchor="bottom", itemwidth=40),
        xaxis=dict(title=dict(text=across, standoff=6, font=dict(size=14)), range=[start, stop], **theme.AXIS),
        yaxis=dict(
            title=dict(text=", ".join(filter(None, [f"{kind} ({escaped(quantity.partition('/')[2])})", said]))),
            **theme.AXIS,
        ),
    )
    return fig


def _alt(fan: DirectionComparison, quantity: str) -> str:
    if not fan.others:
        return f"{quantity} on the line."
    table = fan.table(quantity)
    told = [
        f"at alpha {number(alpha)} {number(row['line'])} on the line and {number(row['least'])} to "
        f"{number(row['most'])} on the random directions"
        for alpha, row in table.iterrows()
        if alpha in (0.0, 1.0, table.index[0], table.index[-1])
    ]
    return f"{quantity} on the line and on {len(fan.others)} random directions: {'; '.join(told)}."
