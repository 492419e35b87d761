"""The explorer's static figure: the same texts and bars, with a slider that needs no kernel."""

from collections.abc import Sequence

from lerpnb.explorer.diff import AFTER, BEFORE, word_diff, words
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.text_table import TextTable, folded
from lerpnb.plots.theme import alpha_text, escaped, number
from lerpnb.utils.text import plain

BARS, AXIS, SLIDER = 200, 56, 92  # pixels, from the top; the table of texts comes last


def static_figure(
    prompt: str,
    alphas: Sequence[float],
    texts: Sequence[str],
    labels: Sequence[str],
    p: Sequence[Sequence],
    besides: str = "",
) -> Figure:
    """Next-token probabilities after a prompt over alpha, and with a slider the text at each alpha.

    Bold are the words that differ from the text at the alpha before (at the first alpha, after). p: for each label the
    probabilities over alpha, None where not finite; besides: the values of the other axes, shown after each alpha.

    >>> fig = static_figure("The", [0.0, 1.0], [" film", " cast"], [" film"], [[0.5, 0.25]])
    >>> [trace.type for trace in fig.data], fig.layout.sliders[0].steps[1].label
    (['bar', 'table'], '1')
    """
    alphas = [float(alpha) for alpha in alphas]
    table = TextTable({alpha: [[cell]] for alpha, cell in zip(alphas, _cells(prompt, texts), strict=True)})
    active = min(range(len(alphas)), key=lambda i: abs(alphas[i] - 0.5))
    alt = f"Texts at {len(alphas)} alphas from {number(alphas[0])} to {number(alphas[-1])}, by a slider."
    heights = [BARS, table.height()] if labels else [table.height()]
    gap, top = AXIS + SLIDER, 70 if labels else 70 + SLIDER
    fig = Figure.panels(heights, alt, gap=gap, top=top, bottom=10, specs=[[{}], [{"type": "table"}]][-len(heights) :])
    inner = sum(heights) + gap * (len(heights) - 1)
    for label, values, color in zip(labels, p, theme.COLORS, strict=False):
        name = f"“{escaped(label.replace(' ', '␣'), 30)}”"
        at = zip(map(number, alphas), (float("nan") if value is None else value for value in values), strict=True)
        hover = [f"At alpha {alpha}: {name} {number(value)}" for alpha, value in at]
        style = dict(marker_color=color, hovertext=hover, hoverinfo="text", row=1, col=1)
        fig.add_bar(x=[alpha_text(a) for a in alphas], y=list(values), name=name, **style)
    fig.add_trace(table.trace(alphas[active]), row=len(heights), col=1)
    fig.data[-1].header.values = _header(alphas[active], active, besides)
    steps = []
    for i, alpha in enumerate(alphas):
        cells = {"header.values": [_header(alpha, i, besides)], "cells.values": [table.columns[alpha]]}
        marker = {"shapes[0].x0": i - 0.45, "shapes[0].x1": i + 0.45} if labels else {}
        steps.append(dict(method="update", label=alpha_text(alpha), args=[cells, marker, [len(fig.data) - 1]]))
    under = (BARS + AXIS if labels else -SLIDER) / inner
    fig.add_slider(active, steps, 1 - under, 0.5 / len(alphas) if labels else 0)
    fig.update_layout(barmode="stack", bargap=0.25, legend=dict(traceorder="normal", y=1 + 8 / inner))
    if labels:
        frame = dict(type="rect", y0=0, y1=1, yref="y domain", line=dict(color=theme.TEXT, width=1.5))
        fig.add_shape(x0=active - 0.45, x1=active + 0.45, **frame)
        fig.update_xaxes(title_text=theme.ALPHA, type="category", ticks="")
        fig.update_yaxes(title_text="next token, probability", rangemode="tozero", ticks="")
    return fig


def _cells(prompt: str, texts: Sequence[str]) -> list[str]:
    """The prompt and the text of each alpha, with the words in bold that differ from the neighbor's."""
    split = [words(text) for text in texts]
    cells = []
    for i, (text, changes) in enumerate(zip(split, word_diff(split, (0, 0)), strict=True)):
        side = BEFORE if i else AFTER
        marked = [(word, "b" if change & side else "") for word, change in zip(text, changes, strict=True)]
        parts = [(plain(prompt, 150), "i"), *(marked or [("no text at this alpha", "")])]
        cells.append(folded([(word, tag) for part, tag in parts for word in plain(part).split()]))
    return cells


def _header(alpha: float, i: int, besides: str) -> list[str]:
    beside = "before" if i else "after"
    where = f"alpha {alpha_text(alpha)}{escaped(besides, 120) and ' ' + escaped(besides, 120)}"
    return [f"what the model at {where} writes; <b>bold</b> is not in the text of the alpha {beside}"]
