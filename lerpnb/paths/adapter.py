"""A point of a path between LoRA adapters as one adapter on their base."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn

from lerpnb.checkpoints.low_rank import LowRank, Weight, dense
from lerpnb.checkpoints.saving import written
from lerpnb.errors import CheckpointError
from lerpnb.paths.combine import combined
from lerpnb.utils.text import few

if TYPE_CHECKING:
    from lerpnb.paths.base import BasePath

TASKS = {"ForCausalLM": "CAUSAL_LM", "LMHeadModel": "CAUSAL_LM", "ForConditionalGeneration": "SEQ_2_SEQ_LM"}


def save_adapter(
    path: "BasePath", point: Any, to: str | Path, dtype: torch.dtype | None, overwrite: bool, card: str
) -> Path:
    """Write a point as a PEFT adapter: sum_i c_i s_i B_i A_i = [c_1 s_1 B_1, c_2 s_2 B_2, ...] @ [A_1; A_2; ...].

    Its scaling is 1 everywhere (lora_alpha is the rank), so that a folder says by itself what it adds.
    """
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    to = Path(to).expanduser()
    low = _low_rank(path, point, f"{type(path).__name__}.save(as_adapter)")
    layers = {name: path.model.get_submodule(name) for name in low}
    ranks = {name: len(weight.down) for name, weight in low.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    others = {name: other for name, other in ranks.items() if other != rank}
    config = LoraConfig(
        task_type=next((task for end, task in TASKS.items() if type(path.model).__name__.endswith(end)), None),
        base_model_name_or_path=path.base.name if path.base and path.base.folder else None,
        target_modules=list(low),
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
        inference_mode=True,
        r=rank,
        lora_alpha=rank,
        rank_pattern=others,
        alpha_pattern=dict(others),
    )
    factors: dict[str, torch.Tensor] = {}
    for name, weight in low.items():
        embedding = isinstance(layers[name], nn.Embedding)
        down, up = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
        factors |= {f"{name}.{down}": weight.down, f"{name}.{up}": weight.scaling * weight.up}
    stored = {
        f"base_model.model.{name}": f.to("cpu", dtype or torch.float32).contiguous() for name, f in factors.items()
    }
    with written(to, "adapter_config.json", overwrite, f"save_adapter(to={str(to)!r})") as work:
        config.save_pretrained(str(work))
        save_file(stored, work / "adapter_model.safetensors", {"format": "pt"})
        (work / "README.md").write_text(card, encoding="utf-8")
    return to


def _low_rank(path: "BasePath", point: Any, call: str) -> dict[str, LowRank]:
    """{layer: its weight at the point}, wherever that is not the base's own.

    Raises:
        CheckpointError: no base, a change of it that is not low-rank, or none at all.
    """
    if path.base is None or not path._is_sum:
        raise CheckpointError(
            f"{call}: the point is no sum of LoRA adapters on one base.\nWrite the whole model: leave as_adapter out."
        )
    base, coefficients = path.base, path.coefficients(point)
    ends, odd = [end.weights for end in path.checkpoints.values()], []
    low: dict[str, LowRank] = {}
    for name in ends[0]:
        of_it = coefficients(name) if callable(coefficients) else coefficients
        weights = [end[name] for end in ends]
        held = [weight.base if isinstance(weight, LowRank) else weight for weight in weights]
        own = dense(base.weights[base.tied.get(name, name)])
        weight: Weight = own
        if all(tensor.data_ptr() == own.data_ptr() for tensor in held):
            weight = combined(weights, of_it)
        if isinstance(weight, LowRank):
            low[name.removesuffix(".weight")] = weight
        elif any(tensor.data_ptr() != own.data_ptr() for tensor in (*held, weight)):
            odd.append(name)
    if odd:
        raise CheckpointError(
            f"{call}: {len(odd)} of {len(ends[0])} tensors are no low-rank change of the base's.\n{few(odd)}\n"
            "Whole models, DoRA, trained biases and modules_to_save have no such form: leave as_adapter out."
        )
    if not low:
        raise CheckpointError(f"{call}: the point is the base itself, to which nothing is added.")
    return low
