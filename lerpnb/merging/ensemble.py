"""Ensembles: models that run side by side and are combined in what they predict, as paths beside those of weights."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.errors import AlphaError, CheckpointError
from lerpnb.generation.noise import WIDTHS
from lerpnb.paths.base import DTYPES, ScalarPath
from lerpnb.paths.mixer import Mixer
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import show


class EnsembleModel(nn.Module):
    """Several causal language models that answer as one: what `Ensemble.at` returns.

    It has what `sample` and the probes need of a model: `config`, `generation_config`, `device`, and a forward with a
    cache. With `use_cache=True`, which is how texts are sampled, it returns only the last token's logits.

    Attributes:
        models: each whole.
        combine: from their logits, (rows, tokens, vocabulary) float32 each, and whether texts are sampled, to one.
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
        return None

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
        """(rows, tokens, vocabulary) logits of the ensemble from those of each checkpoint, float32.

        Args:
            point: the coordinate.
            logits: of each checkpoint, in their order.
            sampling: whether texts are sampled, so that these are the last token's logits alone.
        """

    def _new_model(self, device: torch.device | str) -> nn.Module:
        def model(end: Checkpoint) -> nn.Module:
            return end.model if self.dtype == "float32" else end.new_model(device, DTYPES[self.dtype])

        return EnsembleModel([model(end) for end in self.checkpoints.values()], self.truncates)

    def _new_mixer(self, model: nn.Module) -> None:
        return None

    def _put(self, model: EnsembleModel, mixer: Mixer | None, point: float) -> None:
        model.combine = lambda logits, sampling: self.combined(point, logits, sampling)

    def save(self, point: float, to: str | Path, *, dtype: str | None = None, overwrite: bool = False) -> Path:
        """Raise an error: an ensemble is several models.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(
            f"{type(self).__name__}.save({self.coordinate}): an ensemble is {len(self.checkpoints)} models, not one.\n"
            "A Line between the same checkpoints can be saved."
        )


class DExperts(Ensemble):
    """Logits of a base steered by an expert and an anti-expert (Liu et al., arXiv 2105.03023).

    z = z_base + a (z_plus - z_minus). When texts are sampled, z_base is cut to its nucleus of mass `top_p` first, as
    the paper does, and the sampler cuts no other: at a = 0 the texts are the base's own under that `top_p`. A loss is
    of the whole distribution.

    Args:
        minus, plus, base: anti-expert, expert, and the model that they steer.
        top_p: mass of the base's nucleus, in (0, 1]; the paper's is 0.9.
        device, dtype: as for a `BasePath`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: a top_p out of range.

    Example:
        >>> minus, plus, base = (tiny_llama() for _ in range(3))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> logits = DExperts(minus, plus, base, device="cpu").at(2.0)(ids).logits
        >>> torch.allclose(logits, base(ids).logits + 2 * (plus(ids).logits - minus(ids).logits), atol=1e-5)
        True
    """

    kind, coordinate, landmarks, truncates = "dexperts", "alpha", ((0.0, "base"),), True

    def __init__(
        self,
        minus: ModelSource,
        plus: ModelSource,
        base: ModelSource,
        *,
        top_p: float = 0.9,
        device: str = "auto",
        dtype: str = "float32",
    ):
        self.top_p = number(top_p, "DExperts(top_p)")
        if not 0 < self.top_p <= 1:
            raise AlphaError(f"DExperts(top_p): {show(top_p)}, expected a mass above 0 and at most 1, such as 0.9.")
        super().__init__({"base": base, "minus": minus, "plus": plus}, base, device=device, dtype=dtype)

    def coefficients(self, point: float) -> tuple[float, float, float]:
        """What the logits of base, minus and plus are multiplied by: (1, -alpha, alpha)."""
        point = number(point, "DExperts.coefficients(alpha)")
        return 1.0, 0.0 - point, point

    def combined(self, point: float, logits: list[Tensor], sampling: bool) -> Tensor:
        base, minus, plus = logits
        return (nucleus(base, self.top_p) if sampling else base) + point * (plus - minus)

    def identity(self) -> dict:
        return super().identity() | {"settings": {"top_p": self.top_p}}

    def _recipe(self, point: float) -> str:
        return f"logits: {super()._recipe(point)}, written from the base's nucleus of {show(self.top_p)}"


class ProbabilityEnsemble(Ensemble):
    """The mean of two models' next-token probabilities: p = (1 - a) p_minus + a p_plus, a from 0 to 1.

    Args:
        minus, plus: what lies at 0 and 1.
        base: as for a `Line`.
        device, dtype: as for a `BasePath`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: at an alpha outside [0, 1], where a probability would be negative.

    Example:
        >>> minus, plus = (tiny_llama() for _ in range(2))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> p, p_minus, p_plus = (model(ids).logits.softmax(-1) for model in
        ...                (ProbabilityEnsemble(minus, plus, device="cpu").at(0.25), minus, plus))
        >>> torch.allclose(p, 0.75 * p_minus + 0.25 * p_plus, atol=1e-6)
        True
    """

    kind, coordinate, landmarks = "probability mix", "alpha", ((0.0, "minus"), (1.0, "plus"))

    def __init__(
        self,
        minus: ModelSource,
        plus: ModelSource,
        base: ModelSource | None = None,
        *,
        device: str = "auto",
        dtype: str = "float32",
    ):
        super().__init__({"minus": minus, "plus": plus}, base, device=device, dtype=dtype)

    def checked(self, point: float, call: str) -> float:
        point = number(point, call)
        if not 0 <= point <= 1:
            raise AlphaError(
                f"{call}: {show(point)}, expected 0 to 1.\n"
                "Outside, a probability would be negative. A Line takes any finite alpha."
            )
        return point

    def coefficients(self, point: float) -> tuple[float, float]:
        """What the probabilities of minus and plus are multiplied by: (1 - alpha, alpha)."""
        point = self.checked(point, "ProbabilityEnsemble.coefficients(alpha)")
        return 1.0 - point, point

    def combined(self, point: float, logits: list[Tensor], sampling: bool) -> Tensor:
        minus, plus = (torch.log_softmax(one, -1) for one in logits)
        shares = torch.tensor(self.coefficients(point), dtype=torch.float64).log().tolist()  # log 0 is -inf
        return torch.logaddexp(minus + shares[0], plus + shares[1])

    def _recipe(self, point: float) -> str:
        return f"probabilities: {super()._recipe(point)}"


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """The logits with -inf outside their nucleus: the fewest likeliest tokens that hold `top_p` of the mass.

    transformers' `TopPLogitsWarper` does the same, but sorts the whole vocabulary: on a CPU core 178 ms against 48 ms
    for 32 rows of 49,152 tokens, which makes the demo's steered texts 1.26 times as slow.

    Args:
        logits: (..., vocabulary) float32.
        top_p: mass of the nucleus, in (0, 1].

    Returns:
        Logits of the same shape.

    Example:
        >>> nucleus(torch.tensor([0.6, 0.3, 0.1]).log(), 0.8).exp()
        tensor([0.6000, 0.3000, 0.0000])
    """
    logp, size = torch.log_softmax(logits, -1), logits.shape[-1]
    for width in (*WIDTHS, size):
        top, tokens = logp.topk(min(width, size), -1)
        before = top.exp().cumsum(-1) - top.exp()  # mass of the likelier tokens
        if width >= size or bool((before[..., -1] >= top_p).all()):
            break
    kept = logits.gather(-1, tokens).masked_fill(before >= top_p, -torch.inf)
    return torch.full_like(logits, -torch.inf).scatter(-1, tokens, kept)
