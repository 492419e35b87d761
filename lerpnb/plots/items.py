"""How a quantity of every single text, or prompt, moves along the line, and whose gets worse."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, faint
from lerpnb.results.curve import Curve
from lerpnb.utils.text import plain, show

MAX_ITEMS = 60  # drawn one by one
LETTERS = 160  # of a text, shown when its line is pointed at
PANEL = 250  # pixels


def plot_items(curve: Curve, quantity: str | None = None, texts: Sequence[str] | None = None) -> Figure:
    """Above: the distribution over items (texts, or prompts) of a quantity at each alpha. Below: each item's change.

    Bands hold the middle half and the middle 90 % of the items that have weight, the thick line is their median. A
    thin line is one item; pointing at it shows its text. Below, each item's value less its own at the first alpha that
    is 0, or else the lowest; orange lines rise from minus to plus, blue ones fall. Where there are more than 60 items,
    the 60 that change most are drawn one by one, and the bands take all of them in.

    Args:
        curve: of a probe that has several items.
        quantity: such as "loss/negative"; by default the first loss, or else the first with more than one item.
        texts: (n_items,) what each item is, in the probe's order. Left out, what the curve knows: the start of each of
            a `Loss`'s texts, or the prompts.

    Raises:
        CurveError: no such quantity, one item or alpha, no finite value, or not one text for each item.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([4 + a, 5 - a], unit="nats/token")} for a in (0.0, 1.0)}
        >>> fig = plot_items(Curve.from_measures(points), texts=["one gets worse", "one gets better"])
        >>> [trace.name for trace in fig.data if trace.yaxis == "y2"]
        ['one gets worse', 'one gets better']
    """
    quantity = quantity or _chosen(curve)
    unit, rows = curve.unit(quantity), curve.frame[curve.frame["quantity"] == quantity]
    values = np.stack(list(rows["item_values"]))  # (alphas, items)
    weights = np.stack(list(rows["item_weights"]))
    if rows["transform"].iloc[0] == "exp":
        values = np.exp(values)
    values = np.where(weights > 0, values, np.nan)
    names = _names(curve, quantity, rows["items"].iloc[0], values.shape[1], texts)
    alphas = rows["alpha"].to_numpy()
    for bad, fault in (
        (values.shape[1] < 2, "one item. A distribution needs two or more."),
        (len(alphas) < 2, "one alpha. A change needs two or more."),
        (not np.isfinite(values).any(), "no finite value to draw."),
    ):
        if bad:
            raise CurveError(f"plot_items(curve, {quantity!r}): {fault}")
    start, stop = theme.ends(alphas)
    change = values - values[start]
    rise = change[stop]
    size = np.nanmax(np.where(np.isfinite(change), np.abs(change), 0), axis=0)
    drawn = np.sort(np.argsort(-size, kind="stable")[:MAX_ITEMS])
    summary = _summary(alphas, start, stop, rise)
    alt = f"{quantity} of {values.shape[1]} {rows['items'].iloc[0]} over {len(alphas)} alphas: {summary}."
    fig = Figure.panels([PANEL, PANEL], alt, theme.facts(curve.provenance))
    _add_bands(fig, alphas, values)
    for row, lines in ((1, values), (2, change)):
        for i in drawn:
            _add_item(fig, row, alphas, lines[:, i], names[i], rise[i], unit)
    fig.mark_alphas(alphas[0], alphas[-1], theme.landmarks(curve.provenance))
    kind = escaped(curve.quantity(quantity).kind)
    fig.update_yaxes(title_text=theme.title(kind, theme.unit_label(unit)), row=1, col=1)
    fig.update_yaxes(title_text=f"change since alpha {show(alphas[start])}", row=2, col=1)
    kept = f"the {MAX_ITEMS} that change most; " if len(drawn) < values.shape[1] else ""
    fig.add_note(f"{escaped(quantity)}: {kept}{summary}", "left", yref="y2 domain", yshift=6)
    return fig


def _chosen(curve: Curve) -> str:
    several = curve.frame[[len(values) > 1 for values in curve.frame["item_values"]]]["quantity"].unique()
    if not len(several):
        raise CurveError(
            "plot_items(curve): no quantity has more than one item.\nEvaluate a Loss or an AttributeStrength probe."
        )
    return next((name for name in several if curve.quantity(name).kind == "loss"), several[0])


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
            f"plot_items(texts): {len(known)} texts against {n} items of {quantity!r}.\n"
            "Pass the probe's own texts, in their order."
        )
    # In lines short enough for a label that follows the mouse.
    return ["<br>".join(map(theme.escape, textwrap.wrap(plain(text, LETTERS), 50))) for text in known]


def _add_bands(fig: Figure, alphas: np.ndarray, values: np.ndarray) -> None:
    """The middle 90 %, the middle half and the median, over the alphas at which some of it is finite."""
    known = np.isfinite(values).any(axis=1)
    low, lower, middle, upper, high = np.nanpercentile(
        np.where(np.isfinite(values[known]), values[known], np.nan), [5, 25, 50, 75, 95], axis=1
    )
    x = alphas[known]
    fig.add_band(x, low, high, theme.TEXT, 0.16, name="middle 90 %", showlegend=True)
    fig.add_band(x, lower, upper, theme.TEXT, 0.22, name="middle half", showlegend=True)
    fig.add_series(x, middle, theme.TEXT, name="median", mode="lines", line=dict(width=4), zorder=2)


def _add_item(fig: Figure, row: int, alphas: np.ndarray, values: np.ndarray, name: str, rise: float, unit: str) -> None:
    color = theme.TEXT if not np.isfinite(rise) else theme.VERMILION if rise > 0 else theme.BLUE
    change = "change " if row == 2 else ""
    label = f"<b>%{{fullData.name}}</b><br>at alpha %{{x}}, {change}%{{y:.4g}} {theme.unit_label(unit)}<extra></extra>"
    look: dict[str, Any] = dict(hovertemplate=label, hoverinfo="text", hoverlabel=dict(bordercolor=color))
    look |= dict(mode="lines", line=dict(color=faint(color, 0.45), width=1), showlegend=False)
    fig.add_series(alphas, values, color, name=name, row=row, **look)


def _summary(alphas: np.ndarray, start: int, stop: int, rise: np.ndarray) -> str:
    """orange: 40 of 64 rise from alpha 0 to 1; blue: 24 fall"""
    up, known = int((rise > 0).sum()), int(np.isfinite(rise).sum())
    first, last = alpha_text(alphas[start]), alpha_text(alphas[stop])
    return f"orange: {up} of {known} rise from alpha {first} to {last}; blue: {int((rise < 0).sum())} fall"
