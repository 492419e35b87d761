"""A line beside random directions of its length: is it special?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerpnb.checkpoints.vectors import norm
from lerpnb.errors import AlphaError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.directions import Delta, moved, random_direction
from lerpnb.paths.line import Line
from lerpnb.results.comparisons import DirectionComparison
from lerpnb.utils.coordinates import alpha_grid
from lerpnb.utils.progress import track


def compare_random_directions(
    line: Line,
    probes: Sequence[Any],
    alphas: Sequence[float] | None = None,
    *,
    n: int = 10,
    seed: int = 0,
    store: Cache | str | Path | None | bool = True,
    check: bool = True,
) -> DirectionComparison:
    """Is this line special? Evaluate it, and random directions of its length from minus.

    Each direction is filter-normalized and orthogonal to the line (`random_direction`), then scaled to
    |theta_plus - theta_minus|: at alpha 1 it stands as far from minus as plus does. One direction at a time is in
    memory: a dense copy of the weights. Finished points are kept in the store; Ctrl-C returns what is done.

    Args:
        line: from minus to plus.
        probes: as for `evaluate`.
        alphas: by default `alpha_grid(-1, 2, 7)`.
        n: how many random directions, 1 or more; of the seeds `seed`, `seed` + 1, ...
        seed: of the first direction.
        store, check: as for `evaluate`.

    Raises:
        AlphaError: `n` below 1, or what `evaluate` says of alphas.
        ProbeError: as `evaluate` says.

    Example:
        >>> import lerpnb as ln
        >>> ends = [tiny_checkpoint() for _ in range(2)]
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> line = ln.Line(*ends, device="cpu")
        >>> comparison = ln.evaluation.compare_random_directions(line, [norm], [0, 1], n=3, store=False)
        >>> len(comparison.others), bool((comparison.to_frame().loc[0, "line"] == comparison.to_frame().loc[0, "most"]))
        (3, True)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise AlphaError(f"compare_random_directions(n): got {n!r}.\nIt takes a whole number of directions, 1 or more.")
    grid = list(alpha_grid(-1, 2, 7) if alphas is None else alphas)
    along = evaluate(line, grid, probes, store=store, check=check)
    delta = Delta(line.minus, line.plus)
    length, others = norm(delta), []
    try:
        for i in track(range(n), label="random directions"):
            if len(along.alphas) < len(grid):
                break  # it was interrupted
            direction = random_direction(line.minus, seed + i, orthogonal_to=[delta])
            end = moved(line.minus, direction, length, f"random direction of seed {seed + i}")
            del direction
            ray = Line(line.minus, end, line.base, device=str(line.device), dtype=line.dtype)
            curve = evaluate(ray, grid, probes, store=store, check=False)
            if len(curve.alphas) < len(grid):
                break
            others.append(curve)
            del end, ray  # before the next ones are made
    except KeyboardInterrupt:
        print(f"Interrupted: {len(others)} of {n} random directions are done.")
    provenance = {"length": length, "seeds": [seed + i for i in range(len(others))], "orthogonal_to": "the line"}
    return DirectionComparison(along, others, provenance)
