"""Heads: a pre-trained encoder has none, and takes a classifier's to be mixed with it."""

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.memory import named_tensors, shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata


def with_head(checkpoint: Checkpoint, of: Checkpoint) -> Checkpoint:
    """What `Checkpoint.with_head` returns."""
    shared = shared_copy(of.model)
    bodies = [named_tensors(model.base_model) for model in (checkpoint.model, shared)]
    check = CompatibilityCheck(f"Checkpoint({checkpoint.name!r}).with_head({of.name!r})", "body", "head's")
    check.architectures(checkpoint.body, of.body)
    sizes = [getattr(end.config.get_text_config(), "vocab_size", 0) for end in (checkpoint, of)]
    check.shapes([{name: tuple(tensor.shape) for name, tensor in body.items()} for body in bodies], sizes)
    check.configs(checkpoint.config, of.config)
    for name, tensor in [*shared.base_model.named_parameters(), *shared.base_model.named_buffers()]:
        tensor.data = bodies[0][name]
    metadata = CheckpointMetadata.of_model(checkpoint.name, shared, checkpoint.stored_dtypes)
    return Checkpoint(metadata, shared, checkpoint.tokenizer or of.tokenizer)
