"""How a quantity of every single text, or prompt, moves along the line, and whose gets worse."""

import textwrap
from collections.abc import Sequence

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number, rounded
from lerpnb.results.curve import Curve
from lerpnb.utils.text import plain

MAX_ITEMS = 60  # that have a row
LETTERS = 160  # of a text, shown when its row is pointed at
PANEL, ROW = 220, 7  # pixels of the distribution, and of an item


def plot_items(curve: Curve, quantity: str | None = None, texts: Sequence[str] | None = None) -> Figure:
    """Above: the distribution over items (texts, or prompts) of a quantity at each alpha. Below: each item's change.

    Bands hold the middle half and the middle 90 % of the items that have weight, the thick line is their median. Below,
    a row an item: its value less its own at alpha 0, or else at the lowest, sorted by the change from minus to plus;
    purple rises, green falls, and pointing at a cell shows its text. Where there are more than 60 items, the 60 that
    change most have a row, and the bands take all of them in.

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
        >>> [list(row) for row in fig.data[-1].z]  # upwards
        [[0.0, -1.0], [0.0, 1.0]]
    """
    quantity = quantity or _chosen(curve)
    unit, rows = curve.unit(quantity), curve.frame[curve.frame["quantity"] == quantity]
    values = np.stack(list(rows["item_values"]))  # (alphas, items)
    weights = np.stack(list(rows["item_weights"]))
    if rows["transform"].iloc[0] == "exp":
        values = np.exp(values)
    values = np.where(weights > 0, values, np.nan)
    items = rows["items"].iloc[0]
    names = _names(curve, quantity, items, values.shape[1], texts)
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
    drawn = np.argsort(-size, kind="stable")[:MAX_ITEMS]
    drawn = drawn[np.argsort(np.where(np.isfinite(rise[drawn]), rise[drawn], -np.inf), kind="stable")]
    summary = _summary(alphas, start, stop, rise)
    alt = f"{quantity} of {values.shape[1]} {items} over {len(alphas)} alphas: {summary}."
    heights = [PANEL, max(110, ROW * len(drawn))]
    fig = Figure.panels(heights, alt, theme.facts(curve.provenance), gap=76, right=84)
    _add_bands(fig, alphas, values)
    label = theme.unit_label(unit)
    hover = [
        [
            _sentence(names[i], alpha, value, moved, label)
            for alpha, value, moved in zip(alphas, values[:, i], change[:, i], strict=True)
        ]
        for i in drawn
    ]
    fig.add_heatmap(
        x=rounded(alphas),
        y=list(range(len(drawn))),
        z=[rounded(change[:, i]) for i in drawn],
        hovertext=hover,
        name="change",
        **dict(coloraxis="coloraxis", xgap=0, row=2, col=1),
    )
    fig.mark_alphas(alphas[0], alphas[-1], theme.landmarks(curve.provenance))
    kind = escaped(curve.quantity(quantity).kind)
    fig.update_yaxes(title_text=theme.title(kind, label), row=1, col=1)
    fig.update_yaxes(title_text=f"{escaped(items)}, sorted", showticklabels=False, ticks="", row=2, col=1)
    fig.update_yaxes(range=[-0.5, len(drawn) - 0.5], showgrid=False, row=2, col=1)
    most = float(np.abs(theme.finite(change.ravel())).max()) or 1.0
    bar = dict(thickness=12, len=0.5, y=0, yanchor="bottom", nticks=5, title_text="change")
    fig.update_layout(coloraxis=dict(colorscale=theme.CHANGE, cmin=-most, cmax=most, colorbar=bar))
    kept = f"the {MAX_ITEMS} that change most; " if len(drawn) < values.shape[1] else ""
    note = f"<b>Change of {escaped(quantity)} since alpha {alpha_text(alphas[start])}</b><br>{kept}{summary}"
    fig.add_note(note, "left", yref="y2 domain", yshift=4, align="left")
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


def _sentence(name: str, alpha: float, value: float, change: float, unit: str) -> str:
    return f"<b>{name}</b><br>at alpha {alpha_text(alpha)}: {number(value)} {unit}, changed by {number(change)}"


def _summary(alphas: np.ndarray, start: int, stop: int, rise: np.ndarray) -> str:
    """purple: 40 of 64 rise from alpha 0 to 1; green: 24 fall"""
    up, known = int((rise > 0).sum()), int(np.isfinite(rise).sum())
    first, last = alpha_text(alphas[start]), alpha_text(alphas[stop])
    return f"purple: {up} of {known} rise from alpha {first} to {last}; green: {int((rise < 0).sum())} fall"
