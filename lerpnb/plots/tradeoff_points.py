"""The points of a trade-off: strength, fluency and distance from the base at each alpha of a curve, and their axes."""

import math

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import FLUENCY, fluency_of

DISTANCE = "distance/base"
Points = dict[str, pd.DataFrame]  # of strength, fluency and distance: alpha, value, low and high


def quantities(curve: Curve, call: str) -> tuple[str, str]:
    """The first strength with a perplexity of the same texts, and that perplexity."""
    for strength in curve.of_kind("strength"):
        if (fluency := fluency_of(strength)) in curve.quantities:
            return strength, fluency
    raise CurveError(
        f"{call}: no strength/… with its {FLUENCY}.\n"
        "Evaluate an AttributeStrength probe, whose perplexity model is the line's base or one that you name."
    )


def points_of(curve: Curve, call: str) -> Points:
    """Where strength and fluency are finite numbers."""
    strength, fluency = quantities(curve, call)
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


def title_axes(fig: Figure, values: Points, strength: str, row: int = 1) -> None:
    """The x axis of perplexities, whose title stands below `row`, and the y axis of strengths, wide enough for all."""
    (left, right), (low, high) = (
        (np.nanmin(values[what]), np.nanmax(values[what])) for what in ("fluency", "strength")
    )
    log = right > 8 * left > 0
    ends = (math.log10(left), math.log10(right)) if log else (left, right)
    pad = 0.06 * (ends[1] - ends[0]) or 0.1 * (ends[0] or 1)
    ticks = dict(type="log", dtick="D2", tickformat=",~g") if log else dict(nticks=8)
    fig.update_xaxes(range=[ends[0] - pad, ends[1] + pad], **ticks)
    title = "perplexity of the continuations" + (" (log scale)" if log else "") + ", ← more fluent"
    fig.update_xaxes(title_text=title, row=row, col=1)
    pad = 0.06 * (high - low) or 0.05
    title = f"strength of {escaped(strength.partition('/')[2])}, probability 0 to 1"
    fig.update_yaxes(title_text=title, range=[low - pad, high + pad], nticks=8, row=1, col=1)
