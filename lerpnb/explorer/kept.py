"""Kept texts: what a person keeps of an explorer, in memory and in a file that grows."""

import re
from pathlib import Path

import pandas as pd

from lerpnb.explorer.axes import FixedAxes
from lerpnb.generation.continuations import Continuations

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
        self._rows.append({"alpha": alpha, **self.axes.at, "prompt": str(spec.prompts[0]), "text": text, **settings})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.frame()[-1:].to_csv(self.path, mode="a", header=not self.path.exists(), index=False)

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self._rows, columns=[COLUMNS[0], *self.axes.at, *COLUMNS[1:]])
