"""Slopes: the first and second derivative of the loss along a path, exact, every text's own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.paths.base import BasePath
from lerpnb.paths.mixer import Mixer
from lerpnb.probes.differentiable import differentiable, refuse
from lerpnb.probes.loss import Loss, head_is_last, sequence_nll
from lerpnb.results.measurement import Measurement

OFF = 0.01  # how far the second derivative may be from itself by another order of differentiation


class LossSlope(Loss):
    """Slope and second derivative of the loss along a path, by forward-mode differentiation, every text's own.

    With D = d theta / d alpha (on a line theta_plus - theta_minus), of the same loss L as `Loss` measures:

        slope/x     = dL / d alpha   = <grad L, D>
        curvature/x = d2L / d alpha2 = D' H D,   H the Hessian of L

    Both are tangents that travel forward beside the values (a Jacobian-vector product, and one of it again; Pearlmutter
    1994, *Fast exact multiplication by the Hessian*), so that one pass gives those of all texts, no step size is
    chosen, nothing is kept for a pass backward, and vocabulary-sized logits come in pieces. Attention is computed in
    its plain form meanwhile, the only one that can be differentiated so; the model itself is not changed. A pass
    takes about as long as twelve without derivatives, and one model's memory for D while it lasts.

    Args:
        path: the path that is measured: straight, with one number as its coordinate, its live model in float32.
        corpus: the texts; the quantities are called `slope/<corpus.name>` and `curvature/<corpus.name>`.
        name: another name than the corpus's.
        max_length: tokens a text is cut to.
        batch_tokens: tokens in one forward pass, padding counted. Where memory runs out the batches are halved.

    Raises:
        ProbeError: a path that bends, is not in float32, is spread over devices or has a fused attention; a number
            below 2; when measured, a model of another path or whose derivatives cannot be trusted, or a text with fewer
            than two tokens.

    Example:
        >>> from lerpnb.paths.line import Line
        >>> line = Line(tiny_llama(), tiny_llama(), device="cpu")
        >>> LossSlope(line, Corpus(("A fine film.",), (0,), ("fine",), "fine")).name
        'slope/fine'
    """

    def __init__(
        self,
        path: BasePath,
        corpus: Corpus,
        *,
        name: str | None = None,
        max_length: int = 512,
        batch_tokens: int = 1024,
    ):
        super().__init__(corpus, name=name, max_length=max_length, batch_tokens=batch_tokens)
        refuse(path.model, "LossSlope(path)")
        _straight(path, "LossSlope(path)")
        self.path, self.name = path, f"slope/{self.label}"
        self._halving = ExecutableBatchSize(self.name)

    def identity(self) -> dict:
        return super().identity() | {"probe": "slope", "name": self.name}

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        if model is not self.path.model:
            raise ProbeError(f"{self.name}: measured on another path than its own.\nEvaluate LossSlope(path)'s path.")
        along, batches = direction(self.path), self._tokenized(model, tokenizer)
        self._confirm(model, along, *batches[-1][1:3])
        values, weights = np.empty((len(self.corpus), 3)), np.empty(len(self.corpus))
        for places, ids, lengths, _ in batches:
            values[places] = self._halving(partial(_derivatives, model, along, ids, lengths), range(len(ids)))
            weights[places] = (lengths - 1).cpu().numpy()
        return {
            self.name: Measurement(values[:, 1], weights, "nats/token per alpha", "texts", kind="slope"),
            f"curvature/{self.label}": Measurement(
                values[:, 2], weights, "nats/token per alpha²", "texts", kind="curvature"
            ),
        }

    def _confirm(self, model: PreTrainedModel, along: dict[str, Tensor], ids: Tensor, lengths: Tensor) -> None:
        """Differentiate a short text in another order too, at every point: torch has operations whose second forward
        derivative is wrong without a word, and a network may use one that is not spelled out here."""
        if not along:
            return
        ids, lengths = ids[-1:, : lengths[-1]], lengths[-1:]
        second = derivatives(model, along, ids, lengths)[2].item()
        again = _second_in_reverse(model, along, ids, lengths).item()
        if abs(second - again) > OFF * abs(again) + 1e-4:
            raise ProbeError(
                f"{self.name}: {type(model).__name__} has no trustworthy second derivative: {second:.4g} forward, "
                f"{again:.4g} in reverse.\nAn operation of it must be spelled out in lerpnb/probes/differentiable.py."
            )


def derivatives(
    model: PreTrainedModel, along: dict[str, Tensor], ids: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Each text's mean loss at theta, its slope and its second derivative in a direction D.

    Args:
        model: a causal language model at theta, in float32 or float64.
        along: D, {name of a parameter: its change}, without those that do not change.
        ids: (texts, longest) int64, padded on the right.
        lengths: (texts,) int64.

    Returns:
        Three (texts,) float64 tensors, in nats a token, per unit of D, and per unit of D squared.
    """
    if not along:
        values = sequence_nll(model, ids, lengths, torch.ones_like(lengths))
        return values, torch.zeros_like(values), torch.zeros_like(values)
    here = {name: p.detach() for name, p in model.named_parameters() if name in along}

    def slope(weights: dict[str, Tensor]) -> Any:
        return jvp(partial(_losses, Texts(model), ids, lengths), (weights,), (along,))

    head_is_last(model)  # tried here: it runs the model
    with torch.no_grad(), differentiable():
        (value, first), (_, second) = cast(Any, jvp(slope, (here,), (along,)))
    return value, first, second


