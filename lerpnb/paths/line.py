"""The straight line between two fine-tunes, and what lies between its ends in numbers."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.paths.base import DTYPES, BasePath
from lerpnb.utils.coordinates import number
from lerpnb.utils.tensor_names import block_of


class Line(BasePath):
    """The straight line theta(alpha) = (1 - alpha) theta_minus + alpha theta_plus (arXiv 2211.12092).

    Alpha is any finite number, without unit: 0 is minus and 1 is plus, both bit for bit. Everything is mixed in
    float32 from both ends into one live model of the line's own; the checkpoints and a caller's models never change.

    Args:
        minus, plus: what lies at 0 and 1: a name (`assets.resolve`), a `Checkpoint`, or a live transformers model.
        base: the pre-trained model that both share; left out, the base that two adapters share, else none. It is the
            default judge of fluency, and the origin of the two deltas.
        device: the live model's; "auto" takes cuda, then mps, then cpu.
        dtype: the live model's, "float32" by default; see `resolution` before choosing "bfloat16".
        ends_device: where the ends and the base lie; None has each tensor where the live model has it. "cpu" leaves
            them in the host's memory (float32 safetensors in memory-mapped files, which are read when needed), and each
            point streams into the live model tensor by tensor: for models that do not fit three times.
        device_map: spreads the live model over several devices, instead of `device`: "auto", or {module: device} as in
            transformers. Each tensor is mixed where its ends lie, and what accelerate offloads to the host, in there.

    Raises:
        AssetError, CheckpointError, MismatchError: as `load_checkpoints` says, before any long work.
        CheckpointError: a device_map with the disk in it, or one that offloads the embeddings.

    Example:
        >>> minus, plus = tiny_llama(), tiny_llama()
        >>> line = Line(minus, plus, device="cpu")
        >>> bool((line.at(0.25).lm_head.weight == torch.lerp(minus.lm_head.weight, plus.lm_head.weight, 0.25)).all())
        True
    """

    kind, coordinate, named = "line", "alpha", ((0.0, "minus"), (1.0, "plus"))

    def __init__(
        self,
        minus: str | Path | Checkpoint | nn.Module,
        plus: str | Path | Checkpoint | nn.Module,
        base: str | Path | Checkpoint | nn.Module | None = None,
        *,
        device: str = "auto",
        dtype: str = "float32",
        ends_device: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ):
        named = {"minus": minus, "plus": plus}
        super().__init__(named, base, device=device, dtype=dtype, ends_device=ends_device, device_map=device_map)

    @property
    def minus(self) -> Checkpoint:
        """The checkpoint at alpha 0."""
        return self.checkpoints["minus"]

    @property
    def plus(self) -> Checkpoint:
        """The checkpoint at alpha 1."""
        return self.checkpoints["plus"]

    def checked(self, at: float, call: str) -> float:
        return number(at, call)

    def at(self, alpha: float) -> nn.Module:
        """The live model, moved to theta(alpha): one ordinary transformers model, until the next call moves it on."""
        return super().at(alpha)

    def save(self, alpha: float, to: str | Path, *, dtype: str | None = None, overwrite: bool = False) -> Path:
        """Write theta(alpha) as an ordinary Hugging Face folder: see `BasePath.save`."""
        return super().save(alpha, to, dtype=dtype, overwrite=overwrite)

    def coefficients(self, alpha: float) -> tuple[float, float]:
        """What minus and plus are multiplied by: (1 - alpha, alpha).

        Raises:
            AlphaError: alpha is not a finite number.
        """
        alpha = number(alpha, "Line.coefficients(alpha)")
        return 1.0 - alpha, alpha

    @property
    def resolution(self) -> float:
        """What share of the delta survives rounding to the live dtype, 1 being all of it.

        1 - |round(theta(1/2)) - theta(1/2)| / |theta_plus - theta_minus|, Euclidean norms over all tensors.
        """
        lost = moved = 0.0
        for _, a, b, _ in self._blocks():
            if a.data_ptr() != b.data_ptr():
                a, b = a.double(), b.double()
                middle = torch.lerp(a, b, 0.5)
                lost += (middle.to(DTYPES[self.dtype]).double() - middle).square().sum().item()
                moved += (b - a).square().sum().item()
        return max(0.0, 1.0 - math.sqrt(lost / moved)) if moved else 1.0

    def summary(self) -> pd.DataFrame:
        """A row a block (embeddings, each layer, the rest, then all): how far apart the ends are.

        Columns: tensors, parameters, distance = |theta_plus - theta_minus|, relative = distance over the block's
        |theta_minus|, and with a base the cosine of the deltas theta_minus - theta_base and theta_plus - theta_base.
        """
        rows: dict[str, dict[str, Any]] = {}
        seen: set[str] = set()
        for name, a, b, o in self._blocks():
            found = {"tensors": int(name not in seen), "parameters": a.numel()}
            found |= {"distance": _square(b - a), "relative": _square(a)}
            seen.add(name)
            if o is not None:
                found |= {"dot": _dot(a - o, b - o), "minus": _square(a - o), "plus": _square(b - o)}
            for block in (block_of(name), "all"):
                row = rows.setdefault(block, dict.fromkeys(found, 0))
                for key, value in found.items():
                    row[key] += value
        frame = pd.DataFrame.from_dict(
            {k: v for k, v in rows.items() if k != "all"} | {"all": rows["all"]}, orient="index"
        )
        frame["distance"] = np.sqrt(frame["distance"])
        frame["relative"] = frame["distance"] / np.sqrt(frame["relative"])
        if self.base:
            norm = np.sqrt(frame["minus"] * frame["plus"])
            frame["cosine"] = (frame["dot"] / norm).where(norm > 0)
            frame = frame.drop(columns=["dot", "minus", "plus"])
        return frame.rename_axis("block")

    def _blocks(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """name, minus, plus, base of each parameter in blocks of rows, which take little memory; no buffers."""
        for name, parameter in self.model.named_parameters():
            ends = [end.tensors[name] for end in (self.minus, self.plus, self.base) if end]
            rows = max(1, 2**20 * len(parameter) // max(1, parameter.numel()))
            for a, b, *o in zip(*(end.split(rows) for end in ends), strict=True):
                yield name, a, b, o[0] if o else None

    def _facts(self) -> list[str]:
        kinds = sorted(self.minus.stored_dtypes | self.plus.stored_dtypes)
        said = [f"{self.minus.name} (alpha 0) to {self.plus.name} (alpha 1)"]
        if self.base:
            said.append(f"base {self.base.name}")
        said.append(f"stored in {', '.join(kinds)}; mixed in float32; computed in {self.dtype} on {self.device}")
        said.append(f"{self.resolution:.4%} of the delta survives rounding to {self.dtype}")
        total = self.summary().loc["all"]
        said.append(f"{int(total['tensors'])} tensors, {int(total['parameters']):,} parameters")
        moved = f"distance {total['distance']:.4g}, {total['relative']:.2%} of the weights' norm"
        said.append(moved + (f"; cosine of the two deltas {total['cosine']:.3f}" if self.base else ""))
        return said

    def __repr__(self) -> str:
        return "\n  ".join(["Line", *self._facts()])

    def _repr_html_(self) -> str:
        from html import escape

        formats = {"tensors": "{:.0f}", "parameters": "{:,.0f}", "distance": "{:.3f}", "relative": "{:.2%}"}
        frame = self.summary()
        if "cosine" in frame:
            formats["cosine"] = "{:.3f}"
        table = frame.style.format(formats, na_rep="").to_html(table_attributes='class="dataframe"')
        facts = "".join(f"<li>{escape(fact)}</li>" for fact in self._facts())
        return f"<b>Line</b><ul>{facts}</ul><details><summary>the ends, block by block</summary>{table}</details>"


def _square(tensor: torch.Tensor) -> float:
    return _dot(tensor, tensor)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    # vdot over float64 copies would double the memory: float32 partial sums a row, added in float64, are enough.
    return torch.linalg.vecdot(a, b).double().sum().item() if a.dim() else float(a * b)
