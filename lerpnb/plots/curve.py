"""The main figure of a curve: losses and attribute strengths over alpha, and a slider over the sampled texts."""

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.text_table import TextTable
from lerpnb.plots.theme import escaped, faint, number, rounded
from lerpnb.results.best import Best
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES, Quantity
from lerpnb.utils.text import listed

READOUT = 66  # letters: so many have room beside 'alpha = −0.25' on a sheet of paper
PLOT, AXIS, NOTE, SLIDER = 340, 56, 22, 92  # pixels, from the top; the table of texts comes last


@dataclass(frozen=True)
class _Line:
    quantity: str
    rows: pd.DataFrame
    right: bool
    color: str
    symbol: str

    @property
    def place(self) -> dict[str, Any]:
        return dict(legendgroup=self.quantity, secondary_y=self.right)


def plot_curve(curve: Curve, best: Best | None = None) -> Figure:
    """Loss (left axis) and attribute strength (right axis) over alpha, with 95 % bands and a slider over sample texts.

    What lies beyond 0 and 1 is shaded. The slider moves diamonds and texts by itself, without a kernel. A NaN is a gap
    with a cross on the axis, and is named. A curve with neither loss nor strength shows its first quantity and those
    that share its unit. A star marks the `best` alpha, what `curve.best` returned, on the line of its quantity.

    >>> from lerpnb.results.measurement import Measurement
    >>> curve = Curve.from_measures({a: {"loss/x": Measurement([a, a + 1], unit="nats/token")} for a in (0.0, 1.0)})
    >>> [trace.name for trace in plot_curve(curve).data]
    ['loss/x, 95 % interval', 'loss/x', 'here']
    """
    lines = _lines(curve)
    left, right = ([line for line in lines if line.right is side] for side in (False, True))
    scores = [line.quantity for line in lines if line.quantity in curve.samples]
    table = TextTable.of(curve.samples, curve.alphas, scores[0] if scores else None)
    gaps = any(not np.isfinite(line.rows["value"]).all() for line in lines)
    under = AXIS + NOTE * gaps + SLIDER * (len(curve.alphas) > 1)  # pixels between the plot and the table
    parts = 2 if table.columns else 1
    fig = Figure.panels(
        [PLOT, table.height()][:parts],
        f"Over {len(curve.alphas)} alphas: {'; '.join(f'{x.quantity} {theme.from_to(x.rows)}' for x in lines)}.",
        theme.facts(curve.provenance),
        **dict(gap=under, top=70, bottom=10 if table.columns else 10 + under, right=70 if right else 30),
        specs=[[{"secondary_y": bool(right)}], [{"type": "table"}]][:parts],
    )
    paper = PLOT + (under + table.height() if table.columns else 0)
    for line in lines:
        rows, edge = line.rows, dict(width=1, color=faint(line.color, 0.3))
        look: dict[str, Any] = dict(name=f"{escaped(line.quantity)}, 95 % interval", line=edge, **line.place)
        fig.add_band(rows["alpha"], rows["low"], rows["high"], line.color, **look)
    for line in lines:
        fig.add_series(
            line.rows["alpha"],
            line.rows["value"],
            line.color,
            [_sentence(row) for row in line.rows.itertuples()],
            name=escaped(line.quantity) + (" (right axis)" if line.right else ""),
            line=dict(width=2.5, dash="dash" if line.right else "solid"),
            marker=dict(size=7, symbol=line.symbol),
            **line.place,
        )
    for line in lines:
        if best and line.quantity == best.quantity and np.isfinite(best.alpha):
            star = dict(symbol="star", size=17, color=line.color, line=dict(width=1.5, color="white"))
            look = dict(name="best alpha", mode="markers", marker=star, **line.place)
            fig.add_series(
                [best.alpha],
                [best.frame.loc[best.quantity, "value"]],
                line.color,
                ["<br>".join(map(escaped, repr(best).splitlines()))],
                **look,
            )
    fig.mark_alphas(curve.alphas[0], curve.alphas[-1], theme.landmarks(curve.provenance))
    fig.update_layout(xaxis_domain=[0, 1], yaxis_title_text=_title(left))
    if right:
        fig.update_layout(yaxis2=dict(title_text=_title(right), showgrid=False))
        if all((line.rows["unit"] == "probability").all() for line in right):
            fig.update_layout(yaxis2=dict(tickmode="linear", tick0=0, dtick=0.2, range=[-0.03, 1.03]))
    if gaps:
        _add_crosses(fig, lines, 1 - (PLOT + AXIS) / paper)
    _add_here(fig, curve, lines, table, 1 - (PLOT + AXIS + NOTE * gaps) / paper)
    return fig


