"""Figures: a Curve in, a plotly Figure out; no torch. Importing this module makes a Curve draw itself."""

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lerpnb.plots import theme
from lerpnb.plots.text_table import TextTable
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.curve import Curve
from lerpnb.utils.text import listed

LEFT = (theme.BLUE, theme.GREEN, theme.SKY, theme.PURPLE)


RIGHT = (theme.VERMILION, theme.ORANGE)


SYMBOLS = ("circle", "square", "triangle-up", "cross")


UNITS = {"nats/token": "nats per token", "probability": "probability 0 to 1"}


READ_OUT = 66  # letters: so many stand beside 'alpha = −0.25' on a sheet of paper


PLOT, AXIS, NOTE, SLIDER = 340, 56, 22, 92  # pixels, from the top; the table of texts comes last


@dataclass(frozen=True)
class _Line:
    quantity: str
    rows: pd.DataFrame
    axis: str
    colour: str
    symbol: str


def plot_curve(curve: Curve) -> go.Figure:
    """Loss (left axis) and attribute strength (right axis) over alpha, with 95 % bands and a slider over sample texts.

    [0, 1] is bare, what lies beyond it shaded. The slider moves diamonds and texts by itself, without a kernel. A NaN
    is a gap with a cross on the axis, and is named. A curve with neither loss nor strength shows its first quantity
    and those that share its unit.

    >>> from lerpnb.results.measurement import Measurement
    >>> curve = Curve.from_measures({a: {"loss/x": Measurement([a, a + 1], unit="nats/token")} for a in (0.0, 1.0)})
    >>> [trace.name for trace in plot_curve(curve).data]
    ['loss/x, 95 % interval', 'loss/x', 'here']
    """
    lines = _lines(curve)
    scores = [line.quantity for line in lines if line.quantity in curve.samples]
    table = TextTable.of(curve.samples, curve.alphas, scores[0] if scores else None)
    gaps = any(not np.isfinite(line.rows["value"]).all() for line in lines)
    upper = PLOT + AXIS + (NOTE if gaps else 0)
    paper = upper + (SLIDER if len(curve.alphas) > 1 else 0) + table.height()
    fig = Figure.blank(paper + 80, _alt(curve, lines), theme.facts(curve.provenance))
    for line in lines:
        _add_band(fig, line)
    for line in lines:
        _add_line(fig, line)
    _lay_out(fig, curve, lines, paper)
    if gaps:
        _add_crosses(fig, lines, 1 - (PLOT + AXIS) / paper)
    _add_here(fig, curve, lines, table, 1 - upper / paper, SLIDER / paper)
    return fig


