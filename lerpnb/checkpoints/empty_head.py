"""The empty head that an adapter of a classifier needs on a base that has none."""

import copy
import re
from collections.abc import Collection
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from lerpnb.assets import read_json
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError
from lerpnb.utils.text import few

LABELS = ("id2label", "label2id", "problem_type")
HEAD = re.compile(r"(^|\.)(classifier|score|out_proj)\.weight$")


def under_empty_head(base: Any, metadata: CheckpointMetadata) -> Any:
    """The base as an adapter needs it: under an empty head where the adapter is a classifier's, and the base is none.

    The head is zeros, so that to the base alone all labels are equally likely; peft puts the adapter's in place. The
    labels are those of the configuration in the adapter's folder. The base's tensors are shared.

    Raises:
        CheckpointError: the adapter lacks a tensor that the base lacks too, which peft would make up at random.
    """
    if not _is_classifier(metadata):
        return base
    from transformers import AutoConfig, AutoModelForSequenceClassification

    call, config = f"Checkpoint.load({metadata.name!r})", copy.deepcopy(base.config)
    heads = [shape[0] for name, shape in metadata.shapes.items() if HEAD.search(name)]
    if (metadata.files / "config.json").is_file():
        config = load_pretrained(AutoConfig, metadata.files, call)
    elif heads:
        config.num_labels = heads[-1]  # peft keeps no names of labels
    if "SequenceClassification" in type(base).__name__ and config.num_labels == base.config.num_labels:
        if all(getattr(config, name) == getattr(base.config, name) for name in LABELS):
            return base
        named = shared_copy(base, None)
        named.config = copy.deepcopy(base.config)
        named.config.update({name: getattr(config, name) for name in LABELS})
        return named
    with quiet(), torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32, trust_remote_code=False)
    body = shared_copy(base.base_model, None)
    for name, part in model.base_model.named_children():
        if getattr(body, name, None) is None:  # a language model's body has no pooler, which its files may hold
            setattr(body, name, part)
    setattr(model, model.base_model_prefix, body)
    missing = {name: parameter for name, parameter in model.named_parameters() if parameter.is_meta}
    of_adapter = {name.removeprefix("base_model.model.") for name in metadata.shapes}
    of_base = _stored(metadata.base, missing.keys() - of_adapter)
    if absent := sorted(missing.keys() - of_adapter - of_base.keys()):
        raise CheckpointError(
            f"{call}: tensors that would be made up at random, as neither the adapter's files nor its base's have them."
            f"\n{few(absent)}\nTrain it with modules_to_save, or pass base=...: the classifier that it was trained on."
        )
    for name, parameter in missing.items():
        place, _, key = name.rpartition(".")
        tensor = of_base.get(name, torch.zeros(parameter.shape)).to(base.device)
        setattr(model.get_submodule(place), key, nn.Parameter(tensor, requires_grad=False))
    return model.eval()


def _is_classifier(metadata: CheckpointMetadata) -> bool:
    """Whether an adapter is a sequence classifier's: by its task, or where it names none by its files."""
    if task := read_json(metadata.files / "adapter_config.json").get("task_type"):
        return task == "SEQ_CLS"
    return any(re.match(r"base_model\.model\.(classifier|score)\.", n) for n in metadata.shapes)


def _stored(metadata: CheckpointMetadata | None, names: Collection[str]) -> dict[str, torch.Tensor]:
    """Those of the tensors that a checkpoint's files have, in float32."""
    found: dict[str, torch.Tensor] = {}
    for file in metadata.files.glob("*.safetensors") if metadata and metadata.folder else ():
        with safe_open(file, "pt") as opened:
            found |= {name: opened.get_tensor(name).float() for name in opened.keys() if name in names}
    return found