def _lines(curve: Curve) -> list[_Line]:
    """What is drawn, on which axis, in which color."""
    left, right = curve.of_kind("loss"), curve.of_kind(*ATTRIBUTES)
    right = [q for q in right if curve.unit(q) == curve.unit(right[0])]  # an axis has one unit
    if not (left or right):
        left = [q for q in curve.quantities if curve.unit(q) == curve.unit(curve.quantities[0])]
    rows = dict(iter(curve.frame.groupby("quantity")))
    warm = [(theme.WARM[i % 2], theme.SYMBOLS[(i + 2) % 4]) for i in range(len(right))]
    cool = [_Line(q, rows[q], False, *theme.cool(i)) for i, q in enumerate(left)]
    return cool + [_Line(q, rows[q], bool(left), *look) for q, look in zip(right, warm, strict=True)]


def _sentence(row) -> str:
    """At alpha 0.5, the loss on negative is 4.35 nats per token (95 % interval 4.2 to 4.5 over 64 texts)."""
    of = Quantity.named(row.quantity, kind=row.kind)
    subject = {"loss": f"the loss on {of.label}", "strength": f"the strength of {of.label}"}.get(of.kind, row.quantity)
    unit = "as a mean probability" if row.unit == "probability" else theme.unit_label(row.unit)
    known = np.isfinite(row.low)
    spread = f"95 % interval {theme.interval(row)} over" if known else "no interval, from"
    start = f"At alpha {number(row.alpha)}, {escaped(subject)}<br>is {number(row.value)} {unit}".rstrip()
    return f"{start}<br>({escaped(f'{spread} {row.n} {row.items}')})."


def _add_crosses(fig: Figure, lines: list[_Line], top: float) -> None:
    """A cross on the axis for every value that is not finite, and a line of text that names three of them."""
    x: list[float] = []
    y, colors, notes = [], [], []
    for line in lines:
        for row in line.rows[~np.isfinite(line.rows["value"])].itertuples():
            y.append(0.035 * x.count(row.alpha))  # two at one alpha stand above each other
            x.append(row.alpha)
            colors.append(line.color)
            notes.append(f"{escaped(line.quantity)} is {number(row.value)} at alpha {number(row.alpha)}")
    look = dict(mode="markers", marker=dict(symbol="x", size=11, color=colors), cliponaxis=False, hoverinfo="text")
    hover = [f"{note}." for note in notes]
    fig.add_scatter(x=rounded(x), y=y, yaxis="y3", name="not a finite number", hovertext=hover, **look)
    fig.update_layout(yaxis3=dict(overlaying="y", range=[0, 1], visible=False, fixedrange=True))
    fig.add_note(f"✕ {listed(notes)}", "left", top, yanchor="top")


def _title(lines: list[_Line]) -> str:
    """loss, nats per token"""
    kinds = dict.fromkeys(escaped(line.rows["kind"].iloc[0]) for line in lines)
    return theme.title(listed(kinds), theme.unit_label(lines[0].rows["unit"].iloc[0]))


def _add_here(fig: Figure, curve: Curve, lines: list[_Line], table: TextTable, top: float) -> None:
    """Diamonds and the table of texts at one alpha, and the slider whose steps update both: no frames, no kernel."""
    alphas = [float(alpha) for alpha in curve.alphas]
    active = int(np.abs(curve.alphas - 0.5).argmin())
    heights = [rounded(curve.value(line.quantity)) for line in lines]
    readouts = _readouts(lines)
    moving = list(range(len(fig.data), len(fig.data) + len(lines) + bool(table.columns)))
    steps = []
    for i, alpha in enumerate(alphas):
        step: dict[str, Any] = dict(x=[rounded([alpha]) for _ in lines], y=[[height[i]] for height in heights])
        if table.columns:
            step = {name: [*column, None] for name, column in step.items()}
            step["header.values"] = [None] * len(lines) + [table.header(alpha)]
            step["cells.values"] = [None] * len(lines) + [table.columns[alpha]]
        note = {f"annotations[{len(fig.layout.annotations)}].text": readouts[i]}
        steps.append(dict(method="update", label=number(alpha), args=[step, note, moving]))
    for line, height in zip(lines, heights, strict=True):
        look: dict[str, Any] = (
            dict(name="here", mode="markers", marker=theme.diamond(line.color), showlegend=False) | line.place
        )
        fig.add_series([alphas[active]], [height[active]], line.color, **look)
    if table.columns:
        fig.add_trace(table.trace(alphas[active]), row=2, col=1).update_traces(domain_x=[0, 1], selector="table")
    if len(alphas) > 1:
        fig.add_note(readouts[active], "right", top, yanchor="top", yshift=-2)
        fig.add_slider(active, steps, top, 0.027)


def _readouts(lines: list[_Line]) -> list[str]:
    """The lines' values at each alpha, by their names; by their colors where the names have no room."""
    columns = list(zip(*([number(value) for value in line.rows["value"]] for line in lines), strict=True))
    for heads in (
        [escaped(line.quantity) for line in lines],
        [f'<span style="color:{line.color}">◆</span>' for line in lines],
    ):
        texts = [listed(map(" ".join, zip(heads, column, strict=True))) for column in columns]
        if max(len(html.unescape(text)) for text in texts) <= READOUT:
            break
    return texts
