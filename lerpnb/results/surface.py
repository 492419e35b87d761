"""A surface: quantities over a plane, with 95 % intervals and provenance. It knows no torch and no plots."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.display import Displayed
from lerpnb.results.interpolant import PolyharmonicSpline, interpolation
from lerpnb.results.measurement import Measurement, estimated, resampled
from lerpnb.results.parquet import FLOAT, MEASURED, checked_json, read_frame, write_frame
from lerpnb.utils.coordinates import number, pair
from lerpnb.utils.text import listed, show

COLUMNS = dict(x=FLOAT, y=FLOAT, **MEASURED)


Place = str | tuple[float, float]


class Surface(Displayed):
    """Quantities over a plane: what a survey returns.

    frame: a row a (x, y, quantity): value, low, high, n (items with weight), unit, items, transform and the items
        themselves, item_values and item_weights ((n_items,) float64 arrays).
    provenance: whatever JSON can hold; "marks" holds the checkpoints' coordinates, {name: [x, y]}.

    Example:
        >>> points = {(x, y): {"loss/x": Measurement([x * x + y, x * x + y + 2])}
        ...           for x in (0.0, 1.0) for y in (0.0, 1.0)}
        >>> surface = Surface.from_measures(points, {"marks": {"minus": [0, 0], "plus": [1, 0]}})
        >>> surface.value("loss/x").tolist()
        [1.0, 2.0, 2.0, 3.0]
        >>> surface.difference("loss/x", "minus", "plus")
        1 [1, 1]
    """

    def __init__(self, frame: pd.DataFrame, provenance: dict | None = None):
        self.frame, self.provenance = frame, provenance or {}

    @classmethod
    def from_measures(
        cls, points: Mapping[tuple[float, float], dict[str, Measurement]], provenance: dict | None = None
    ) -> "Surface":
        """A surface from measures at each (x, y); a quantity has the same items, in the same order, at every point.

        Raises:
            CurveError: no points, items that differ between points, provenance that JSON cannot hold.
            AlphaError: a coordinate that is no finite number.
        """
        call = "Surface.from_measures(points)"
        rows = [
            {"x": number(x, call), "y": number(y, call), "quantity": quantity, "measure": measure}
            for (x, y), measures in sorted(points.items(), key=lambda point: point[0])
            for quantity, measure in measures.items()
        ]
        if not rows:
            raise CurveError(f"{call}: no points. Pass {{(x, y): {{quantity: Measure}}}}.")
        frame = pd.DataFrame(rows)
        parts = [estimated(quantity, group, call) for quantity, group in frame.groupby("quantity", sort=False)]
        frame = pd.concat(parts).sort_index().reset_index(drop=True)[list(COLUMNS)]
        return cls(frame, checked_json(provenance or {}, "Surface.from_measures(provenance)"))

    @property
    def points(self) -> np.ndarray:
        """(n, 2) float64: x, y of every point at which something was measured, sorted."""
        return self.frame[["x", "y"]].drop_duplicates().to_numpy()

    @property
    def marks(self) -> dict[str, tuple[float, float]]:
        """The checkpoints' coordinates, by name."""
        return {name: (float(x), float(y)) for name, (x, y) in self.provenance.get("marks", {}).items()}

    @property
    def quantities(self) -> list[str]:
        """Names such as "loss/negative", in order of first appearance."""
        return list(self.frame["quantity"].unique())

    def __getitem__(self, quantity: str) -> pd.DataFrame:
        """x, y, value, low, high of one quantity, a row a point at which it was measured."""
        return self._rows(quantity, "Surface[quantity]")[["x", "y", "value", "low", "high"]].reset_index(drop=True)

    def value(self, quantity: str) -> np.ndarray:
        """(n,) float64, a value for each of its points in the order of `surface[quantity]`."""
        return self[quantity]["value"].to_numpy()

    def unit(self, quantity: str) -> str:
        """The quantity's unit, such as "nats/token"."""
        return self._rows(quantity, "Surface.unit(quantity)")["unit"].iloc[0]

    def spline(self, quantity: str) -> PolyharmonicSpline:
        """What lies between the points: an interpolation that tells how far it may be off."""
        rows = self._rows(quantity, "Surface.spline(quantity)")
        return PolyharmonicSpline(rows[["x", "y"]].to_numpy(), rows["value"].to_numpy())

    def difference(self, quantity: str, start: Place, stop: Place) -> Estimate:
        """value(stop) - value(start), in the quantity's unit, with the interval of the paired difference.

        Args:
            start, stop: measured points: (x, y), or a checkpoint's name.

        Raises:
            CurveError: no such quantity or checkpoint, or it was not measured there.
        """
        call = "Surface.difference(start, stop)"
        rows = self._rows(quantity, call)
        pair = [self._measured(rows, place, call) for place in (start, stop)]
        values, draws, n_items = resampled(rows.iloc[pair])
        return bootstrap.estimate(values[1] - values[0], draws[:, 1] - draws[:, 0], n_items)

    def section(self, a: Place, b: Place, quantity: str | None = None, n: int = 101) -> "Slice":
        """What is met on the straight way from a to b: values between the points, and the error believed there.

        Args:
            a, b: (x, y), or a checkpoint's name, such as "minus".
            quantity: by default the first.
            n: places along the way, both ends among them.

        Raises:
            CurveError: no such quantity or checkpoint, a and b in one place, or the way leaves what was measured.
        """
        call = "Surface.section(a, b)"
        quantity = self.quantities[0] if quantity is None else quantity
        start, stop = np.array(self.place(a, call)), np.array(self.place(b, call))
        length = float(np.linalg.norm(stop - start))
        if not length:
            raise CurveError(f"{call}: a and b are the same place, {show(tuple(map(float, start)))}.")
        rows = self._rows(quantity, call)
        known = rows[["x", "y"]].to_numpy()
        low, high = known.min(0), known.max(0)
        for end in (start, stop):
            if (end < low - 1e-9 * length).any() or (end > high + 1e-9 * length).any():
                window = show((float(low[0]), float(high[0]), float(low[1]), float(high[1])))
                raise CurveError(
                    f"{call}: {show(tuple(map(float, end)))} lies outside of what was measured, {window}.\n"
                    "Survey a larger window, such as plane.window(1.0)."
                )
        spline, share = PolyharmonicSpline(known, rows["value"].to_numpy()), np.linspace(0, 1, n)
        way = start + share[:, None] * (stop - start)
        frame = pd.DataFrame({"distance": share * length, "x": way[:, 0], "y": way[:, 1]})
        frame["value"], frame["error"] = spline.at(way), spline.error(way)
        along = (known - start) @ (stop - start) / length
        beside = np.linalg.norm(known - start - along[:, None] * (stop - start) / length, axis=1)
        on = (beside < 1e-6 * length) & (along > -1e-9 * length) & (along < (1 + 1e-9) * length)
        met = rows[on].assign(distance=along[on])[["distance", "value", "low", "high"]].sort_values("distance")
        names = [
            place if isinstance(place, str) else show(tuple(float(f"{number:.4g}") for number in place))
            for place in (a, b)
        ]
        return Slice(frame, met.reset_index(drop=True), quantity, self.unit(quantity), *names, interpolation(spline))

    def place(self, at: Place, call: str = "Surface.place(at)") -> tuple[float, float]:
        """The coordinates of a checkpoint's name, or of a pair of numbers.

        Raises:
            CurveError: no such checkpoint.
            AlphaError: not a pair of finite numbers.
        """
        if isinstance(at, str):
            if at not in self.marks:
                raise CurveError(f"{call}: no checkpoint {at!r}.\nIt has: {listed(self.marks)}.")
            return self.marks[at]
        return pair(at, call)

    def _measured(self, rows: pd.DataFrame, at: Place, call: str) -> int:
        x, y = self.place(at, call)
        known = rows[["x", "y"]].to_numpy()
        apart = np.linalg.norm(known - (x, y), axis=1)
        size = float(np.ptp(known, axis=0).max()) or 1.0
        if apart.min() > 1e-9 * size:
            nearest = show(tuple(map(float, known[apart.argmin()])))
            raise CurveError(f"{call}: nothing was measured at {show((x, y))}. The nearest is {nearest}.")
        return int(apart.argmin())

    def save(self, folder: str | Path) -> Path:
        """Write surface.parquet into the folder (made if absent), whole or not at all; returns the folder.

        Float64 to the last bit, provenance included, with a checksum.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_frame(self.frame, COLUMNS, {"provenance": self.provenance}, folder / "surface.parquet")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Surface":
        """The surface that `save` wrote, equal to the last bit.

        Raises:
            CurveError: the file is missing, damaged, or not lerpnb's.
        """
        frame, told = read_frame(Path(folder) / "surface.parquet", COLUMNS, "Surface.load(folder)", "Surface.save")
        return cls(frame, told["provenance"])

    def _rows(self, quantity: str, call: str) -> pd.DataFrame:
        rows = self.frame[self.frame["quantity"] == quantity]
        if len(rows):
            return rows
        near = difflib.get_close_matches(str(quantity), self.quantities, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CurveError(f"{call}: no quantity {quantity!r}.{hint}\nIt has: {listed(self.quantities)}.")

    def __repr__(self) -> str:
        said = [f"Surface: {len(self.points)} points"]
        width = max(map(len, self.quantities))
        for quantity in self.quantities:
            rows = self[quantity]
            at = {name: rows[(rows["x"] == x) & (rows["y"] == y)] for name, (x, y) in self.marks.items()}
            told = [f"{Estimate(*row.iloc[0, 2:])} at {name}" for name, row in at.items() if len(row)]
            told = told or [f"from {rows['value'].min():.4g} to {rows['value'].max():.4g}"]
            said.append(f"  {quantity:<{width}}  {', '.join(told)} {self.unit(quantity)}".rstrip())
        return "\n".join(said)


@dataclass(frozen=True, eq=False)
class Slice(Displayed):
    """A cut through a surface: what is met on the straight way from a to b.

    Attributes:
        frame: a row a place: distance from a (Euclidean, in parameter space), x, y, value, and the error believed of
            that value, which is interpolated.
        met: distance, value, low, high of the measured points on the way.
        quantity, unit: what is measured.
        a, b: what the ends are called.
        interpolation: how the values in between are made.
    """

    frame: pd.DataFrame
    met: pd.DataFrame
    quantity: str
    unit: str
    a: str
    b: str
    interpolation: str

    def __repr__(self) -> str:
        length, worst = self.frame["distance"].iloc[-1], self.frame["error"].max()
        return (
            f"Section of {self.quantity} from {self.a} to {self.b}, {length:.4g} long: {len(self.met)} measured points "
            f"on it; in between by {self.interpolation}, error believed at most {worst:.2g} {self.unit}"
        ).rstrip()