def _second_in_reverse(model: PreTrainedModel, along: dict[str, Tensor], ids: Tensor, lengths: Tensor) -> Tensor:
    """The sum of the texts' second derivatives, by differentiating backward twice."""
    here = {name: p.detach() for name, p in model.named_parameters() if name in along}

    def total(step: Tensor) -> Tensor:
        return _losses(Texts(model), ids, lengths, {name: here[name] + step * along[name] for name in here}).sum()

    with differentiable():
        return grad(grad(total))(next(iter(here.values())).new_zeros(()))


def _losses(texts: "Texts", ids: Tensor, lengths: Tensor, weights: dict[str, Tensor]) -> Tensor:
    return functional_call(texts, {f"model.{name}": w for name, w in weights.items()}, (ids, lengths))


def direction(path: BasePath) -> dict[str, Tensor]:
    """D = d theta / d x = sum_i (c_i(1) - c_i(0)) theta_i of a straight path, by name, without what does not change.

    Raises:
        ProbeError: the path bends.
    """
    step = _straight(path, "direction(path)")
    twin = next(iter(path.checkpoints.values())).new_model(path.device)
    Mixer(twin, [end.weights for end in path.checkpoints.values()]).put(step)
    return {name: parameter.data for name, parameter in twin.named_parameters() if parameter.any()}


class Texts(nn.Module):
    """A model as a map from texts to their losses."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        # The bare function: inference mode, which it has otherwise, drops the tangents without a word.
        return cast(Any, sequence_nll).__wrapped__(self.model, ids, lengths, torch.ones_like(lengths))


def _derivatives(
    model: PreTrainedModel, along: dict[str, Tensor], ids: Tensor, lengths: Tensor, rows: range
) -> list[list[float]]:
    ids, lengths = ids[rows.start : rows.stop], lengths[rows.start : rows.stop]
    return torch.stack(derivatives(model, along, ids, lengths), 1).tolist()


def _straight(path: BasePath, call: str) -> Callable[[str], Sequence[float]]:
    """The step of each checkpoint's coefficient per unit of the coordinate, by a tensor's name."""

    def at(x: float, name: str) -> Sequence[float]:
        coefficients = path.coefficients(x)
        return coefficients(name) if callable(coefficients) else coefficients

    for name, _ in path.model.named_parameters():
        if not np.allclose(np.subtract(at(2.0, name), at(1.0, name)), np.subtract(at(1.0, name), at(0.0, name))):
            raise ProbeError(
                f"{call}: {type(path).__name__} bends: its coefficients do not change evenly ({name}).\n"
                "A slope is measured along a straight path, such as a Line."
            )
    return lambda name: tuple(b - a for a, b in zip(at(0.0, name), at(1.0, name), strict=True))
