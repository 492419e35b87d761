"""Memory: models that share tensors, and parameters that are tied."""

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

HALVES = (torch.float16, torch.bfloat16)
# Wrappers that trainers put on an instance; a copied one would still call the model that it was copied from.
WRAPPERS = ("forward", "_old_forward", "_original_forward", "_hf_hook")


def shared_copy(model: nn.Module, dtype: torch.dtype | None = torch.float32) -> Any:
    """A frozen copy of a model, in eval mode, whose tensors are the model's own wherever the dtype agrees.

    None keeps float32, bfloat16 and float16 as they are, and makes float32 of other floats.

    Tied parameters stay tied; configurations are copied; hooks that trainers leave on an instance are dropped.
    Parameters (and float16 or bfloat16 buffers) of another dtype become copies. The model is not changed.
    """
    memo: dict[int, torch.Tensor] = {}
    for p in model.parameters():
        kept = p.dtype if p.dtype in HALVES or not p.is_floating_point() else torch.float32
        to = dtype if dtype and p.is_floating_point() else kept
        memo[id(p)] = nn.Parameter(p.detach().to(to), requires_grad=False)
    for buffer in model.buffers():
        data = buffer.detach()
        memo[id(buffer)] = data.float() if data.dtype in HALVES else data
    shared = copy.deepcopy(model, memo).eval()
    for module in shared.modules():
        for wrapper in WRAPPERS:
            module.__dict__.pop(wrapper, None)
    return shared


def same_storage(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are the same view of the same memory."""
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


def move(model: nn.Module, where: Mapping[str, torch.device], moved: dict) -> nn.Module:
    """A copy of a frozen model with each tensor on the device that `where` has for its name, else the CPU.

    A tensor stays the model's own where it is there already. `moved` remembers the others by their memory, so that
    models that share tensors still do when they are moved with one dict.
    """

    def there(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return move_tensor(tensor.detach(), where.get(name, torch.device("cpu")), moved)

    memo: dict[int, torch.Tensor] = {
        id(p): nn.Parameter(there(name, p), requires_grad=False) for name, p in model.named_parameters()
    }
    return copy.deepcopy(model, memo | {id(buffer): there(name, buffer) for name, buffer in model.named_buffers()})


def is_on(tensor: torch.Tensor, device: torch.device) -> bool:
    """Whether a tensor lies on a device; one without a number is any of its kind."""
    return tensor.device.type == device.type and device.index in (None, tensor.device.index)


def move_tensor(tensor: torch.Tensor, device: torch.device, moved: dict) -> torch.Tensor:
    """The tensor on a device, moved once for all tensors on its memory; `moved` remembers."""
    if is_on(tensor, device):
        return tensor
    key = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, str(device)
    if key not in moved:
        moved[key] = tensor, tensor.to(device)  # with the first one, else its memory could be another's by then
    return moved[key][1]


def named_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Each parameter once under its first name, detached (`.data` would count writes apart), then each buffer."""
    return {name: p.detach() for name, p in model.named_parameters()} | dict(model.named_buffers())


def ties(model: nn.Module) -> dict[str, str]:
    """Which parameter names are aliases: {alias: the first name of the same parameter}."""
    first: dict[int, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: known for name, parameter in named if (known := first.setdefault(id(parameter), name)) != name}


def untie(model: nn.Module, among: Collection[nn.Parameter] | None = None) -> None:
    """Give every alias (of those `among`) a parameter of its own, on the storage that it shared. Undone by `retie`."""
    seen: set[int] = set()
    for module in model.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in seen and (among is None or parameter in among):
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


def admit_untied(model: Any) -> None:
    """Let the configuration say so where nothing is tied, else a reload would tie it."""
    if getattr(model.config, "tie_word_embeddings", False) and not ties(model):
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}
