"""A curve: quantities over alpha, with 95 % intervals, samples and provenance. It knows no torch and no plots.

Alpha has no unit: 0 is minus, 1 is plus, both exactly; below 0 and above 1 lies extrapolation.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results import samples as samples_
from lerpnb.results.barrier import Barrier
from lerpnb.results.best import Best, Limits, best
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.measurement import resampled
from lerpnb.results.quantity import ATTRIBUTES
from lerpnb.results.result import Result
from lerpnb.utils.coordinates import nearest
from lerpnb.utils.text import listed, show


class Curve(Result):
    """Quantities over alpha: what `evaluate` returns of a path with one coordinate.

    frame: a row a (alpha, quantity), sorted by alpha: value, low, high, n (items with weight), unit, items, transform
        and the items themselves, item_values and item_weights ((n_items,) float64 arrays).
    samples: a row a generated text: alpha, prompt_id, draw, prompt, continuation, n_tokens and score columns.
    provenance: whatever JSON can hold: ends, hashes, dtype, device, seeds, times, versions, settings.

    >>> from lerpnb.results.measurement import Measurement
    >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
    >>> curve = Curve.from_measures(points)
    >>> curve.value("loss/x").tolist()
    [1.0, 1.25, 2.0]
    >>> curve.difference("loss/x")
    1 [1, 1]
    >>> curve.barrier("loss/x").gaps["gap"].tolist()
    [-0.25]
    """

    _files, _axes = ("curve.parquet", "samples.parquet"), ("alpha",)

    @classmethod
    def concat(cls, curves: "Mapping[str, Curve | Mapping[str, Curve]]") -> "Curve":
        """Several curves as one, to be recorded: each quantity with its curve's name in brackets behind it.

        Args:
            curves: name -> curve, or name -> {state: curve}, of which the quantities get "(name, state)".

        Example:
            >>> from lerpnb.results.measurement import Measurement
            >>> curve = Curve.from_measures({0.5: {"accuracy/x": Measurement([1.0, 0.0])}})
            >>> Curve.concat({"mask": {"mixed": curve}, "mean": curve}).quantities
            ['accuracy/x (mask, mixed)', 'accuracy/x (mean)']
        """
        flat: dict[str, Curve] = {}
        for name, one in curves.items():
            flat |= {name: one} if isinstance(one, Curve) else {f"{name}, {state}": c for state, c in one.items()}
        frames = [curve.frame.assign(quantity=curve.frame["quantity"] + f" ({name})") for name, curve in flat.items()]
        frame = pd.concat(frames).sort_values("alpha", kind="stable", ignore_index=True)
        samples, taken = [], 0
        for name, curve in flat.items():
            if len(curve.samples):
                samples.append(curve.samples.assign(curve=name, prompt_id=curve.samples["prompt_id"] + taken))
                taken += int(curve.samples["prompt_id"].max()) + 1
        first = next(iter(flat.values()))
        provenance = first.provenance | {"curves": {name: curve.provenance for name, curve in flat.items()}}
        return cls(frame, pd.concat(samples, ignore_index=True) if samples else None, provenance)

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
        if missing := [show(end) for end in (0.0, 1.0) if end not in alphas]:
            raise CurveError(
                f"Curve.barrier({quantity!r}): not measured at alpha {' and '.join(missing)} exactly; a chord needs "
                "both ends.\nEvaluate over alpha_grid(lo, hi, n), which holds 0 and 1 exactly."
            )
        return Barrier.of(quantity, rows["unit"].iloc[0], alphas, *resampled(rows))

    def difference(self, quantity: str, start: float = 0.0, stop: float = 1.0) -> Estimate:
        """As `Surface.difference`, by default value(1) - value(0)."""
        return super().difference(quantity, start, stop)

    def best(
        self,
        quantity: str,
        at_most: Limits | None = None,
        at_least: Limits | None = None,
        *,
        highest: bool | None = None,
    ) -> Best:
        """The measured alpha with the best value of a quantity among those that keep every limit, and how sure it is.

        The limits are kept by the values, not by their intervals; of equals the alpha nearest to 0.5 is taken. How sure
        it is comes from the same choice in each draw of the bootstrap, all quantities and relative limits drawn anew.
        A best of several noisy values leans upwards: measure it again on other texts before you report it.

        Args:
            quantity: such as "strength/positive".
            at_most, at_least: {quantity: limit}. A limit is a number in the quantity's unit, or (rise, alpha): the
                quantity's value at that alpha plus the rise, which may be negative.
            highest: whether high values are best; left out, what `quantity(name).lower_is_better` says.

        Raises:
            CurveError: no such quantity, nothing measured at an alpha, none of them measured together, or `highest`
                left out where neither direction is better.
            AlphaError: a limit that is neither.

        Example:
            >>> from lerpnb.results.measurement import Measurement
            >>> values = {0.0: (0.2, 3.0), 0.5: (0.5, 3.1), 1.0: (0.7, 3.6)}
            >>> points = {a: {"strength/joy": Measurement([s, s]), "loss/sad": Measurement([l, l], unit="nats/token")}
            ...           for a, (s, l) in values.items()}
            >>> Curve.from_measures(points).best("strength/joy", at_most={"loss/sad": (0.2, 0)})
            Alpha 0.5 has the highest strength/joy of 2 alphas that keep all limits
              strength/joy  0.5 [0.5, 0.5]
              loss/sad  3.1 [3.1, 3.1] nats/token, at most 3.2
              100% of the bootstrap's draws choose it, 100% it or a neighbor; in 0% no alpha keeps all limits
        """
        return best(self, quantity, at_most, at_least, highest)

    def _row_at(self, rows: pd.DataFrame, point: float, call: str) -> int:
        return nearest(rows["alpha"].to_numpy(), point, call)

    def spearman(self, quantity: str) -> Estimate:
        """Spearman's rho (no unit) with alpha, over all alphas, extrapolation too; a NaN anywhere makes it NaN."""
        rows = self._rows(quantity, "Curve.spearman(quantity)")
        values, draws, n_items = resampled(rows)
        rho = bootstrap.rank_correlation(rows["alpha"].to_numpy(), np.vstack([values, draws]))
        return bootstrap.estimate(rho[0], rho[1:], n_items)

    def summary(self) -> dict[str, dict[str, float | str]]:
        """The few numbers that a table of runs shows, each with its 95 % interval and unit.

        barrier/LOSS and gap/LOSS: how far a loss rises above its ends' chord on [0, 1], and its largest signed gap to
        the chord inside (see `Barrier`); rise/STRENGTH: value(1) - value(0); spearman/STRENGTH: its rank correlation
        with alpha over all alphas, where the rise's interval leaves out 0. What needs an alpha that was not measured is
        left out; a NaN stays a NaN.

        Example:
            >>> from lerpnb.results.measurement import Measurement
            >>> points = {a: {"loss/x": Measurement([a * a, a * a], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
            >>> Curve.from_measures(points).summary()["gap/loss/x"]
            {'value': -0.25, 'low': -0.25, 'high': -0.25, 'unit': 'nats/token'}
        """
        numbers: dict[str, tuple[Estimate, str]] = {}
        for quantity in self.quantities:
            kind, unit = self.quantity(quantity).kind, self.unit(quantity)
            with suppress(CurveError):  # 0 or 1 was not measured
                if kind == "loss":
                    barrier = self.barrier(quantity)
                    numbers[f"barrier/{quantity}"] = Estimate(barrier.value, barrier.low, barrier.high), unit
                    if barrier.largest_gap:
                        numbers[f"gap/{quantity}"] = barrier.largest_gap[0], unit
                elif kind in ATTRIBUTES:
                    rise = self.difference(quantity)
                    numbers[f"rise/{quantity}"] = rise, unit
                    if not rise.low <= 0 <= rise.high:  # a flat line has ranks, and they say nothing
                        numbers[f"spearman/{quantity}"] = self.spearman(quantity), ""
        return {
            name: {key: float(value) for key, value in vars(number).items()} | {"unit": unit}
            for name, (number, unit) in numbers.items()
        }

    def same_texts(self, a: float, b: float) -> float:
        """Share, 0 to 1, of the (prompt, draw) pairs sampled at both alphas whose continuations are identical; a
        CurveError where there are none."""
        return samples_.same_texts(self.samples, a, b, "Curve.same_texts(a, b)")

    def side_by_side(self, n: int = 3, alphas: Iterable[float] | None = None) -> pd.DataFrame:
        """First continuation of the first n prompts, a row a prompt, a column an alpha; CurveError where none is.

        alphas: None takes the lowest, 0, 0.5, 1 and the highest, or what was sampled nearest to them.
        """
        return samples_.side_by_side(self.samples, n, alphas, "Curve.side_by_side(alphas)")

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
