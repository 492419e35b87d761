"""A live model that borrows its tensors: the same structure, the same storage, another module."""

import contextlib
import copy
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from .errors import CheckpointError, LerpError

# Wrappers that trainers put on an instance; a copied one would still call the model that it was copied from.
WRAPPERS = ("forward", "_old_forward", "_original_forward", "_hf_hook")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars, load reports and warnings of transformers and peft for a while."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def borrow(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A frozen twin of a model, in eval mode, whose tensors are the model's own wherever the dtype agrees.

    Tied parameters stay tied; configurations are copied; hooks that trainers leave on an instance are dropped.
    Parameters (and float16 or bfloat16 buffers) of another dtype become copies. The model is not changed.
    """
    memo: dict[int, torch.Tensor] = {}
    for parameter in model.parameters():
        data = parameter.detach()
        data = data.to(dtype) if data.is_floating_point() else data
        memo[id(parameter)] = nn.Parameter(data, requires_grad=False)
    for buffer in model.buffers():
        data = buffer.detach()
        memo[id(buffer)] = data.float() if data.dtype in (torch.float16, torch.bfloat16) else data
    twin = copy.deepcopy(model, memo).eval()
    for module in twin.modules():
        for wrapper in WRAPPERS:
            module.__dict__.pop(wrapper, None)
    return twin


def move(model: nn.Module, where: Callable[[str], torch.device], moved: dict) -> nn.Module:
    """A twin of a frozen float32 model with each tensor on the device that `where` has for its name.

    A tensor stays the model's own where it is there already. `moved` remembers the others by their memory, so that
    models that share tensors still do when they are moved with one dict.
    """
    memo = {
        id(parameter): nn.Parameter(move_tensor(parameter.detach(), where(name), moved), requires_grad=False)
        for name, parameter in model.named_parameters()
    }
    memo |= {id(buffer): move_tensor(buffer, where(name), moved) for name, buffer in model.named_buffers()}
    return copy.deepcopy(model, memo)


def move_tensor(tensor: torch.Tensor, device: torch.device, moved: dict) -> torch.Tensor:
    """The tensor on a device, moved once for all tensors on its memory; `moved` remembers."""
    if tensor.device.type == device.type and device.index in (None, tensor.device.index):
        return tensor
    key = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, str(device)
    if key not in moved:
        moved[key] = tensor, tensor.to(device)  # with the first one, else its memory could be another's by then
    return moved[key][1]


def ties(model: nn.Module) -> dict[str, str]:
    """Which parameter names are aliases: {alias: the first name of the same parameter}."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: known for name, parameter in named if (known := first.setdefault(id(parameter), name)) != name}


def untie(model: nn.Module) -> None:
    """Give every alias a parameter of its own, on the storage that it shared. Undone by `retie`."""
    seen: set[int] = set()
    for module in model.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in seen:
                module._parameters[key] = nn.Parameter(parameter.detach(), requires_grad=False)
            seen.add(id(parameter))


def retie(model: nn.Module, apart: Collection[int] = ()) -> None:
    """Make parameters on one storage one parameter again, but for those whose ids are in `apart`."""
    first: dict[tuple, nn.Parameter] = {}
    for module in model.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and parameter.numel() and not parameter.is_meta and id(parameter) not in apart:
                where = (parameter.data_ptr(), parameter.shape, parameter.stride())
                module._parameters[key] = first.setdefault(where, parameter)


def admit_untied(model: nn.Module) -> None:
    """Let the configuration say so where nothing is tied, else a reload would tie it."""
    if getattr(model.config, "tie_word_embeddings", False) and not ties(model):
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}


def places(model: nn.Module) -> dict[str, torch.Tensor]:
    """{name: the memory of each parameter and float buffer of a live model}, to be written to in place.

    What accelerate offloaded to the host's memory is found there. Tied parameters are one, under their first name.

    Raises:
        CheckpointError: a tensor that is on disk or nowhere.
    """
    found = {name: parameter.detach() for name, parameter in model.named_parameters()}  # .data would count writes apart
    found |= {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    if not any(hasattr(module, "_hf_hook") for module in model.modules()):
        return found
    found = {name: _offloaded(model, name, t) if t.is_meta else t for name, t in found.items()}
    lost = sorted(name for name, tensor in found.items() if tensor is None)
    if lost:
        raise CheckpointError(
            f"places(model): {len(lost)} of {len(found)} tensors are offloaded to disk.\n"
            f"They cannot be mixed in place: {', '.join(lost[:3])}.\n"
            'Leave "disk" out of the device_map: a walk needs the live model in memory.'
        )
    first: dict[int, str] = {}  # offloading parts ties, but not the memory behind them
    return {name: t for name, t in found.items() if t.is_meta or first.setdefault(t.data_ptr(), name) == name}


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
    return tensor  # it is there to stay


def spread(model: nn.Module, device_map: str | Mapping[str, Any]) -> nn.Module:
    """Spread a live model over devices, by accelerate: its hooks move the activations.

    Args:
        model: a transformers model in the host's memory; its parameters are moved.
        device_map: {module's name: device}, or "auto" for as much as fits on each device, as transformers has it.

    Raises:
        CheckpointError: no device_map, a module for the disk, one without a device, or the embeddings offloaded.
        LerpError: a device that this machine lacks.
    """
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    if device_map != "auto" and not isinstance(device_map, Mapping):
        raise CheckpointError(f'spread(device_map={device_map!r}): expected "auto" or {{module: device}}.')
    if device_map == "auto":
        whole = list(model._no_split_modules or [])
        memory = get_balanced_memory(model, no_split_module_classes=whole)
        device_map = infer_auto_device_map(model, memory, no_split_module_classes=whole)
    if "disk" in device_map.values():
        names = [name for name, device in device_map.items() if device == "disk"]
        raise CheckpointError(
            f"spread(device_map): the disk is to hold {len(names)} of its modules: {', '.join(names[:3])}.\n"
            "A walk writes to every weight at every point: the live model needs the memory of the devices and the host."
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
    if places(model)[first].device != parameter.device:
        raise CheckpointError(
            f"spread(device_map): {first} is offloaded to the host.\n"
            "Name a device for its module: that is where the tokens go."
        )
    return model


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """The device of that name; "auto" takes cuda, then mps, then cpu.

    Raises:
        LerpError: no such device, or not on this machine.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = ["cuda"] * bool(cards) + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if str(name) == "auto":
        return torch.device(here[0])
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in (*here, "meta") or device.type == "cuda" and (device.index or 0) >= cards:
        raise LerpError(
            f"pick_device({str(name)!r}): no such device on this machine.\n"
            f'It has: {", ".join(here)}. Name one of them, or give "auto" for the first.'
        )
    return device
