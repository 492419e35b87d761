"""Walks: the one loop. Probes are measured along a path; a Curve comes back."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.adaptive import INTERPOLATION, AdaptiveSampler1D, parts
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator, Point
from lerpnb.paths.base import BasePath
from lerpnb.probes.base import as_probe
from lerpnb.results.curve import Curve
from lerpnb.utils.coordinates import alpha_grid, number
from lerpnb.utils.progress import track
from lerpnb.utils.text import listed, show


def walk(
    line: BasePath,
    alphas: Sequence[float] | None = None,
    probes: Sequence[Any] = (),
    *,
    between: tuple[float, float] | None = None,
    tol: float | None = None,
    most: int | None = None,
    rows: bool | None = None,
    store: Cache | str | Path | None | bool = True,
    check: bool = True,
) -> Curve:
    """Measure probes along a line, or along any other path with one coordinate.

    Every point is mixed from both ends, measured and stored at once, so that a walk that dies resumes, and a denser
    grid or one more probe pays only for what is new. Text probes with equal `Continuations` share their texts.
    Ctrl-C returns the curve of what is done.

    With `between` the alphas are placed where the curve is known least (`AdaptiveSampler1D`), until every `loss/...`,
    or where there is none the first probe's first quantity, is believed to be known to `tol`. How many points that
    took and the error believed are printed and kept in the provenance, under "placement".

    Args:
        line: the path: a `Line`, or another `BasePath` whose coordinate is a number.
        alphas: coordinates on the path, without unit; by default `alpha_grid(-1, 2, 13)`.
        probes: `Loss`, `AttributeStrength`, `TextFunctionProbe`, functions of (model, tokenizer), or objects like them.
        between: first and last alpha of a walk that places its own; 0 and 1 are among them where they lie inside.
        tol: the error that such a walk may leave, in the quantity's unit; 0.003 (nats a token) if left out.
        most: alphas that it takes at most, 50 if left out.
        rows: whether all alphas' texts share each decoding step (`sample_batched`); None decides as `prefer_batched`
            says. The choice and its reason are printed and kept in the provenance, under "sampling".
        store: where finished points are kept: a `Cache`, a folder, True for the default folder, False for nowhere.
        check: first measure each new probe twice at alpha 0 on a few items, and refuse one that does not repeat.

    Returns:
        A `Curve`: every probe's quantities (NaN where the model at an alpha cannot be used), their 95 % intervals, all
        samples and the provenance.

    Raises:
        AlphaError: an alpha that is not a finite number, or one given twice; `between`, `tol` or `most` out of range,
            or beside `alphas`.
        ProbeError: no probes, two with one name, one that does not repeat or that returns no measurement.

    Example:
        >>> import lerpnb as ln
        >>> ends = [tiny_checkpoint() for _ in range(2)]
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> ln.walk(ln.Line(*ends, device="cpu"), [0, 0.5, 1], [norm], store=False).alphas.tolist()
        [0.0, 0.5, 1.0]
    """
    started = time.time()
    place = _placement(alphas, between, tol, most)
    grid = place.ask(place.most) if place else _checked_alphas(alpha_grid(-1, 2, 13) if alphas is None else alphas)
    for alpha in grid:
        line.checked(alpha, "walk(alphas)")
    probes = ready(probes, line)
    work = Evaluator(line, probes, as_store(store))
    if check:
        work.check_repeats(grid)
    points: dict[float, Point] = {}
    order = sorted(grid, key=lambda alpha: (alpha not in (0.0, 1.0), alpha))  # the ends first: a barrier needs both
    total = place.most if place else len(order)
    try:
        if not place:
            work.write_ahead(order, rows)
        for alpha in track(_placed(place, points, work, rows) if place else order, total, label="walk"):
            points[alpha] = work.point(alpha)
    except KeyboardInterrupt:
        points |= work.finished(alpha for alpha in order if alpha not in points)
        if not points:
            raise
        print(f"Interrupted: {len(points)} of {'at most ' if place else ''}{total} alphas are done.")
    told = work.provenance() | {"started": utc(started), "seconds": round(time.time() - started, 1)}
    if place:
        told["placement"] = _told(place, points)
    fill_gaps(points)
    samples = [found.assign(alpha=alpha) for alpha, (_, found) in points.items() if found is not None]
    return Curve.from_measures(
        {alpha: measures for alpha, (measures, _) in points.items()},
        pd.concat(samples, ignore_index=True) if samples else None,
        told,
    )


def _placement(alphas: Any, between: Any, tol: float | None, most: int | None) -> AdaptiveSampler1D | None:
    if between is None:
        for argument, value in (("tol", tol), ("most", most)):
            if value is not None:
                raise AlphaError(f"walk({argument}): got {value!r} without between.\nPass between=(-1, 2), say.")
        return None
    if alphas is not None:
        raise AlphaError(
            "walk(alphas, between): both are given.\n"
            "alphas is a grid; a walk with between=(lo, hi) places its own. Pass one of them."
        )
    try:
        lo, hi = between
    except (TypeError, ValueError):
        raise AlphaError(f"walk(between): got {between!r}.\nIt takes two alphas, such as (-1, 2).") from None
    return AdaptiveSampler1D(lo, hi, 0.003 if tol is None else tol, 50 if most is None else most)


def _placed(
    place: AdaptiveSampler1D, points: dict[float, Point], work: Evaluator, rows: bool | None
) -> Iterator[float]:
    """The alphas that a placement asks for, each told to it when it is measured."""
    while alphas := place.ask():
        work.write_ahead(alphas, rows)
        for alpha in alphas:
            yield alpha
            measures = points[alpha][0]
            missing = [[np.nan]]  # nothing could be measured there
            place.tell(alpha, [parts(measures[name]) for name in watched(points) if name in measures] or missing)


def watched(points: dict[float, Point]) -> list[str]:
    """The quantities that are to be known to the tolerance."""
    names = list(dict.fromkeys(name for measures, _ in points.values() for name in measures))
    return [name for name in names if name.startswith("loss/")] or names[:1]


def _told(place: AdaptiveSampler1D, points: dict[float, Point]) -> dict:
    """What a walk that placed its own alphas says of it: printed, and as JSON."""
    names = watched(points)
    error = float(place.error) if np.isfinite(place.error) else None
    print(f"walk(between, tol, most): {place} ({listed(names)}; by {INTERPOLATION})")
    return {
        "between": [place.lo, place.hi],
        "tol": place.tol,
        "most": place.most,
        "points": len(points),
        "error_believed": error,
        "reached": place.reached,
        "quantities": names,
        "interpolation": INTERPOLATION,
    }


def fill_gaps(points: dict[float, Point]) -> None:
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


def ready(probes: Sequence[Any], path: BasePath, call: str = "walk", argument: str = "line") -> list:
    """The probes as they are measured along a path, after what would refuse them.

    Raises:
        ProbeError: none, two with one name, or a path without a tokenizer.
    """
    probes = [as_probe(probe) for probe in (probes if isinstance(probes, Iterable) else [probes])]
    if not probes:
        raise ProbeError(f"{call}(probes): no probes.\nPass one or more, such as ln.Loss(corpus).")
    names = [probe.name for probe in probes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbeError(f"{call}(probes): two probes are called {twice[0]!r}.\nGive one of them another name.")
    if path.tokenizer is None:
        raise ProbeError(
            f"{call}({argument}): the {argument} has no tokenizer.\n"
            "Wrap live models: Checkpoint.from_model(model, tokenizer)."
        )
    return [probe.prepare(path.base) if hasattr(probe, "prepare") else probe for probe in probes]


def as_store(store: Cache | str | Path | None | bool) -> Cache | None:
    if store is True:
        return Cache()
    if store is None or store is False or isinstance(store, Cache):
        return store if isinstance(store, Cache) else None
    if isinstance(store, (str, Path)):
        return Cache(store)
    raise ProbeError(f"walk(store): got {store!r}.\nIt takes a folder, a Store, True for the default one, or False.")


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
