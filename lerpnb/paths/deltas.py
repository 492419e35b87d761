"""Deltas by layer and kind of tensor: what two fine-tunes changed, and whether they changed it the same way."""

import numpy as np
import pandas as pd
import torch

from lerpnb.paths.line import Line
from lerpnb.results.deltas import WeightDeltas
from lerpnb.utils.progress import track
from lerpnb.utils.tensor_names import KINDS, place_of


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
    names = [name for name, _ in line.minus.model.named_parameters()]
    for name in track(names, label="deltas"):
        a, b = line.minus.tensors[name], line.plus.tensors[name]
        found = {"tensors": 1, "parameters": a.numel(), "apart": _dot(b - a, b - a), "size": _dot(a, a)}
        if line.base:
            o = line.base.tensors[name]
            d, e = a - o, b - o
            found |= {"base": _dot(o, o), "dd": _dot(d, d), "ee": _dot(e, e), "de": _dot(d, e)}
        row = rows.setdefault(place_of(name), dict.fromkeys(found, 0))
        for key, value in found.items():
            row[key] += value
    frame = pd.DataFrame([{"layer": layer, "kind": kind, **row} for (layer, kind), row in rows.items()])
    order = {"in": -1, "out": 10**9}
    frame["place"] = [order.get(layer, int(layer) if layer.isdigit() else 0) for layer in frame["layer"]]
    frame["row"] = frame["kind"].map(KINDS.index)
    frame = frame.sort_values(["place", "row"], ignore_index=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        told = frame[["layer", "kind", "tensors", "parameters"]].copy()
        told["distance"] = np.sqrt(frame["apart"])
        told["relative"] = np.sqrt(frame["apart"] / frame["size"])
        if line.base:
            told["minus"], told["plus"] = np.sqrt(frame["dd"] / frame["base"]), np.sqrt(frame["ee"] / frame["base"])
            norm = np.sqrt(frame["dd"] * frame["ee"])
            told["cosine"] = (frame["de"] / norm).where(norm > 0).clip(-1, 1)
    return WeightDeltas(told)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    # float32 partial sums a row, added in float64: float64 copies would double the memory
    return torch.linalg.vecdot(a, b).double().sum().item() if a.dim() else float(a * b)
