"""The straight line between two fine-tunes, and what lies between its ends in numbers."""

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import pandas as pd
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.checkpoints.low_rank import dense
from lerpnb.checkpoints.memory import same_storage
from lerpnb.paths.base import DTYPES, ScalarPath
from lerpnb.utils.coordinates import number


class Line(ScalarPath):
    """The straight line theta(alpha) = (1 - alpha) theta_minus + alpha theta_plus (arXiv 2211.12092).

    Alpha is any finite number, without unit: 0 is minus and 1 is plus, both bit for bit. Every point is mixed in
    float32 from both ends into one live model of the line's own. The checkpoints and a caller's models never change.

    Args:
        minus, plus: what lies at 0 and 1: a name (`assets.resolve`), a `Checkpoint`, or a live transformers model.
        base, options: as for a `BasePath`; the two deltas start at the base.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.

    Example:
        >>> minus, plus = tiny_llama(), tiny_llama()
        >>> line = Line(minus, plus, device="cpu")
        >>> bool((line.at(0.25).lm_head.weight == torch.lerp(minus.lm_head.weight, plus.lm_head.weight, 0.25)).all())
        True
    """

    kind, coordinate, landmarks = "line", "alpha", ((0.0, "minus"), (1.0, "plus"))

    def __init__(
        self, minus: ModelSource, plus: ModelSource, base: ModelSource | None = None, **options: Unpack[DeviceOptions]
    ):
        super().__init__({"minus": minus, "plus": plus}, base, **options)
        if isinstance(minus, str | Path) and isinstance(plus, str | Path):
            for doubt in self._doubts():
                warnings.warn(f"Line({str(minus)!r}, {str(plus)!r}): {doubt}", stacklevel=3)

    def _doubts(self) -> Iterator[str]:
        """What a person who names two models should know before measuring between them."""
        heads = ("score.", "classifier.", "qa_outputs.")
        moved = next((name for name, a, b, _ in self.blocks() if a is not b and not torch.equal(a, b)), None)
        if moved is None:
            yield "both ends hold the same weights, so every alpha is the same model.\nName two different fine-tunes."
        elif self.base is None and any(
            name.startswith(heads) and not torch.equal(dense(self.minus.weights[name]), dense(self.plus.weights[name]))
            for name in self.minus.weights
        ):
            yield (
                "each end has a classification head of its own. Heads that began at different random numbers need not "
                "be connected by a line.\nStart both fine-tunes from one head: Checkpoint.with_head."
            )

    @property
    def minus(self) -> Checkpoint:
        """The checkpoint at alpha 0."""
        return self.checkpoints["minus"]

    @property
    def plus(self) -> Checkpoint:
        """The checkpoint at alpha 1."""
        return self.checkpoints["plus"]

    def at(self, alpha: float) -> Any:
        """The live model, moved to theta(alpha): one ordinary transformers model, until the next call moves it on."""
        return super().at(alpha)

    def save(
        self,
        alpha: float,
        to: str | Path,
        *,
        dtype: str | None = None,
        overwrite: bool = False,
        as_adapter: bool = False,
    ) -> Path:
        """Write theta(alpha) as an ordinary Hugging Face folder, or as a PEFT adapter: see `BasePath.save`."""
        return super().save(alpha, to, dtype=dtype, overwrite=overwrite, as_adapter=as_adapter)

    def coefficients(self, alpha: float) -> tuple[float, float]:
        """What minus and plus are multiplied by: (1 - alpha, alpha).

        Raises:
            AlphaError: alpha is not a finite number.
        """
        alpha = number(alpha, "Line.coefficients(alpha)")
        return 1.0 - alpha, alpha

    @property
    def resolution(self) -> float:
        """What share of the delta survives rounding to the live dtype, 1 being all of it: see `resolutions`."""
        return self._resolutions((self.dtype,))[self.dtype]

    @property
    def resolutions(self) -> dict[str, float]:
        """What share of the delta survives rounding to float32, TF32, float16 and bfloat16, 1 being all of it.

        1 - |round(theta(1/2)) - theta(1/2)| / |theta_plus - theta_minus|, Euclidean norms over all tensors. bfloat16
        keeps 8 bits of a number, float16 and TF32 (what a GPU's matrix products may round float32 to) 11. What float16
        cannot hold, beyond 65,504, counts as lost whole.
        """
        return self._resolutions(("float32", "tf32", "float16", "bfloat16"))

    def _kept(self) -> str:
        # All would take a while; a prime number meets every kind of tensor.
        share = self._resolutions((self.dtype,), every=17)[self.dtype]
        return f"; about {share:.0%} of the delta survives the rounding"

    def _resolutions(self, dtypes: Sequence[str], every: int = 1) -> dict[str, float]:
        lost, moved = dict.fromkeys(dtypes, 0.0), 0.0
        for _, a, b, _ in islice(self.blocks(), 0, None, every):
            if a.data_ptr() != b.data_ptr():
                a, b = a.double(), b.double()
                middle = torch.lerp(a, b, 0.5)
                moved += (b - a).square().sum().item()
                for dtype in dtypes:
                    lost[dtype] += (_rounded(middle, dtype).double() - middle).square().sum().item()
        return {dtype: max(0.0, 1.0 - math.sqrt(lost[dtype] / moved)) if moved else 1.0 for dtype in dtypes}

    def summary(self) -> pd.DataFrame:
        """A row a block (embeddings, each layer, the rest, then all): how far apart the ends are.

        Columns: tensors, parameters, distance = |theta_plus - theta_minus|, relative = distance over the block's
        |theta_minus|, and with a base the cosine of the deltas theta_minus - theta_base and theta_plus - theta_base.
        """
        from lerpnb.paths.deltas import line_summary

        return line_summary(self)

    def blocks(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """name, minus, plus, base of each parameter in blocks of rows, which take little memory; no buffers."""
        for name, parameter in self._model.named_parameters():  # for their names: nothing need be mixed for that
            ends = [dense(end.weights[name]) for end in (self.minus, self.plus, self.base) if end]
            rows = max(1, 2**20 * len(parameter) // max(1, parameter.numel()))
            for a, b, *o in zip(*(end.split(rows) for end in ends), strict=True):
                wide = a.float()
                yield name, wide, wide if same_storage(a, b) else b.float(), o[0].float() if o else None

    def _described(self) -> list[str]:
        kinds = sorted(self.minus.stored_dtypes | self.plus.stored_dtypes)
        facts = [f"{self.minus.name} (alpha 0) to {self.plus.name} (alpha 1)"]
        if self.base:
            facts.append(f"base {self.base.name}")
        facts.append(f"stored in {', '.join(kinds)}; mixed in float32; computed in {self.dtype} on {self.device}")
        if self.resolution < 0.999:
            facts.append(f"{self.resolution:.1%} of the delta survives rounding to {self.dtype}")
        total = self.summary().loc["all"]
        facts.append(f"{int(total['tensors'])} tensors, {int(total['parameters']):,} parameters")
        if not total["distance"]:
            return [*facts, "both ends hold the same weights"]
        moved = f"distance {total['distance']:.4g}, {total['relative']:.2%} of the weights' norm"
        facts.append(moved + (f"; cosine of the two deltas {total['cosine']:.3f}" if self.base else ""))
        return facts

    def __repr__(self) -> str:
        return "\n  ".join(["Line", *self._described()])

    def _repr_html_(self) -> str:
        from html import escape

        formats = {"tensors": "{:.0f}", "parameters": "{:,.0f}", "distance": "{:.3f}", "relative": "{:.2%}"}
        frame = self.summary()
        if "cosine" in frame:
            formats["cosine"] = "{:.3f}"
        table = frame.style.format(formats, na_rep="").to_html(table_attributes='class="dataframe"')
        items = "".join(f"<li>{escape(fact)}</li>" for fact in self._described())
        return f"<b>Line</b><ul>{items}</ul><details><summary>the ends, block by block</summary>{table}</details>"


def _rounded(tensor: torch.Tensor, dtype: str) -> torch.Tensor:
    """The nearest numbers of a dtype; TF32's are float32's with 13 bits of their 24 left out, ties to even."""
    if dtype != "tf32":
        return tensor.to(DTYPES[dtype])
    bits = tensor.float().view(torch.int32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & ~0x1FFF).view(torch.float32)
