"""PEFT adapters on a base that is not touched: low-rank weights where it is a plain LoRA, dense else."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lerpnb.checkpoints.compatibility import refuse_not_finite
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.checkpoints.memory import HALVES, admit_untied, retie, shared_copy, untie
from lerpnb.checkpoints.metadata import MERGE_FIRST, NAME_BASE
from lerpnb.checkpoints.patterns import refuse_endless_patterns
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError
from lerpnb.utils.text import few

# Starts of a LoRA that leave the base's weights alone; others may write into them, as OLoRA does.
KEEPING = ("True", "False", "gaussian", "eva", "orthogonal", "mica", "lora_ga")


def add_adapter(base: Any, folder: Path, call: str) -> tuple[nn.Module, dict[str, LowRank]]:
    """The base with an adapter on it: a model, and the low-rank weights that it does not hold.

    Plain LoRA on Linear, Conv1D and Embedding layers (rank and alpha patterns and rsLoRA included) stays low-rank: the
    model has the base's own tensor there. So do PiSSA and OLoRA, see `_started`. All else (DoRA, trained biases,
    modules_to_save, other types than LoRA) is peft's own dense `merge`. A tensor that the adapter leaves alone is the
    base's own storage.

    Returns:
        The model, and {parameter's name: the low-rank weight that stands there in truth}.

    Raises:
        CheckpointError: the adapter's tensors do not fit the base, or peft cannot merge it.
    """
    from peft import PeftConfig

    try:
        with quiet():
            config = PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            refuse_endless_patterns(config, [name for name, _ in base.named_modules()], call)
            _refuse_other_layers(config, base, call)
            wrapped, started, held = _started(base, config, call)
            # low_cpu_mem_usage: what is read replaces a tensor and is not written into it, which is the base's.
            where = str(_device(base))
            loaded = wrapped.load_adapter(str(folder), "default", torch_device=where, low_cpu_mem_usage=True)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise _misfit(call, _reasons(error)) from error
    for parameter in wrapped.parameters():
        if (tensor := held.get(parameter.data_ptr())) is not None:
            parameter.data = tensor[1]
    state = wrapped.state_dict(keep_vars=True)
    read = {id(tensor) for key, tensor in state.items() if key not in loaded.missing_keys}  # one may have many names
    odd = [f"{_plain(key)}: not in the adapter" for key in loaded.missing_keys if id(state[key]) not in read]
    odd += [f"{_plain(key)}: not in the base" for key in loaded.unexpected_keys]
    if odd:
        raise _misfit(call, odd)
    return merge(wrapped, call, started, checked={parameter.data_ptr() for parameter in base.parameters()})


Held = dict[int, tuple[torch.Tensor, torch.Tensor]]  # by the address of a stand-in: it, and what the base has


def _started(base: Any, config: Any, call: str) -> tuple[Any, dict[nn.Module, LowRank], Held]:
    """peft's model before it has read the adapter, {layer: its weight as the adapter's first factors change it}.

    PiSSA and OLoRA start from factors of the weight itself, and take them from it: W - s B0 A0. peft does so again when
    it loads, so theta = W + s (B A - B0 A0), of twice the rank, on the base's own tensor. What else becomes of a
    weight there (KaSA, LoftQ) stays dense, in memory of its own.
    """
    from peft.tuners.lora import Linear

    start = str(getattr(config, "init_lora_weights", None))
    wrapped, changed, held = _injected(base, config, 0)
    if "_niter_" in start:  # iterations from a random place
        again = _injected(base, config, 1)[1]
        if not all(_close(a, b, of) for (a, of), b in zip(changed.items(), again, strict=True)):
            raise CheckpointError(
                f"{call}: an adapter that starts by {start}, of which peft makes another model each time it loads.\n"
                "Save it converted: save_pretrained(folder, path_initial_model_for_weight_conversion=start)."
            )
    started = {}
    for layer in wrapped.modules():
        if type(layer) is Linear and (original := changed.get(layer.base_layer.weight)) is not None:
            first = _plain_lora(layer)
            if first and _close(
                first.tensor(), original.float(), original
            ):  # with its first factors the weight is what it was
                started[layer] = replace(first, base=original, up=-first.up)
    return wrapped, started, held


def _injected(base: Any, config: Any, seed: int) -> tuple[Any, dict[nn.Parameter, torch.Tensor], Held]:
    """peft's model on a shared copy of the base, {parameter that this changed: what it was}, and what it holds in place
    of 16-bit tensors: peft rounds factors to the dtype of their layer, so float32 zeros without memory."""
    from peft import PeftModel

    shared, device, held = shared_copy(base, None), _device(base), Held()
    own = {parameter: parameter.detach() for parameter in shared.parameters()}
    keeps = str(getattr(config, "init_lora_weights", None)) in KEEPING

    def stand_in(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype not in HALVES:
            return tensor
        zeros = torch.zeros((), device=tensor.device).expand(tensor.shape)
        held[zeros.data_ptr()] = zeros, tensor
        return zeros

    for parameter, tensor in own.items():
        parameter.data = stand_in(tensor) if keeps else tensor.clone().float()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        wrapped = PeftModel(shared, config)
    changed = {p: tensor for p, tensor in own.items() if not keeps and not torch.equal(p, tensor.float())}
    for parameter in own.keys() - changed.keys():
        parameter.data = parameter.data if keeps else stand_in(own[parameter])
    untie(wrapped, own)  # else a delta on the embedding would reach the head too, twice where both have one
    return wrapped, changed, held


def _close(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=4e-6 * float(weight.abs().max()))


def merge(
    wrapped: Any,
    call: str,
    started: Mapping[nn.Module, LowRank] | None = None,
    checked: Collection[int] = (),
) -> tuple[nn.Module, dict[str, LowRank]]:
    """What `add_adapter` returns, of a PeftModel whose tensors are another's: its active adapters; ties stay.

    `checked` are the addresses of tensors that were seen to be finite: a base is read once, however many adapters.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    new = {_plain(name): p for name, p in wrapped.named_parameters() if p.data_ptr() not in checked}
    refuse_not_finite(new, call)
    taken = _take_plain_lora(wrapped, started or {})
    tuned: list[Any] = [x for x in wrapped.modules() if isinstance(x, (BaseTunerLayer, AuxiliaryTrainingWrapper))]
    for parameter in (parameter for layer in tuned for parameter in layer.parameters()):
        parameter.data = parameter.data.float()  # what was stored in bfloat16 would round what is merged into it
    for layer in tuned:
        if isinstance(layer, BaseTunerLayer) and hasattr(bare := layer.get_base_layer(), "weight"):
            bare.weight.data = bare.weight.data.clone()  # some types merge into it, such as HiRA
    try:
        with quiet():
            model = wrapped.merge_and_unload(safe_merge=True)  # safe: into a new tensor, never into the base's
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        why = few(_reasons(error))
        raise CheckpointError(f"{call}: peft cannot merge this adapter.\n{why}\n{MERGE_FIRST}") from error
    model.requires_grad_(False)
    low = {f"{name}.weight": taken[module] for name, module in model.named_modules() if module in taken}
    retie(model, apart={id(module.weight) for module in taken})
    admit_untied(model)
    return model.eval(), low


