"""The explorer's static twin: the same texts and bars in a figure whose slider needs no kernel. It knows no torch."""

from collections.abc import Sequence

import plotly.graph_objects as go

from lerpnb.explorer.diff import AFTER, BEFORE, word_diff, words
from lerpnb.plots import theme
from lerpnb.plots.text_table import TextTable
from lerpnb.plots.theme import Figure, escaped, number

COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.PURPLE, theme.SKY)


BARS, AXIS, SLIDER = 200, 56, 92  # pixels, from the top; the table of texts comes last


def static_figure(
    prompt: str,
    alphas: Sequence[float],
    texts: Sequence[str],
    labels: Sequence[str],
    p: Sequence[Sequence],
    besides: str = "",
) -> go.Figure:
    """Next-token probabilities after a prompt over alpha, and with a slider the text at each alpha.

    Bold are the words that differ from the text at the alpha before (at the first alpha, after).

    Args:
        prompt: what is continued.
        alphas: (n,) ascending.
        texts: (n,) what stands at each; an empty one is told to be none.
        labels, p: tokens, and for each the (n,) probabilities over alpha, None where not finite.
        besides: where else all of them stand, said after each alpha.

    >>> fig = static_figure("The", [0.0, 1.0], [" film", " cast"], [" film"], [[0.5, 0.25]])
    >>> [trace.type for trace in fig.data], fig.layout.sliders[0].steps[1].label
    (['bar', 'table'], '1')
    """
    alphas = [float(alpha) for alpha in alphas]
    table = TextTable({alpha: [[cell]] for alpha, cell in zip(alphas, _cells(prompt, texts), strict=True)})
    upper = BARS + AXIS if labels else 0
    paper = upper + SLIDER + table.height()
    active = min(range(len(alphas)), key=lambda i: abs(alphas[i] - 0.5))
    fig = Figure(layout=dict(template="none"))
    for label, values, colour in zip(labels, p, COLOURS, strict=False):
        name = f"“{escaped(label.replace(' ', '␣'), 30)}”"
        told = [f"At alpha {number(a)}: {name} {number(v)}" for a, v in zip(alphas, _known(values), strict=True)]
        style = dict(marker=dict(color=colour), hovertext=told, hoverinfo="text", hoverlabel=theme.HOVER)
        fig.add_bar(x=[number(a) for a in alphas], y=list(values), name=name, **style)
    fig.add_trace(table.trace(alphas[active], 1 - (upper + SLIDER) / paper))
    fig.data[-1].header.values = _header(alphas[active], active, besides)
    steps = []
    for i, alpha in enumerate(alphas):
        cells = {"header.values": [_header(alpha, i, besides)], "cells.values": [table.columns[alpha]]}
        marker = {"shapes[0].x0": i - 0.45, "shapes[0].x1": i + 0.45} if labels else {}
        steps.append(dict(method="update", label=number(alpha), args=[cells, marker, [len(fig.data) - 1]]))
    grid = dict(gridcolor=theme.FAINT, zeroline=False, linecolor=theme.FAINT, showline=True)
    fig.update_layout(
        meta=dict(alt=f"Texts at {len(alphas)} alphas from {number(alphas[0])} to {number(alphas[-1])}, by a slider."),
        height=paper + 80,
        margin=dict(t=70, b=10, l=70, r=30),
        barmode="stack",
        bargap=0.25,
        paper_bgcolor=theme.CLEAR,
        plot_bgcolor=theme.CLEAR,
        font=dict(color=theme.TEXT, size=13),
        modebar=dict(bgcolor=theme.CLEAR, color=theme.FAINT, activecolor=theme.TEXT, remove=["select2d", "lasso2d"]),
        legend=dict(orientation="h", traceorder="normal", x=0, xanchor="left", y=1 + 8 / paper, yanchor="bottom"),
        sliders=[theme.slider(active, steps, 1 - upper / paper, 0.5 / len(alphas) if labels else 0)],
    )
    if labels:
        frame = dict(type="rect", y0=0, y1=1, yref="y domain", line=dict(color=theme.TEXT, width=1.5))
        fig.add_shape(x0=active - 0.45, x1=active + 0.45, **frame)
        fig.update_layout(
            xaxis=dict(title=_title("alpha (no unit)"), type="category", anchor="y", **grid),
            yaxis=dict(
                title=_title("next token, probability"), rangemode="tozero", domain=[1 - BARS / paper, 1], **grid
            ),
        )
    return fig


def _title(text: str) -> dict:
    return dict(text=text, standoff=6, font=dict(size=14))


def _known(values: Sequence) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _cells(prompt: str, texts: Sequence[str]) -> list[str]:
    """The prompt and the text of each alpha, with the words in bold that differ from the neighbour's."""
    split = [words(text) for text in texts]
    found = word_diff(split, (0, 0))
    cells = []
    for i, (text, kinds) in enumerate(zip(split, found, strict=True)):
        kind = BEFORE if i else AFTER
        told = [f"<b>{escaped(word)}</b>" if of & kind else escaped(word) for word, of in zip(text, kinds, strict=True)]
        cells.append(f"<i>{escaped(prompt, 150)}</i> {' '.join(told) or 'no text at this alpha'}")
    return cells


def _header(alpha: float, i: int, besides: str) -> list[str]:
    beside = "before" if i else "after"
    where = f"alpha {number(alpha)}{escaped(besides, 120) and ' ' + escaped(besides, 120)}"
    return [f"what the model at {where} writes; <b>bold</b> is not in the text of the alpha {beside}"]
