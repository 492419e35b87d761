"""Distance from a model, in weight space: how far a path has gone."""

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.devices import writable_tensors
from lerpnb.checkpoints.vectors import dot_by_rows
from lerpnb.errors import ProbeError
from lerpnb.results.measurement import Measurement

NAME = "distance/base"


class WeightDistance:
    """Euclidean distance |theta - theta_base| over all parameters and float buffers, without unit.

    NaN for a model that is no point of the base's weight space, such as an `Ensemble`. Tied parameters count once.

    Args:
        base: what the distance is from; left out, the base of the path that is measured.

    Raises:
        ProbeError: when measured, neither a base named nor one of the path.

    Example:
        >>> import copy
        >>> model = tiny_llama()
        >>> probe = WeightDistance(Checkpoint.from_model(copy.deepcopy(model)))
        >>> _ = model.model.norm.weight.data.add_(0.5)  # of 8 numbers: sqrt(8 * 0.25)
        >>> round(probe.measure(model, None)["distance/base"].value(), 6)
        1.414214
    """

    name = NAME

    def __init__(self, base: Checkpoint | None = None):
        self.base = base

    def prepare(self, base: Checkpoint | None) -> "WeightDistance":
        """This probe, or where no base was named a copy that takes the path's; `evaluate` calls it."""
        if self.base is not None:
            return self
        if base is None:
            raise ProbeError("WeightDistance(base): none was named, and the path has none.\nPass base=... to the path.")
        return WeightDistance(base)

    def identity(self) -> dict:
        return {"probe": "distance", "base": self.base.sha256 if self.base else None}

    @torch.inference_mode()
    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> dict[str, Measurement]:
        live, total = writable_tensors(model), 0.0
        if self.base is None or live.keys() != self.base.weights.keys():
            return {NAME: Measurement(np.array([np.nan]), items="values", kind="distance")}
        for name, tensor in live.items():
            gap = tensor.float() - self.base.tensors[name].to(tensor.device)
            total += dot_by_rows(gap, gap)
        return {NAME: Measurement(np.array([total**0.5]), items="values", kind="distance")}
