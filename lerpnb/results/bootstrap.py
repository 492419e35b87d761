"""The paired bootstrap: every point of a curve meets the same resampled items, so that differences keep their pairing.

Percentile interval of Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13.
"""

from dataclasses import dataclass

import numpy as np

from lerpnb.utils.text import number

DRAWS = 2_000
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; as a text it is what `text` gives.

    >>> Estimate(0.5, 0.25, 0.75)
    0.5 [0.25, 0.75]
    >>> print(Estimate(-0.03604, -0.04391, -0.02808))
    −0.036 [−0.044, −0.028]
    """

    value: float
    low: float
    high: float

    def __repr__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def __str__(self) -> str:
        return self.text()

    def text(self, sign: bool = False) -> str:
        """The number and its interval to two digits of the interval's width, with a true minus; the number alone where
        it has none. sign: a plus where it is above 0.

        >>> Estimate(-0.03604, -0.04391, -0.02808).text(), Estimate(0.4731, 0.3812, 0.5688).text(sign=True)
        ('−0.036 [−0.044, −0.028]', '+0.47 [0.38, 0.57]')
        >>> Estimate(-1.2e-8, -4.6e-7, 4.5e-7).text()
        '−1.2e−08 [−4.6e−07, 4.5e−07]'
        """
        plus, width = "+" * (sign and self.value > 1e-12), self.high - self.low
        if not np.isfinite(width) or width < 1e-9:
            spread = f" [{number(self.low)}, {number(self.high)}]" if np.isfinite(width) else ""
            return f"{plus}{number(round(self.value, 12))}{spread}"
        decimals = max(0, int(1 - np.floor(np.log10(width))))
        parts = (self.value, self.low, self.high)
        value, low, high = (f"{round(x, decimals) + 0.0:.{decimals}f}" if decimals < 7 else number(x, 2) for x in parts)
        return f"{plus}{value} [{low}, {high}]".replace("-", "−")


def mean(values: np.ndarray, weights: np.ndarray, transform: str = "") -> float:
    """`f(sum w v / sum w)` over the items whose weight is not 0; `f` is the identity ("") or "exp".

    A NaN among them makes the mean NaN; so does a total weight of 0.

    >>> mean(np.array([1.0, 4.0, np.nan]), np.array([2.0, 1.0, 0.0]))
    2.0
    """
    kept = weights > 0
    with np.errstate(invalid="ignore", over="ignore"):
        plain = float(np.sum(values[kept] * weights[kept]) / np.sum(weights[kept])) if kept.any() else np.nan
        return float(np.exp(plain)) if transform == "exp" else plain


def resample(values: np.ndarray, weights: np.ndarray, transform: str = "") -> np.ndarray:
    """`mean` at each point over items drawn with replacement, the same draws for every point.

    Of values and weights (n_points, n_items) float64: (DRAWS, n_points), NaN where a draw holds no item with weight.
    """
    n_points, n_items = values.shape
    means = np.full((DRAWS, n_points), np.nan)
    products = np.where(weights > 0, values, 0.0) * weights
    generator = np.random.default_rng(SEED)
    rows = max(1, 4_000_000 // max(1, n_items))  # counts are drawn in blocks of at most 32 MB
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for start in range(0, DRAWS if n_items else 0, rows):
            size = min(rows, DRAWS - start)
            counts = generator.multinomial(n_items, np.full(n_items, 1 / n_items), size=size).astype(np.float64)
            means[start : start + size] = (counts @ products.T) / (counts @ weights.T)
        return np.exp(means) if transform == "exp" else means


def interval(estimates: np.ndarray, draws: np.ndarray, n_items: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2.5 and 97.5 % percentiles of `draws` over axis 0; NaN where the estimate is not finite or n_items < 2.

    >>> low, high = interval(np.array([2.0]), np.array([[1.0], [2.0], [3.0]]), n_items=3)
    >>> print(low, high)
    [1.05] [2.95]
    """
    known = np.isfinite(estimates) & (np.asarray(n_items) > 1)  # one item says nothing about its own spread
    low, high = np.full(np.shape(estimates), np.nan), np.full(np.shape(estimates), np.nan)
    if known.any():
        low[known], high[known] = np.nanpercentile(draws[:, known], [2.5, 97.5], axis=0)
    return low, high


def estimate(value: float, draws: np.ndarray, n_items: int) -> Estimate:
    """One number with the interval of its draws, (DRAWS,)."""
    low, high = interval(np.array([value]), draws[:, None], n_items)
    return Estimate(float(value), float(low[0]), float(high[0]))


def rank_correlation(alphas: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman's rho of each row with `alphas`: Pearson's correlation of the ranks, ties sharing their mean rank.

    >>> rank_correlation(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 5.0, 6.0], [3.0, 2.0, 1.0]]))
    array([ 1., -1.])
    """
    from scipy.stats import rankdata  # it takes half a second, and few ask for it

    x, y = rankdata(alphas), rankdata(rows, axis=1)
    x, y = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = (y @ x) / np.sqrt((x @ x) * (y * y).sum(axis=1))
    return np.where(np.isnan(rows).any(axis=1), np.nan, np.clip(rho, -1.0, 1.0))
