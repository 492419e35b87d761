"""LoRA: a PEFT adapter as low-rank weights on a base that is not touched; dense where it is anything else."""

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lerpnb.assets import read_json
from lerpnb.checkpoints.compatibility import refuse_not_finite
from lerpnb.checkpoints.memory import HALVES, admit_untied, move_tensor, retie, shared_copy, untie
from lerpnb.checkpoints.metadata import MERGE_FIRST, NAME_BASE, CheckpointMetadata
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError
from lerpnb.utils.coordinates import LARGEST
from lerpnb.utils.text import few


@dataclass(frozen=True, eq=False)
class LowRank:
    """A weight as its base's tensor and the factors of a LoRA: base + scaling * up @ down (arXiv 2106.09685).

    Attributes:
        base: the base's own tensor, as it is stored; (out, in), or (in, out) where transposed.
        up: (out, rank) float32, peft's B.
        down: (rank, in) float32, peft's A.
        scaling: what up @ down is multiplied by, without unit; peft's alpha / rank, or alpha / sqrt(rank) (rsLoRA).
        transposed: whether the product is transposed before it is added: Conv1D and Embedding.

    Example:
        >>> one = torch.ones(2, 1)
        >>> LowRank(torch.zeros(2, 2), one, one.T, 0.5).tensor()
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """

    base: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor
    scaling: float
    transposed: bool = False

    @property
    def shape(self) -> torch.Size:
        return self.base.shape

    @property
    def device(self) -> torch.device:
        return self.base.device

    def numel(self) -> int:
        return self.base.numel()

    @torch.no_grad()
    def tensor(self, out: torch.Tensor | None = None, scratch: torch.Tensor | None = None) -> torch.Tensor:
        """The dense float32 tensor, bit for bit what peft's merge into a float32 base gives; in `out`, if given.

        `scratch` is a flat tensor of numel() numbers or more, used where transposed; None takes new memory.
        """
        out = torch.empty_like(self.base, dtype=torch.float32) if out is None else out
        if self.transposed:  # peft multiplies first and transposes then: another order may round otherwise
            product = scratch[: self.numel()].view(self.base.T.shape) if scratch is not None else None
            torch.mul(torch.mm(self.up, self.down, out=product).T, self.scaling, out=out)
        else:
            torch.mm(self.up, self.down, out=out).mul_(self.scaling)
        return out.add_(self.base)

    def is_bounded(self) -> bool:
        """Whether the dense tensor is finite where the base is, seen without making it."""
        up, down = (float(factor.abs().max()) for factor in (self.up, self.down))
        return abs(self.scaling) * len(self.down) * up * down < LARGEST / 2

    def to(self, device: torch.device, moved: dict | None = None) -> "LowRank":
        """The same on another device; for `moved` see `memory.move`."""
        moved = {} if moved is None else moved
        base, up, down = (move_tensor(tensor, device, moved) for tensor in (self.base, self.up, self.down))
        return replace(self, base=base, up=up, down=down)


Weight = torch.Tensor | LowRank


def dense(weight: Weight) -> torch.Tensor:
    """The weight as a dense tensor: itself as it is stored, or made anew of a low-rank one, in float32."""
    return weight.tensor() if isinstance(weight, LowRank) else weight


def base_of(weight: Weight) -> torch.Tensor:
    """The tensor that a low-rank weight changes; a dense weight itself."""
    return weight.base if isinstance(weight, LowRank) else weight


class DenseView(Mapping[str, torch.Tensor]):
    """Weights by name as dense tensors of one dtype; what is not held so is made anew each time, and not kept.

    None leaves dense weights in the dtype that they are stored in.
    """

    def __init__(self, weights: Mapping[str, Weight], dtype: torch.dtype | None = torch.float32):
        self._weights, self._dtype = weights, dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        return dense(self._weights[name]).to(self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def under_empty_head(base: Any, metadata: CheckpointMetadata) -> Any:
    """The base as an adapter needs it: a bare encoder gets an empty head where the adapter is a classifier's.

    The head is zeros, so that to the base alone all labels are equally likely; peft puts the adapter's in place. The
    labels are those of the configuration in the adapter's folder. The base's tensors are shared.
    """
    if read_json(metadata.files / "adapter_config.json").get("task_type") != "SEQ_CLS" or base.base_model is not base:
        return base
    from transformers import AutoConfig, AutoModelForSequenceClassification

    if (metadata.files / "config.json").is_file():
        config = load_pretrained(AutoConfig, metadata.files, f"Checkpoint.load({metadata.name!r})")
    else:
        config = copy.deepcopy(base.config)
        heads = [shape[0] for name, shape in metadata.shapes.items() if re.search(r"(classifier|score)\.weight$", name)]
        config.num_labels = heads[0] if heads else config.num_labels
    with quiet(), torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32, trust_remote_code=False)
    setattr(model, model.base_model_prefix, shared_copy(base, None))
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            place, _, key = name.rpartition(".")
            zeros = nn.Parameter(torch.zeros_like(parameter, device=_device(base)), requires_grad=False)
            setattr(model.get_submodule(place), key, zeros)
    return model.eval()


