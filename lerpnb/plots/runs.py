"""Runs."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.comparisons import RunComparison
from lerpnb.utils.text import listed

COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.PURPLE, theme.ORANGE, theme.SKY)


SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "hexagon")


DASHES = ("solid", "dash", "dot", "dashdot")


BANDS = 4  # runs up to which intervals are drawn as bands


PANEL, BETWEEN = 250, 50  # pixels


def plot_runs(comparison: RunComparison) -> go.Figure:
    curves, table = comparison.curves, comparison.table
    attribute, fluency = (name for name in table.columns[-2:])
    quantities = list(dict.fromkeys(curves["quantity"]))
    panels = [[q for q in quantities if q.startswith("loss/")], [attribute], [fluency]]
    panels = [kept for panel in panels if (kept := [q for q in panel if q in quantities])] or [quantities[:1]]
    fig = Figure(layout=dict(template="none"))
    for i, (name, label) in enumerate(comparison.labels.items()):
        look_ = dict(colour=COLOURS[i % len(COLOURS)], symbol=SYMBOLS[(i // len(COLOURS)) % len(SYMBOLS)])
        curve, first = curves[curves["run"] == name], True
        for number_, panel in enumerate(panels, start=1):
            for quantity, dash in zip(panel, DASHES * len(panel), strict=False):
                rows = curve[curve["quantity"] == quantity]
                if len(rows):
                    _add(fig, rows, label, number_, dash, first, len(comparison.labels) <= BANDS, **look_)
                    first = False
            if attribute in panel and np.isfinite(best := table.loc[name, "best alpha"]):
                _add_best(fig, best, table.loc[name, attribute], label, number_, look_["colour"])
    _lay_out(fig, curves, panels, comparison)
    return fig


def _add(
    fig: go.Figure,
    rows: pd.DataFrame,
    label: str,
    panel: int,
    dash: str,
    first: bool,
    band: bool,
    colour: str,
    symbol: str,
) -> None:
    x, y = rounded(rows["alpha"]), rounded(rows["value"])
    where = dict(xaxis="x", yaxis="y" if panel == 1 else f"y{panel}", legendgroup=escaped(label))
    if band and np.isfinite(rows[["low", "high"]]).all(axis=None):
        low, high = rounded(rows["low"]), rounded(rows["high"])
        polygon = dict(x=x + x[::-1], y=low + high[::-1], mode="lines", fill="toself", fillcolor=faint(colour, 0.1))
        fig.add_scatter(**polygon, **where, line=dict(width=0), hoverinfo="skip", showlegend=False)
    told = [
        f"{escaped(label)}<br>{escaped(row.quantity)} at alpha {number(row.alpha)} is {number(row.value)}<br>"
        f"(95 % interval {number(row.low)} to {number(row.high)})"
        for row in rows.itertuples()
    ]
    fig.add_scatter(
        x=x,
        y=y,
        name=escaped(label),
        showlegend=first,
        mode="lines+markers",
        line=dict(color=colour, width=2, dash=dash),
        marker=dict(size=6, symbol=symbol),
        hovertext=told,
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        **where,
    )


def _add_best(fig: go.Figure, alpha: float, value: float, label: str, panel: int, colour: str) -> None:
    fig.add_scatter(
        x=rounded([alpha]),
        y=rounded([value]),
        yaxis="y" if panel == 1 else f"y{panel}",
        name="best alpha",
        legendgroup=escaped(label),
        showlegend=False,
        mode="markers",
        marker=dict(symbol="diamond", size=14, color=colour, line=dict(width=1.5, color="white")),
        hovertext=f"{escaped(label)}<br>best alpha {number(alpha)}: {number(value)}",
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
    )


def _lay_out(fig: go.Figure, curves: pd.DataFrame, panels: list[list[str]], comparison: RunComparison) -> None:
    low, high = curves["alpha"].min(), curves["alpha"].max()
    pad = 0.04 * (high - low) or 0.5
    inner = len(panels) * PANEL + (len(panels) - 1) * BETWEEN
    axis = dict(gridcolor=theme.FAINT, zeroline=False, ticks="outside", tickcolor=theme.FAINT, linecolor=theme.FAINT)
    legend = dict(orientation="h", x=0, xanchor="left", y=1 + 30 / inner, yanchor="bottom", itemwidth=40)
    fig.update_layout(
        meta=dict(alt=_alt(comparison)),
        height=inner + 130 + 22 * (len(comparison.labels) // 3 + 1),
        margin=dict(t=60 + 22 * (len(comparison.labels) // 3 + 1), b=60, l=80, r=30),
        paper_bgcolor=theme.CLEAR,
        plot_bgcolor=theme.CLEAR,
        font=dict(color=theme.TEXT, size=13),
        hovermode="closest",
        modebar=dict(bgcolor=theme.CLEAR, color=theme.FAINT, activecolor=theme.TEXT, remove=["select2d", "lasso2d"]),
        legend=legend,
        xaxis=dict(title="alpha (no unit)", range=[low - pad, high + pad], anchor="free", position=0, **axis),
    )
    for i, panel in enumerate(panels):
        bottom = inner - (i + 1) * PANEL - i * BETWEEN
        name = "yaxis" if i == 0 else f"yaxis{i + 1}"
        unit = curves.loc[curves["quantity"] == panel[0], "unit"].iloc[0]
        title = panel[0] if len(panel) == 1 else panel[0].partition("/")[0]
        text = escaped(title) if unit in title else f"{escaped(title)}<br>{escaped(unit)}"
        domain = [bottom / inner, (bottom + PANEL) / inner]
        fig.update_layout({name: dict(title=dict(text=text), domain=domain, anchor="x", **axis)})
        if len(panel) > 1:  # what the dashes mean
            told = "   ".join(f"{escaped(q)} {dash}" for q, dash in zip(panel, DASHES * len(panel), strict=False))
            corner = dict(xref="paper", x=1, xanchor="right", yref="paper", y=domain[1], yanchor="bottom")
            fig.add_annotation(text=told, showarrow=False, font=dict(size=12), **corner)
    for end in (0, 1):
        if low <= end <= high:
            line = dict(color=theme.TEXT, dash="dot")
            fig.add_shape(type="line", x0=end, x1=end, y0=0, y1=1, yref="paper", line=line)
            name = f"<b>{('minus', 'plus')[end]}</b>"
            fig.add_annotation(x=end, y=1, yref="paper", yanchor="bottom", text=name, showarrow=False)
    for x0, x1 in ((low - pad, min(0, high)), (max(1, low), high + pad)):
        if (low < 0 and x1 <= 0) or (high > 1 and x0 >= 1):
            shade = dict(fillcolor=theme.SHADE, line_width=0, layer="below")
            fig.add_shape(type="rect", x0=x0, x1=x1, y0=0, y1=1, yref="paper", **shade)


def _alt(comparison: RunComparison) -> str:
    """The figure in words, for who cannot see it."""
    best = (
        f"{label}: best alpha {number(comparison.table.loc[name, 'best alpha'])}"
        for name, label in comparison.labels.items()
    )
    return f"Curves of {len(comparison.labels)} runs over alpha. {listed(best)}."