def _take_plain_lora(wrapped: Any, started: Mapping[nn.Module, LowRank]) -> dict[nn.Module, LowRank]:
    """Put the bare layer back wherever one plain LoRA is on it: {that layer: its weight with the LoRA}."""
    from peft.tuners.adalora import SVDLinear
    from peft.tuners.lora import Embedding, Linear

    kinds, named = (Linear, Embedding, SVDLinear), wrapped.named_modules(remove_duplicate=False)
    places = [(name, layer) for name, layer in named if type(layer) in kinds]
    times = Counter(id(layer) for _, layer in places)
    taken = {}
    for name, layer in places:
        bare, low = layer.base_layer, _plain_lora(layer)
        if low is not None and times[id(layer)] == 1:
            if first := started.get(layer):
                bare.weight.data = first.base
                low = replace(first, up=torch.cat([low.up, first.up], 1), down=torch.cat([low.down, first.down]))
            parent, _, key = name.rpartition(".")
            setattr(wrapped.get_submodule(parent), key, bare)
            taken[bare] = low
    return taken


def _plain_lora(layer: Any) -> LowRank | None:
    """The weight of one of peft's layers if one LoRA is active on it, of no variant, with no bias and not merged."""
    from transformers.pytorch_utils import Conv1D

    is_embedding = hasattr(layer.base_layer, "num_embeddings")
    downs = layer.lora_embedding_A if is_embedding else layer.lora_A
    active = [name for name in layer.active_adapters if name in downs]
    if len(active) != 1 or layer.merged or layer.disable_adapters:
        return None
    name = active[0]
    variant = type(layer.lora_variant.get(name)).__name__
    odd = not variant.startswith(("None", "MiCA", "Velora"))  # these two only train otherwise
    if type(layer.base_layer) not in (nn.Linear, nn.Embedding, Conv1D) or odd or layer.lora_bias.get(name):
        return None
    scaling = layer.scaling[name]
    if is_embedding:
        up, down = layer.lora_embedding_B[name], layer.lora_embedding_A[name]
    elif hasattr(layer, "lora_E"):  # AdaLoRA
        up, down = layer.lora_B[name], layer.lora_A[name] * layer.lora_E[name]
        scaling /= float(layer.ranknum[name]) + 1e-5
    else:
        up, down = layer.lora_B[name].weight, layer.lora_A[name].weight
    base, transposed = layer.base_layer.weight.detach(), is_embedding or layer.fan_in_fan_out
    return LowRank(base, up.detach().float(), down.detach().float(), scaling, transposed)


def _refuse_other_layers(config: Any, base: nn.Module, call: str) -> None:
    targets = config.target_modules
    names = [f".{name}" for name, _ in base.named_modules()]
    if not isinstance(targets, str) and targets and not any(n.endswith(f".{t}") for t in targets for n in names):
        raise _misfit(call, [f"{target}: no such layer in the base" for target in sorted(targets)])


def _misfit(call: str, lines: list[str]) -> CheckpointError:
    return CheckpointError(f"{call}: the adapter does not fit its base.\n{few(lines)}\n{NAME_BASE}")


def _plain(name: str) -> str:
    """A tensor's name without what peft wraps around it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".default", "")


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _reasons(error: Exception) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return [_plain(line) for line in lines if "size mismatch" in line] or lines[:1]
