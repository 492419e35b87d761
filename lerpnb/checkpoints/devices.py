"""Devices: where a live model and its checkpoints lie, and how a model is spread over several devices."""

from collections.abc import Collection, Mapping
from typing import Any, TypedDict

import torch
from torch import nn

from lerpnb.checkpoints.memory import named_tensors
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError, LerpError

ROOM = 0.8  # of a GPU's free memory; the rest is for activations and texts


class DeviceOptions(TypedDict, total=False):
    """The keyword arguments that all paths and merging methods share: where their models lie, and in which dtype.

    Attributes:
        device: the live model's; "auto", the default, takes cuda, then mps, then cpu.
        dtype: the live model's: "float32", "bfloat16", "float16", or "auto", the default: float32 on a CPU, and on a
            GPU where it fits beside the checkpoints, else float16 for checkpoints stored in it, else bfloat16 (one
            line says so). `Line.resolutions` says how much of the delta each keeps.
        ends_device: where the checkpoints lie; None, the default, puts each tensor where the live model has it. "cpu"
            leaves them in the host's memory (in memory-mapped files, which are read when needed),
            and each point streams into the live model tensor by tensor: for models that do not fit several times.
        device_map: spreads the live model over several devices, instead of `device`: "auto", or {module: device} as in
            transformers. Each tensor is mixed where its checkpoints lie; what accelerate offloads to the host is mixed
            there.
    """

    device: str
    dtype: str
    ends_device: str | None
    device_map: str | Mapping[str, Any] | None


def checked_options(options: DeviceOptions, call: str) -> DeviceOptions:
    """The options, if there are no others among them.

    Example:
        >>> checked_options({"devise": "cpu"}, "Line")
        Traceback (most recent call last):
            ...
        TypeError: Line(devise): no such argument.
        Besides its own it takes: device, dtype, ends_device, device_map.
    """
    known = DeviceOptions.__annotations__
    if odd := [key for key in options if key not in known]:
        raise TypeError(f"{call}({odd[0]}): no such argument.\nBesides its own it takes: {', '.join(known)}.")
    return options


def writable_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """{name: the memory of each parameter and float buffer of a live model}, to be written to in place.

    What accelerate offloaded to the host's memory is taken from there; a `CheckpointError` for what is on disk. Tied
    parameters are one, under their first name.
    """
    named = {name: tensor for name, tensor in named_tensors(model).items() if tensor.is_floating_point()}
    if not any(hasattr(module, "_hf_hook") for module in model.modules()):
        return named
    held = {name: _offloaded(model, name, tensor) if tensor.is_meta else tensor for name, tensor in named.items()}
    tensors = {name: tensor for name, tensor in held.items() if tensor is not None}
    if lost := sorted(held.keys() - tensors):
        raise CheckpointError(
            f"writable_tensors(model): {len(lost)} of {len(held)} tensors are offloaded to disk.\n"
            f"They cannot be mixed in place: {', '.join(lost[:3])}.\n"
            'Leave "disk" out of the device_map: a path needs the live model in memory.'
        )
    first: dict[int, str] = {}  # offloading parts ties, but not the memory behind them
    return {name: t for name, t in tensors.items() if t.is_meta or first.setdefault(t.data_ptr(), name) == name}


def _offloaded(model: nn.Module, name: str, tensor: torch.Tensor) -> torch.Tensor | None:
    """Where accelerate's hook keeps a parameter that is on the meta device between two uses; None if on disk."""
    path = name.split(".")
    for depth in range(len(path) - 1, -1, -1):
        hook = getattr(model.get_submodule(".".join(path[:depth])), "_hf_hook", None)
        for one in getattr(hook, "hooks", [hook]):
            weights, key = getattr(one, "weights_map", None), ".".join(path[depth:])
            if weights is not None and key in weights:
                kept = weights[key]
                return kept if kept.data_ptr() == weights[key].data_ptr() else None  # from disk: made anew
    return tensor  # no hook moves it


def spread(model: Any, device_map: str | Mapping[str, Any]) -> Any:
    """Spread a live model over devices, in place, by accelerate: its hooks move the activations.

    The device_map is {module's name: device}, or "auto" for as much as fits on each device, as transformers has it. The
    disk, a module without a device and embeddings on the host are refused.
    """
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    if device_map == "auto":
        whole = list(model._no_split_modules or [])
        memory = get_balanced_memory(model, no_split_module_classes=whole)
        device_map = infer_auto_device_map(model, memory, no_split_module_classes=whole)
    if not isinstance(device_map, Mapping):
        raise CheckpointError(f'spread(device_map={device_map!r}): expected "auto" or {{module: device}}.')
    if names := [name for name, device in device_map.items() if device == "disk"]:
        raise CheckpointError(
            f"spread(device_map): the disk is to hold {len(names)} of its modules: {', '.join(names[:3])}.\n"
            "A path writes to every weight at every point: the live model needs the memory of the devices and the host."
        )
    for device in device_map.values():
        pick_device(f"cuda:{device}" if isinstance(device, int) else device)
    within = [f"{name}." if name else "" for name in device_map]
    if left := [name for name, _ in model.named_parameters() if not f"{name}.".startswith(tuple(within))]:
        raise CheckpointError(
            f"spread(device_map): no device for {len(left)} of its tensors: {', '.join(left[:3])}.\n"
            'Name all modules, or give {"": device} for what is whole on one.'
        )
    with quiet():
        dispatch_model(model, dict(device_map), force_hooks=True)
    first, parameter = next(model.named_parameters())
    if writable_tensors(model)[first].device != parameter.device:
        raise CheckpointError(
            f"spread(device_map): {first} is offloaded to the host.\nName a device for its module: the tokens go there."
        )
    return model


def pick_dtype(device: torch.device, held: int, n_parameters: int, stored: Collection[str]) -> tuple[str, str]:
    """The dtype of a live model where "auto" was asked for, and why it is not float32; see `DeviceOptions`.

    Args:
        device: where the live model goes.
        held: bytes that the checkpoints will hold on that device.
        n_parameters: of the live model.
        stored: the dtypes that the checkpoints are stored in.

    Example:
        >>> pick_dtype(torch.device("cpu"), 0, 10**12, {"bfloat16"})
        ('float32', '')
    """
    if device.type != "cuda":
        return "float32", ""
    need, free = held + 4 * n_parameters, torch.cuda.mem_get_info(device)[0]
    if need <= ROOM * free:
        return "float32", ""
    kind = "float16" if set(stored) == {"float16"} else "bfloat16"
    return kind, (
        f"live model in {kind}: in float32 it and its checkpoints would need {need / 2**30:.1f} of the "
        f"{free / 2**30:.1f} GiB that are free on {device}"
    )


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name, if this machine has it; "auto" takes cuda, then mps, then cpu."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kinds = ["cuda"] * bool(cards) + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if str(name) == "auto":
        return torch.device(kinds[0])
    try:
        device: torch.device | None = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in (*kinds, "meta") or device.type == "cuda" and (device.index or 0) >= cards:
        raise LerpError(
            f"pick_device({str(name)!r}): no such device on this machine.\n"
            f'It has: {", ".join(kinds)}. Name one of them, or give "auto" for the first.'
        )
    return device
