"""Model soups: the mean of several fine-tunes, of all or of those that help.

https://arxiv.org/abs/2203.05482
"""

import math
from collections.abc import Mapping
from typing import Any, Unpack

import pandas as pd

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator
from lerpnb.paths.base import BasePath, ScalarPath
from lerpnb.paths.simplex import Simplex
from lerpnb.probes.base import as_probe, prepared
from lerpnb.utils.coordinates import number
from lerpnb.utils.progress import track
from lerpnb.utils.text import show


class ModelSoup(ScalarPath):
    """The mean of the first x fine-tunes: a soup while its ingredients are added, one after the other.

    theta(x) = (theta_1 + ... + theta_x) / x, the uniform soup of Wortsman et al., arXiv 2203.05482, at x = n, of all n
    ingredients. Between two whole numbers the next one is added by and by, with weight x - floor(x) to the others' 1;
    the coefficients always sum to 1. x = 1 is the first ingredient, bit for bit.

    Args:
        ingredients: {role: fine-tune} in the order in which they are added.
        base: as for a `BasePath`.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Attributes:
        steps: what `greedy_soup` tried, a row for each ingredient; None for any other soup.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: no ingredients, or at an x that is not from 1 to their number.

    Example:
        >>> soup = ModelSoup({name: tiny_llama() for name in "abcd"}, device="cpu")
        >>> soup.coefficients(4), soup.coefficients(2.5)
        ((0.25, 0.25, 0.25, 0.25), (0.4, 0.4, 0.2, 0.0))
    """

    kind, coordinate, start = "soup", "x", 1.0

    def __init__(
        self, ingredients: Mapping[str, ModelSource], base: ModelSource | None = None, **options: Unpack[DeviceOptions]
    ):
        if not isinstance(ingredients, Mapping) or not ingredients:
            way_out = "Pass {'one': model, 'two': another}."
            raise AlphaError(f"ModelSoup(ingredients): expected fine-tunes by role.\n{way_out}")
        self.steps: pd.DataFrame | None = None
        super().__init__(ingredients, base, **options)

    def checked(self, point: float, call: str) -> float:
        point = number(point, call)
        if not 1 <= point <= len(self.checkpoints):
            count = len(self.checkpoints)
            raise AlphaError(f"{call}: {show(point)}, expected a number of ingredients from 1 to {count}.")
        return point

    def coefficients(self, point: float) -> tuple[float, ...]:
        """What each ingredient is multiplied by: 1 / x, the last one begun less, and 0 from there on."""
        point = self.checked(point, "ModelSoup.coefficients(x)")
        return tuple(min(1.0, max(0.0, point - i)) / point for i in range(len(self.checkpoints)))

    def identity(self) -> dict:
        return super().identity() | {"settings": {"order": list(self.checkpoints)}}


def greedy_soup(
    ingredients: Mapping[str, ModelSource],
    probe: Any,
    quantity: str | None = None,
    *,
    higher_is_better: bool = False,
    base: ModelSource | None = None,
    store: Cache | None = None,
    **options: Unpack[DeviceOptions],
) -> ModelSoup:
    """The greedy soup: ingredients in the order of their own scores, each kept where the mean gets no worse by it.

    Recipe 1 of Wortsman et al., arXiv 2203.05482: the best ingredient first; each next one is added to the mean if the
    mean then scores at least as well on validation data. What was tried is printed, and stays in `steps`. Give it other
    texts than those that the soup is judged by later.

    Args:
        ingredients: {role: fine-tune}.
        probe: what scores, on validation data: a `Loss`, say.
        quantity: which of the probe's quantities; by default the first.
        higher_is_better: for an accuracy; a loss is better when lower.
        base: as for a `BasePath`.
        store: keeps what was measured, as in `evaluate`; None keeps nothing.
        options: device, dtype, ends_device and device_map, see `DeviceOptions`.

    Returns:
        The `ModelSoup` of what was kept, best first; at x = n it is the greedy soup.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        ProbeError: the probe does not measure that quantity, or measures a NaN.

    Example:
        >>> models = {name: tiny_llama() for name in "abc"}
        >>> for model, value in zip(models.values(), (2.0, -1.0, 5.0)):
        ...     _ = model.model.norm.weight.data.fill_(value)
        >>> def miss(model, tokenizer):
        ...     return (model.model.norm.weight.mean() - 1).abs()
        >>> soup = greedy_soup(models, miss, device="cpu")
        greedy_soup: a 1, kept; with b 0.5, kept; with c 1, left out.
        >>> list(soup.checkpoints)
        ['a', 'b']
    """
    roles, sign = list(ingredients), 1 - 2 * higher_is_better
    single = len(roles) < 2  # a simplex has two corners or more
    means: BasePath = (ModelSoup if single else Simplex)(ingredients, base, **options)
    evaluator = Evaluator(means, [prepared(as_probe(probe), means)], store)

    def cost(chosen: list[str]) -> float:
        weights = tuple(1.0 / len(chosen) if role in chosen else 0.0 for role in roles)
        point: Any = 1.0 if single else weights
        measures = evaluator.point(point)[0]
        name = quantity or next(iter(measures), None)
        value = measures[name].value() if name in measures else math.nan
        if math.isnan(value):
            what = f"{name!r} is {'NaN' if name in measures else 'not measured'} for {' + '.join(chosen)}"
            raise ProbeError(f"greedy_soup(quantity): {what}.\nThe probe measures: {', '.join(measures)}.")
        return sign * value

    alone = {role: cost([role]) for role in track(roles, label="ingredients")}
    kept: list[str] = []
    steps, lowest = [], math.inf
    for role in sorted(roles, key=alone.__getitem__):
        together = cost([*kept, role])
        better = together <= lowest
        steps.append((role, sign * alone[role], sign * together, better))
        if better:
            kept, lowest = [*kept, role], together
    lines = [f"{role} {together:.4g}, {'kept' if better else 'left out'}" for role, _, together, better in steps]
    print(f"greedy_soup: {'; with '.join(lines)}.")
    soup = ModelSoup({role: means.checkpoints[role] for role in kept}, means.base, **options)
    soup.steps = pd.DataFrame(steps, columns=["ingredient", "alone", "in the soup", "kept"])
    return soup
