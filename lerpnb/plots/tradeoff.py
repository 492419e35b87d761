"""The trade-off: attribute strength against fluency along a line, so that an alpha can be chosen at one look."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, number, rounded
from lerpnb.results.curve import Curve

HEIGHT, WIDER, WIDE, NARROW = 470, 840, 640, 290  # pixels: of the picture; across its axes on pages and on a phone


DOWN = 360  # pixels of the y axis


# Where a label may stand about its point: plotly's name, and its middle in pixels from the point.
PLACES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, 1),
    "bottom center": (0, -1),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}


def plot_tradeoff(curve: Curve, base: Curve | None = None) -> Figure:
    """Attribute strength (up) against perplexity of the continuations (across), a point an alpha, joined in its order.

    Up and left is more of the attribute in more fluent text. Colour and labels are alpha; minus and plus are ringed,
    thin crosses are 95 % intervals. The axis is logarithmic where the perplexities differ by more than eight times.

    Args:
        curve: a walk with an `AttributeStrength` probe that has a judge.
        base: the same probe at the base model, which is no point of the line: `evaluate(Line(o, o), [0], [attribute])`
            with o the base. Left out, no base is marked: its strength is not known.

    Raises:
        CurveError: no strength, no perplexity of its continuations, or a base of more than one point.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> def point(a):
        ...     return {"strength/joy": Measurement([a / 2]),
        ...             "perplexity/continuations": Measurement([40 + 30 * a * a])}
        >>> fig = plot_tradeoff(Curve.from_measures({a: point(a) for a in (0.0, 0.5, 1.0)}))
        >>> fig.data[0].x, fig.data[0].y
        ((40.0, 47.5, 70.0), (0.0, 0.25, 0.5))
    """
    strength, fluency = quantities(curve)
    if base is not None and len(base.alphas) != 1:
        raise CurveError(
            f"trade_off_figure(base): a curve of {len(base.alphas)} alphas, expected one.\n"
            "Pass evaluate(Line(o, o), [0], [attribute]) with o the base."
        )
    if base is not None:
        quantities(base, "trade_off_figure(base)")
    x, y = (curve[name].set_index("alpha").reindex(curve.alphas).reset_index() for name in (fluency, strength))
    known = np.isfinite(x["value"]) & np.isfinite(y["value"])
    if not known.any():
        raise CurveError(f"trade_off_figure(curve): {strength} and {fluency} are nowhere both finite numbers.")
    fig = Figure.blank(HEIGHT, _alt(curve, strength, fluency, base), theme.facts(curve.provenance))
    alphas, x, y = x["alpha"][known].to_numpy(), x[known], y[known]
    fig.add_scatter(
        x=rounded(x["value"]),
        y=rounded(y["value"]),
        error_x=bars(x),
        error_y=bars(y),
        name="alpha",
        mode="lines+markers",
        line=dict(color=theme.TEXT, width=1.5),
        marker=dict(
            size=[20 if alpha in (0, 1) else 13 for alpha in alphas],
            color=rounded(alphas),
            colorscale=theme.ALIKE,
            cmid=0.5,
            line=dict(color=theme.TEXT, width=[3 if alpha in (0, 1) else 1 for alpha in alphas]),
            colorbar=dict(title=dict(text="alpha"), thickness=12, len=0.7, outlinewidth=0, nticks=6),
        ),
        hovertext=[_sentence(a, *rows) for a, *rows in zip(alphas, x.itertuples(), y.itertuples(), strict=True)],
        hoverinfo="text",
        hoverlabel=theme.HOVER,
        showlegend=False,
    )
    points = list(zip(alphas, x["value"], y["value"], strict=True))
    if base is not None:
        mark = float(base[fluency]["value"].iloc[0]), float(base[strength]["value"].iloc[0])
        fig.add_scatter(
            x=rounded(mark[:1]),
            y=rounded(mark[1:]),
            error_x=bars(base[fluency]),
            error_y=bars(base[strength]),
            name="base",
            mode="markers",
            marker=dict(symbol="star", size=17, color=theme.GREEN, line=dict(color=theme.TEXT, width=1)),
            hovertext=[_sentence(None, next(base[fluency].itertuples()), next(base[strength].itertuples()))],
            hoverinfo="text",
            hoverlabel=theme.HOVER,
            showlegend=False,
        )
        points.append((math.nan, *mark))
    drawn = [(rows, base[name]) if base is not None else (rows,) for name, rows in ((fluency, x), (strength, y))]
    spans = [[frame[["value", "low", "high"]] for frame in frames] for frames in drawn]
    _lay_out(fig, *map(reach, spans), strength)
    _add_labels(fig, points, theme.marks(curve.provenance))
    return fig


def quantities(curve: Curve, call: str = "trade_off_figure(curve)") -> tuple[str, str]:
    """The first strength with a perplexity of the same texts, and that perplexity.

    Raises:
        CurveError: there is none.
    """
    for strength in [q for q in curve.quantities if q.startswith("strength/")]:
        called = strength[strength.index(" (") :] if " (" in strength else ""
        if (fluency := f"perplexity/continuations{called}") in curve.quantities:
            return strength, fluency
    raise CurveError(
        f"{call}: no strength/… with its perplexity/continuations.\n"
        "Walk with an Attribute probe, whose judge is the line's base or one that you name."
    )


def bars(rows) -> dict | None:
    """A point's 95 % interval, thin."""
    if not np.isfinite(rows["low"]).any():
        return None
    up, down = (rows["high"] - rows["value"]).to_numpy(), (rows["value"] - rows["low"]).to_numpy()
    faint = dict(color="rgba(128,128,128,0.4)", thickness=1, width=0)
    return dict(type="data", symmetric=False, array=rounded(up), arrayminus=rounded(down), **faint)


