"""Adaptive sampling: where the next alpha goes, so that a curve is known to a tolerance in few points. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from lerpnb.errors import AlphaError
from lerpnb.evaluation.adaptive_2d import AdaptiveSampler2D, checked_count
from lerpnb.results.measurement import Measurement
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import listed, show

START = 7  # alphas before any error is estimated: what lies between them, and shows at none of them, stays unseen
LARGEST = 8  # alphas that one polynomial goes through, at most
FINEST = 1e-6  # no interval narrower than this is split: alphas closer than that differ by rounding
INTERPOLATION = f"polynomials through the 3 to {LARGEST} alphas around each interval"


@dataclass(frozen=True)
class Adaptive:
    """Let `evaluate` place its own points, where the result is known least.

    Args:
        domain: first and last alpha, (lo, hi), of a path with one coordinate; x from, x to, y from, y to of one with
            two, such as `plane.window()`.
        tol: estimated error at which it ends, in the quantity's unit. By default 0.003 (nats a token) over an alpha,
            and 0 over two coordinates: all `max_points` are taken.
        max_points: points at most; by default 50 over an alpha, 60 over two coordinates.

    Example:
        >>> import lerpnb as ln
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> line = ln.Line(tiny_checkpoint(), tiny_checkpoint(), device="cpu")
        >>> curve = ln.evaluate(line, probes=[norm], adaptive=Adaptive((0, 1), tol=0.5), store=False)
        evaluate(adaptive): 7 alphas, estimated error ...: within the tolerance of 0.5 ...
        >>> curve.alphas[[0, -1]].tolist()
        [0.0, 1.0]
    """

    domain: Any
    tol: float | None = None
    max_points: int | None = None

    def sampler(self, axes: tuple[str, ...], first: Sequence[tuple[float, float]] = ()) -> "Sampler":
        """What places the points over these coordinates, beginning with some."""
        if len(axes) == 2:
            most = 60 if self.max_points is None else self.max_points
            return AdaptiveSampler2D(self.domain, first, most, self.tol or 0.0)
        if len(axes) > 2:
            raise AlphaError(f"Adaptive: points are placed over one or two coordinates, not over {listed(axes)}.")
        try:
            lo, hi = self.domain
        except (TypeError, ValueError):
            raise AlphaError(f"Adaptive(domain): got {self.domain!r}.\nIt takes two alphas, such as (-1, 2).") from None
        tol, most = 0.003 if self.tol is None else self.tol, 50 if self.max_points is None else self.max_points
        return AdaptiveSampler1D(lo, hi, tol, most)


class AdaptiveSampler1D:
    """Alphas placed where a curve is known least, until it is estimated to be known to `tol` everywhere.

    Between two alphas the curve is a polynomial through the k alphas around them. How far it may be off: the highest
    divided difference D of k alphas vanishes for a polynomial of lower degree, while a jump of height s in an interval
    gives |D| = s |sum of the weights of D on one side|. So the jump that would explain D bounds what a bend, a kink or
    a step in that interval can hide. The estimated error is the smallest such jump over k = 4, 5, ..., `LARGEST`, each
    taken with the one before it, so that no difference that vanishes by chance is trusted alone. It is taken for every
    item (text or prompt) by itself and added up: a jump of a single text shows in its own values long before it shows
    in the mean. The midpoint of the worst interval comes next; `lo`, `hi` and, if between them, 0 and 1 come first.

    A NaN stays a NaN: its alpha splits the curve in two, and the intervals beside it are neither split nor judged.

    Args:
        lo, hi: first and last alpha, without unit.
        tol: largest error wanted, in the quantity's unit.
        max_points: alphas at most, `START` or more.

    Raises:
        AlphaError: no finite numbers, `lo` not below `hi`, `tol` not above 0, `max_points` below `START`.

    Example:
        >>> place = AdaptiveSampler1D(-1, 2, tol=0.01, max_points=50)
        >>> while alphas := place.ask():
        ...     for alpha in alphas:
        ...         place.tell(alpha, [[abs(alpha - 2**0.5)]])
        >>> print(place)
        18 alphas, estimated error 0.0063: within the tolerance of 0.01
        >>> round(place.at([1.4])[0].item(), 3)
        0.013
    """

    def __init__(self, lo: float, hi: float, tol: float, max_points: int = 50):
        self.lo, self.hi = number(lo, "Adaptive(domain)"), number(hi, "Adaptive(domain)")
        if not self.lo < self.hi:
            raise AlphaError(f"Adaptive(domain=({show(lo)}, {show(hi)})): expected the lower alpha first.")
        self.tol = number(tol, "Adaptive(tol)")
        if self.tol <= 0:
            raise AlphaError(f"Adaptive(tol): got {show(tol)}.\nIt is an error above 0, such as 0.003 nats a token.")
        self.max_points = checked_count(max_points, START)
        self._measured: dict[float, list[np.ndarray]] = {}
        self.first = self._start()

    def _start(self) -> list[float]:
        """The ends of the line, the ends of the range, then midpoints of the widest intervals."""
        inside = [end for end in (0.0, 1.0) if self.lo <= end <= self.hi]
        first = list(dict.fromkeys([*inside, self.lo, self.hi]))
        while len(first) < START:
            known = sorted(first)
            widest = int(np.round(np.diff(known), 9).argmax())
            first.append(_middle(known[widest], known[widest + 1]))
        return first

    def ask(self, n: int = 1) -> list[float]:
        """At most `n` alphas to measure next, the first ones first; none once it is known, or at `max_points`."""
        missing = [alpha for alpha in self.first if alpha not in self._measured]
        if missing:
            return missing[:n]
        lows, highs, errors = self._intervals()
        worst = [i for i in np.argsort(-errors, kind="stable") if errors[i] > self.tol and highs[i] - lows[i] > FINEST]
        return [_middle(lows[i], highs[i]) for i in worst[: min(n, self.max_points - len(self._measured))]]

    def tell(self, alpha: float, quantities: Sequence[Any]) -> None:
        """What was measured at an alpha: for each quantity its items' parts, (n_items,), which add up to its value."""
        self._measured[float(alpha)] = [np.atleast_1d(np.asarray(parts, dtype=np.float64)) for parts in quantities]

    def tell_measured(self, alpha: float, measures: Mapping[str, Measurement]) -> None:
        """`tell` of what was measured; nothing counts as one NaN."""
        self.tell(alpha, [parts(measure) for measure in measures.values()] or [np.array([np.nan])])

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """What came of it, as JSON."""
        error = float(self.error) if np.isfinite(self.error) else None
        summary = {"between": [self.lo, self.hi], "tol": self.tol, "most": self.max_points, "error_believed": error}
        return summary | {"reached": self.reached, "interpolation": INTERPOLATION}

    @property
    def alphas(self) -> np.ndarray:
        """(n,) float64, ascending: the alphas that were measured."""
        return np.array(sorted(self._measured))

    @property
    def error(self) -> float:
        """The largest estimated error between `lo` and `hi`, of any quantity; inf where too few were measured."""
        errors = self._intervals()[2]
        return float(errors.max()) if len(errors) else np.inf

    @property
    def reached(self) -> bool:
        return self.error <= self.tol

    def at(self, alphas: Any) -> np.ndarray:
        """(quantities, n) values at any alphas in the range, interpolated; NaN beside a NaN."""
        alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
        found = np.full((len(next(iter(self._measured.values()))), len(alphas)), np.nan)
        for known, quantities in self._runs():
            inside = np.flatnonzero((alphas >= known[0]) & (alphas <= known[-1]))
            for row, parts in zip(found, quantities, strict=True):
                row[inside] = interpolate(known, parts, alphas[inside])
        return found

    def _runs(self) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """The stretches of neighbouring alphas where all is finite: alphas (n,) and a quantity's parts (n, items)."""
        finite = {a: all(np.isfinite(parts).all() for parts in found) for a, found in self._measured.items()}
        runs = [list(run) for is_finite, run in groupby(sorted(finite), finite.get) if is_finite]
        measured = [zip(*(self._measured[alpha] for alpha in run), strict=True) for run in runs]
        return [(np.array(run), list(map(np.stack, found))) for run, found in zip(runs, measured, strict=True)]

    def _intervals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lower ends, upper ends and estimated errors of all intervals between finite neighbours."""
        found = [
            (known[:-1], known[1:], np.max([estimated_errors(known, parts)[0] for parts in quantities], axis=0))
            for known, quantities in self._runs()
        ]
        if not found:
            return np.empty(0), np.empty(0), np.empty(0)
        lows, highs, errors = (np.concatenate(column) for column in zip(*found, strict=True))
        return lows, highs, errors

    def __repr__(self) -> str:
        said = "within the tolerance of {}" if self.reached else "the tolerance of {} is not reached"
        return f"{len(self._measured)} alphas, estimated error {self.error:.2g}: {said.format(show(self.tol))}"


def parts(measure: Measurement) -> np.ndarray:
    """What each item of a measure adds to its value, (n_items,); one part where it does more than take the mean."""
    if measure.transform or not measure.weights.sum():
        return np.array([measure.value()])
    return np.where(measure.weights > 0, measure.weights * measure.values, 0.0) / measure.weights.sum()


def estimated_errors(alphas: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the curve may be from its interpolation in each interval, and through which alphas that goes.

    Of alphas (n,), ascending, and parts (n, items), whose rows add up to the values: errors (n - 1,), inf for fewer
    than 4 alphas, and windows (n - 1, 2), the first alpha's place, and how many.
    """
    n = len(alphas)
    errors, windows = np.full(n - 1, np.inf), np.tile([0, n], (n - 1, 1))
    interval, before = np.arange(n - 1), None
    middles = (alphas[:-1] + alphas[1:]) / 2
    for k in range(3, min(LARGEST, n) + 1):
        jumps = _jumps(alphas, parts, k)
        # Both windows that have the interval at their middle, or one where k is even or an end is near.
        places = [np.clip(interval - shift, 0, n - k) for shift in ((k - 1) // 2, (k - 2) // 2)]
        now = np.maximum(*(jumps[place, interval - place] for place in places))
        if before is not None:
            found = np.maximum(before, now).sum(1)
            reach = [np.maximum(middles - alphas[p], alphas[p + k - 1] - middles) for p in places]
            better = found < errors
            errors[better] = found[better]
            windows[better] = np.stack([np.where(reach[0] <= reach[1], *places), np.full(n - 1, k)], 1)[better]
        before = now
    return errors, windows


def _jumps(alphas: np.ndarray, parts: np.ndarray, k: int) -> np.ndarray:
    """(windows, k - 1, items): the jump in each interval that explains the highest difference of k neighbours."""
    places = np.arange(len(alphas) - k + 1)[:, None] + np.arange(k)
    apart = alphas[places][:, :, None] - alphas[places][:, None, :]
    apart[:, np.arange(k), np.arange(k)] = 1.0
    weights = 1.0 / apart.prod(2)
    difference = np.einsum("wk,wki->wi", weights, parts[places])
    one_side = np.cumsum(weights, 1)[:, :-1]
    return np.abs(difference)[:, None, :] / np.abs(one_side)[:, :, None]


def interpolate(alphas: np.ndarray, parts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(m,) values at `at`, by the polynomials that `estimated_errors` chose."""
    from scipy.interpolate import KroghInterpolator

    if len(alphas) == 1:
        return np.full(len(at), parts.sum())
    interval = np.clip(np.searchsorted(alphas, at, side="right") - 1, 0, len(alphas) - 2)
    windows, values = estimated_errors(alphas, parts)[1][interval], np.empty(len(at))
    for place, k in np.unique(windows, axis=0):
        here, window = (windows == (place, k)).all(1), slice(place, place + k)
        values[here] = KroghInterpolator(alphas[window], parts[window].sum(1))(at[here])
    return values


Sampler = AdaptiveSampler1D | AdaptiveSampler2D


def _middle(low: float, high: float) -> float:
    return float(np.round((low + high) / 2, 12)) + 0.0  # twelve decimals: 0.3, not 0.30000000000000004
