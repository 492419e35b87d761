"""A measurement: one quantity at one point, as weighted items."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import show


@dataclass(frozen=True, eq=False)
class Measurement:
    """One quantity at one point: `f(sum w v / sum w)` over items, `f` the identity or, for transform="exp", exp.

    Args:
        values: (n_items,) float64, or one number; a NaN stays a NaN.
        weights: (n_items,) finite and >= 0, None for ones; 0 leaves the item out by definition.
        unit: "nats/token", "probability", "perplexity", ...
        items: what one item is: "texts", "prompts" or "values".
        transform: "" or "exp".
        kind: of the quantity, such as "loss"; empty where its name begins with it, as "loss/negative".

    Raises:
        CurveError: shapes, weights or transform are not as above.

    >>> Measurement([1.0, 4.0], weights=[2, 1], unit="nats/token").value()
    2.0
    """

    values: Any  # an (n_items,) float64 array once it is made, and so are the weights
    weights: Any = None
    unit: str = ""
    items: str = "texts"
    transform: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        try:
            values = np.atleast_1d(np.array(self.values, dtype=np.float64))
            weights = np.ones_like(values) if self.weights is None else np.array(self.weights, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise CurveError("Measurement(values, weights): not numbers. Pass one float an item.") from error
        if values.ndim != 1:
            raise CurveError(f"Measurement(values): shape {values.shape}, expected (n_items,). Pass one float an item.")
        if weights.shape != values.shape:
            shapes = f"shape {weights.shape} against values {values.shape}"
            raise CurveError(f"Measurement(weights): {shapes}. Pass one weight an item.")
        if (odd := ~(np.isfinite(weights) & (weights >= 0))).any():
            why = "A weight is finite and >= 0; 0 leaves an item out."
            raise CurveError(f"Measurement(weights): {weights[odd][0]:g} among them. {why}")
        if self.transform not in ("", "exp"):
            raise CurveError(f"Measurement(transform): {self.transform!r}, expected '' or 'exp'.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "weights", weights)

    def value(self) -> float:
        """The measured number; NaN if an item with weight is NaN or no item has weight."""
        return bootstrap.mean(self.values, self.weights, self.transform)


def estimated(quantity: str, group: pd.DataFrame, call: str = "Curve.from_measures(points)") -> pd.DataFrame:
    """The frame's rows of one quantity, from its measures; all other columns are coordinates."""
    keys = [name for name in group if name not in ("quantity", "measure")]
    places = [", ".join(f"{key} {show(at[key])}" for key in keys) for at in group[keys].to_dict("records")]
    measures = list(group["measure"])
    first, start = measures[0], places[0]
    for place, measure in zip(places, measures, strict=True):
        for what in ("unit", "items", "transform", "kind"):
            came, expected = getattr(measure, what), getattr(first, what)
            if came != expected:
                differ = f"has {what} {came!r} at {place} against {expected!r} at {start}"
                raise CurveError(f"{call}: {quantity!r} {differ}. Give it another name.")
        came, expected = len(measure.values), len(first.values)
        if came != expected:
            differ = f"has {came} {first.items} at {place} against {expected} at {start}"
            raise CurveError(f"{call}: {quantity!r} {differ}. Measure the same items at every {' and '.join(keys)}.")
    rows = group[[*keys, "quantity"]].assign(kind=first.kind or Quantity.named(quantity).kind)
    rows = rows.assign(unit=first.unit, items=first.items, transform=first.transform)
    rows["value"], rows["n"] = zip(*((m.value(), int((m.weights > 0).sum())) for m in measures), strict=True)
    rows["item_values"], rows["item_weights"] = [m.values for m in measures], [m.weights for m in measures]
    _, draws, _ = resampled(rows)
    low, high = bootstrap.interval(rows["value"].to_numpy(), draws, rows["n"].to_numpy())
    return rows.assign(low=low, high=high)


def resampled(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """Values (n_points,), bootstrap draws (DRAWS, n_points) and the fewest items at a point, of one quantity's rows."""
    values, weights = (np.stack(list(rows[name])) for name in ("item_values", "item_weights"))
    draws = bootstrap.resample(values, weights, rows["transform"].iloc[0])
    return rows["value"].to_numpy(), draws, int(rows["n"].min())