def _sentence(alpha: float | None, x, y) -> str:
    """At alpha 0.5, the strength is 0.57 (0.5 to 0.63) and the perplexity 80 (70 to 95)."""
    where = "The base" if alpha is None else f"At alpha {number(alpha)}"
    told = [
        number(row.value) + (f" ({number(row.low)} to {number(row.high)})" if row.low == row.low else "")
        for row in (y, x)
    ]
    return f"{where}: strength {told[0]},<br>perplexity {told[1]}"


def reach(frames: Sequence[pd.DataFrame]) -> tuple[float, float]:
    """The lowest and the highest finite number among all columns, such as values and the ends of their intervals."""
    values = np.concatenate([frame.to_numpy(float).ravel() for frame in frames])
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max())


def _lay_out(fig: Figure, across: tuple[float, float], up: tuple[float, float], strength: str) -> None:
    xaxis, yaxis = axes(across, up, strength)
    fig.update_layout(margin=dict(t=24, b=62, l=70, r=30), xaxis=xaxis, yaxis=yaxis)


def axes(across: tuple[float, float], up: tuple[float, float], strength: str) -> tuple[dict, dict]:
    """The x axis of perplexities and the y axis of strengths, from the lowest to the highest of each."""
    low, high = across
    log = high > 8 * low > 0
    ends = (math.log10(low), math.log10(high)) if log else across
    pad = 0.06 * (ends[1] - ends[0]) or 0.1 * (ends[0] or 1)
    tall = 0.06 * (up[1] - up[0]) or 0.05
    ticks = dict(type="log", **log_ticks(low, high)) if log else dict(nticks=8)
    label = escaped(strength.partition("/")[2])
    title = "perplexity of the continuations" + (" (log scale)" if log else "") + ", ← more fluent"
    xaxis = dict(
        title=dict(text=title, font=dict(size=14)), range=[ends[0] - pad, ends[1] + pad], **ticks, **theme.AXIS
    )
    title = f"strength of {label}, probability 0 to 1"
    yaxis = dict(title=dict(text=title, font=dict(size=14)), range=[up[0] - tall, up[1] + tall], nticks=8, **theme.AXIS)
    return xaxis, yaxis


