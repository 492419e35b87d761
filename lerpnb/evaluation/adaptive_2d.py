"""Adaptive sampling of a surface: where its next point goes, from coarse to fine. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lerpnb.errors import AlphaError
from lerpnb.results.interpolant import PolyharmonicSpline, interpolation
from lerpnb.results.measurement import Measurement
from lerpnb.utils.coordinates import COARSE, Window, checked_window, lattice, number
from lerpnb.utils.text import show

FINE = 33  # points along each side of the lattice that the others are chosen from


class AdaptiveSampler2D:
    """Points placed where a surface is known least: where its spline's estimated error is largest.

    The points named, then a lattice of `COARSE` x `COARSE` over the window come first; each further one is that of
    `FINE` x `FINE` places where the estimated error (`PolyharmonicSpline.error`) of any quantity is largest. It ends
    at `max_points`, or when the error is estimated to be within `tol` everywhere. The order depends on nothing but the
    values, so that more points go through the same ones as fewer and then on.

    Args:
        window: x from, x to, y from, y to; in the plane's unit.
        first: points to begin with, inside the window.
        max_points: points at most, counting all of those that come first.
        tol: largest error wanted, in the quantities' unit; 0 takes `max_points` points.

    Raises:
        AlphaError: a window without extent, a point outside of it, `tol` below 0,
            `max_points` below those that come first.

    Example:
        >>> place = AdaptiveSampler2D((-1, 1, -1, 1), max_points=40)
        >>> while points := place.ask():
        ...     for x, y in points:
        ...         place.tell((x, y), {"ramp": max(0.0, x + y)})
        >>> print(place)
        40 points, estimated error 0.13
        >>> sum(abs(x + y) < 0.3 for x, y in list(place.measured)[25:])  # of 15, beside the kink
        9
    """

    def __init__(
        self, window: Window, first: Sequence[tuple[float, float]] = (), max_points: int = 60, tol: float = 0.0
    ):
        self.window = checked_window(window, "Adaptive(domain)")
        self.tol = number(tol, "Adaptive(tol)")
        if self.tol < 0:
            raise AlphaError(f"Adaptive(tol): got {show(self.tol)}.\nIt is an error above 0, or 0 for all max_points.")
        x0, x1, y0, y1 = self.window
        for x, y in first:
            if not (x0 <= x <= x1 and y0 <= y <= y1):
                raise AlphaError(
                    f"Adaptive(domain): {show((x, y))} lies outside of {show(self.window)}.\n"
                    "It is one of the checkpoints: take a window that holds them, such as plane.window()."
                )
        apart = 0.05 * max(x1 - x0, y1 - y0)  # closer than that a lattice point tells nothing new
        coarse = lattice(self.window, COARSE)
        alone = [p for p in coarse if all(np.hypot(p[0] - x, p[1] - y) > apart for x, y in first)]
        self.first = list(dict.fromkeys([*first, *alone]))
        self.max_points = checked_count(max_points, len(self.first))
        self._places = lattice(self.window, FINE)
        self.measured: dict[tuple[float, float], dict[str, float]] = {}

    def ask(self) -> list[tuple[float, float]]:
        """The points to measure next: those that come first, then one at a time; none once it has ended."""
        missing = [point for point in self.first if point not in self.measured]
        if missing:
            return missing
        if len(self.measured) >= self.max_points:
            return []
        errors = np.where([place in self.measured for place in self._places], -1.0, self._errors())
        best = int(errors.argmax())
        return [self._places[best]] if errors[best] > self.tol else []

    def tell(self, point: tuple[float, float], values: Mapping[str, float]) -> None:
        """What was measured at a point: each quantity's value, in one unit; what is missing counts as NaN."""
        self.measured[point] = dict(values)

    def tell_measured(self, point: tuple[float, float], measures: Mapping[str, Measurement]) -> None:
        self.tell(point, {name: measure.value() for name, measure in measures.items()})

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """What came of it, as JSON."""
        error, rms = (float(value) if np.isfinite(value) else None for value in (self.error, self.rms))
        summary = {"window": list(self.window), "most": self.max_points, "tol": self.tol}
        summary |= {"error_believed": error, "rms_believed": rms}
        splines = [self._spline(name) for name in names] if self.measured else []
        return summary | {"interpolation": list(dict.fromkeys(map(interpolation, splines)))}

    def _spline(self, name: str) -> PolyharmonicSpline:
        values = [values.get(name, np.nan) for values in self.measured.values()]
        return PolyharmonicSpline(np.array(list(self.measured)), np.array(values))

    @property
    def error(self) -> float:
        """The largest estimated error in the window, of any quantity."""
        return float(self._errors().max()) if self.measured else np.inf

    @property
    def rms(self) -> float:
        """The root of the mean square of the estimated errors over the window, of the quantity where it is largest."""
        return float(np.sqrt(np.mean(np.square(self._errors())))) if self.measured else np.inf

    def _errors(self) -> np.ndarray:
        """(FINE * FINE,) the largest estimated error of any quantity at each place; 0 beside a NaN."""
        places = np.array(self._places)
        names = dict.fromkeys(name for values in self.measured.values() for name in values)
        errors = [np.nan_to_num(self._spline(name).error(places), nan=0.0, posinf=np.inf) for name in names]
        return np.max([np.zeros(len(places)), *errors], axis=0)

    def __repr__(self) -> str:
        return f"{len(self.measured)} points, estimated error {self.error:.2g}"


def checked_count(max_points: int, least: int) -> int:
    """How many points at most; refuses what is no whole number, or too few to begin with."""
    whole = isinstance(max_points, (int, float, np.number)) and not isinstance(max_points, bool)
    if not whole or not float(max_points).is_integer() or max_points < least:
        raise AlphaError(f"Adaptive(max_points): got {max_points!r}.\nIt takes a whole number, {least} or more.")
    return int(max_points)
