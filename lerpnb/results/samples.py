"""Samples: a table with a row for each generated text."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.utils.coordinates import finite, nearest
from lerpnb.utils.text import listed, show

# beside the coordinates; scores come behind them
COLUMNS = {"prompt_id": int, "draw": int, "prompt": str, "continuation": str, "n_tokens": int}


def checked(samples: pd.DataFrame | None, call: str, axes: tuple[str, ...] = ("alpha",)) -> pd.DataFrame:
    """The samples sorted by their coordinates, prompt_id and draw; None is a table without a row.

    A missing column of `COLUMNS` is a CurveError; others, such as scores, are kept.
    """
    if samples is None or not len(samples.columns):
        kinds = dict.fromkeys(axes, float) | COLUMNS
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    missing = [name for name in (*axes, *COLUMNS) if name not in samples]
    if missing:
        raise CurveError(f"{call}: no column {listed(missing)}. Samples need {', '.join((*axes, *COLUMNS))}.")
    samples = samples.assign(**{axis: [finite(at, call) for at in samples[axis]] for axis in axes})
    return samples.sort_values([*axes, "prompt_id", "draw"], kind="stable", ignore_index=True)


def at(samples: pd.DataFrame, alpha: float, call: str) -> pd.DataFrame:
    """The samples at one alpha; a CurveError where there are none."""
    known = np.unique(samples["alpha"].to_numpy(dtype=np.float64))
    if not len(known):
        raise CurveError(f"{call}: the curve has no samples. Evaluate an AttributeStrength probe.")
    return samples[samples["alpha"] == known[nearest(known, alpha, call)]]


def same_texts(samples: pd.DataFrame, a: float, b: float, call: str) -> float:
    """Share of the (prompt, draw) pairs sampled at both alphas whose continuations are identical."""
    left, right = at(samples, a, call), at(samples, b, call)
    both = left.merge(right, on=["prompt_id", "draw"])
    if not len(both):
        ends = f"{show(a)} and {show(b)}"
        raise CurveError(f"{call}: no (prompt, draw) was sampled at both {ends}. Use the same prompts at both.")
    return float((both["continuation_x"] == both["continuation_y"]).mean())


def side_by_side(samples: pd.DataFrame, n: int, alphas: Iterable[float] | None, call: str) -> pd.DataFrame:
    """First continuation of the first n prompts: rows prompts, columns alphas."""
    if alphas is None:
        known = np.unique(samples["alpha"].to_numpy(dtype=np.float64))
        wanted = (known[0], 0.0, 0.5, 1.0, known[-1]) if len(known) else (0.0,)
        alphas = sorted({float(known[np.abs(known - alpha).argmin()]) if len(known) else alpha for alpha in wanted})
    chosen = {finite(alpha, call): at(samples, alpha, call).drop_duplicates("prompt_id") for alpha in alphas}
    columns = {alpha: rows.set_index(["prompt_id", "prompt"])["continuation"] for alpha, rows in chosen.items()}
    return pd.concat(columns, axis=1, names=["alpha"]).sort_index().droplevel("prompt_id")[:n]
