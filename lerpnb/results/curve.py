"""A curve: quantities over alpha, with 95 % intervals, samples and provenance. It knows no torch and no plots.

Alpha has no unit: 0 is minus, 1 is plus, both exactly; below 0 and above 1 lies extrapolation.
Intervals come from the paired bootstrap (`bootstrap.py`) over the items, texts or prompts, that every alpha shares.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from lerpnb.errors import CurveError
from lerpnb.results import bootstrap
from lerpnb.results import samples as samples_
from lerpnb.results.barrier import Barrier
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.display import Displayed
from lerpnb.results.measurement import Measurement, estimated, resampled
from lerpnb.results.parquet import (
    AGAIN,
    FLOAT,
    MEASURED,
    checked_json,
    read_frame,
    read_table,
    sha256,
    write_frame,
    write_table,
)
from lerpnb.utils.coordinates import finite, nearest
from lerpnb.utils.text import listed, show

COLUMNS = dict(alpha=FLOAT, **MEASURED)


class Curve(Displayed):
    """Quantities over alpha: what a walk returns.

    frame: a row a (alpha, quantity), sorted by alpha: value, low, high, n (items with weight), unit, items, transform
        and the items themselves, item_values and item_weights ((n_items,) float64 arrays).
    samples: a row a generated text: alpha, prompt_id, draw, prompt, continuation, n_tokens and score columns.
    provenance: whatever JSON can hold: ends, hashes, dtype, device, seeds, times, versions, settings.

    >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
    >>> curve = Curve.from_measures(points)
    >>> curve.value("loss/x").tolist()
    [1.0, 1.25, 2.0]
    >>> curve.rise("loss/x")
    1 [1, 1]
    >>> curve.barrier("loss/x").gaps["gap"].tolist()
    [-0.25]
    """

    def __init__(self, frame: pd.DataFrame, samples: pd.DataFrame | None = None, provenance: dict | None = None):
        self.frame = frame
        self.samples = samples_.checked(samples, "Curve(samples)")
        self.provenance = provenance or {}

    @classmethod
    def from_measures(
        cls,
        points: dict[float, dict[str, Measurement]],
        samples: pd.DataFrame | None = None,
        provenance: dict | None = None,
    ) -> "Curve":
        """A curve from measures at each alpha; a quantity has the same items, in the same order, at every alpha.

        Raises:
            CurveError: no points, an alpha that is no finite number, items that differ between alphas,
                samples without their columns, provenance that JSON cannot hold.
        """
        call = "Curve.from_measures(points)"
        rows = [
            {"alpha": finite(alpha, call), "quantity": quantity, "measure": measure}
            for alpha, measures in sorted(points.items(), key=lambda point: finite(point[0], call))
            for quantity, measure in measures.items()
        ]
        if not rows:
            raise CurveError(f"{call}: no points. Pass {{alpha: {{quantity: Measure}}}}.")
        frame = pd.DataFrame(rows)
        parts = [estimated(quantity, group) for quantity, group in frame.groupby("quantity", sort=False)]
        frame = pd.concat(parts).sort_index().reset_index(drop=True)[list(COLUMNS)]
        return cls(frame, samples, checked_json(provenance or {}, "Curve.from_measures(provenance)"))

    @property
    def alphas(self) -> np.ndarray:
        """(n,) float64, ascending: every alpha at which something was measured."""
        return np.unique(self.frame["alpha"].to_numpy())

    @property
    def quantities(self) -> list[str]:
        """Names such as "loss/negative", in order of first appearance."""
        return list(self.frame["quantity"].unique())

    def __getitem__(self, quantity: str) -> pd.DataFrame:
        """alpha, value, low, high of one quantity, a row an alpha at which it was measured."""
        return self._rows(quantity, "Curve[quantity]")[["alpha", "value", "low", "high"]].reset_index(drop=True)

    def value(self, quantity: str) -> np.ndarray:
        """(n,) float64 over `alphas`; NaN where it is NaN or was not measured."""
        return self[quantity].set_index("alpha")["value"].reindex(self.alphas).to_numpy()

    def interval(self, quantity: str) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the 95 % intervals, each (n,) over `alphas`; NaN where fewer than two items tell."""
        rows = self[quantity].set_index("alpha").reindex(self.alphas)
        return rows["low"].to_numpy(), rows["high"].to_numpy()

    def unit(self, quantity: str) -> str:
        """The quantity's unit, such as "nats/token"."""
        return self._rows(quantity, "Curve.unit(quantity)")["unit"].iloc[0]

    def barrier(self, quantity: str) -> Barrier:
        """Both barriers of a quantity on [0, 1] and its signed gaps to the chord: see `Barrier`.

        Raises:
            CurveError: no such quantity, or it was not measured at exactly 0 and 1.
        """
        rows = self._rows(quantity, "Curve.barrier(quantity)")
        rows = rows[rows["alpha"].between(0, 1)]
        alphas = rows["alpha"].to_numpy()
        missing = [show(end) for end in (0.0, 1.0) if end not in alphas]
        if missing:
            raise CurveError(
                f"Curve.barrier({quantity!r}): not measured at alpha {' and '.join(missing)} exactly; a chord needs "
                "both ends.\nWalk over alpha_grid(lo, hi, n), which holds 0 and 1 exactly."
            )
        values, draws, n_items = resampled(rows)
        return Barrier.of(quantity, rows["unit"].iloc[0], alphas, values, draws, n_items)

    def rise(self, quantity: str, start: float = 0.0, stop: float = 1.0) -> Estimate:
        """value(stop) - value(start), in the quantity's unit, with the interval of the paired difference.

        Raises:
            CurveError: no such quantity, or it was not measured at start or stop.
        """
        rows = self._rows(quantity, "Curve.rise(quantity)")
        pair = [nearest(rows["alpha"].to_numpy(), alpha, "Curve.rise(start, stop)") for alpha in (start, stop)]
        values, draws, n_items = resampled(rows.iloc[pair])
        return bootstrap.estimate(values[1] - values[0], draws[:, 1] - draws[:, 0], n_items)

    def spearman(self, quantity: str) -> Estimate:
        """Spearman's rho (no unit) with alpha: Pearson's correlation of the ranks, ties sharing theirs.

        It takes the whole walk in, extrapolation too; a NaN anywhere makes it NaN.
        """
        rows = self._rows(quantity, "Curve.spearman(quantity)")
        values, draws, n_items = resampled(rows)
        rho = bootstrap.rank_correlation(rows["alpha"].to_numpy(), np.vstack([values, draws]))
        return bootstrap.estimate(rho[0], rho[1:], n_items)

    def same_texts(self, a: float, b: float) -> float:
        """Share, 0 to 1, of the (prompt, draw) pairs sampled at both alphas whose continuations are identical.

        Raises:
            CurveError: there are no samples, none at an alpha, or no pair at both.
        """
        return samples_.same_texts(self.samples, a, b, "Curve.same_texts(a, b)")

    def side_by_side(self, n: int = 3, alphas: Iterable[float] | None = None) -> pd.DataFrame:
        """First continuation of the first n prompts, a row a prompt, a column an alpha.

        alphas: None takes the lowest, 0, 0.5, 1 and the highest, or what was sampled nearest to them.

        Raises:
            CurveError: there are no samples, or none at an alpha.
        """
        return samples_.side_by_side(self.samples, n, alphas, "Curve.side_by_side(alphas)")

    def table(self) -> pd.DataFrame:
        """Every value, a row an alpha, a column a quantity; NaN where it is NaN or was not measured."""
        return pd.DataFrame({q: self.value(q) for q in self.quantities}, index=pd.Index(self.alphas, name="alpha"))

    def nan_points(self) -> list[tuple[float, str]]:
        """(alpha, quantity) of every measured value that is NaN."""
        rows = self.frame[self.frame["value"].isna()]
        return list(zip(rows["alpha"].tolist(), rows["quantity"].tolist(), strict=True))

    def save(self, folder: str | Path) -> Path:
        """Write curve.parquet and samples.parquet into the folder (made if absent), each whole or not at all.

        Float64 to the last bit, provenance included; both files carry checksums. Returns the folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        samples = pa.Table.from_pandas(self.samples, preserve_index=False).replace_schema_metadata()
        told = {"samples": write_table(samples, folder / "samples.parquet"), "provenance": self.provenance}
        # curve.parquet goes last: it is the mark that both are whole
        write_frame(self.frame, COLUMNS, told, folder / "curve.parquet")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Curve":
        """The curve that `save` wrote, equal to the last bit.

        Raises:
            CurveError: a file is missing, damaged, not lerpnb's, or the two were not saved together.
        """
        path, beside = Path(folder) / "curve.parquet", Path(folder) / "samples.parquet"
        call = "Curve.load(folder)", "Curve.save"
        frame, told = read_frame(path, COLUMNS, *call)
        samples = read_table(beside, *call)
        if sha256(beside.read_bytes()) != told["samples"]:
            raise CurveError(f"{call[0]}: {beside} is damaged, or was not saved with {path.name}. {AGAIN}")
        return cls(frame, samples.to_pandas(), told["provenance"])

    def _rows(self, quantity: str, call: str) -> pd.DataFrame:
        rows = self.frame[self.frame["quantity"] == quantity]
        if len(rows):
            return rows
        near = difflib.get_close_matches(str(quantity), self.quantities, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CurveError(f"{call}: no quantity {quantity!r}.{hint}\nIt has: {listed(self.quantities)}.")

    def __repr__(self) -> str:
        alphas = self.alphas
        lines = [
            f"Curve: {len(alphas)} alphas from {show(alphas[0])} to {show(alphas[-1])}, {len(self.samples)} samples"
        ]
        width = max(map(len, self.quantities))
        for quantity in self.quantities:
            rows = self[quantity]
            ends = [rows[rows["alpha"] == end] for end in (0, 1)]
            told = [f"{Estimate(*e.iloc[0, 1:])} at {show(e.iloc[0, 0])}" for e in ends if len(e)]
            told = told or [f"from {rows['value'].min():.4g} to {rows['value'].max():.4g}"]
            lines.append(f"  {quantity:<{width}}  {', '.join(told)} {self.unit(quantity)}".rstrip())
        if nans := self.nan_points():
            lines.append(f"  NaN: {listed(f'{quantity} at alpha {show(alpha)}' for alpha, quantity in nans)}")
        return "\n".join(lines)