def add_adapter(base: Any, folder: Path, call: str) -> tuple[nn.Module, dict[str, LowRank]]:
    """The base with an adapter on it: a model, and the low-rank weights that it does not hold.

    Plain LoRA on Linear, Conv1D and Embedding layers (rank and alpha patterns and rsLoRA included) stays low-rank: the
    model has the base's own tensor there. All else (DoRA, trained biases, modules_to_save) is peft's own dense `merge`.
    A tensor that the adapter leaves alone is the base's own storage.

    Returns:
        The model, and {parameter's name: the low-rank weight that stands there in truth}.

    Raises:
        CheckpointError: the adapter's tensors do not fit the base, or peft cannot merge it.
    """
    from peft import PeftConfig, PeftModel

    shared = shared_copy(base, None)
    untie(shared)  # else a delta on the embedding would reach the head too, twice where both have one
    halves = [(p, p.data) for p in shared.parameters() if p.dtype in HALVES]
    for parameter, data in halves:  # peft rounds factors to the dtype of their layer: float32 without memory meanwhile
        parameter.data = torch.zeros((), device=data.device).expand(data.shape)
    try:
        with quiet():
            config = PeftConfig.from_pretrained(str(folder))
            config.inference_mode = True
            _refuse_other_layers(config, base, call)
            # Empty factors, so that neither memory nor the global random state is spent on values to be replaced.
            wrapped = PeftModel(shared, config, low_cpu_mem_usage=True)
            device = str(_device(base))
            loaded = wrapped.load_adapter(str(folder), "default", torch_device=device, low_cpu_mem_usage=True)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        raise _misfit(call, _reasons(error)) from error
    for parameter, data in halves:
        parameter.data = data
    odd = [f"{_plain(key)}: not in the adapter" for key in loaded.missing_keys]
    odd += [f"{_plain(key)}: not in the base" for key in loaded.unexpected_keys]
    if odd:
        raise _misfit(call, odd)
    return merge(wrapped, call)


def merge(wrapped: Any, call: str) -> tuple[nn.Module, dict[str, LowRank]]:
    """What `add_adapter` returns, of a PeftModel whose tensors are another's: its active adapters; ties stay."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    refuse_not_finite({_plain(name): parameter for name, parameter in wrapped.named_parameters()}, call)
    taken = _take_plain_lora(wrapped)
    tuned: list[Any] = [x for x in wrapped.modules() if isinstance(x, (BaseTunerLayer, AuxiliaryTrainingWrapper))]
    for parameter in (parameter for layer in tuned for parameter in layer.parameters()):
        parameter.data = parameter.data.float()  # what was stored in bfloat16 would round what is merged into it
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


def _take_plain_lora(wrapped: Any) -> dict[nn.Module, LowRank]:
    """Put the bare layer back wherever one plain LoRA is on it: {that layer: its weight with the LoRA}."""
    from peft.tuners.lora import Embedding, Linear

    named = wrapped.named_modules(remove_duplicate=False)
    places = [(name, layer) for name, layer in named if type(layer) in (Linear, Embedding)]
    times = Counter(id(layer) for _, layer in places)
    taken = {}
    for name, layer in places:
        bare, low = layer.base_layer, _plain_lora(layer)
        if low is not None and times[id(layer)] == 1:
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
    known = type(layer.base_layer) in (nn.Linear, nn.Embedding, Conv1D)
    if not known or name in layer.lora_variant or layer.lora_bias[name]:
        return None
    if is_embedding:
        up, down = layer.lora_embedding_B[name], layer.lora_embedding_A[name]
    else:
        up, down = layer.lora_B[name].weight, layer.lora_A[name].weight
    base, transposed = layer.base_layer.weight.detach(), is_embedding or layer.fan_in_fan_out
    return LowRank(base, up.detach().float(), down.detach().float(), layer.scaling[name], transposed)


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
