"""The main figure of a curve: its finding as the title, a panel for each idea, and one sampled text at a time."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.cursor import add_cursor, cursor_height
from lerpnb.plots.figure import Figure
from lerpnb.plots.text_table import TextTable
from lerpnb.plots.theme import MINUS, NEUTRALS, PLUS, TEXT, alpha_text, escaped, faint, number
from lerpnb.results.barrier import Barrier
from lerpnb.results.best import Best
from lerpnb.results.curve import Curve
from lerpnb.results.finding import sentences
from lerpnb.results.quantity import ATTRIBUTES, Quantity
from lerpnb.utils.text import listed

LOSS, GAP, RISE, BETWEEN = 210, 140, 150, 34  # pixels of the panels, and between two
AXIS, NOTE = 48, 22  # pixels below them, and of a line of words
NAME = 16  # letters of a line's name at its right end
FOOT = "Every alpha is one ordinary model of the same size and speed."


@dataclass
class _Panel:
    """Quantities of one unit over alpha, or their gaps; gaps: the barrier of each quantity that has a chord."""

    quantities: list[str]
    kind: str  # "value", "gap" or "rise"
    colors: list[str]
    gaps: dict[str, Barrier] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return {"value": LOSS, "gap": GAP, "rise": RISE}[self.kind]


def plot_curve(curve: Curve, best: Best | None = None) -> Figure:
    """The losses with the chords between their ends, their gaps to the chord, the attribute's strength; texts below.

    A panel for each idea, over one axis of alphas. Bands are 95 % intervals: of a gap the paired one, of a strength its
    own; a loss has none, since its interval over texts says little about the gap. What lies beyond 0 and 1 is muted.
    The slider moves a cursor, diamonds and the text of a chosen prompt without a kernel. A NaN is a gap with a cross,
    and is named. A curve with neither loss nor strength shows its first quantity and those that share its unit. A star
    marks the `best` alpha, what `curve.best` returned, on the line of its quantity.

    >>> from lerpnb.results.measurement import Measurement
    >>> points = {a: {"loss/x": Measurement([a * a, a * a + 1], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
    >>> fig = plot_curve(Curve.from_measures(points))
    >>> [trace.name for trace in fig.data]
    ['loss/x, to the chord', 'loss/x, chord', 'loss/x', 'gap of loss/x, 95 % interval', 'gap of loss/x', 'here', 'here']
    >>> fig.layout.meta["alt"].partition(". ")[0]
    'Loss stays below the chord (by 0.25 [0.25, 0.25] nats/token or more)'
    """
    panels = _panels(curve)
    shown = [q for panel in panels if panel.kind != "gap" for q in panel.quantities]
    rows = {name: of for name, of in curve.frame.groupby("quantity") if name in shown}
    gaps = {q: barrier for panel in panels for q, barrier in panel.gaps.items()}
    finding = sentences(curve, gaps or None)
    scores = [name for name in shown if name in curve.samples]
    tables = TextTable.by_prompt(curve.samples, curve.alphas, scores[0] if scores else None)
    nans = [at for q in shown for at in rows[q][~np.isfinite(rows[q]["value"])].itertuples()]
    note = FOOT if curve.provenance.get("coordinate") == "alpha" and "ends" in curve.provenance else ""
    under = AXIS + NOTE * bool(nans)
    foot = under + cursor_height(curve.alphas, tables) + NOTE * bool(note)
    names = [escaped(Quantity.named(q).label or q, NAME) for panel in panels for q in panel.quantities]
    fig = Figure.panels(
        [panel.height for panel in panels],
        _alt(curve, finding, shown, rows),
        theme.facts(curve.provenance),
        **dict(gap=BETWEEN, foot=foot, left=58, right=24 + 7 * max(map(len, names)), bottom=10),
        top=58 + 22 * len(finding),
    )
    inner = sum(panel.height for panel in panels) + BETWEEN * (len(panels) - 1) + foot
    marks = theme.landmarks(curve.provenance)
    empty = next((f"y{row}" for row, panel in enumerate(panels, start=1) if panel.kind == "gap"), "")
    fig.mark_alphas(curve.alphas[0], curve.alphas[-1], marks, empty=empty)
    inside = (marks[0][0], marks[-1][0]) if len(marks) > 1 else (-np.inf, np.inf)
    for row, panel in enumerate(panels, start=1):
        _add_panel(fig, curve, panel, rows, row, inside)
    if best and best.quantity in shown and np.isfinite(best.alpha):
        row = next(i for i, panel in enumerate(panels, start=1) if best.quantity in panel.quantities)
        star = dict(symbol="star", size=17, color=TEXT, line=dict(width=1.5, color="white"))
        hover, value = ["<br>".join(map(escaped, repr(best).splitlines()))], best.frame.loc[best.quantity, "value"]
        fig.add_series([best.alpha], [value], TEXT, hover, name="best alpha", mode="markers", marker=star, row=row)
    if nans:
        _add_crosses(fig, panels, nans, foot - AXIS, inner)
    if finding:
        fig.add_finding(finding)
    here = [
        (row, color, _values(curve, panel, q))
        for row, panel in enumerate(panels, start=1)
        for q, color in zip(panel.quantities, panel.colors, strict=True)
    ]
    values = [[f"{escaped(q)} {number(value, zeros=True)}" for value in curve.value(q)] for q in shown]
    read = [", ".join(column) for column in zip(*values, strict=True)]
    add_cursor(fig, curve.alphas, here, read, tables, below=foot - under, foot=NOTE * bool(note))
    if note:
        fig.add_note(note, "left", 0, font_size=12)
    return fig.update_layout(showlegend=False)


def _panels(curve: Curve) -> list[_Panel]:
    """What is drawn where: the losses of each unit and their gaps, then the strengths of each unit."""
    first = curve.of_kind("loss")
    strengths = curve.of_kind(*ATTRIBUTES)
    if not first and not strengths:
        first = [q for q in curve.quantities if curve.unit(q) == curve.unit(curve.quantities[0])]
    panels = []
    for unit in dict.fromkeys(map(curve.unit, first)):
        names = [q for q in first if curve.unit(q) == unit]
        colors = [theme.line(i)[0] for i in range(len(names))]
        gaps = {}
        for q in names:
            with suppress(CurveError):  # 0 or 1 was not measured
                if curve.quantity(q).lower_is_better is not None:
                    gaps[q] = curve.barrier(q)
        panels.append(_Panel(names, "value", colors, gaps))
        known = {q: barrier for q, barrier in gaps.items() if barrier.worst}
        if known:
            panels.append(_Panel(list(known), "gap", [colors[names.index(q)] for q in known], known))
    for unit in dict.fromkeys(map(curve.unit, strengths)):
        names = [q for q in strengths if curve.unit(q) == unit]
        panels.append(_Panel(names, "rise", [NEUTRALS[i % len(NEUTRALS)] for i in range(len(names))]))
    return panels


def _add_panel(fig: Figure, curve: Curve, panel: _Panel, rows: dict, row: int, inside: tuple[float, float]) -> None:
    axis, bounds = f"y{row if row > 1 else ''}", curve.quantity(panel.quantities[0]).range
    shown, ends = {}, []
    for i, (q, color) in enumerate(zip(panel.quantities, panel.colors, strict=True)):
        if panel.kind == "gap":
            shown[q] = _gaps(panel.gaps[q])
            _add_line(fig, f"gap of {escaped(q)}", shown[q], color, i, row, inside, True, _gap_sentence)
            continue
        shown[q] = rows[q]
        if panel.kind == "value" and q in panel.gaps:
            _add_chord(fig, q, rows[q], color, row)
        _add_line(fig, escaped(q), rows[q], color, i, row, inside, panel.kind == "rise", _sentence)
        ends.append((rows[q]["value"].iloc[-1], escaped(Quantity.named(q).label or q, NAME), color))
    band = panel.kind != "value"
    values = theme.finite(*(of[c] for of in shown.values() for c in (("value", "low", "high") if band else ("value",))))
    low, high = theme.span(values.min(), values.max(), bounds)
    if panel.kind == "gap":
        size = max(-low, high, 1e-3)
        low, high = min(low, -0.4 * size), max(high, 0.4 * size)
        better = next(iter(panel.gaps.values())).better
        words = ("no barrier", "barrier") if better == "above" else ("barrier", "no barrier")
        zero = dict(xref="paper", x=1, xanchor="left", yref=axis, y=0, font_size=12, xshift=4)
        for word, side in zip(words, (1, -1), strict=True):
            fig.add_annotation(text=f"<b>{word}</b>", yshift=11 * side, **zero)
        fig.add_hline(0, row=row, col=1, line=dict(color=TEXT, width=3), layer="below")
    elif panel.kind == "rise" and bounds:
        low, high = bounds[0] - 0.04 * (bounds[1] - bounds[0]), bounds[1] + 0.04 * (bounds[1] - bounds[0])
    fig.update_yaxes(range=[low, high], nticks=5 if panel.kind == "value" else 4, row=row, col=1)
    fig.name_lines(row, ends, panel.height)
    fig.add_note(_heading(curve, panel), "left", 1, f"{axis} domain", yshift=18 if row == 1 else 0)
    if panel.kind == "rise":
        _add_ends(fig, curve, panel, rows, axis, high - low)


def _add_line(fig: Figure, name: str, of: pd.DataFrame, color, i, row, inside, band, sentence) -> None:
    """A line, bright between the ends and muted beyond, with its band where it has one."""
    x, y = of["alpha"].to_numpy(), of["value"].to_numpy()
    bright = (x >= inside[0]) & (x <= inside[1])
    where: dict[str, Any] = dict(row=row)
    if band:
        parts = [(bright, 0.2, ""), (_beyond(x, inside), 0.07, ", extrapolation")]
        for part, opacity, suffix in parts[: 1 if bright.all() else 2]:
            if (part & np.isfinite(of["low"].to_numpy())).any():
                low, high = (np.where(part, of[end], np.nan) for end in ("low", "high"))
                fig.add_band(x, low, high, color, opacity, name=f"{name}, 95 % interval{suffix}", **where)
    symbol = theme.line(i)[1]
    if not bright.all():
        outside = [value if beyond else None for value, beyond in zip(y, _beyond(x, inside), strict=True)]
        hover = ["" if on else sentence(at) for on, at in zip(bright, of.itertuples(), strict=True)]
        muted = faint(color, 0.55)
        marker = dict(size=[0 if on else 5 for on in bright], symbol=symbol, color=muted, opacity=1, line_width=0)
        look = dict(line=dict(width=1.5, color=muted), marker=marker, name=f"{name}, extrapolation")
        fig.add_series(x, outside, color, hover, **look, **where)
    ends = {inside[0]: MINUS, inside[1]: PLUS}
    colors = [ends.get(alpha, color) for alpha in x[bright]]
    marker = dict(size=[9 if alpha in ends else 7 for alpha in x[bright]], symbol=symbol, color=colors, opacity=1)
    hover = [sentence(at) for at in of[bright].itertuples()]
    fig.add_series(x[bright], y[bright], color, hover, name=name, line=dict(width=3), marker=marker, **where)


def _beyond(x: np.ndarray, inside: tuple[float, float]) -> np.ndarray:
    """Which points lie beyond the ends, and the ends themselves, so that the line is joined."""
    return (x <= inside[0]) | (x >= inside[1])


def _add_chord(fig: Figure, q: str, of: pd.DataFrame, color: str, row: int) -> None:
    """The chord between a line's ends, dashed, and the space between the two."""
    of = of[of["alpha"].between(0, 1)]
    x, y = of["alpha"].to_numpy(), of["value"].to_numpy()
    chord = (1 - x) * y[0] + x * y[-1]
    fig.add_band(x, y, chord, color, 0.18, name=f"{escaped(q)}, to the chord", row=row)
    look = dict(mode="lines", line=dict(width=1.5, dash="dash"), name=f"{escaped(q)}, chord")
    fig.add_series([0.0, 1.0], [y[0], y[-1]], color, None, row=row, **look)


def _gaps(barrier: Barrier) -> pd.DataFrame:
    ends = pd.DataFrame({"alpha": [0.0, 1.0], "value": 0.0, "low": 0.0, "high": 0.0})
    of = pd.concat([ends[:1], barrier.gaps.rename(columns={"gap": "value"}), ends[1:]], ignore_index=True)
    return of.assign(quantity=barrier.quantity, unit=barrier.unit)


def _values(curve: Curve, panel: _Panel, q: str) -> np.ndarray:
    """(n_alphas,) what a panel shows of a quantity; NaN where nothing."""
    if panel.kind != "gap":
        return curve.value(q)
    return _gaps(panel.gaps[q]).set_index("alpha")["value"].reindex(curve.alphas).to_numpy()


def _add_ends(fig: Figure, curve: Curve, panel: _Panel, rows: dict, axis: str, height: float) -> None:
    """Beside the first strength its value at both ends."""
    of = rows[panel.quantities[0]].set_index("alpha")["value"]
    if not {0.0, 1.0} <= set(of.index) or not np.isfinite(of[[0.0, 1.0]]).all():
        return
    up = of[1.0] >= of[0.0]
    for alpha, color, side in ((0.0, MINUS, 1 if up else -1), (1.0, PLUS, -1 if up else 1)):
        place = dict(x=alpha, y=of[alpha], yref=axis, xanchor="left" if alpha else "right", xshift=7 if alpha else -7)
        fig.add_annotation(text=f"<b>{number(of[alpha], 2)}</b>", font_color=color, yshift=13 * side, **place)


def _heading(curve: Curve, panel: _Panel) -> str:
    """Loss, nats per token"""
    first = panel.quantities[0]
    of = Quantity.named(first, curve.unit(first), curve.quantity(first).kind)
    kinds = listed(dict.fromkeys(escaped(curve.quantity(q).kind) for q in panel.quantities))
    unit = theme.unit_label(curve.unit(first))
    if panel.kind == "gap":
        return f"<b>Gap to the chord</b>, {unit}".removesuffix(", ")
    head = f"<b>{kinds[:1].upper()}{kinds[1:]}</b>"
    if panel.kind == "rise":
        head = f"<b>{of.kind.capitalize()}</b>"
        with suppress(CurveError):
            unit = theme.title(unit, f"{curve.difference(first).text(sign=True)} from minus to plus")
    chords = " (dashed: chords)" if panel.gaps else ""
    return theme.title(head, unit) + chords


def _sentence(row) -> str:
    """At alpha 0.5, the loss on negative is 4.35 nats per token (95 % interval [4.20, 4.50] over 64 texts)."""
    of = Quantity.named(row.quantity, kind=row.kind)
    subject = {"loss": f"the loss on {of.label}", "strength": f"the strength of {of.label}"}.get(of.kind, row.quantity)
    unit = "as a mean probability" if row.unit == "probability" else theme.unit_label(row.unit)
    spread = f"95 % interval {theme.interval(row)} over" if np.isfinite(row.low) else "no interval, from"
    start = f"At alpha {alpha_text(row.alpha)}, {escaped(subject)}<br>is {number(row.value)} {unit}".rstrip()
    return f"{start}<br>({escaped(f'{spread} {row.n} {row.items}')})."


def _gap_sentence(row) -> str:
    """At alpha 0.5, loss/negative lies −0.052 [−0.059, −0.046] nats/token from the chord (paired 95 % interval)."""
    start = f"At alpha {alpha_text(row.alpha)}, {escaped(row.quantity)}<br>lies {theme.with_interval(row)}"
    return f"{start} {theme.unit_label(row.unit)}".rstrip() + "<br>from the chord (paired 95 % interval)."


def _alt(curve: Curve, finding: list[str], shown: list[str], rows: dict) -> str:
    values = "; ".join(f"{q} {theme.from_to(rows[q])}" for q in shown)
    return " ".join(f"{sentence}." for sentence in [*finding, f"Over {len(curve.alphas)} alphas: {values}"])


def _add_crosses(fig: Figure, panels: list[_Panel], nans: list, below: int, inner: int) -> None:
    """A cross at the bottom of the panel for every value that is not finite, and a line that names three of them."""
    notes = [f"{escaped(at.quantity)} is {number(at.value)} at alpha {alpha_text(at.alpha)}" for at in nans]
    for row, panel in enumerate(panels, start=1):
        own = [i for i, at in enumerate(nans) if at.quantity in panel.quantities and panel.kind != "gap"]
        if own:
            colors = [panel.colors[panel.quantities.index(nans[i].quantity)] for i in own]
            low, high = fig.layout[f"yaxis{row if row > 1 else ''}"].range
            height = [low + 0.05 * (high - low) * (1 + k) for k in range(len(own))]
            look = dict(mode="markers", marker=dict(symbol="x", size=11, color=colors), name="not a finite number")
            hover = [f"{notes[i]}." for i in own]
            fig.add_series([nans[i].alpha for i in own], height, TEXT, hover, row=row, **look)
    fig.add_note(f"✕ {listed(notes)}", "left", below / inner, yanchor="top")
