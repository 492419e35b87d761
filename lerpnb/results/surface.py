"""A surface: quantities over several coordinates: a plane's, the alphas of several lines, the weights of a simplex.

The effects of a full grid are those of a full factorial experiment (Yates, *The Design and Analysis of Factorial
Experiments*, 1937): the effect of one coordinate is its mean over all values of the others.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.interpolant import PolyharmonicSpline, interpolation
from lerpnb.results.measurement import resampled
from lerpnb.results.result import Result
from lerpnb.results.slice import Slice
from lerpnb.utils.coordinates import coordinates
from lerpnb.utils.text import listed, show

Place = str | tuple[float, ...]


class Surface(Result):
    """Quantities over several coordinates: what `evaluate` returns of a `Plane`, a `MultiLine` or a `Simplex`.

    frame, samples: as a `Curve`'s, with the coordinates under their names (`axes`) in place of alpha.
    provenance: whatever JSON can hold; of a plane, "marks" holds the checkpoints' coordinates, {name: [x, y]}.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y, x * x + y + 2])}
        ...           for x in (0.0, 1.0) for y in (0.0, 1.0)}
        >>> surface = Surface.from_measures(points, provenance={"marks": {"minus": [0, 0], "plus": [1, 0]}})
        >>> surface.value("loss/x").tolist()
        [1.0, 2.0, 2.0, 3.0]
        >>> surface.difference("loss/x", "minus", "plus")
        1 [1, 1]
        >>> grid = [(a, b) for a in (0.0, 1.0) for b in (0.0, 0.5, 1.0)]
        >>> glad = {(a, b): {"strength/glad": Measurement([0.2 + 0.5 * a + 0.1 * b] * 2)} for a, b in grid}
        >>> surface = Surface.from_measures(glad, axes=("mood", "style"))
        >>> surface.matrix("strength/glad").round(2).tolist()
        [[0.2, 0.25, 0.3], [0.7, 0.75, 0.8]]
        >>> surface.effect("strength/glad", "mood")
        0.5 [0.5, 0.5]
    """

    _files, _axes = ("surface.parquet", "surface_samples.parquet"), ("x", "y")

    @classmethod
    def load(cls, folder: str | Path) -> "Surface":
        """`Curve.load` of a surface."""
        older = Path(folder) / "crossing.parquet"
        if older.exists() and not (Path(folder) / cls._files[0]).exists():
            why = "is a crossing of version 0.1, which has no items: evaluate the MultiLine again"
            raise CurveError(f"Surface.load(folder): {older} {why}.")
        return super().load(folder)

    @property
    def points(self) -> np.ndarray:
        """(n, axes) float64: the coordinates of every point at which something was measured, sorted."""
        return self._points.to_frame().to_numpy()

    @property
    def marks(self) -> dict[str, tuple[float, ...]]:
        """The checkpoints' coordinates, by name."""
        return {name: tuple(map(float, place)) for name, place in self.provenance.get("marks", {}).items()}

    @property
    def levels(self) -> tuple[tuple[float, ...], ...]:
        """Of each coordinate, the values at which something was measured, ascending."""
        return tuple(tuple(np.unique(self.frame[axis]).tolist()) for axis in self.axes)

    def matrix(self, quantity: str) -> np.ndarray:
        """Values of one quantity over the grid of `levels`, a dimension a coordinate; NaN where none was measured."""
        rows = self._rows(quantity, "Surface.matrix(quantity)").set_index(list(self.axes))
        cells = pd.MultiIndex.from_product(self.levels, names=self.axes)
        return rows["value"].reindex(cells).to_numpy().reshape([len(values) for values in self.levels])

    def effect(self, quantity: str, axis: str) -> Estimate:
        """How much a quantity rises with one coordinate, a unit of it: its main effect, with a 95 % interval.

        The slope of the least-squares line over that coordinate, at each value of the others, and the mean of these.
        The interval is of a bootstrap over the items, the same at every point.

        Raises:
            CurveError: no such quantity or coordinate, fewer than two values of it, or a grid with a point missing.
        """
        value, draws = self.slopes(quantity, axis)
        rows = self._rows(quantity, "Surface.effect(quantity)")
        return bootstrap.estimate(value, draws, len(rows["item_values"].iloc[0]))

    def slopes(self, quantity: str, axis: str) -> tuple[float, np.ndarray]:
        """`effect` as a number, and as (DRAWS,) numbers of resampled items."""
        call = "Surface.effect(quantity, axis)"
        rows = self._rows(quantity, call)
        if axis not in self.axes:
            raise CurveError(f"{call}: no coordinate {axis!r}. It has: {', '.join(self.axes)}.")
        sizes, at = [len(values) for values in self.levels], self.axes.index(axis)
        if sizes[at] < 2:
            raise CurveError(f"{call}: one value of {axis}. A slope takes two or more.")
        if len(rows) < np.prod(sizes):
            raise CurveError(
                f"{call}: {quantity!r} was measured at {len(rows)} of the {np.prod(sizes)} points of the grid.\n"
                "An effect takes all of them: evaluate it over a full grid."
            )
        away = np.array(self.levels[at]) - np.mean(self.levels[at])
        shape = [-1 if i == at else 1 for i in range(len(sizes))]
        weights = np.broadcast_to(away.reshape(shape), sizes).ravel() / (away @ away * (len(rows) // sizes[at]))
        values, draws, _ = resampled(rows)
        return float(weights @ values), draws @ weights

    def spline(self, quantity: str) -> PolyharmonicSpline:
        """What lies between the points: an interpolation that tells how far it may be off."""
        rows = self._rows(quantity, "Surface.spline(quantity)")
        return PolyharmonicSpline(rows[list(self.axes)].to_numpy(), rows["value"].to_numpy())

    def slice(self, a: Place, b: Place, quantity: str | None = None, n: int = 101) -> Slice:
        """What is met on the straight way from a to b: values between the points, and the estimated error there.

        Args:
            a, b: (x, y), or a checkpoint's name, such as "minus".
            quantity: by default the first.
            n: places along the way, both ends among them.

        Raises:
            CurveError: no such quantity or checkpoint, a and b in one place, or the way leaves what was measured.
        """
        call = "Surface.slice(a, b)"
        quantity = self.quantities[0] if quantity is None else quantity
        start, stop = np.array(self.place(a, call)), np.array(self.place(b, call))
        length = float(np.linalg.norm(stop - start))
        if not length:
            raise CurveError(f"{call}: a and b are the same place, {_shown(start)}.")
        rows = self._rows(quantity, call)
        known = rows[list(self.axes)].to_numpy()
        low, high = known.min(0), known.max(0)
        for end in (start, stop):
            if (end < low - 1e-9 * length).any() or (end > high + 1e-9 * length).any():
                window = _shown((low[0], high[0], low[1], high[1]))
                raise CurveError(
                    f"{call}: {_shown(end)} lies outside of what was measured, {window}.\n"
                    "Evaluate over a larger window, such as plane.window(1.0)."
                )
        spline, share = PolyharmonicSpline(known, rows["value"].to_numpy()), np.linspace(0, 1, n)
        way = start + share[:, None] * (stop - start)
        frame = pd.DataFrame({"distance": share * length} | dict(zip(self.axes, way.T, strict=True)))
        frame["value"], frame["error"] = spline.at(way), spline.error(way)
        along = (known - start) @ (stop - start) / length
        beside = np.linalg.norm(known - start - along[:, None] * (stop - start) / length, axis=1)
        on = (beside < 1e-6 * length) & (along > -1e-9 * length) & (along < (1 + 1e-9) * length)
        met = rows[on].assign(distance=along[on])[["distance", "value", "low", "high"]].sort_values("distance")
        met, by = met.reset_index(drop=True), interpolation(spline)
        first, last = (at if isinstance(at, str) else show(tuple(float(f"{x:.4g}") for x in at)) for at in (a, b))
        return Slice(frame, met, quantity, self.unit(quantity), first, last, by)

    def place(self, at: Place, call: str = "Surface.place(at)") -> tuple[float, ...]:
        """The coordinates of a checkpoint's name (CurveError: no such), or of finite numbers (AlphaError: other)."""
        if isinstance(at, str):
            if at not in self.marks:
                raise CurveError(f"{call}: no checkpoint {at!r}.\nIt has: {listed(self.marks)}.")
            return self.marks[at]
        return coordinates(at, self.axes, call)

    def _row_at(self, rows: pd.DataFrame, point: Place, call: str) -> int:
        place = self.place(point, call)
        known = rows[list(self.axes)].to_numpy()
        apart = np.linalg.norm(known - place, axis=1)
        size = float(np.ptp(known, axis=0).max()) or 1.0
        if apart.min() > 1e-9 * size:
            near = _shown(known[apart.argmin()])
            raise CurveError(f"{call}: nothing was measured at {show(place)}. The nearest is {near}.")
        return int(apart.argmin())

    @property
    def _figure(self) -> str:
        return "Surface" if self.axes == ("x", "y") else "Grid"

    def _headline(self) -> str:
        over = "" if self.axes == ("x", "y") else f" over {', '.join(self.axes)}"
        return f"Surface{over}: {len(self._points)} points"

    def _landmarks(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        yield from self.marks.items()


def _shown(place: Iterable[float]) -> str:
    return show(tuple(map(float, place)))
