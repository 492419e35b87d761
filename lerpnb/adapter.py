"""The dense delta of a PEFT adapter, added to a base without touching the base."""

from pathlib import Path

import torch
from torch import nn

from .errors import CheckpointError
from .header import MERGE_FIRST, few
from .live import admit_untied, borrow, quiet, retie, untie


def add_adapter(base: nn.Module, folder: Path, call: str) -> nn.Module:
    """base + the adapter's dense delta, W + scaling * B A (transposed for Conv1D), in float32.

    The delta is peft's own `merge` (rank and alpha patterns, rsLoRA, DoRA, trained biases, modules_to_save).
    A tensor that the adapter leaves alone is the base's own storage.

    Args:
        base: a float32 model; it is not changed.
        folder: the adapter's folder.
        call: what the first line of an error names.

    Raises:
        CheckpointError: the adapter's tensors do not fit the base, or peft cannot merge it.
    """
    from peft import PeftConfig, PeftModel

    twin = borrow(base)
    untie(twin)  # else a delta on the embedding would reach the head too, twice where both have one
    try:
        with quiet():
            config = PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            # Empty factors, so that neither memory nor the global random state is spent on values to be replaced.
            wrapped = PeftModel(twin, config, low_cpu_mem_usage=True)
            found = wrapped.load_adapter(
                str(folder), "default", torch_device=str(_device(base)), low_cpu_mem_usage=True
            )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{call}: the adapter does not fit its base.\n{few(_reasons(error))}\n"
            "Pass base=...: the model that it was trained on."
        ) from error
    odd = [f"{key}: not in the adapter" for key in found.missing_keys]
    odd += [f"{key}: not in the base" for key in found.unexpected_keys]
    if odd:
        raise CheckpointError(
            f"{call}: the adapter does not fit its base.\n{few(odd)}\nPass base=...: the model that it was trained on."
        )
    return merge(wrapped, call)


def merge(wrapped: nn.Module, call: str) -> nn.Module:
    """The plain model of a PeftModel whose tensors are borrowed: its active adapters merged, ties that held kept."""
    for parameter in wrapped.parameters():
        parameter.data = parameter.data.float()  # factors stored in bfloat16 would round the delta to bfloat16
    try:
        with quiet():
            model = wrapped.merge_and_unload(safe_merge=True)  # safe: into a new tensor, never into the base's
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        why = few(_reasons(error))
        raise CheckpointError(f"{call}: peft cannot merge this adapter.\n{why}\n{MERGE_FIRST}") from error
    model.requires_grad_(False)
    retie(model)
    admit_untied(model)
    return model.eval()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _reasons(error: Exception) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return [line for line in lines if "size mismatch" in line] or lines[:1]
