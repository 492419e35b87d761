"""Refinement: where the next point of a surface goes, from coarse to fine. No torch."""

from collections.abc import Mapping, Sequence

import numpy as np

from lerpnb.errors import AlphaError
from lerpnb.results.interpolant import PolyharmonicSpline
from lerpnb.utils.coordinates import COARSE, Window, checked_window, lattice, number
from lerpnb.utils.text import show

FINE = 33  # points along each side of the lattice that the others are chosen from


class AdaptiveSampler2D:
    """Points placed where a surface is known least: where its spline's error believed is largest.

    The points named, then a lattice of `COARSE` x `COARSE` over the window come first; each further one is that of
    `FINE` x `FINE` places where the error believed (`PolyharmonicSpline.error`) of any quantity is largest. It ends
    when `most` are told, or when the error is believed to be within `tol` everywhere. The order depends on nothing but
    the values, so a finer survey goes through the same points as a coarse one and then on.

    Args:
        window: x from, x to, y from, y to; in the plane's unit.
        first: points to begin with, inside the window.
        most: points at most, counting all of those that come first.
        tol: largest error wanted, in the quantities' unit; 0 takes `most` points.

    Raises:
        AlphaError: a window without extent, a point outside of it, `most` below those that come first, `tol` below 0.

    Example:
        >>> place = AdaptiveSampler2D((-1, 1, -1, 1), most=40)
        >>> while points := place.ask():
        ...     for x, y in points:
        ...         place.tell((x, y), {"ramp": max(0.0, x + y)})
        >>> print(place)
        40 points, error believed 0.13
        >>> sum(abs(x + y) < 0.3 for x, y in list(place.told)[25:])  # of 15, beside the kink
        9
    """

    def __init__(self, window: Window, first: Sequence[tuple[float, float]] = (), most: int = 60, tol: float = 0.0):
        self.window = checked_window(window, "survey(window)")
        self.tol = number(tol, "survey(tol)")
        if self.tol < 0:
            raise AlphaError(f"survey(tol): got {show(self.tol)}.\nIt is an error above 0, or 0 to take `most` points.")
        x0, x1, y0, y1 = self.window
        for x, y in first:
            if not (x0 <= x <= x1 and y0 <= y <= y1):
                raise AlphaError(
                    f"survey(window): {show((x, y))} lies outside of {show(self.window)}.\n"
                    "It is one of the checkpoints: take a window that holds them, such as plane.window()."
                )
        apart = 0.05 * max(x1 - x0, y1 - y0)  # closer than that a lattice point tells nothing new
        coarse = [
            p for p in lattice(self.window, COARSE) if all(np.hypot(p[0] - x, p[1] - y) > apart for x, y in first)
        ]
        self._first = list(dict.fromkeys([*first, *coarse]))
        whole = isinstance(most, (int, float, np.number)) and not isinstance(most, bool) and float(most).is_integer()
        if not whole or most < len(self._first):
            raise AlphaError(
                f"survey(most): got {most!r}.\nIt takes a whole number of points, {len(self._first)} or more."
            )
        self.most = int(most)
        self._places = lattice(self.window, FINE)
        self.told: dict[tuple[float, float], dict[str, float]] = {}

    def ask(self) -> list[tuple[float, float]]:
        """The points to measure next: those that come first, then one at a time; none once it has ended."""
        missing = [point for point in self._first if point not in self.told]
        if missing:
            return missing
        if len(self.told) >= self.most:
            return []
        errors = np.where([place in self.told for place in self._places], -1.0, self._errors())
        best = int(errors.argmax())
        return [self._places[best]] if errors[best] > self.tol else []

    def tell(self, point: tuple[float, float], values: Mapping[str, float]) -> None:
        """What was found at a point: each quantity's value, in one unit; what is missing counts as NaN."""
        self.told[point] = dict(values)

    @property
    def error(self) -> float:
        """The largest error believed in the window, of any quantity."""
        return float(self._errors().max()) if self.told else np.inf

    @property
    def rms(self) -> float:
        """The root of the mean square of the errors believed over the window, of the quantity where it is largest."""
        return float(np.sqrt(np.mean(np.square(self._errors())))) if self.told else np.inf

    def _errors(self) -> np.ndarray:
        """(FINE * FINE,) the largest error believed of any quantity at each place; 0 beside a NaN."""
        points, places = np.array(list(self.told)), np.array(self._places)
        found = [np.zeros(len(places))]
        for name in dict.fromkeys(name for values in self.told.values() for name in values):
            values = [values.get(name, np.nan) for values in self.told.values()]
            found.append(
                np.nan_to_num(PolyharmonicSpline(points, np.array(values)).error(places), nan=0.0, posinf=np.inf)
            )
        return np.max(found, axis=0)

    def __repr__(self) -> str:
        return f"{len(self.told)} points, error believed {self.error:.2g}"
