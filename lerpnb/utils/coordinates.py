"""Coordinates of points, checked: finite alphas, pairs and windows, even grids and lattices of them."""

from typing import Any

import numpy as np

from lerpnb.errors import AlphaError, CurveError
from lerpnb.utils.text import show

LARGEST = float(np.finfo(np.float32).max)  # weights are mixed in float32
COARSE = 5  # points along each side of the lattice that comes first
Window = tuple[float, float, float, float]  # x from, x to, y from, y to


def finite(alpha: float, call: str = "alpha") -> float:
    """The alpha as a float, -0.0 as 0.0; an `AlphaError` where it is not a finite number."""
    try:
        number = float(alpha) + 0.0
    except (TypeError, ValueError):
        number = np.nan
    if not abs(number) <= LARGEST:
        raise AlphaError(f"{call}: {alpha!r} is not a finite number. Pass one, such as 0.5.")
    return number


def number(alpha: float, call: str) -> float:
    """As `finite`, but a text or a bool is no number either."""
    if isinstance(alpha, (str, bool, np.bool_)):
        raise AlphaError(f"{call}: {alpha!r} is not a finite number. Pass one, such as 0.5.")
    return finite(alpha, call)


def nearest(known: np.ndarray, alpha: float, call: str) -> int:
    """Index of an alpha among (n,) known ones, within 1e-9: 0.3 finds 0.30000000000000004."""
    index = int(np.abs(known - finite(alpha, call)).argmin())
    if abs(known[index] - alpha) > 1e-9:
        raise CurveError(f"{call}: nothing at alpha {show(alpha)}. The nearest is {show(known[index])}.")
    return index


def alpha_grid(lo: float, hi: float, n: int) -> np.ndarray:
    """`n` even alphas from `lo` to `hi`, with 0 and 1 exactly wherever they lie inside.

    A point within a billionth of 0 or 1 snaps to it; otherwise they are inserted, and the new length is printed.

    Args:
        lo, hi: first and last alpha, without unit.
        n: how many, 2 or more.

    Returns:
        (n or more,) float64, ascending.

    Raises:
        AlphaError: no finite numbers, `lo` not below `hi`, or `n` below 2.

    Example:
        >>> alpha_grid(-1, 2, 7).tolist()
        [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
        >>> alpha_grid(0.2, 1.2, 3).tolist()
        alpha_grid(0.2, 1.2, 3): 1 inserted, so 4 alphas
        [0.2, 0.7, 1.0, 1.2]
    """
    lo, hi = number(lo, "alpha_grid(lo)"), number(hi, "alpha_grid(hi)")
    whole = isinstance(n, (int, float, np.number)) and not isinstance(n, bool) and float(n).is_integer()
    if not lo < hi or not whole or n < 2:
        raise AlphaError(f"alpha_grid({lo:g}, {hi:g}, {n}): expected lo below hi and 2 or more points.")
    # Twelve decimals: 0.3, not 0.30000000000000004.
    grid = np.unique(np.round(np.linspace(lo, hi, int(n)), 12) + 0.0)
    grid[0], grid[-1] = lo, hi
    inserted = []
    for end in (0.0, 1.0):
        near = np.abs(grid - end) < 1e-9
        if near.any():
            grid[near] = end
        elif lo < end < hi:
            inserted.append(end)
    if inserted:
        grid = np.sort(np.append(grid, inserted))
        print(f"alpha_grid({lo:g}, {hi:g}, {n}): {' and '.join(map(show, inserted))} inserted, so {len(grid)} alphas")
    return grid


def distinct(points: list, call: str) -> list:
    """The points, if there are some and each is there once."""
    if not points:
        raise AlphaError(f"{call}: no points.\nPass some, such as ln.alpha_grid(-1, 2, 13) or plane.grid(5).")
    twice = [show(point) for point in sorted(set(points)) if points.count(point) > 1]
    if twice:
        raise AlphaError(f"{call}: {', '.join(twice[:3])} is given twice.\nGive each point once.")
    return points


def checked_window(window: Window, call: str) -> Window:
    """The window as four floats, each first one below its second."""
    try:
        x0, x1, y0, y1 = window
    except (TypeError, ValueError):
        raise AlphaError(f"{call}: got {window!r}.\nIt takes four numbers: x from, x to, y from, y to.") from None
    x0, x1, y0, y1 = (number(end, call) for end in (x0, x1, y0, y1))
    if not (x0 < x1 and y0 < y1):
        raise AlphaError(f"{call}: got {show((x0, x1, y0, y1))}, expected x from below x to, y from below y to.")
    return x0, x1, y0, y1


def lattice(window: Window, n: int) -> list[tuple[float, float]]:
    """n x n even points over a window, row by row from below.

    >>> lattice((0, 1, 0, 2), 2)
    [(0.0, 0.0), (1.0, 0.0), (0.0, 2.0), (1.0, 2.0)]
    """

    def even(low: float, high: float) -> list[float]:
        # Nine decimals of the extent: the same points again, whatever the last bits of a window are.
        return (np.round(np.linspace(low, high, n), 9 - int(np.floor(np.log10(high - low)))) + 0.0).tolist()

    return [(x, y) for y in even(*window[2:]) for x in even(*window[:2])]


def coordinates(at: Any, names: tuple[str, ...], call: str) -> tuple[float, ...]:
    """A coordinate as a tuple of finite numbers, one a name.

    >>> coordinates([0, 1], ("a", "b"), "at(alphas)")
    (0.0, 1.0)
    """
    try:
        values = None if isinstance(at, str | bytes) else tuple(at)
    except TypeError:
        values = None
    if values is None or len(values) != len(names):
        came = repr(at) if values is None else f"{len(values)} numbers"
        raise AlphaError(f"{call}: got {came}, expected {len(names)}, in this order: {', '.join(names)}.")
    return tuple(number(value, call) for value in values)


def pair(at: Any, call: str) -> tuple[float, float]:
    """A point as two floats."""
    try:
        x, y = at
    except (TypeError, ValueError):
        raise AlphaError(f"{call}: {at!r} is no point. Pass two numbers, such as (0.5, 0.0).") from None
    return number(x, call), number(y, call)