def log_ticks(low: float, high: float) -> dict:
    """1, 2 and 5 of each power of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return dict(tickvals=values, ticktext=[f"{value:,g}" for value in values])


def _add_labels(fig: Figure, points: list[tuple[float, float, float]], marks: theme.Marks) -> None:
    """alpha beside its point, the ends first, as many as find room; those with room on a wide page only, apart."""
    names = {end: f"<b>{name} {number(end)}</b>" for end, name in marks}
    chief = {0.0: 0, 1.0: 0, points[0][0]: 1}
    order = sorted(points, key=lambda p: (0 if math.isnan(p[0]) else chief.get(p[0], 2 + (p[0] * 2 % 1 != 0)), p[0]))
    texts = [("<b>base</b>" if math.isnan(p[0]) else names.get(p[0], number(p[0])), *p[1:]) for p in order]
    narrow = _placed(fig, texts, NARROW, {})
    wide = _placed(fig, texts, WIDE, narrow)
    for name, found in (("labels", narrow), ("more labels", {k: v for k, v in wide.items() if k not in narrow})):
        fig.add_scatter(
            x=rounded([texts[i][1] for i in found]),
            y=rounded([texts[i][2] for i in found]),
            mode="markers+text",
            marker=dict(
                size=[24 if "<b>" in texts[i][0] else 16 for i in found], opacity=0
            ),  # what keeps a label off its point
            name=name,
            meta="wide" if name == "more labels" else None,  # left out on a phone
            text=[texts[i][0] for i in found],
            textposition=list(found.values()),
            hoverinfo="skip",
            showlegend=False,
        )
    for i, (text, x, y) in enumerate(texts):
        if "<b>" in text and i not in wide:  # an end is always named, from further off where it has to be
            across, up = _further(fig, texts, i, {NARROW: narrow, WIDE: wide, WIDER: wide})
            x = math.log10(x) if fig.layout.xaxis.type == "log" else x
            line = dict(arrowhead=0, arrowwidth=1, arrowcolor=theme.TEXT, standoff=9)
            fig.add_annotation(
                x=x, y=y, ax=across, ay=-up, text=text, showarrow=True, font=dict(color=theme.TEXT), **line
            )


def _placed(fig: Figure, texts: list[tuple[str, float, float]], width: int, kept: dict[int, str]) -> dict[int, str]:
    """Which labels have room, and where, about points drawn on so many pixels; `kept` stay where they are."""
    at = _pixels(fig, texts, width)
    taken = [(x, y, 11, 11) for x, y in at]
    found: dict[int, str] = {}
    for i in sorted(range(len(texts)), key=lambda i: i not in kept):
        for place in [kept[i]] if i in kept else PLACES:
            box = _box(at[i], texts[i][0], place)
            if i in kept or _inside(box, width) and not any(_overlap(box, t) for j, t in enumerate(taken) if j != i):
                found[i] = place
                taken.append(box)
                break
    return found


def _further(fig: Figure, texts: list[tuple[str, float, float]], i: int, places: dict[int, dict]) -> tuple[int, int]:
    """Pixels across and up from a point to where its label has room on every width, the first of a few."""
    ways = ((1.5, 0), (0, 1), (0, -1), (1.5, 1), (1.5, -1), (-1.5, 0), (-1.5, 1), (-1.5, -1))
    tries = [(round(x * far), round(y * far)) for far in (40, 60, 90) for x, y in ways]
    for across, up in tries:
        free = True
        for width, found in places.items():
            at = _pixels(fig, texts, width)
            box = (at[i][0] + across, at[i][1] + up, 1.3 * _half(texts[i][0]), 14)  # bold, with its own padding
            taken = [(x, y, 11, 11) for x, y in at] + [_box(at[j], texts[j][0], place) for j, place in found.items()]
            free &= _inside(box, width) and not any(_overlap(box, other) for other in taken)
        if free:
            return across, up
    return tries[0]


def _pixels(fig: Figure, texts: list[tuple[str, float, float]], width: int) -> list[tuple[float, float]]:
    (x0, x1), (y0, y1) = fig.layout.xaxis.range, fig.layout.yaxis.range
    scale = math.log10 if fig.layout.xaxis.type == "log" else float
    return [((scale(x) - x0) / (x1 - x0) * width, (y - y0) / (y1 - y0) * DOWN) for _, x, y in texts]


def _half(text: str) -> float:
    return 4.2 * len(text.replace("<b>", "").replace("</b>", "")) + 2


def _box(at: tuple[float, float], text: str, place: str) -> tuple[float, float, float, float]:
    """Middle and half sizes, in pixels, of a label about its point."""
    (right, up), half = PLACES[place], _half(text)
    return at[0] + right * (half + 9), at[1] + up * (17 if right == 0 else 12), half, 8


def _inside(box: tuple, width: int) -> bool:
    return box[2] <= box[0] <= width - box[2] and 8 <= box[1] <= DOWN - 8


def _overlap(one: tuple, other: tuple) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]


def _alt(curve: Curve, strength: str, fluency: str, base: Curve | None) -> str:
    told = [
        f"{strength} {number(curve.value(strength)[i])} at {fluency} {number(curve.value(fluency)[i])} "
        f"for alpha {number(alpha)}"
        for i, alpha in enumerate(curve.alphas)
        if i in (0, len(curve.alphas) - 1) or alpha in (0, 1)
    ]
    if base is not None:
        told.append(f"base {number(base.value(strength)[0])} at {number(base.value(fluency)[0])}")
    return f"Trade-off over {len(curve.alphas)} alphas: {'; '.join(told)}."
