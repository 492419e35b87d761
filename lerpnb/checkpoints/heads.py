"""Heads: a pre-trained encoder has none, and takes a classifier's to be mixed with it."""

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata


def with_head(checkpoint: Checkpoint, of: Checkpoint) -> Checkpoint:
    """What `Checkpoint.with_head` returns."""
    shared = shared_copy(of.model)
    bodies = [_tensors(model.base_model) for model in (checkpoint.model, shared)]
    check = CompatibilityCheck(f"Checkpoint({checkpoint.name!r}).with_head({of.name!r})", "body", "head's")
    check.architectures(checkpoint.body, of.body)
    sizes = [getattr(end.config.get_text_config(), "vocab_size", 0) for end in (checkpoint, of)]
    check.shapes([{name: tuple(tensor.shape) for name, tensor in body.items()} for body in bodies], sizes)
    check.configs(checkpoint.config, of.config)
    for name, tensor in bodies[1].items():
        tensor.data = bodies[0][name].detach()
    shapes = {name: tuple(tensor.shape) for name, tensor in shared.named_parameters()}
    metadata = CheckpointMetadata(checkpoint.name, None, shared.config, shapes, checkpoint.stored_dtypes)
    return Checkpoint(metadata, shared, checkpoint.tokenizer or of.tokenizer)


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Each parameter once under its first name, and each buffer."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
