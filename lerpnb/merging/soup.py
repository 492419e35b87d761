"""Model soups: the mean of several fine-tunes, of all or of those that help (arXiv 2203.05482)."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator
from lerpnb.paths.base import BasePath
from lerpnb.probes.base import as_probe
from lerpnb.utils.coordinates import number
from lerpnb.utils.progress import track
from lerpnb.utils.text import show

Named = str | Path | Checkpoint | nn.Module


class ModelSoup(BasePath):
    """The mean of the first x fine-tunes: a soup while its ingredients are added, one after the other.

    theta(x) = (theta_1 + ... + theta_x) / x, the uniform soup of Wortsman et al., arXiv 2203.05482, at x = n, of all n
    ingredients. Between two whole numbers the next one is added by and by, with weight x - floor(x) to the others' 1;
    the coefficients always sum to 1. x = 1 is the first ingredient, bit for bit.

    Args:
        ingredients: {role: fine-tune} in the order in which they are added.
        base: as for a `BasePath`.
        device, dtype, ends_device, device_map: as for a `BasePath`.

    Attributes:
        steps: how `greedy_soup` found it, a row an ingredient that was tried; None for a soup of one's own.

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
        self,
        ingredients: Mapping[str, Named],
        base: Named | None = None,
        *,
        device: str = "auto",
        dtype: str = "float32",
        ends_device: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ):
        if not isinstance(ingredients, Mapping) or not ingredients:
            raise AlphaError(
                "ModelSoup(ingredients): expected fine-tunes by role.\nPass {'one': model, 'two': another}."
            )
        self.steps: pd.DataFrame | None = None
        super().__init__(ingredients, base, device=device, dtype=dtype, ends_device=ends_device, device_map=device_map)

    def checked(self, at: float, call: str) -> float:
        at = number(at, call)
        if not 1 <= at <= len(self.checkpoints):
            raise AlphaError(f"{call}: {show(at)}, expected a number of ingredients from 1 to {len(self.checkpoints)}.")
        return at

    def coefficients(self, at: float) -> tuple[float, ...]:
        """What each ingredient is multiplied by: 1 / x, the last one begun less, and 0 from there on."""
        at = self.checked(at, "ModelSoup.coefficients(x)")
        return tuple(min(1.0, max(0.0, at - i)) / at for i in range(len(self.checkpoints)))

    def identity(self) -> dict:
        return super().identity() | {"settings": {"order": list(self.checkpoints)}}


class _Pot(BasePath):
    """Any mean of some ingredients; the coordinate is the coefficients."""

    def coefficients(self, at: tuple[float, ...]) -> tuple[float, ...]:
        return at


def greedy_soup(
    ingredients: Mapping[str, Named],
    probe: Any,
    quantity: str | None = None,
    *,
    higher_is_better: bool = False,
    base: Named | None = None,
    device: str = "auto",
    dtype: str = "float32",
    store: Cache | None = None,
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
        base, device, dtype: as for a `BasePath`.
        store: keeps what was measured, as in `walk`; None keeps nothing.

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
    pot, roles, sign = _Pot(ingredients, base, device=device, dtype=dtype), list(ingredients), 1 - 2 * higher_is_better
    probe = as_probe(probe)
    points = Evaluator(pot, [probe.prepare(pot.base) if hasattr(probe, "prepare") else probe], store)

    def cost(chosen: list[str]) -> float:
        measures = points.point(tuple(1.0 / len(chosen) if role in chosen else 0.0 for role in roles))[0]
        name = quantity or next(iter(measures), None)
        value = measures[name].value() if name in measures else math.nan
        if math.isnan(value):
            raise ProbeError(
                f"greedy_soup(quantity): {name!r} is {'NaN' if name in measures else 'not measured'} for "
                f"{' + '.join(chosen)}.\nThe probe measures: {', '.join(measures)}."
            )
        return sign * value

    alone = {role: cost([role]) for role in track(roles, label="ingredients")}
    kept: list[str] = []
    steps, lowest = [], math.inf
    for role in sorted(roles, key=alone.get):
        found = cost([*kept, role])
        better = found <= lowest
        steps.append((role, sign * alone[role], sign * found, better))
        if better:
            kept, lowest = [*kept, role], found
    said = [f"{role} {found:.4g}, {'kept' if better else 'left out'}" for role, _, found, better in steps]
    print(f"greedy_soup: {'; with '.join(said)}.")
    soup = ModelSoup({role: pot.checkpoints[role] for role in kept}, pot.base, device=device, dtype=dtype)
    soup.steps = pd.DataFrame(steps, columns=["ingredient", "alone", "in the soup", "kept"])
    return soup
