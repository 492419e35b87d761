"""By item: how a quantity of every single text, or prompt, moves along the line, and whose gets worse."""

from collections.abc import Sequence

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, faint, number, rounded
from lerpnb.results.curve import Curve
from lerpnb.utils.text import plain, show

MOST = 60  # items that are drawn one by one


ITEM_LETTERS = 160  # of a text, shown when its line is pointed at


PLOT, GAP, TOP, BOTTOM = 250, 46, 46, 62  # pixels


UNITS = {"nats/token": "nats per token", "probability": "probability 0 to 1"}


def plot_items(curve: Curve, quantity: str | None = None, texts: Sequence[str] | None = None) -> Figure:
    """Above: the distribution over items (texts, or prompts) of a quantity at each alpha. Below: each item's change.

    Bands hold the middle half and the middle 90 % of the items that have weight, the thick line is their median. A
    thin line is one item; pointing at it shows its text. Below, each item's value less its own at the first alpha that
    is 0, or else the lowest; orange lines rise from minus to plus, blue ones fall. Where there are more than 60 items,
    the 60 that change most are drawn one by one, and the bands take all of them in.

    Args:
        curve: a walk.
        quantity: such as "loss/negative"; by default the first loss, or else the first with more than one item.
        texts: (n_items,) what each item is, in the probe's order. Left out, what the curve knows: the start of each of
            a `Loss`'s texts, or the prompts.

    Raises:
        CurveError: no such quantity, one item or alpha, no finite value, or texts of another number than the items.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([4 + a, 5 - a], unit="nats/token")} for a in (0.0, 1.0)}
        >>> fig = plot_items(Curve.from_measures(points), texts=["one gets worse", "one gets better"])
        >>> [trace.hovertext for trace in fig.data if trace.yaxis == "y2"]
        ['one gets worse', 'one gets better']
    """
    quantity = _chosen(curve) if quantity is None else quantity
    unit, rows = curve.unit(quantity), curve.frame[curve.frame["quantity"] == quantity]
    values = np.stack(list(rows["item_values"]))  # (alphas, items)
    weights = np.stack(list(rows["item_weights"]))
    if rows["transform"].iloc[0] == "exp":
        values = np.exp(values)
    values = np.where(weights > 0, values, np.nan)
    names = _names(curve, quantity, rows["items"].iloc[0], values.shape[1], texts)
    if values.shape[1] < 2:
        raise CurveError(f"items_figure(curve, {quantity!r}): one item. A distribution needs two or more.")
    alphas = rows["alpha"].to_numpy()
    if len(alphas) < 2:
        raise CurveError(f"items_figure(curve, {quantity!r}): one alpha. A change needs two or more.")
    if not np.isfinite(values).any():
        raise CurveError(f"items_figure(curve, {quantity!r}): no finite value to draw.")
    start = int(np.flatnonzero(alphas == 0)[0]) if (alphas == 0).any() else 0
    stop = int(np.flatnonzero(alphas == 1)[0]) if (alphas == 1).any() else len(alphas) - 1
    change = values - values[start]
    rise = change[stop] if stop != start else change[-1]
    size = np.nanmax(np.where(np.isfinite(change), np.abs(change), 0), axis=0)
    drawn = np.sort(np.argsort(-size, kind="stable")[:MOST])
    told = _told(quantity, unit, alphas, start, stop, rise)
    alt = f"{quantity} of {values.shape[1]} {rows['items'].iloc[0]} over {len(alphas)} alphas: {told}."
    fig = Figure.blank(TOP + 2 * PLOT + GAP + BOTTOM, alt, theme.facts(curve.provenance))
    _add_bands(fig, alphas, values)
    for axis, lines in (("y", values), ("y2", change)):
        for i in drawn:
            _add_item(fig, axis, alphas, lines[:, i], names[i], rise[i], unit)
    some, marks = len(drawn) < values.shape[1], theme.marks(curve.provenance)
    _lay_out(fig, alphas, quantity, unit, start, told, some, marks)
    return fig


def _chosen(curve: Curve) -> str:
    several = curve.frame[[len(values) > 1 for values in curve.frame["item_values"]]]["quantity"].unique()
    if not len(several):
        raise CurveError("items_figure(curve): no quantity has more than one item. Walk with a Loss or an Attribute.")
    return next((quantity for quantity in several if quantity.startswith("loss/")), several[0])


