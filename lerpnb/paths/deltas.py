"""Weight deltas: what two fine-tunes changed, layer by layer, and whether they changed it the same way."""

from collections.abc import Hashable

import numpy as np
import pandas as pd

from lerpnb.checkpoints.vectors import dot_by_rows
from lerpnb.paths.line import Line
from lerpnb.results.deltas import WeightDeltas
from lerpnb.utils.progress import track
from lerpnb.utils.tensor_names import KINDS, block_of, place_of


def weight_deltas(line: Line) -> WeightDeltas:
    """Norms and cosines of the deltas of a line's two ends, by layer and kind of tensor; it shows itself as heat maps.

    A tensor at a time is read from each end, in float32; sums run in float64. Tied weights count once.

    Example:
        >>> import torch
        >>> minus, plus = (tiny_llama() for _ in range(2))
        >>> plus.load_state_dict(minus.state_dict()) and None
        >>> with torch.no_grad():
        ...     _ = plus.model.layers[0].self_attn.q_proj.weight.mul_(1.5)
        >>> frame = weight_deltas(Line(minus, plus, device="cpu")).frame
        >>> frame[frame["relative"] > 0][["layer", "kind", "relative"]].round(3).values.tolist()
        [['0', 'attention q', 0.5]]
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    names = [name for name, _ in line.model.named_parameters()]
    for name in track(names, label="deltas"):
        a, b = line.minus.tensors[name], line.plus.tensors[name]
        sums: dict[str, float] = {"tensors": 1, "parameters": a.numel()}
        sums |= {"apart": dot_by_rows(b - a, b - a), "size": dot_by_rows(a, a)}
        if line.base:
            o = line.base.tensors[name]
            d, e = a - o, b - o
            sums |= {"base": dot_by_rows(o, o), "dd": dot_by_rows(d, d), "ee": dot_by_rows(e, e)}
            sums["de"] = dot_by_rows(d, e)
        _add(rows, place_of(name), sums)
    frame = pd.DataFrame([{"layer": layer, "kind": kind, **row} for (layer, kind), row in rows.items()])
    order = {"in": -1, "out": 10**9}
    frame["place"] = [order.get(layer, int(layer) if layer.isdigit() else 0) for layer in frame["layer"]]
    frame["row"] = frame["kind"].map(KINDS.index)
    frame = frame.sort_values(["place", "row"], ignore_index=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = frame[["layer", "kind", "tensors", "parameters"]].copy()
        table["distance"] = np.sqrt(frame["apart"])
        table["relative"] = np.sqrt(frame["apart"] / frame["size"])
        if line.base:
            table["minus"], table["plus"] = np.sqrt(frame["dd"] / frame["base"]), np.sqrt(frame["ee"] / frame["base"])
            norm = np.sqrt(frame["dd"] * frame["ee"])
            table["cosine"] = (frame["de"] / norm).where(norm > 0).clip(-1, 1)
    return WeightDeltas(table)


def line_summary(line: Line) -> pd.DataFrame:
    """What `Line.summary` returns."""
    rows: dict[str, dict[str, float]] = {}
    seen: set[str] = set()
    for name, a, b, o in line.blocks():
        sums: dict[str, float] = {"tensors": int(name not in seen), "parameters": a.numel()}
        sums |= {"distance": dot_by_rows(b - a, b - a), "relative": dot_by_rows(a, a)}
        seen.add(name)
        if o is not None:
            d, e = a - o, b - o
            sums |= {"dot": dot_by_rows(d, e), "minus": dot_by_rows(d, d), "plus": dot_by_rows(e, e)}
        for block in (block_of(name), "all"):
            _add(rows, block, sums)
    rows["all"] = rows.pop("all")  # the last row
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame["distance"] = np.sqrt(frame["distance"])
    frame["relative"] = frame["distance"] / np.sqrt(frame["relative"])
    if line.base:
        norm = np.sqrt(frame["minus"] * frame["plus"])
        frame["cosine"] = (frame["dot"] / norm).where(norm > 0)
        frame = frame.drop(columns=["dot", "minus", "plus"])
    return frame.rename_axis("block")


def _add(rows: dict, key: Hashable, sums: dict[str, float]) -> None:
    row = rows.setdefault(key, dict.fromkeys(sums, 0))
    for name, value in sums.items():
        row[name] += value
