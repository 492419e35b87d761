"""What a curve and a surface share: quantities over coordinates, with intervals, samples and provenance."""

import difflib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from lerpnb.errors import CurveError
from lerpnb.project import output_path
from lerpnb.results import bootstrap, parquet
from lerpnb.results import samples as samples_
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.display import Displayed
from lerpnb.results.measurement import Measurement, estimated, resampled
from lerpnb.results.parquet import AGAIN, MEASURED
from lerpnb.results.quantity import Quantity, with_kinds
from lerpnb.utils.atomic import atomic_file, disk_errors
from lerpnb.utils.coordinates import coordinates
from lerpnb.utils.environment import VERSION
from lerpnb.utils.text import listed


class Result(Displayed):
    """Quantities measured at points of one or several coordinates; the attributes are those of `Curve`."""

    _files: ClassVar[tuple[str, str]]  # of the frame, of the samples
    _axes: ClassVar[tuple[str, ...]]  # where no others are given, and in files of version 0.1

    def __init__(self, frame: pd.DataFrame, samples: pd.DataFrame | None = None, provenance: dict | None = None):
        self.frame = frame
        self.samples = samples_.checked(samples, f"{type(self).__name__}(samples)", self.axes)
        self.provenance = provenance or {}

    @property
    def axes(self) -> tuple[str, ...]:
        """What the coordinates are called, in their order."""
        return tuple(self.frame.columns[: self.frame.columns.get_loc("quantity")])

    @classmethod
    def from_measures(
        cls,
        points: Mapping[Any, dict[str, Measurement]],
        samples: pd.DataFrame | None = None,
        provenance: dict | None = None,
        axes: Iterable[str] | None = None,
    ) -> Self:
        """A result from measures at each point, {point: {quantity: measurement}}.

        Args:
            points: by alpha, or by coordinates; a quantity has the same items, in the same order, at every point.
            samples, provenance: see `Curve`.
            axes: what the coordinates are called: by default alpha of a curve, x and y of a surface.

        Raises:
            CurveError: no points, items that differ between points, a coordinate called as another column is, samples
                without their columns, provenance that JSON cannot hold.
            AlphaError: a coordinate that is no finite number.
        """
        axes, call = tuple(axes or cls._axes), f"{cls.__name__}.from_measures(points)"
        checked_axes(axes, f"{cls.__name__}.from_measures(axes)")
        places = {coordinates((x,) if len(axes) == 1 else x, axes, call): measures for x, measures in points.items()}
        rows = [
            dict(zip(axes, place, strict=True)) | {"quantity": quantity, "measure": measure}
            for place in sorted(places)
            for quantity, measure in places[place].items()
        ]
        if not rows:
            key = axes[0] if len(axes) == 1 else f"({', '.join(axes)})"
            raise CurveError(f"{call}: no points. Pass {{{key}: {{quantity: Measurement}}}}.")
        groups = pd.DataFrame(rows).groupby("quantity", sort=False)
        parts = [estimated(quantity, group, call) for quantity, group in groups]
        frame = pd.concat(parts).sort_index().reset_index(drop=True)[[*axes, *MEASURED]]
        return cls(frame, samples, parquet.checked_json(provenance or {}, f"{cls.__name__}.from_measures(provenance)"))

    @property
    def quantities(self) -> list[str]:
        """Names such as "loss/negative", in order of first appearance."""
        return list(self.frame["quantity"].unique())

    def __getitem__(self, quantity: str) -> pd.DataFrame:
        """Coordinates, value, low, high of one quantity, a row a point at which it was measured."""
        rows = self._rows(quantity, f"{type(self).__name__}[quantity]")
        return rows[[*self.axes, "value", "low", "high"]].reset_index(drop=True)

    @property
    def _points(self) -> pd.Index:
        """Every point at which something was measured, ascending."""
        return self.frame.set_index(list(self.axes)).index.unique().sort_values()

    def value(self, quantity: str) -> np.ndarray:
        """(n,) float64, a value for each point; NaN where it is NaN or was not measured."""
        return self[quantity].set_index(list(self.axes))["value"].reindex(self._points).to_numpy()

    def interval(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the 95 % intervals, each (n,); NaN where fewer than two items tell."""
        rows = self[quantity].set_index(list(self.axes)).reindex(self._points)
        return rows["low"].to_numpy(), rows["high"].to_numpy()

    def quantity(self, name: str) -> Quantity:
        """What a name stands for: its kind, its label, its unit."""
        row = self._rows(name, f"{type(self).__name__}.quantity(name)").iloc[0]
        return Quantity.named(name, row["unit"], row["kind"])

    def of_kind(self, *kinds: str) -> list[str]:
        """The names of the quantities of these kinds, such as "loss", kind after kind."""
        first = self.frame.drop_duplicates("quantity")
        return [name for kind in kinds for name in first.loc[first["kind"] == kind, "quantity"]]

    def unit(self, quantity: str) -> str:
        """The quantity's unit, such as "nats/token"."""
        return self._rows(quantity, f"{type(self).__name__}.unit(quantity)")["unit"].iloc[0]

    def to_frame(self) -> pd.DataFrame:
        """Every value, a row a point, a column a quantity; NaN where it is NaN or was not measured."""
        return pd.DataFrame({quantity: self.value(quantity) for quantity in self.quantities}, index=self._points)

    def difference(self, quantity: str, start: Any, stop: Any) -> Estimate:
        """value(stop) - value(start), in the quantity's unit, with the interval of the paired difference.

        Args:
            quantity: what is measured.
            start, stop: measured points: an alpha, coordinates, or a checkpoint's name.

        Raises:
            CurveError: no such quantity or checkpoint, or it was not measured there.
        """
        call = f"{type(self).__name__}.difference"
        rows = self._rows(quantity, f"{call}(quantity)")
        at = [self._row_at(rows, point, f"{call}(start, stop)") for point in (start, stop)]
        values, draws, n_items = resampled(rows.iloc[at])
        return bootstrap.estimate(values[1] - values[0], draws[:, 1] - draws[:, 0], n_items)

    def _row_at(self, rows: pd.DataFrame, point: Any, call: str) -> int:
        """The place of a measured point among a quantity's rows."""
        raise NotImplementedError

    def save(self, folder: str | Path) -> Path:
        """Write values, samples and provenance into the folder, made if absent, and return it.

        The folder holds this result whole, or what it held before; float64 to the last bit, with checksums.

        Raises:
            CurveError: the disk is full, or the folder cannot be written.
        """
        folder = Path(folder)
        values, texts = (folder / name for name in self._files)
        samples = pa.Table.from_pandas(self.samples, preserve_index=False).replace_schema_metadata()
        with disk_errors(CurveError, f"{type(self).__name__}.save({str(folder)!r})", folder):
            folder.mkdir(parents=True, exist_ok=True)
            # The values take their place last; until then the samples of the old ones have a second name.
            with atomic_file(values) as new_values, atomic_file(texts) as new_texts:
                metadata = {
                    "axes": self.axes,
                    "samples": parquet.write_table(samples, new_texts),
                    "provenance": self.provenance,
                    "version": VERSION,
                }
                columns = dict.fromkeys(self.axes, parquet.FLOAT) | MEASURED
                parquet.write_frame(self.frame, columns, metadata, new_values)
                _set_aside(texts)
            for old in _aside(texts):
                old.unlink(missing_ok=True)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """What `save` wrote, equal to the last bit.

        Raises:
            CurveError: a file is missing, damaged, not lerpnb's, or the two were not saved together.
        """
        folder = folder if Path(folder).exists() else output_path(folder)
        values, texts = (Path(folder) / name for name in cls._files)
        call = f"{cls.__name__}.load(folder)", f"{cls.__name__}.save"
        frame, metadata = parquet.read_frame(values, MEASURED, *call)
        axes, wanted = metadata.get("axes", [*cls._axes]), metadata.get("samples", "")
        if [type(part) for part in (metadata.get("provenance"), axes, wanted)] != [dict, list, str]:
            raise CurveError(f"{call[0]}: {values} {parquet.stranger(metadata, call[1])}")
        if [*frame.columns[: frame.columns.get_loc("quantity")]] != axes:
            raise CurveError(f"{call[0]}: {values} is damaged: its coordinates have other names. {AGAIN}")
        frame = with_kinds(frame)
        if not wanted:  # a surface of version 0.1 had none
            return cls(frame, None, metadata["provenance"])
        texts = next((file for file in (texts, *_aside(texts)) if _digest(file) == wanted), texts)
        samples = parquet.read_table(texts, *call)
        if _digest(texts) != wanted:
            raise CurveError(f"{call[0]}: {texts} is damaged, or was not saved with {values.name}. {AGAIN}")
        return cls(frame, samples.to_pandas(), metadata["provenance"])

    def _rows(self, quantity: str, call: str) -> pd.DataFrame:
        rows = self.frame[self.frame["quantity"] == quantity]
        if len(rows):
            return rows
        near = difflib.get_close_matches(str(quantity), self.quantities, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CurveError(f"{call}: no quantity {quantity!r}.{hint}\nIt has: {listed(self.quantities)}.")

    def _headline(self) -> str:
        raise NotImplementedError

    def _landmarks(self) -> Iterator[tuple[str, tuple[float, ...]]]:
        """The points at which a summary names the values, each with its name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        lines, width = [self._headline()], max(map(len, self.quantities))
        for quantity in self.quantities:
            rows = self[quantity].set_index(list(self.axes))
            places = {name: point if len(point) > 1 else point[0] for name, point in self._landmarks()}
            named = [f"{Estimate(*rows.loc[point])} at {name}" for name, point in places.items() if point in rows.index]
            named = named or [f"from {rows['value'].min():.4g} to {rows['value'].max():.4g}"]
            lines.append(f"  {quantity:<{width}}  {', '.join(named)} {self.unit(quantity)}".rstrip())
        return "\n".join(lines)


def _set_aside(texts: Path) -> None:
    """Give the samples that are there a second name, until the values that they belong to are replaced."""
    if texts.exists():
        aside = texts.with_name(f".{texts.name}.{uuid.uuid4().hex[:8]}.old")
        try:
            os.link(texts, aside)
        except OSError:  # a file system without such links
            with atomic_file(aside) as copy:
                shutil.copyfile(texts, copy)


def _aside(texts: Path) -> list[Path]:
    return list(texts.parent.glob(f".{texts.name}.*.old"))


def _digest(file: Path) -> str | None:
    return parquet.sha256(file.read_bytes()) if file.is_file() else None


def checked_axes(axes: tuple[str, ...], call: str) -> None:
    """Refuse a coordinate's name that a table of values or of samples has as a column."""
    taken = [name for name in axes if name in MEASURED or name in samples_.COLUMNS]
    if taken or len(set(axes)) < len(axes):
        what = f"{', '.join(axes)} cannot name coordinates: {listed(taken) or 'one'} is taken"
        raise CurveError(f"{call}: {what}.\nGive each another name.")
