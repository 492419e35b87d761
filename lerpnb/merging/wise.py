"""WiSE-FT: the line between a zero-shot model and its fine-tune.

https://arxiv.org/abs/2109.01903
"""

from typing import Unpack

from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.paths.line import Line


def wise_ft(zero_shot: ModelSource, fine_tuned: ModelSource, **options: Unpack[DeviceOptions]) -> Line:
    """The line from a pre-trained model to a fine-tune of it: theta(a) = (1 - a) theta_zeroshot + a theta_finetuned.

    Weight-space ensembling of Wortsman et al., arXiv 2109.01903: a `Line` whose minus and base are the zero-shot model.

    Args:
        zero_shot, fine_tuned: what lies at 0 and 1.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `Line`.

    Example:
        >>> line = wise_ft(tiny_llama(), tiny_llama(), device="cpu")
        >>> line.coefficients(0.25), line.base is line.minus
        ((0.75, 0.25), True)
        >>> line.recipe(0.25)
        '0.75 x zero-shot + 0.25 x fine-tuned'
    """
    zero_shot = Checkpoint.from_model(zero_shot) if isinstance(zero_shot, nn.Module) else zero_shot
    line = Line(zero_shot, fine_tuned, zero_shot, **options)
    line.role_names = {"minus": "zero-shot", "plus": "fine-tuned"}
    return line
