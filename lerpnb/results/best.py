"""The best alpha of a curve: one quantity as high or as low as can be, while others keep their limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lerpnb.errors import AlphaError, CurveError
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.measurement import resampled
from lerpnb.utils.coordinates import nearest, number
from lerpnb.utils.text import show

if TYPE_CHECKING:
    from lerpnb.results.curve import Curve

WORDS = {"at_least": "at least", "at_most": "at most"}
Limits = Mapping[str, float | tuple[float, float]]  # a number, or (rise, alpha): the value at that alpha plus the rise


@dataclass(frozen=True, eq=False)
class Best:
    """The best alpha of a curve, and how sure it is: what `Curve.best` returns.

    Attributes:
        quantity, highest: what was to be the highest, or else the lowest.
        alpha: where it is so among the measured alphas that keep all limits; NaN where none does.
        nearest: alpha itself, or where none keeps all limits the one that breaks them least: whose largest excess is
            the smallest, each as a share of its quantity's range over the curve.
        frame: a row a quantity at `nearest`: value, low, high (95 % interval), at_least, at_most, unit.
        feasible: the alphas that keep all limits.
        chosen, nearby, infeasible: shares of the bootstrap's draws that choose `nearest`, that choose it or the alpha
            before or behind it, and in which no alpha keeps all limits; NaN where a quantity has one item only.
    """

    quantity: str
    highest: bool
    alpha: float
    nearest: float
    frame: pd.DataFrame
    feasible: tuple[float, ...]
    chosen: float
    nearby: float
    infeasible: float

    def __repr__(self) -> str:
        what = f"{'highest' if self.highest else 'lowest'} {self.quantity}"
        if np.isnan(self.alpha):
            lines = [f"No alpha keeps all limits of the {what}; the nearest is alpha {show(self.nearest)}"]
        else:
            lines = [f"Alpha {show(self.alpha)} has the {what} of {len(self.feasible)} alphas that keep all limits"]
        for name, row in self.frame.iterrows():
            limits = [f"{words} {row[key]:.4g}" for key, words in WORDS.items() if np.isfinite(row[key])]
            value = f"{Estimate(row['value'], row['low'], row['high'])} {row['unit']}".rstrip()
            lines.append(f"  {name}  {', '.join([value, *limits])}")
        if np.isfinite(self.chosen):
            shares = f"{self.chosen:.0%} of the bootstrap's draws choose it, {self.nearby:.0%} it or a neighbor"
            lines.append(f"  {shares}; in {self.infeasible:.0%} no alpha keeps all limits")
        return "\n".join(lines)


def best(curve: "Curve", quantity: str, at_most: Limits | None, at_least: Limits | None, highest: bool | None) -> Best:
    """What `Curve.best` returns."""
    call = "Curve.best"
    limits = [("at_most", name, limit) for name, limit in (at_most or {}).items()]
    limits += [("at_least", name, limit) for name, limit in (at_least or {}).items()]
    rows = {name: curve._rows(name, f"{call}(quantity)") for name in [quantity, *(name for _, name, _ in limits)]}
    if highest is None:
        if (lower := curve.quantity(quantity).lower_is_better) is None:
            raise CurveError(f"{call}({quantity!r}): neither high nor low is better.\nPass highest=True or False.")
        highest = not lower
    alphas = np.array(sorted(set.intersection(*(set(of["alpha"]) for of in rows.values()))))
    if not len(alphas):
        raise CurveError(
            f"{call}({quantity!r}): at no alpha were {' and '.join(rows)} measured.\nEvaluate them together."
        )
    resamples = {name: resampled(of) for name, of in rows.items()}
    both = {name: np.vstack([values, draws]) for name, (values, draws, _) in resamples.items()}
    places = {name: np.searchsorted(of["alpha"].to_numpy(), alphas) for name, of in rows.items()}
    wanted = both[quantity][:, places[quantity]] * (1 if highest else -1)
    feasible, excess = np.isfinite(wanted), np.zeros(len(alphas))
    frame = pd.DataFrame(np.nan, pd.Index(rows, name="quantity"), ["value", "low", "high", *WORDS])
    for key, name, limit in limits:
        bound = _bound(rows[name], both[name], limit, f"{call}({key}[{name!r}])")
        over = (both[name][:, places[name]] - bound) * (1 if key == "at_most" else -1)
        feasible &= over <= 0  # a NaN keeps no limit
        values = both[name][0][np.isfinite(both[name][0])]
        excess = np.maximum(excess, over[0] / ((np.ptp(values) if len(values) else 0) or 1))
        frame.loc[name, key] = bound[0, 0]
    picks, found = pick(alphas, wanted, feasible), feasible.any(axis=1)
    place = picks[0] if found[0] else pick(alphas, -excess[None], np.isfinite(excess)[None])[0]
    for name, of in rows.items():
        frame.loc[name, ["value", "low", "high"]] = of.iloc[places[name][place]][["value", "low", "high"]].astype(float)
    frame["unit"] = [of["unit"].iloc[0] for of in rows.values()]
    shares = [found[1:] & (picks[1:] == place), found[1:] & (np.abs(picks[1:] - place) <= 1), ~found[1:]]
    known = all(n > 1 for _, _, n in resamples.values())  # one item says nothing about its own spread
    chosen, nearby, infeasible = (float(share.mean()) if known else np.nan for share in shares)
    at, kept = float(alphas[place]), tuple(alphas[feasible[0]].tolist())
    return Best(quantity, highest, at if found[0] else np.nan, at, frame, kept, chosen, nearby, infeasible)


def pick(alphas: np.ndarray, wanted: np.ndarray, feasible: np.ndarray) -> np.ndarray:
    """Of each row the place of the largest feasible value, of equals the one nearest to alpha 0.5.

    >>> pick(np.array([0, 0.5, 1]), np.array([[2, 1, 2], [3, 4, 9]]), np.array([[1, 1, 1], [1, 1, 0]], dtype=bool))
    array([0, 1])
    """
    order = np.argsort(np.abs(alphas - 0.5), kind="stable")
    return order[np.where(feasible, wanted, -np.inf)[:, order].argmax(axis=1)]


def _bound(rows: pd.DataFrame, both: np.ndarray, limit: Any, call: str) -> np.ndarray:
    """A limit of each draw, (1 or 1 + DRAWS, 1); that of the values comes first."""
    if not isinstance(limit, (tuple, list)):
        return np.array([[number(limit, call)]])
    if len(limit) != 2:
        raise AlphaError(
            f"{call}: got {limit!r}.\nA limit is a number, or (rise, alpha): the value there plus the rise."
        )
    rise, alpha = (number(one, call) for one in limit)
    return both[:, [nearest(rows["alpha"].to_numpy(), alpha, call)]] + rise