def _names(curve: Curve, quantity: str, items: str, n: int, texts: Sequence[str] | None) -> list[str]:
    """What each item is, as plotly may show it."""
    known = curve.provenance.get("item_names", {}).get(quantity) if texts is None else list(texts)
    if known is None and items == "prompts" and len(curve.samples):
        known = list(curve.samples.drop_duplicates("prompt_id").sort_values("prompt_id")["prompt"])
        known = known if len(known) == n else None  # several samplings, or one that failed
    if known is None:
        return [f"{items.removesuffix('s')} {i + 1}" for i in range(n)]
    if len(known) != n:
        raise CurveError(
            f"items_figure(texts): {len(known)} texts against {n} items of {quantity!r}.\n"
            "Pass the probe's own texts, in their order."
        )
    return [_folded(text) for text in known]


def _folded(text: str) -> str:
    """A text in lines short enough for a label that follows the mouse."""
    return "<br>".join(theme.escape(line) for line in theme.wrapped(plain(text, ITEM_LETTERS), 50))


def _add_bands(fig: Figure, alphas: np.ndarray, values: np.ndarray) -> None:
    """The middle 90 %, the middle half and the median, over the alphas at which all of it is finite."""
    known = np.isfinite(values).any(axis=1)
    low, lower, middle, upper, high = np.nanpercentile(
        np.where(np.isfinite(values[known]), values[known], np.nan), [5, 25, 50, 75, 95], axis=1
    )
    x = alphas[known]
    for name, down, up, opacity in (("middle 90 %", low, high, 0.16), ("middle half", lower, upper, 0.22)):
        fig.add_scatter(
            x=rounded([*x, *x[::-1]]),
            y=rounded([*up, *down[::-1]]),
            name=name,
            mode="lines",
            fill="toself",
            fillcolor=faint(theme.TEXT, opacity),
            line=dict(width=0),
            hoverinfo="skip",
        )
    thick = dict(color=theme.TEXT, width=4)
    fig.add_scatter(
        x=rounded(x), y=rounded(middle), name="median", mode="lines", hoverinfo="skip", line=thick, zorder=2
    )


def _add_item(
    fig: Figure, axis: str, alphas: np.ndarray, values: np.ndarray, name: str, rise: float, unit: str
) -> None:
    colour = theme.TEXT if not np.isfinite(rise) else theme.VERMILION if rise > 0 else theme.BLUE
    what = "change " if axis == "y2" else ""
    fig.add_scatter(
        x=rounded(alphas),
        y=rounded(values),
        yaxis=axis,
        mode="lines",
        line=dict(color=faint(colour, 0.45), width=1),
        hovertext=name,
        hovertemplate=f"<b>%{{hovertext}}</b><br>at alpha %{{x}}, {what}%{{y:.4g}} "
        f"{theme.escape(UNITS.get(unit, unit))}"
        "<extra></extra>",
        hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        showlegend=False,
    )


def _told(quantity: str, unit: str, alphas: np.ndarray, start: int, stop: int, rise: np.ndarray) -> str:
    """orange: 40 of 64 rise from alpha 0 to 1; blue: 24 fall"""
    up, known = int((rise > 0).sum()), int(np.isfinite(rise).sum())
    first, last = number(alphas[start]), number(alphas[stop if stop != start else -1])
    return f"orange: {up} of {known} rise from alpha {first} to {last}; blue: {int((rise < 0).sum())} fall"


def _lay_out(
    fig: Figure, alphas: np.ndarray, quantity: str, unit: str, start: int, told: str, some: bool, marks: theme.Marks
) -> None:
    paper = 2 * PLOT + GAP
    kind = escaped(quantity.partition("/")[0])
    named = escaped(UNITS.get(unit, unit))
    axis = dict(theme.AXIS)
    begin, end = fig.mark_ends(float(alphas[0]), float(alphas[-1]), marks)
    for shape in [shape for shape in fig.layout.shapes if shape.yref == "y domain"]:
        fig.add_shape(**{**shape.to_plotly_json(), "yref": "y2 domain"})
    across = dict(text="alpha (no unit)", standoff=6, font=dict(size=14))
    fig.update_layout(
        margin=dict(t=TOP, b=BOTTOM, l=70, r=30),
        legend=dict(orientation="h", x=0, y=1 + 20 / paper, yanchor="bottom", itemwidth=40),
        xaxis=dict(title=across, range=[begin, end], anchor="y2", **axis),
        yaxis=dict(title=dict(text=", ".join(filter(None, [kind, named]))), domain=[1 - PLOT / paper, 1], **axis),
        yaxis2=dict(
            title=dict(text=f"change since alpha {show(alphas[start])}"), domain=[0, PLOT / paper], anchor="x", **axis
        ),
    )
    fig.update_yaxes(title_font_size=14)
    kept = f"the {MOST} that change most; " if some else ""
    fig.add_annotation(
        text=f"{escaped(quantity)}: {kept}{told}",
        showarrow=False,
        xref="paper",
        x=0,
        xanchor="left",
        yref="paper",
        y=PLOT / paper,
        yanchor="bottom",
        yshift=6,
    )
