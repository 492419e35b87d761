"""A barrier: how far a quantity rises above the chord between its ends."""

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lerpnb.results import bootstrap
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import listed, number, show

ROUNDING = 1e-9  # a gap up to this is none


@dataclass(frozen=True, eq=False)
class Barrier:
    """How far a quantity rises above the chord between its ends, on the grid points of [0, 1], in the quantity's unit.

    value (Entezari, arXiv 2110.06296): sup_a [L(a) - (1 - a) L(0) - a L(1)]; both ends are in the grid, so it is >= 0.
    frankle (Frankle, arXiv 1912.05671): sup_a L(a) - (L(0) + L(1)) / 2; it differs where the ends are unequal.
    gaps: alpha, gap, low, high: the signed gap to the chord at each interior alpha, negative under the chord.
    nan_alphas: where in [0, 1] the quantity is no finite number; a NaN there leaves every number above NaN.
    A sup over noisy points leans upwards, and so does its interval: read `gaps` beside it.
    """

    quantity: str
    unit: str
    alpha: float
    value: float
    low: float
    high: float
    frankle: float
    frankle_low: float
    frankle_high: float
    gaps: pd.DataFrame
    nan_alphas: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, quantity: str, unit: str, alphas: np.ndarray, values: np.ndarray, draws: np.ndarray, n_items: int
    ) -> "Barrier":
        """The barrier over alphas (n,) from 0 to 1, of values (n,) with their bootstrap draws (DRAWS, n)."""
        both = np.vstack([values, draws])
        with np.errstate(invalid="ignore"):
            gaps = both - (1 - alphas) * both[:, :1] - alphas * both[:, -1:]
            rises = gaps.max(axis=1), both.max(axis=1) - (both[:, 0] + both[:, -1]) / 2
        chord, mean = (bootstrap.estimate(rise[0], rise[1:], n_items) for rise in rises)
        both_rises = chord.value, chord.low, chord.high, mean.value, mean.low, mean.high
        at = np.nan if np.isnan(chord.value) else float(alphas[gaps[0].argmax()])
        low, high = bootstrap.interval(gaps[0], gaps[1:], n_items)
        inside = pd.DataFrame({"alpha": alphas, "gap": gaps[0], "low": low, "high": high})[1:-1].reset_index(drop=True)
        unknown = tuple(alphas[~np.isfinite(values)].tolist())
        return cls(quantity, unit, at, *both_rises, inside, unknown)

    @property
    def largest_gap(self) -> tuple[Estimate, float] | None:
        """The largest signed gap to the chord inside and its alpha; None where none is known."""
        known = self.gaps.dropna(subset=["gap"])
        if known.empty:
            return None
        top = known.loc[known["gap"].idxmax()]
        return Estimate(top["gap"], top["low"], top["high"]), top["alpha"]

    @property
    def better(self) -> str:
        """The side of the chord on which the quantity is better: "above" for an accuracy, else "below"."""
        return "above" if Quantity.named(self.quantity).lower_is_better is False else "below"

    def verdict(self, tolerance: float = 0.0) -> str:
        """By the intervals of the gaps: "breaks" where one lies more than the tolerance on the chord's worse side,
        "holds" where none reaches it, else "open"; "unknown" with a NaN, "unmeasured" with nothing between the ends."""
        if np.isnan(self.value):
            return "unknown"
        if self.gaps.empty:
            return "unmeasured"
        low, high = (self.gaps[end] for end in ("low", "high"))
        low, high = (-high, -low) if self.better == "above" else (low, high)
        if (low > max(tolerance, ROUNDING)).any():
            return "breaks"
        return "holds" if (high <= max(tolerance, ROUNDING)).all() else "open"

    @property
    def worst(self) -> tuple[Estimate, float] | None:
        """The signed gap furthest to the worse side, the largest of a loss, the least of an accuracy; its alpha."""
        known = self.gaps.dropna(subset=["gap"])
        if known.empty:
            return None
        top = known.loc[(known["gap"] * (-1 if self.better == "above" else 1)).idxmax()]
        return Estimate(top["gap"], top["low"], top["high"]), top["alpha"]

    @property
    def finding(self) -> str:
        """What the gaps show, in words."""
        worse = "above" if self.better == "below" else "below"
        if (verdict := self.verdict()) == "unknown":
            return f"no finite number at alpha {listed(map(show, self.nan_alphas))}: cannot tell"
        if verdict == "unmeasured" or self.worst is None:
            return "nothing was measured between the ends: cannot tell"
        gap, at = self.worst
        if verdict == "holds":
            away = (
                f"at least {number(abs(gap.value), 2)} {self.better}" if abs(gap.value) > ROUNDING else f"not {worse}"
            )
            return f"stays {away} the chord at every inner alpha measured: no barrier"
        where = f"the chord by {number(abs(gap.value), 2)} at alpha {show(at)}"
        if verdict == "breaks":
            return f"goes {worse} {where}: a barrier"
        return f"undecided: the interval of the gap at alpha {show(at)} lies on both sides of the chord"

    def _lines(self) -> list[tuple[str, str]]:
        if np.isnan(self.value):
            return [("unknown", f"{self.quantity} is no finite number at alpha {listed(map(show, self.nan_alphas))}")]
        if self.gaps.empty:
            return [("unknown", self.finding)]
        entezari = Estimate(self.value, self.low, self.high)
        frankle = Estimate(self.frankle, self.frankle_low, self.frankle_high)
        where = f", at alpha {show(self.alpha)}" if self.value else ""
        lines = [
            ("in words", self.finding),
            ("above the chord (Entezari)", f"{entezari} {self.unit}{where}"),
            ("above the ends' mean (Frankle)", f"{frankle} {self.unit}"),
        ]
        if self.largest_gap:
            gap, at = self.largest_gap
            lines.append(("largest signed gap inside", f"{gap} {self.unit}, at alpha {show(at)}"))
        return lines

    def __repr__(self) -> str:
        return "\n".join([f"Barrier of {self.quantity} on [0, 1]", *(f"  {k:<31}{v}" for k, v in self._lines())])

    def _repr_html_(self) -> str:
        row = "<tr><th style='text-align:left'>{}</th><td style='text-align:left'>{}</td></tr>"
        rows = "".join(row.format(html.escape(k), html.escape(v)) for k, v in self._lines())
        return f"<table><caption>Barrier of {html.escape(self.quantity)} on [0, 1]</caption>{rows}</table>"
