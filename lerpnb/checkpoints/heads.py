"""Heads: what a pre-trained encoder lacks, and borrows from a classifier to be mixed with it."""

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata


def with_head(checkpoint: Checkpoint, of: Checkpoint) -> Checkpoint:
    """A checkpoint's body under another's head: a pre-trained encoder that can be mixed with a classifier made from it.

    The head and the labels are `of`'s, and its head is the very same memory, so no mixture of the two changes it. A
    head that the checkpoint has is left out. Neither of the two is changed.

    Args:
        checkpoint: whose body it is; a body is what transformers calls the base model.
        of: whose head it is.

    Raises:
        MismatchError: bodies of another class, shape, vocabulary or configuration.

    Example:
        >>> from transformers import BertModel
        >>> classifier = tiny_classifier()
        >>> encoder = BertModel(classifier.config)
        >>> both = with_head(Checkpoint.from_model(encoder), Checkpoint.from_model(classifier)).model
        >>> torch.equal(both.bert.pooler.dense.weight, encoder.pooler.dense.weight)
        True
        >>> both.classifier.weight.data_ptr() == classifier.classifier.weight.data_ptr()
        True
    """
    twin = shared_copy(of.model)
    bodies = [_tensors(model.base_model) for model in (checkpoint.model, twin)]
    compare = CompatibilityCheck(f"with_head({checkpoint.name!r}, of={of.name!r})", "the first", "of")
    compare.architectures(checkpoint.body, of.body)
    sizes = tuple(getattr(end.config.get_text_config(), "vocab_size", 0) for end in (checkpoint, of))
    compare.shapes(*({name: tuple(tensor.shape) for name, tensor in body.items()} for body in bodies), sizes)
    compare.configs(checkpoint.config, of.config)
    for name, tensor in bodies[1].items():
        tensor.data = bodies[0][name].detach()
    shapes = {name: tuple(tensor.shape) for name, tensor in twin.named_parameters()}
    header = CheckpointMetadata(checkpoint.name, None, twin.config, shapes, checkpoint.stored_dtypes)
    return Checkpoint(header, twin, checkpoint.tokenizer or of.tokenizer)


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Each parameter once under its first name, and each buffer."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