def _lines(curve: Curve) -> list[_Line]:
    """What is drawn, on which axis, in which colour."""
    left, right = ([q for q in curve.quantities if q.startswith(kind)] for kind in ("loss/", "strength/"))
    if not (left or right):
        left = [q for q in curve.quantities if curve.unit(q) == curve.unit(curve.quantities[0])]
    kinds = [(q, "y", LEFT[i % 4], SYMBOLS[(i + i // 4) % 4]) for i, q in enumerate(left)]
    kinds += [(q, "y2" if left else "y", RIGHT[i % 2], SYMBOLS[(i + 2) % 4]) for i, q in enumerate(right)]
    return [_Line(q, curve.frame[curve.frame["quantity"] == q], *rest) for q, *rest in kinds]


def _add_band(fig: go.Figure, line: _Line) -> None:
    """The intervals as one polygon between two gaps."""
    x, low, high = (rounded(line.rows[column]) for column in ("alpha", "low", "high"))
    known = [None not in ends for ends in zip(low, high, strict=True)]
    band_x, band_y = [], []
    for start in [i for i, ok in enumerate(known) if ok and not (i and known[i - 1])]:
        stop = next((i for i in range(start, len(known)) if not known[i]), len(known))
        band_x += x[start:stop] + x[start:stop][::-1] + [x[start], None]
        band_y += high[start:stop] + low[start:stop][::-1] + [high[start], None]
    fig.add_scatter(
        x=band_x,
        y=band_y,
        yaxis=line.axis,
        name=f"{escaped(line.quantity)}, 95 % interval",
        legendgroup=line.quantity,
        showlegend=False,
        mode="lines",
        fill="toself",
        fillcolor=faint(line.colour, 0.12),
        line=dict(width=1, color=faint(line.colour, 0.3)),
        hoverinfo="skip",
    )


def _add_line(fig: go.Figure, line: _Line) -> None:
    right = line.axis == "y2"
    fig.add_scatter(
        x=rounded(line.rows["alpha"]),
        y=rounded(line.rows["value"]),
        yaxis=line.axis,
        name=escaped(line.quantity) + (" (right axis)" if right else ""),
        legendgroup=line.quantity,
        mode="lines+markers",
        line=dict(color=line.colour, width=2.5, dash="dash" if right else "solid"),
        marker=dict(size=7, symbol=line.symbol),
        hovertext=[_sentence(row) for row in line.rows.itertuples()],
        hoverinfo="text",
        hoverlabel=dict(bordercolor=line.colour, **theme.HOVER),
    )


def _sentence(row) -> str:
    """At alpha 0.5, the loss on negative is 4.35 nats per token (95 % interval 4.2 to 4.5 over 64 texts)."""
    kind, _, label = row.quantity.partition("/")
    subject = {"loss": f"the loss on {label}", "strength": f"the strength of {label}"}.get(kind, row.quantity)
    unit = "as a mean probability" if row.unit == "probability" else UNITS.get(row.unit, row.unit)
    interval = f"95 % interval {number(row.low)} to {number(row.high)} over {row.n} {row.items}"
    spread = interval if np.isfinite(row.low) else f"no interval, from {row.n} {row.items}"
    start = f"At alpha {number(row.alpha)}, {escaped(subject)}<br>is {number(row.value)} {escaped(unit)}".rstrip()
    return f"{start}<br>({escaped(spread)})."


def _add_crosses(fig: go.Figure, lines: list[_Line], top: float) -> None:
    """A cross on the axis for every value that is not finite, and a line of text that names three of them."""
    x, y, colours, told = [], [], [], []
    for line in lines:
        for row in line.rows[~np.isfinite(line.rows["value"])].itertuples():
            y.append(0.035 * x.count(row.alpha))  # two at one alpha stand above each other
            x.append(row.alpha)
            colours.append(line.colour)
            told.append(f"{escaped(line.quantity)} is {number(row.value)} at alpha {number(row.alpha)}")
    fig.add_scatter(
        x=rounded(x),
        y=y,
        yaxis="y3",
        name="not a finite number",
        mode="markers",
        marker=dict(symbol="x", size=11, color=colours),
        cliponaxis=False,
        hovertext=[f"{text}." for text in told],
        hoverinfo="text",
        hoverlabel=theme.HOVER,
    )
    corner = dict(xref="paper", x=0, xanchor="left", yref="paper", y=top, yanchor="top")
    fig.add_annotation(text=f"✕ {listed(told)}", showarrow=False, **corner)


def _lay_out(fig: Figure, curve: Curve, lines: list[_Line], paper: int) -> None:
    """Axes, shading, labels, heights."""
    start, stop = fig.mark_ends(*curve.alphas[[0, -1]].tolist(), theme.marks(curve.provenance))
    right = [line for line in lines if line.axis == "y2"]
    across = dict(text="alpha (no unit)", standoff=6, font=dict(size=14))
    axis = dict(theme.AXIS)
    fig.update_layout(
        margin=dict(t=70, b=10, l=70, r=70 if right else 30),
        legend=dict(orientation="h", itemwidth=40, x=0, xanchor="left", y=1 + 24 / paper, yanchor="bottom"),
        xaxis=dict(title=across, range=[start, stop], anchor="y", **axis),
        yaxis=dict(title=_title([line for line in lines if line not in right]), domain=[1 - PLOT / paper, 1], **axis),
        yaxis3=dict(overlaying="y", range=[0, 1], visible=False, fixedrange=True),
    )
    if right:
        if all((line.rows["unit"] == "probability").all() for line in right):
            axis.update(tickmode="linear", tick0=0, dtick=0.2, range=[-0.03, 1.03])
        axis = {"tickmode": "auto", **axis, "showgrid": False}
        fig.update_layout(yaxis2=dict(title=_title(right), overlaying="y", side="right", **axis))


def _title(lines: list[_Line]) -> dict:
    """loss, nats per token"""
    kinds = dict.fromkeys(escaped(line.quantity.partition("/")[0]) for line in lines)
    unit = lines[0].rows["unit"].iloc[0]
    return dict(text=", ".join(filter(None, [listed(kinds), escaped(UNITS.get(unit, unit))])), font=dict(size=14))


def _alt(curve: Curve, lines: list[_Line]) -> str:
    """The figure in words, for who cannot see it."""
    told = []
    for line in lines:
        first, last = line.rows.iloc[0], line.rows.iloc[-1]
        told.append(
            f"{line.quantity} from {number(first['value'])} at alpha {number(first['alpha'])} "
            f"to {number(last['value'])} at alpha {number(last['alpha'])}"
        )
    return f"Over {len(curve.alphas)} alphas: {'; '.join(told)}."


def _add_here(fig: go.Figure, curve: Curve, lines: list[_Line], table: TextTable, top: float, slider: float) -> None:
    """Diamonds and the table of texts at one alpha, and the slider whose steps update both: no frames, no kernel."""
    alphas = [float(alpha) for alpha in curve.alphas]
    active = int(np.abs(curve.alphas - 0.5).argmin())
    heights = {line.quantity: rounded(curve.value(line.quantity)) for line in lines}
    told = _told(lines)
    steps = []
    for i, alpha in enumerate(alphas):
        here = [dict(x=rounded([alpha]), y=[heights[line.quantity][i]]) for line in lines]
        step = {name: [trace[name] for trace in here] for name in ("x", "y")}
        if table.columns:
            step = {name: [*column, None] for name, column in step.items()}
            step["header.values"] = [None] * len(lines) + [table.header(alpha)]
            step["cells.values"] = [None] * len(lines) + [table.columns[alpha]]
        moving = list(range(len(fig.data), len(fig.data) + len(lines) + bool(table.columns)))
        note = {f"annotations[{len(fig.layout.annotations)}].text": told[i]}
        steps.append(dict(method="update", label=number(alpha), args=[step, note, moving]))
    for line in lines:
        fig.add_scatter(
            x=rounded([alphas[active]]),
            y=[heights[line.quantity][active]],
            yaxis=line.axis,
            name="here",
            legendgroup=line.quantity,
            showlegend=False,
            mode="markers",
            marker=dict(symbol="diamond", size=14, color=line.colour, line=dict(width=1.5, color="white")),
            hoverinfo="skip",
        )
    if table.columns:
        fig.add_trace(table.trace(alphas[active], top - (slider if len(alphas) > 1 else 0)))
    if len(alphas) > 1:
        corner = dict(xref="paper", x=1, xanchor="right", yref="paper", y=top, yanchor="top", yshift=-2)
        fig.add_annotation(text=told[active], showarrow=False, **corner)
        fig.update_layout(sliders=[theme.slider(active, steps, top, 0.027)])


def _told(lines: list[_Line]) -> list[str]:
    """The lines' values at each alpha, by their names; by their colours where the names have no room."""
    values = [[number(value) for value in line.rows["value"]] for line in lines]
    names = [escaped(line.quantity) for line in lines]
    colours = [f'<span style="color:{line.colour}">◆</span>' for line in lines]
    named, coloured = (
        [listed(map(" ".join, zip(heads, column, strict=True))) for column in zip(*values, strict=True)]
        for heads in (names, colours)
    )
    return named if max(len(html.unescape(text)) for text in named) <= READ_OUT else coloured
