"""Ensembles: models that run side by side and are combined in what they predict, as paths beside those of weights."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import CheckpointError
from lerpnb.paths.base import DTYPES, ScalarPath
from lerpnb.paths.mixer import Mixer


class EnsembleModel(nn.Module):
    """Several causal language models that answer as one: what `Ensemble.at` returns.

    It has what `sample` and the probes need of a model: `config`, `generation_config`, `device`, and a forward with a
    cache. With `use_cache=True`, which is how texts are sampled, it returns only the last token's logits.

    Attributes:
        combine: from each model's logits, (rows, tokens, vocabulary) float32, and whether texts are sampled, to one.
        truncates: whether `combine` cuts a nucleus when texts are sampled; the sampler then cuts no other.
    """

    def __init__(self, models: Sequence[Any], truncates: bool):
        super().__init__()
        self.models, self.truncates = nn.ModuleList(models), truncates
        self.config, self.generation_config = models[0].config, getattr(models[0], "generation_config", None)
        self.combine: Callable[[list[Tensor], bool], Tensor]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def get_output_embeddings(self) -> None:
        """None: there is no head whose input is one hidden state."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
    ) -> CausalLMOutputWithPast:
        caches = [None] * len(self.models) if past_key_values is None else past_key_values.caches
        outputs = [
            model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=use_cache)
            for model, cache in zip(self.models, caches, strict=True)
        ]
        logits = [(output.logits[:, -1:] if use_cache else output.logits).float() for output in outputs]
        cache: Any = EnsembleCache([output.past_key_values for output in outputs]) if use_cache else None
        return CausalLMOutputWithPast(logits=self.combine(logits, bool(use_cache)), past_key_values=cache)


class EnsembleCache:
    """The key-value caches of all models, kept in step."""

    def __init__(self, caches: list[Any]):
        self.caches = caches

    def reorder_cache(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""
        for cache in self.caches:
            cache.reorder_cache(rows)


class Ensemble(ScalarPath):
    """A path in what models predict, not in their weights: all of them are held and run at every token.

    `evaluate`, `compare_paths`, `sample` and the probes of losses and texts take it like a `Line`. It is no point of
    weight space: `WeightDistance` is NaN there, and `save` is an error. A subclass says how logits are combined.
    """

    truncates = False  # whether it cuts a nucleus of its own

    @abstractmethod
    def combined(self, point: float, logits: list[Tensor], sampling: bool) -> Tensor:
        """The ensemble's logits, (rows, tokens, vocabulary) float32, from each checkpoint's; of the last token alone
        where texts are sampled."""

    def _new_model(self, device: torch.device | str) -> nn.Module:
        def model(end: Checkpoint) -> nn.Module:
            return end.model if self.dtype == "float32" else end.new_model(device, DTYPES[self.dtype])

        return EnsembleModel([model(end) for end in self.checkpoints.values()], self.truncates)

    def _new_mixer(self, model: nn.Module) -> None:
        return None

    def _put(self, model: EnsembleModel, mixer: Mixer | None, point: float) -> None:
        model.combine = lambda logits, sampling: self.combined(point, logits, sampling)

    def save(self, point: float, to: str | Path, **options: Any) -> Path:
        """Raise a CheckpointError: an ensemble is several models."""
        what = f"an ensemble is {len(self.checkpoints)} models, not one"
        way_out = "A Line between the same checkpoints can be saved."
        raise CheckpointError(f"{type(self).__name__}.save({self.coordinate}): {what}.\n{way_out}")
