"""A crossing: quantities at every pair of two lines' alphas. It knows no torch and no plots.

Its numbers are those of a full factorial experiment (Yates, *The Design and Analysis of Factorial Experiments*, 1937):
the effect of one alpha is its mean over all values of the other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results.measurement import Measurement
from lerpnb.utils.text import listed, show


@dataclass(eq=False)
class Crossing:
    """Quantities measured at every pair of alphas of two lines: what `cross` returns.

    Args:
        names: what the two lines are called.
        alphas: of each line, (n_1,) and (n_2,) ascending, without unit.
        measures: quantity -> {(alpha_1, alpha_2): its measure}, of the same items at every pair.
        samples: a row a generated text, with a column for each line's alpha.
        provenance: whatever JSON can hold.

    Raises:
        CurveError: a pair without a measure, or with other items than the first.

    Example:
        >>> grid = [(a, b) for a in (0.0, 1.0) for b in (0.0, 0.5, 1.0)]
        >>> glad = {(a, b): Measurement([0.2 + 0.5 * a + 0.1 * b] * 2) for a, b in grid}
        >>> crossing = Crossing(("mood", "style"), ((0.0, 1.0), (0.0, 0.5, 1.0)), {"strength/glad": glad})
        >>> crossing.surface("strength/glad").round(2).tolist()
        [[0.2, 0.25, 0.3], [0.7, 0.75, 0.8]]
        >>> crossing.effect("strength/glad", "mood")
        0.5 [0.5, 0.5]
    """

    names: tuple[str, str]
    alphas: tuple[tuple[float, ...], tuple[float, ...]]
    measures: Mapping[str, Mapping[tuple[float, float], Measurement]]
    samples: pd.DataFrame | None = None
    provenance: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        for quantity, found in self.measures.items():
            first = next(iter(found.values()))
            for pair in self.pairs:
                if pair not in found:
                    raise CurveError(f"Crossing(measures): nothing of {quantity!r} at {show(pair)}. Measure it there.")
                if (n := len(found[pair].values)) != len(first.values):
                    raise CurveError(
                        f"Crossing(measures): {quantity!r} has {n} {first.items} at {show(pair)} against "
                        f"{len(first.values)} at the first. Measure the same items at every pair."
                    )

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Every pair of alphas, the second running faster."""
        return [(a, b) for a in self.alphas[0] for b in self.alphas[1]]

    @property
    def quantities(self) -> list[str]:
        return list(self.measures)

    @property
    def frame(self) -> pd.DataFrame:
        """A row a quantity and pair: the alphas, under the lines' names, then quantity, value, low, high, n, unit."""
        rows = []
        for quantity, found in self.measures.items():
            values, draws = self._resampled(quantity)
            n = np.array([int((found[pair].weights > 0).sum()) for pair in self.pairs])
            low, high = bootstrap.interval(values, draws, n)
            table = pd.DataFrame(self.pairs, columns=list(self.names)).assign(quantity=quantity, value=values)
            rows.append(table.assign(low=low, high=high, n=n, unit=found[self.pairs[0]].unit))
        return pd.concat(rows, ignore_index=True)

    def surface(self, quantity: str) -> np.ndarray:
        """(n_1, n_2) values of one quantity."""
        self._check(quantity, "surface")
        values = [self.measures[quantity][pair].value() for pair in self.pairs]
        return np.array(values).reshape(len(self.alphas[0]), len(self.alphas[1]))

    def effect(self, quantity: str, line: str) -> bootstrap.Estimate:
        """How much a quantity rises with one line's alpha, a unit of alpha: its main effect, with a 95 % interval.

        The slope of the least-squares line through its values over that alpha, at each value of the other alpha, and
        the mean of these. The interval is of a bootstrap over the items, the same at every pair.

        Raises:
            CurveError: no such quantity or line, or fewer than two alphas of that line.
        """
        value, draws = self.slopes(quantity, line)
        return bootstrap.estimate(value, draws, len(self.measures[quantity][self.pairs[0]].values))

    def slopes(self, quantity: str, line: str) -> tuple[float, np.ndarray]:
        """`effect` as a number, and as (DRAWS,) numbers of resampled items."""
        self._check(quantity, "effect")
        if line not in self.names:
            raise CurveError(f"Crossing.effect(line={line!r}): no such line. It has: {', '.join(self.names)}.")
        axis = self.names.index(line)
        alphas = np.array(self.alphas[axis])
        if len(alphas) < 2:
            raise CurveError(f"Crossing.effect(line={line!r}): one alpha. A slope takes two or more.")
        away = alphas - alphas.mean()
        other = len(self.alphas[1 - axis])
        weights = np.repeat(away, other) if axis == 0 else np.tile(away, other)  # in the order of the pairs
        weights = weights / (away @ away * other)
        values, draws = self._resampled(quantity)
        return float(weights @ values), draws @ weights

    def save(self, to: str | Path) -> Path:
        """Write crossing.parquet (`frame`), crossing_samples.parquet and crossing.json (names, provenance) there."""
        folder = Path(to)
        folder.mkdir(parents=True, exist_ok=True)
        self.frame.to_parquet(folder / "crossing.parquet")
        if self.samples is not None:
            self.samples.to_parquet(folder / "crossing_samples.parquet")
        told = {"names": self.names, "provenance": self.provenance}
        (folder / "crossing.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return folder

    def _resampled(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """(n_pairs,) values and (DRAWS, n_pairs) of resampled items, the same draws for all pairs and quantities."""
        found = [self.measures[quantity][pair] for pair in self.pairs]
        items, weights = np.stack([m.values for m in found]), np.stack([m.weights for m in found])
        draws = bootstrap.resample(items, weights, found[0].transform)
        return np.array([m.value() for m in found]), draws

    def _check(self, quantity: str, method: str) -> None:
        if quantity not in self.measures:
            raise CurveError(f"Crossing.{method}({quantity!r}): no such quantity. It has: {listed(self.measures)}.")

    def __repr__(self) -> str:
        first, second = map(len, self.alphas)
        return f"Crossing: {first} alphas of {self.names[0]} x {second} of {self.names[1]}; {listed(self.quantities)}"
