"""The polyharmonic spline: a surface through scattered values, and how far it may be off in between."""

import numpy as np

POWERS = (5, 3, 1)  # of the distance, the smoothest first
NEAR = 4  # measured points that tell how rough a surface is at a place
SURE = 2.0  # a margin on what they tell: `tests/benchmarks/plane.py` counts how often it is enough


class PolyharmonicSpline:
    """The polyharmonic spline through values at scattered points, with the estimated error at any place.

    s(p) = sum_i c_i |p - p_i|^k + q(p), the values met exactly, q a polynomial of degree 2 (lower where the points are
    too few for it): of all functions through the values the one that bends least, so a bowl is met exactly
    (Duchon 1977). Of k = 5, 3 and 1 it takes the one that predicts each value best from all others.

    How far it may be off: a function of roughness z is at most z P(p) away, P being the spline's power function, which
    is 0 at the points and grows between them. Leaving out point i tells how rough the surface is there:
    z_i = |f_i - s_without_i(p_i)| / P_without_i(p_i), both in closed form (Rippa 1999). The estimated error at p is
    `SURE` P(p) times the largest z_i among the `NEAR` points nearest to p.

    A NaN stays a NaN: what lies nearest to a point whose value is not finite is NaN, and the error is not judged where
    such a point is among the three nearest.

    Args:
        points: (n, 2) coordinates, no two alike.
        values: (n,).

    Attributes:
        power: k.

    Example:
        >>> corners = [[0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.5], [0.5, 0], [0, 0.5]]
        >>> bowl = PolyharmonicSpline(corners, [x * x + y * y for x, y in corners])
        >>> bowl.at([[0.25, 0.25]]).round(6).tolist()
        [0.125]
        >>> bool(bowl.error([[0.25, 0.25]]) < 1e-9)
        True
    """

    def __init__(self, points: np.ndarray, values: np.ndarray):
        self.points, self.values = np.asarray(points, dtype=np.float64), np.asarray(values, dtype=np.float64)
        known = np.isfinite(self.values)
        self._whole = bool(known.all())
        self._at, f = self.points[known], self.values[known]
        low, high = (self._at.min(0), self._at.max(0)) if len(f) else (np.zeros(2), np.ones(2))
        self._middle, self._size = (low + high) / 2, float(np.max(high - low)) or 1.0
        self._scaled = (self._at - self._middle) / self._size
        self._degree = _degree(self._scaled)
        apart = _distances(self._scaled, self._scaled)
        fits = [self._fit(power, apart, f) for power in POWERS if power <= 2 * self._degree + 1] if len(f) else []
        self.power = POWERS[-1]  # where nothing is known
        if fits:
            enough = 1.05 * min(fit[0] for fit in fits) + 1e-12 * np.abs(f).max()  # as good: the smoothest of them
            _, self.power, self._inverse, self._weights, self._rough = next(fit for fit in fits if fit[0] <= enough)

    def _fit(self, power: int, apart: np.ndarray, f: np.ndarray) -> tuple:
        """How badly left-out values are predicted, the power, the inverse, the weights, the roughness at each point."""
        terms = _terms(self._scaled, self._degree)
        size, extra = terms.shape
        inverse = np.linalg.inv(np.block([[apart**power, terms], [terms.T, np.zeros((extra, extra))]]))
        weights = inverse[:, :size] @ f
        own = np.diag(inverse)[:size]
        with np.errstate(divide="ignore", invalid="ignore"):
            missed = weights[:size] / own  # f_i - s_without_i(p_i)
            rough = np.abs(weights[:size]) / np.sqrt(np.abs(own))
        judged = np.abs(own) > 1e-12 * np.abs(own).max(initial=1e-300)
        if size <= extra or not judged.any():  # nothing can be left out: nothing is known of the error
            return np.inf, power, inverse, weights, np.full(size, np.inf)
        return np.sqrt(np.mean(missed[judged] ** 2)), power, inverse, weights, np.where(judged, rough, 0.0)

    def at(self, places: np.ndarray) -> np.ndarray:
        """(m,) values at (m, 2) places; NaN nearest to a NaN."""
        places = np.atleast_2d(np.asarray(places, dtype=np.float64))
        if not len(self._at):
            return np.full(len(places), np.nan)
        return np.where(self._blank(places), np.nan, self._basis(places) @ self._weights)

    def error(self, places: np.ndarray) -> np.ndarray:
        """(m,) estimated errors at (m, 2) places; inf where too few points are known, NaN beside a NaN."""
        places = np.atleast_2d(np.asarray(places, dtype=np.float64))
        if not len(self._at):
            return np.full(len(places), np.nan)
        basis = self._basis(places)
        power = np.sqrt(np.abs(((basis @ self._inverse) * basis).sum(1)))
        apart = _distances((places - self._middle) / self._size, self._scaled)
        near = np.argpartition(apart, min(NEAR, len(self._at)) - 1, axis=1)[:, :NEAR]
        rough = self._rough[near].max(1)
        with np.errstate(invalid="ignore"):
            found = np.where(apart.min(1) == 0, 0.0, SURE * power * rough)
        return np.where(self._blank(places, 3), np.nan, found)

    def _basis(self, places: np.ndarray) -> np.ndarray:
        scaled = (places - self._middle) / self._size
        return np.hstack([_distances(scaled, self._scaled) ** self.power, _terms(scaled, self._degree)])

    def _blank(self, places: np.ndarray, n: int = 1) -> np.ndarray:
        """Whether a value that is not finite is among the n nearest."""
        if self._whole:
            return np.zeros(len(places), dtype=bool)
        near = np.argsort(_distances(places, self.points), axis=1)[:, :n]
        return np.asarray(~np.isfinite(self.values[near]).all(1))

    def __repr__(self) -> str:
        return f"PolyharmonicSpline: {interpolation(self)}, through {len(self._at)} points"


def interpolation(spline: PolyharmonicSpline) -> str:
    """The interpolation, by its name."""
    return f"polyharmonic spline r^{spline.power} with a polynomial of degree {spline._degree}"


def _terms(scaled: np.ndarray, degree: int) -> np.ndarray:
    """(n, 1, 3 or 6): the polynomials up to a degree."""
    x, y = scaled.T
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][: (1, 3, 6)[degree]], axis=1)


def _degree(scaled: np.ndarray) -> int:
    """The highest degree, up to 2, whose polynomials the points tell apart, with a point to spare."""
    for degree, terms in ((2, 6), (1, 3)):
        if len(scaled) > terms and np.linalg.matrix_rank(_terms(scaled, degree), tol=1e-6) == terms:
            return degree
    return 0


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None, :] - b[None, :, :], axis=2)
