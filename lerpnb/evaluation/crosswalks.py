"""Crosswalks: the loop over every pair of two lines' alphas. Probes are measured there; a Crossing comes back."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import AlphaError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator, Point
from lerpnb.evaluation.loop import as_store, fill_gaps, ready, utc
from lerpnb.paths.multiline import MultiLine
from lerpnb.results.crossing import Crossing
from lerpnb.utils.coordinates import number
from lerpnb.utils.progress import track
from lerpnb.utils.text import show


def cross(
    product: MultiLine,
    alphas: Sequence[float] | tuple[Sequence[float], Sequence[float]],
    probes: Sequence[Any],
    *,
    store: Cache | str | Path | None | bool = True,
    check: bool = True,
) -> Crossing:
    """Measure probes at every pair of alphas of a product of two lines.

    Every point is mixed from all ends, measured and stored at once: what was measured before, by a call that was
    stopped or on a sparser grid, is not measured again. Text probes with equal `Continuations` share their texts.

    Args:
        product: of two lines.
        alphas: coordinates of both lines, or a pair of such, one a line.
        probes: as of `walk`; two `AttributeStrength` probes take different names.
        store, check: as of `walk`.

    Raises:
        AlphaError: not two lines; no alphas, one twice, or one that is not a finite number.
        ProbeError: no probes, two with one name, one that does not repeat, or no tokenizer.

    Example:
        >>> import lerpnb as ln
        >>> sad, glad, plain, ornate = (tiny_checkpoint() for _ in range(4))
        >>> product = ln.MultiLine({"mood": (sad, glad), "style": (plain, ornate)}, device="cpu")
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> cross(product, ([0, 1], [0, 0.5, 1]), [norm], store=False)
        Crossing: 2 alphas of mood x 3 of style; norm
    """
    started = time.time()
    if len(product.names) != 2:
        raise AlphaError(f"cross(product): it has {len(product.names)} lines, expected two.")
    alphas = alphas if len(alphas) == 2 and not any(map(np.isscalar, alphas)) else (alphas, alphas)
    grids = tuple(_grid(found) for found in alphas)
    probes = ready(probes, product, "cross", "product")
    work, pairs = Evaluator(product, probes, as_store(store)), [(a, b) for a in grids[0] for b in grids[1]]
    if check:
        work.check_repeats(pairs)
    points: dict[tuple[float, float], Point] = {pair: work.point(pair) for pair in track(pairs, label="cross")}
    fill_gaps(points)
    measures = {q: {pair: found[q] for pair, (found, _) in points.items()} for q in points[pairs[0]][0]}
    columns = {pair: dict(zip(product.names, pair, strict=True)) for pair in pairs}
    samples = [texts.assign(**columns[pair]) for pair, (_, texts) in points.items() if texts is not None]
    told = work.provenance() | {"weights": product.weights, "started": utc(started)}
    told["seconds"] = round(time.time() - started, 1)
    return Crossing(product.names, grids, measures, pd.concat(samples, ignore_index=True) if samples else None, told)


def _grid(alphas: Sequence[float]) -> tuple[float, ...]:
    """The alphas of one line, ascending."""
    grid = sorted(number(alpha, "cross(alphas)") for alpha in alphas)
    twice = [alpha for alpha in dict.fromkeys(grid) if grid.count(alpha) > 1]
    if twice or not grid:
        came = f"{show(twice[0])} is given twice" if twice else "a line has none"
        raise AlphaError(f"cross(alphas): {came}.\nGive one grid for both lines, or two: ([0, 1], [0, 0.5, 1]).")
    return tuple(grid)
