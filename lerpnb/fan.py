"""A fan: the curve along a line beside those along random directions of its length, as one figure. No torch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import picture as look
from .curve import Curve
from .errors import CurveError
from .picture import Picture, escaped, faint, number, rounded

PLOT, TOP, BOTTOM = 380, 62, 62  # pixels
UNITS = {"nats/token": "nats per token", "probability": "probability 0 to 1"}


@dataclass(frozen=True, eq=False)
class Fan:
    """Is this line special? Its curve, and those of walks from minus along random directions of equal length.

    On each of them alpha 0 is minus and alpha 1 is |plus - minus| away from it.

    Attributes:
        line: the curve from minus to plus.
        others: one curve a random direction.
        provenance: seeds, the length, whether the directions are orthogonal to the line.
    """

    line: Curve
    others: list[Curve]
    provenance: dict

    def table(self, quantity: str | None = None) -> pd.DataFrame:
        """A row an alpha: the line's value; least, mean and most of the random ones; how many of them are higher.

        Raises:
            CurveError: no such quantity, or no random direction was finished.
        """
        quantity = self.line.quantities[0] if quantity is None else quantity
        if not self.others:
            raise CurveError("Fan.table(quantity): no random direction was finished.\nRun it again.")
        alphas = self.line.alphas
        rows = np.stack([other[quantity].set_index("alpha")["value"].reindex(alphas) for other in self.others])
        line = self.line.value(quantity)
        found = {"line": line, "least": rows.min(0), "mean": rows.mean(0), "most": rows.max(0)}
        found["higher"] = (rows > line).sum(0)
        return pd.DataFrame(found, index=pd.Index(alphas, name="alpha"))

    def __repr__(self) -> str:
        if not self.others:
            return f"Fan of {self.line.quantities[0]}: the line alone"
        table = self.table()
        at = 1.0 if 1.0 in table.index else table.index[-1]
        row = table.loc[at]
        return (
            f"Fan of {self.line.quantities[0]}: at alpha {number(at)} {number(row['line'])} on the line; on "
            f"{len(self.others)} random directions {number(row['least'])} to {number(row['most'])}, "
            f"higher on {int(row['higher'])}"
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**fan_figure(self)._repr_mimebundle_(), "text/plain": repr(self)}


def fan_figure(fan: Fan, quantity: str | None = None) -> Picture:
    """The line strong, the random directions thin, over alpha: 0 is minus, 1 is |plus - minus| away from it.

    Args:
        fan: what `compare_directions` returns.
        quantity: by default the first.

    Raises:
        CurveError: no such quantity.

    Example:
        >>> from lerpnb.measure import Measure
        >>> def curve(slope):
        ...     return Curve.from_measures({a: {"loss/x": Measure([4 + slope * a])} for a in (0.0, 1.0)})
        >>> fig = fan_figure(Fan(curve(0.1), [curve(1), curve(2)], {}))
        >>> [trace.y for trace in fig.data]
        [(4.0, 5.0), (4.0, 6.0), (4.0, 4.1)]
    """
    quantity = fan.line.quantities[0] if quantity is None else quantity
    line = fan.line[quantity]
    unit = fan.line.unit(quantity)
    said = escaped(UNITS.get(unit, unit))
    fig = Picture.blank(TOP + PLOT + BOTTOM, _alt(fan, quantity), look.facts(fan.line.provenance))
    for i, other in enumerate(fan.others):
        rows = other[quantity]
        fig.add_scatter(
            x=rounded(rows["alpha"]),
            y=rounded(rows["value"]),
            name=f"{len(fan.others)} random directions of the same length",
            legendgroup="random",
            showlegend=i == 0,
            mode="lines",
            line=dict(color=faint(look.VERMILION, 0.6), width=1.2),
            hovertemplate=f"random direction {i + 1}, %{{x}} lengths away:<br>%{{y:.4g}} {said}<extra></extra>",
            hoverlabel=dict(bordercolor=look.VERMILION, **look.HOVER),
        )
    fig.add_scatter(
        x=rounded(line["alpha"]),
        y=rounded(line["value"]),
        name="the line from minus to plus",
        mode="lines+markers",
        line=dict(color=look.BLUE, width=3.5),
        marker=dict(size=8),
        hovertemplate=f"the line, at alpha %{{x}}:<br>%{{y:.4g}} {said}<extra></extra>",
        hoverlabel=dict(bordercolor=look.BLUE, **look.HOVER),
    )
    kind = escaped(quantity.partition("/")[0])
    start, stop = fig.mark_ends(float(line["alpha"].min()), float(line["alpha"].max()))
    across = "alpha on the line; on the others distance from minus, in lengths of the line"
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=70, r=30),
        legend=dict(orientation="h", x=0, y=1 + 22 / PLOT, yanchor="bottom", itemwidth=40),
        xaxis=dict(title=dict(text=across, standoff=6, font=dict(size=14)), range=[start, stop], **look.AXIS),
        yaxis=dict(
            title=dict(text=", ".join(filter(None, [f"{kind} ({escaped(quantity.partition('/')[2])})", said]))),
            **look.AXIS,
        ),
    )
    return fig


def _alt(fan: Fan, quantity: str) -> str:
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
