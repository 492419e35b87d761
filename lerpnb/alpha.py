"""An alpha: the coordinate along a line, any finite number, without unit; 0 is minus, 1 is plus. Floor 0."""

from collections.abc import Iterable

import numpy as np

from .errors import AlphaError, CurveError


def finite(alpha: float, call: str = "alpha") -> float:
    """The alpha as a float, -0.0 as 0.0.

    Raises:
        AlphaError: it is not a finite number.
    """
    try:
        number = float(alpha) + 0.0
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise AlphaError(f"{call}: {alpha!r} is not a finite number. Pass one, such as 0.5.")
    return number


def nearest(known: np.ndarray, alpha: float, call: str) -> int:
    """Index of an alpha among (n,) known ones, up to rounding: 0.3 finds 0.30000000000000004.

    Raises:
        CurveError: none of them is within 1e-9.
    """
    index = int(np.abs(known - finite(alpha, call)).argmin())
    if abs(known[index] - alpha) > 1e-9:
        raise CurveError(f"{call}: nothing at alpha {show(alpha)}. The nearest is {show(known[index])}.")
    return index


def show(alpha: float) -> str:
    """An alpha as people write it.

    >>> show(0.30000000000000004)
    '0.3'
    """
    return f"{alpha:.10g}"


def listed(names: Iterable[str]) -> str:
    """At most three names, and how many more there are.

    >>> listed("abcde")
    'a, b, c and 2 more'
    """
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
