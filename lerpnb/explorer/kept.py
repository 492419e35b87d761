"""Kept texts: what a person keeps of an explorer, in memory and in a file that grows."""

import re
from pathlib import Path

import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.explorer.axes import FixedAxes
from lerpnb.generation.continuations import Continuations
from lerpnb.utils.atomic import atomic_file, disk_errors

COLUMNS = ["alpha", "prompt", "text", "seed", "temperature", "top_p", "max_new_tokens"]


class KeptTexts:
    """A table that grows by a row a text: alpha, the other lines' alphas, prompt, text and the sampling."""

    def __init__(self, folder: Path, axes: FixedAxes):
        self.axes, self._rows = axes, list[dict]()
        names = [re.sub(r"\W+", "-", name) for name in (axes.first, *axes.at)]
        self.path = folder / ("_".join(["kept", *filter(None, names)]) + ".csv")

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, alpha: float, text: str, spec: Continuations) -> None:
        settings = {name: getattr(spec, name) for name in COLUMNS[3:]}
        row = {"alpha": alpha, **self.axes.at, "prompt": str(spec.prompts[0]), "text": text, **settings}
        with disk_errors(CurveError, "keep()", self.path, "Make room there, and keep the text again."):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            before = self.path.read_bytes() if self.path.exists() else b""
            with atomic_file(self.path) as temporary:
                temporary.write_bytes(before + self._table([row]).to_csv(header=not before, index=False).encode())
        self._rows.append(row)

    def frame(self) -> pd.DataFrame:
        return self._table(self._rows)

    def _table(self, rows: list[dict]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=[COLUMNS[0], *self.axes.at, *COLUMNS[1:]])
