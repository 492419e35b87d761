"""The dense delta of a PEFT adapter, added to a base without touching the base."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from .errors import CheckpointError
from .header import MERGE_FIRST, NAME_BASE, few
from .live import admit_untied, borrow, quiet, retie, untie
from .mixable import refuse_not_finite


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
            _refuse_other_layers(config, base, call)
            # Empty factors, so that neither memory nor the global random state is spent on values to be replaced.
            wrapped = PeftModel(twin, config, low_cpu_mem_usage=True)
            found = wrapped.load_adapter(
                str(folder), "default", torch_device=str(_device(base)), low_cpu_mem_usage=True
            )
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{call}: the adapter does not fit its base.\n{few(_reasons(error))}\n{NAME_BASE}"
        ) from error
    odd = [f"{_plain(key)}: not in the adapter" for key in found.missing_keys]
    odd += [f"{_plain(key)}: not in the base" for key in found.unexpected_keys]
    if odd:
        raise CheckpointError(f"{call}: the adapter does not fit its base.\n{few(odd)}\n{NAME_BASE}")
    return merge(wrapped, call)


def merge(wrapped: nn.Module, call: str) -> nn.Module:
    """The plain model of a PeftModel whose tensors are borrowed: its active adapters merged, ties that held kept."""
    for parameter in wrapped.parameters():
        parameter.data = parameter.data.float()  # what was stored in bfloat16 would round what it is merged into
    refuse_not_finite({_plain(name): parameter for name, parameter in wrapped.named_parameters()}, call)
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


def _refuse_other_layers(config: Any, base: nn.Module, call: str) -> None:
    targets = config.target_modules
    names = [f".{name}" for name, _ in base.named_modules()]
    if not isinstance(targets, str) and targets and not any(n.endswith(f".{t}") for t in targets for n in names):
        raise CheckpointError(
            f"{call}: the adapter does not fit its base.\n"
            f"{few([f'{target}: no such layer in the base' for target in sorted(targets)])}\n{NAME_BASE}"
        )


def _plain(name: str) -> str:
    """A tensor's name without what peft wraps around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".default", "")


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _reasons(error: Exception) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return [_plain(line) for line in lines if "size mismatch" in line] or lines[:1]
