"""The points of a trade-off: strength against fluency, or other quantities, and distance, at each alpha; their axes."""

import math

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES, FLUENCY, Quantity, fluency_of

DISTANCE = "distance/base"
Points = dict[str, pd.DataFrame]  # of strength, fluency and distance: alpha, value, low and high


def quantities(curve: Curve, call: str, x: str | None = None, y: str | None = None) -> tuple[str, str]:
    """What goes up and what goes across: by default the first strength, and the perplexity of the same texts."""
    for strength in [y] if y else curve.of_kind(*ATTRIBUTES):
        fluency = x or fluency_of(strength)
        if x or y or fluency in curve.quantities:
            for name in (strength, fluency):
                curve.unit(name)  # refuses one that was not measured
            return strength, fluency
    raise CurveError(
        f"{call}: no strength/… with its {FLUENCY}.\n"
        "Evaluate an AttributeStrength probe, whose perplexity model is the line's base or one that you name."
    )


def word(quantity: str) -> str:
    """What hover and alt texts call a quantity."""
    usual = quantity.startswith(("strength/", "score/", FLUENCY))
    return Quantity.named(quantity).kind if usual else escaped(quantity)


def points_of(curve: Curve, call: str, strength: str, fluency: str) -> Points:
    """Where strength and fluency, or what stands for them, are finite numbers."""
    unknown = pd.DataFrame({"alpha": [], "value": [], "low": [], "high": []})
    points = {
        what: (curve[quantity] if quantity in curve.quantities else unknown)
        .set_index("alpha")
        .reindex(curve.alphas)
        .reset_index()
        for what, quantity in dict(strength=strength, fluency=fluency, distance=DISTANCE).items()
    }
    known = np.isfinite(points["strength"]["value"]) & np.isfinite(points["fluency"]["value"])
    if not known.any():
        raise CurveError(f"{call}: {strength} and {fluency} are nowhere both finite numbers.")
    return {what: frame[known] for what, frame in points.items()}


def title_axes(fig: Figure, values: Points, curve: Curve, strength: str, fluency: str, row: int = 1) -> None:
    """The x axis of perplexities, whose title stands below `row`, and the y axis of strengths, wide enough for all."""
    across, more = theme.quantity_title(fluency, curve.unit(fluency)), ""
    if fluency == fluency_of(strength):
        across, more = "perplexity of the continuations", ", ← more fluent"
    up = theme.quantity_title(strength, curve.unit(strength))
    if strength.startswith("strength/"):
        up = f"strength of {escaped(strength.partition('/')[2])}, probability 0 to 1"
    (left, right), (low, high) = (
        (np.nanmin(values[what]), np.nanmax(values[what])) for what in ("fluency", "strength")
    )
    log = right > 8 * left > 0
    ends = (math.log10(left), math.log10(right)) if log else (left, right)
    pad = 0.06 * (ends[1] - ends[0]) or 0.1 * (ends[0] or 1)
    ticks = dict(type="log", dtick="D2" if right < 1e3 * left else 1, tickformat=",~g") if log else dict(nticks=8)
    fig.update_xaxes(range=[ends[0] - 3 * pad, ends[1] + pad], **ticks)  # names stand on the left
    fig.update_xaxes(title_text=across + (" (log scale)" if log else "") + more, row=row, col=1)
    pad = 0.06 * (high - low) or 0.05
    fig.update_yaxes(title_text=up, range=[low - pad, high + pad], nticks=8, row=1, col=1)
