"""A curve: quantities over alpha, with 95 % intervals, samples and provenance. It knows no torch and no plots.

Alpha has no unit: 0 is minus, 1 is plus, both exactly; below 0 and above 1 lies extrapolation.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results import samples as samples_
from lerpnb.results.barrier import Barrier
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.measurement import Measurement, resampled
from lerpnb.results.result import Result
from lerpnb.utils.coordinates import nearest
from lerpnb.utils.text import listed, show


class Curve(Result):
    """Quantities over alpha: what `evaluate` returns of a path with one coordinate.

    frame: a row a (alpha, quantity), sorted by alpha: value, low, high, n (items with weight), unit, items, transform
        and the items themselves, item_values and item_weights ((n_items,) float64 arrays).
    samples: a row a generated text: alpha, prompt_id, draw, prompt, continuation, n_tokens and score columns.
    provenance: whatever JSON can hold: ends, hashes, dtype, device, seeds, times, versions, settings.

    >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
    >>> curve = Curve.from_measures(points)
    >>> curve.value("loss/x").tolist()
    [1.0, 1.25, 2.0]
    >>> curve.rise("loss/x")
    1 [1, 1]
    >>> curve.barrier("loss/x").gaps["gap"].tolist()
    [-0.25]
    """

    _files = ("curve.parquet", "samples.parquet")

    @classmethod
    def from_measures(
        cls,
        points: dict[float, dict[str, Measurement]],
        samples: pd.DataFrame | None = None,
        provenance: dict | None = None,
    ) -> "Curve":
        """A curve from measures at each alpha; a quantity has the same items, in the same order, at every alpha.

        Raises:
            CurveError: no points, items that differ between alphas, samples without their columns, provenance that
                JSON cannot hold.
            AlphaError: an alpha that is no finite number.
        """
        return cls._of_points({(alpha,): found for alpha, found in points.items()}, ("alpha",), samples, provenance)

    @property
    def alphas(self) -> np.ndarray:
        """(n,) float64, ascending: every alpha at which something was measured."""
        return np.unique(self.frame["alpha"].to_numpy())

    def barrier(self, quantity: str) -> Barrier:
        """Both barriers of a quantity on [0, 1] and its signed gaps to the chord: see `Barrier`.

        Raises:
            CurveError: no such quantity, or it was not measured at exactly 0 and 1.
        """
        rows = self._rows(quantity, "Curve.barrier(quantity)")
        rows = rows[rows["alpha"].between(0, 1)]
        alphas = rows["alpha"].to_numpy()
        missing = [show(end) for end in (0.0, 1.0) if end not in alphas]
        if missing:
            raise CurveError(
                f"Curve.barrier({quantity!r}): not measured at alpha {' and '.join(missing)} exactly; a chord needs "
                "both ends.\nEvaluate over alpha_grid(lo, hi, n), which holds 0 and 1 exactly."
            )
        values, draws, n_items = resampled(rows)
        return Barrier.of(quantity, rows["unit"].iloc[0], alphas, values, draws, n_items)

    def difference(self, quantity: str, start: float = 0.0, stop: float = 1.0) -> Estimate:
        """value(stop) - value(start), in the quantity's unit, with the interval of the paired difference.

        Raises:
            CurveError: no such quantity, or it was not measured at start or stop.
        """
        return self._difference(quantity, start, stop)

    rise = difference

    def _row_at(self, rows: pd.DataFrame, point: float, call: str) -> int:
        return nearest(rows["alpha"].to_numpy(), point, call)

    def spearman(self, quantity: str) -> Estimate:
        """Spearman's rho (no unit) with alpha: Pearson's correlation of the ranks, ties sharing theirs.

        It takes all alphas in, extrapolation too; a NaN anywhere makes it NaN.
        """
        rows = self._rows(quantity, "Curve.spearman(quantity)")
        values, draws, n_items = resampled(rows)
        rho = bootstrap.rank_correlation(rows["alpha"].to_numpy(), np.vstack([values, draws]))
        return bootstrap.estimate(rho[0], rho[1:], n_items)

    def same_texts(self, a: float, b: float) -> float:
        """Share, 0 to 1, of the (prompt, draw) pairs sampled at both alphas whose continuations are identical.

        Raises:
            CurveError: there are no samples, none at an alpha, or no pair at both.
        """
        return samples_.same_texts(self.samples, a, b, "Curve.same_texts(a, b)")

    def side_by_side(self, n: int = 3, alphas: Iterable[float] | None = None) -> pd.DataFrame:
        """First continuation of the first n prompts, a row a prompt, a column an alpha.

        alphas: None takes the lowest, 0, 0.5, 1 and the highest, or what was sampled nearest to them.

        Raises:
            CurveError: there are no samples, or none at an alpha.
        """
        return samples_.side_by_side(self.samples, n, alphas, "Curve.side_by_side(alphas)")

    def table(self) -> pd.DataFrame:
        return self.to_frame()

    def nan_points(self) -> list[tuple[float, str]]:
        """(alpha, quantity) of every measured value that is NaN."""
        rows = self.frame[self.frame["value"].isna()]
        return list(zip(rows["alpha"].tolist(), rows["quantity"].tolist(), strict=True))

    def _headline(self) -> str:
        alphas = self.alphas
        return f"Curve: {len(alphas)} alphas from {show(alphas[0])} to {show(alphas[-1])}, {len(self.samples)} samples"

    def _landmarks(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        yield from (("0", (0.0,)), ("1", (1.0,)))

    def __repr__(self) -> str:
        nans = [f"{quantity} at alpha {show(alpha)}" for alpha, quantity in self.nan_points()]
        return super().__repr__() + (f"\n  NaN: {listed(nans)}" if nans else "")
