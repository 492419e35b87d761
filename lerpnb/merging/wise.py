"""WiSE-FT: between a zero-shot model and its fine-tune (arXiv 2109.01903)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.paths.line import Line


def wise_ft(
    zero_shot: str | Path | Checkpoint | nn.Module,
    fine_tuned: str | Path | Checkpoint | nn.Module,
    *,
    device: str = "auto",
    dtype: str = "float32",
    ends_device: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
) -> Line:
    """The line from a pre-trained model to a fine-tune of it: theta(a) = (1 - a) theta_zeroshot + a theta_finetuned.

    Weight-space ensembling of Wortsman et al., arXiv 2109.01903: a `Line` whose minus and base are the zero-shot model.

    Args:
        zero_shot, fine_tuned: what lies at 0 and 1.
        device, dtype, ends_device, device_map: as for a `Line`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `Line`.

    Example:
        >>> line = wise_ft(tiny_llama(), tiny_llama(), device="cpu")
        >>> line.coefficients(0.25), line.base is line.minus
        ((0.75, 0.25), True)
    """
    zero_shot = Checkpoint.from_model(zero_shot) if isinstance(zero_shot, nn.Module) else zero_shot
    return Line(
        zero_shot,
        fine_tuned,
        zero_shot,
        device=device,
        dtype=dtype,
        ends_device=ends_device,
        device_map=device_map,
    )
