"""Walks: the one loop. Probes are measured along a path; a Curve comes back."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .alpha import alpha_grid, number, show
from .curve import Curve, Measure
from .errors import AlphaError, NotFiniteError, ProbeError
from .paths import Line
from .probes.base import Probe, TextProbe, as_probe
from .progress import track
from .sampling import Continuations, sample
from .store import Store

Point = tuple[dict[str, Measure], pd.DataFrame | None]


def walk(
    line: Line,
    alphas: Sequence[float] | None = None,
    probes: Sequence[Any] = (),
    *,
    store: Store | str | Path | None | bool = True,
    check: bool = True,
) -> Curve:
    """Measure probes along a line.

    Every point is mixed from both ends, measured and stored at once, so that a walk that dies resumes, and a denser
    grid or one more probe pays only for what is new. Text probes with equal `Continuations` share their texts.
    Ctrl-C returns the curve of what is done.

    Args:
        line: the path.
        alphas: coordinates, without unit; by default `alpha_grid(-1, 2, 13)`.
        probes: `Loss`, `Attribute`, `OfTexts`, functions of (model, tokenizer), or objects like them.
        store: where finished points are kept: a `Store`, a folder, True for the default folder, False for nowhere.
        check: first measure each new probe twice at alpha 0 on a few items, and refuse one that does not repeat.

    Returns:
        A `Curve`: every probe's quantities (NaN where the model at an alpha cannot be used), their 95 % intervals, all
        samples and the provenance.

    Raises:
        AlphaError: an alpha that is not a finite number, or one given twice.
        ProbeError: no probes, two with one name, one that does not repeat or that returns no measurement.
    """
    started = time.time()
    grid = _checked_alphas(alpha_grid(-1, 2, 13) if alphas is None else alphas)
    probes = [as_probe(probe) for probe in probes]
    _check_names(probes)
    if line.tokenizer is None:
        raise ProbeError(
            "walk(line): the line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
        )
    probes = [probe.prepare(line.base) if hasattr(probe, "prepare") else probe for probe in probes]
    work = _Work(line, probes, _store(store))
    if check:
        work.check_repeats(grid)
    points: dict[float, Point] = {}
    order = sorted(grid, key=lambda alpha: (alpha not in (0.0, 1.0), alpha))  # the ends first: a barrier needs both
    try:
        for alpha in track(order, label="walk"):
            points[alpha] = work.point(alpha)
    except KeyboardInterrupt:
        if not points:
            raise
        print(f"Interrupted: {len(points)} of {len(grid)} alphas are done.")
    _fill_gaps(points)
    samples = [found.assign(alpha=alpha) for alpha, (_, found) in points.items() if found is not None]
    return Curve.from_measures(
        {alpha: measures for alpha, (measures, _) in points.items()},
        pd.concat(samples, ignore_index=True) if samples else None,
        work.provenance() | {"started": _utc(started), "seconds": round(time.time() - started, 1)},
    )


def _fill_gaps(points: dict[float, Point]) -> None:
    """Give a quantity that could not be measured at an alpha a NaN there, so that it is drawn as a gap and named."""
    known = {name: measure for measures, _ in points.values() for name, measure in measures.items()}
    for measures, _ in points.values():
        for name in known.keys() - measures.keys():
            like = known[name]
            measures[name] = replace(like, values=np.full(len(like.values), np.nan), weights=np.ones(len(like.values)))


def _checked_alphas(alphas: Sequence[float]) -> list[float]:
    alphas = [alphas] if np.isscalar(alphas) else list(alphas)
    grid = [number(alpha, "walk(alphas)") for alpha in alphas]
    if not grid:
        raise AlphaError("walk(alphas): no alphas.\nPass alpha_grid(-1, 2, 13), say.")
    twice = [show(alpha) for alpha in sorted(set(grid)) if grid.count(alpha) > 1]
    if twice:
        raise AlphaError(f"walk(alphas): {', '.join(twice[:3])} is given twice.\nGive each alpha once.")
    return grid


def _check_names(probes: list) -> None:
    if not probes:
        raise ProbeError("walk(probes): no probes.\nPass one or more, such as ln.Loss(corpus).")
    names = [probe.name for probe in probes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbeError(f"walk(probes): two probes are called {twice[0]!r}.\nGive one of them another name.")


def _store(store: Store | str | Path | None | bool) -> Store | None:
    if store is True:
        return Store()
    if store is None or store is False or isinstance(store, Store):
        return store if isinstance(store, Store) else None
    if isinstance(store, (str, Path)):
        return Store(store)
    raise ProbeError(f"walk(store): got {store!r}.\nIt takes a folder, a Store, True for the default one, or False.")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
