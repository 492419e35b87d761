"""The cursor of a figure over alphas: a line, diamonds and sampled texts that a slider moves.

No frames and no kernel: each step of the slider says what it changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.text_table import TextTable
from lerpnb.plots.theme import TEXT, alpha_text, rounded

READOUT, SLIDER, MENU = 24, 84, 40  # pixels, from the top; the texts come last
Here = Sequence[tuple[int, str, np.ndarray]]  # of each line the panel's row, the color, the value at each alpha


def cursor_height(alphas: np.ndarray, tables: Mapping[str, TextTable]) -> int:
    """Pixels that the slider, the menu of prompts and the longest text need."""
    texts = max((one.height() for one in tables.values()), default=0)
    return (READOUT + SLIDER) * (len(alphas) > 1) + MENU * (len(tables) > 1) + texts


def add_cursor(
    fig: Figure,
    alphas: np.ndarray,
    here: Here,
    readouts: Sequence[str],
    tables: Mapping[str, TextTable],
    below: int,
    foot: int,
) -> None:
    """Add the cursor at the alpha nearest to 0.5, one table of texts, and the slider where it has two alphas or more.

    Args:
        fig: of panels over alpha, with room at its foot.
        alphas: (n,) the slider's steps.
        here: what the diamonds stand on.
        readouts: (n,) the values at each alpha in words.
        tables: by prompt; a menu chooses one.
        below, foot: pixels from the paper's bottom to the slider's top, and to the table's bottom.
    """
    margin, active = fig.layout.margin, int(np.abs(alphas - 0.5).argmin())
    inner = fig.layout.height - margin.t - margin.b
    top = (below - cursor_height(alphas, {}) - MENU * (len(tables) > 1)) / inner
    moving = list(range(len(fig.data), len(fig.data) + len(here) + len(tables)))
    at = float(alphas[active])
    for row, color, of in here:
        look: dict[str, Any] = dict(name="here", mode="markers", marker=theme.diamond(color), row=row)
        fig.add_series([at], [of[active]], color, **look)
    for i, one in enumerate(tables.values()):
        fig.add_trace(one.trace(at, domain=dict(x=[0, 1], y=[foot / inner, top]), visible=i == 0))
    if len(tables) > 1:
        texts = moving[len(here) :]
        shown = [dict(visible=[k == i for k in range(len(texts))]) for i in range(len(texts))]
        buttons = [dict(label=k, method="restyle", args=[v, texts]) for k, v in zip(tables, shown, strict=True)]
        place = dict(x=0, xanchor="left", y=top + MENU / inner, yanchor="top", pad=dict(t=2, b=2))
        fig.update_layout(updatemenus=[dict(buttons=buttons, **place, bgcolor="white", bordercolor=theme.FAINT)])
    if len(alphas) < 2:
        return
    first, note = len(fig.layout.shapes), len(fig.layout.annotations)
    lines = range(first, first + len(list(fig.select_yaxes())))
    for row in range(1, len(lines) + 1):
        where = dict(x0=at, x1=at, y0=0, y1=1, xref="x", yref=f"y{row if row > 1 else ''} domain")
        fig.add_shape(type="line", line=dict(color=TEXT, width=1.5), **where)
    steps = []
    for i, alpha in enumerate(map(float, alphas)):
        data: dict[str, list] = dict(x=[rounded([alpha]) for _ in here], y=[rounded([of[i]]) for *_, of in here])
        if tables:
            data = {name: [*column, *[None] * len(tables)] for name, column in data.items()}
            for key, parts in (
                ("header.values", "headers"),
                ("cells.values", "columns"),
                ("cells.fill.color", "fills"),
            ):
                data[key] = [None] * len(here) + [getattr(one, parts)[alpha] for one in tables.values()]
        moved: dict[str, Any] = {f"shapes[{k}].{end}": alpha for k in lines for end in ("x0", "x1")}
        moved[f"annotations[{note}].text"] = readouts[i]
        steps.append(dict(method="update", label=alpha_text(alpha), args=[data, moved, moving]))
    fig.add_note(readouts[active], "left", below / inner, yanchor="top", name="read-out", font_size=12)
    fig.add_slider(active, steps, (below - READOUT) / inner, 0.027)
