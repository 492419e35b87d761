"""The one loop: probes are measured at points of a path; a `Curve` or a `Surface` comes back."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
import pandas as pd

from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.adaptive import Adaptive, Sampler
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator, Point
from lerpnb.evaluation.scorer_check import check_scorers
from lerpnb.paths.base import BasePath, ScalarPath
from lerpnb.probes.base import as_probe, prepared
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import Quantity
from lerpnb.results.result import checked_axes
from lerpnb.results.surface import Surface
from lerpnb.utils.coordinates import alpha_grid
from lerpnb.utils.progress import track
from lerpnb.utils.text import listed

Points = Sequence[Any] | None
Store = Cache | str | Path | bool | None


class _Options(TypedDict, total=False):
    adaptive: Adaptive | None
    batched: bool | None
    store: Store
    fresh: bool
    check: bool


@overload
def evaluate(
    path: ScalarPath, points: Points = None, probes: Sequence[Any] = (), **options: Unpack[_Options]
) -> Curve: ...


@overload
def evaluate(
    path: BasePath, points: Points = None, probes: Sequence[Any] = (), **options: Unpack[_Options]
) -> Curve | Surface: ...


def evaluate(
    path: BasePath,
    points: Points = None,
    probes: Sequence[Any] = (),
    *,
    adaptive: Adaptive | None = None,
    batched: bool | None = None,
    store: Store = True,
    fresh: bool = False,
    check: bool = True,
) -> Curve | Surface:
    """Measure probes at points of a path.

    Every point is mixed from all checkpoints, measured and stored at once, so that an evaluation that dies resumes, and
    a denser grid or one more probe pays only for what is new. Text probes with equal `Continuations` share their texts.
    Ctrl-C returns the result of what is done.

    With `adaptive` the points are placed where the result is known least, until every `loss/...`, or where there is
    none the first probe's first quantity, is estimated to be known to its tolerance. How many points that took and the
    estimated error are printed and kept in the provenance, under "placement".

    Args:
        path: a `Line`, `Plane`, `MultiLine`, `Simplex`, an ensemble or a merging method's path.
        points: coordinates on the path, without unit: alphas; of a `Plane` (x, y), such as `plane.grid(5)`; of a
            `MultiLine` one grid of alphas for all lines or one each, all combinations of which are measured; of a
            `Simplex` weights, such as `simplex.lattice(2)`. Left out: `alpha_grid(-1, 2, 13)` of a path with one
            coordinate, and `Adaptive(plane.window())` of a plane.
        probes: `Loss`, `AttributeStrength`, `TextFunctionProbe`, functions of (model, tokenizer), or objects like them.
        adaptive: places the points instead, over one or two coordinates.
        batched: whether all points' texts share each decoding step (`sample_batched`); None decides as `prefer_batched`
            says, and a shared step is printed. The choice and its reason are in the provenance, under "sampling".
        store: where finished points are kept: a `Cache`, a folder, True for the default folder, False for nowhere.
        fresh: measure all anew, also what the store has, and print what differs from it. Without it, what came from the
            store, and of when that is, is printed.
        check: first measure each new probe twice at the path's start on a few items, and refuse one that differs.

    Returns:
        A `Curve` of a path with one coordinate, else a `Surface`: every probe's quantities (NaN where the model at a
        point cannot be used), their 95 % intervals, all samples and the provenance.

    Raises:
        AlphaError: a coordinate that the path does not have, or one given twice; `adaptive` out of range, or beside
            `points`.
        ProbeError: no probes, two with one name, one that does not repeat or that returns no measurement.

    Example:
        ```python
        line = ln.Line("data/adapters/negative", "data/adapters/positive", base="smollm2-135m-instruct")
        curve = ln.evaluate(line, ln.alpha_grid(-1, 2, 7), [ln.Loss(ln.held_out("rotten_tomatoes", 64))])
        curve.barrier("loss/rotten_tomatoes")
        ```

        On small models, and on a path with more coordinates:

        >>> import lerpnb as ln
        >>> three = [tiny_checkpoint() for _ in range(3)]
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> ln.evaluate(ln.Line(*three[:2], device="cpu"), [0, 0.5, 1], [norm], store=False).alphas.tolist()
        [0.0, 0.5, 1.0]
        >>> simplex = ln.Simplex(dict(zip("abc", three)), device="cpu")
        >>> surface = ln.evaluate(simplex, simplex.lattice(2), [norm], store=False)
        >>> surface.axes, len(surface.points)
        (('a', 'b', 'c'), 6)
    """
    started = time.time()
    sampler = _sampler(path, points, adaptive)
    one = len(path.axes) == 1
    if sampler:
        grid = [path.checked(point, "evaluate(adaptive)") for point in sampler.first]
    else:
        grid = path.checked_points(alpha_grid(-1, 2, 13) if points is None else points, "evaluate(points)")
    checked_axes(path.axes, f"evaluate({type(path).__name__})")
    probes = ready(probes, path)
    evaluator = Evaluator(path, probes, as_cache(store), fresh)
    if check:
        evaluator.check_repeats(grid)
    if one:  # the ends first: a barrier needs both
        grid = sorted(grid, key=lambda alpha: (alpha not in (0.0, 1.0), alpha))
    done: dict[Any, Point] = {}
    total = sampler.max_points if sampler else len(grid)
    try:
        if not sampler:
            evaluator.sample_batch(grid, batched)
        for point in track(_asked(sampler, done, evaluator, batched) if sampler else grid, total, label="evaluate"):
            done[point] = evaluator.point(point)
    except KeyboardInterrupt:
        done |= evaluator.finished(point for point in grid if point not in done)
        if not done:
            raise
        print(f"Interrupted: {len(done)} of {'at most ' if sampler else ''}{total} points are done.")
    evaluator.report()
    provenance = evaluator.provenance() | path.provenance()
    provenance |= {"started": utc(started), "seconds": round(time.time() - started, 1)}
    if sampler:
        provenance["placement"] = _placement(sampler, watched(done), len(done))
    fill_gaps(done)
    measures = {point: measured for point, (measured, _) in done.items()}
    texts = {(point,) if one else point: frame for point, (_, frame) in done.items() if frame is not None}
    placed = [frame.assign(**dict(zip(path.axes, at, strict=True))) for at, frame in texts.items()]
    samples = pd.concat(placed, ignore_index=True) if placed else None
    if one:
        curve = Curve.from_measures(measures, samples, provenance)
        if path.kind == "line" and path.checkpoints["minus"] is not path.base:
            check_scorers(curve, probes)
        return curve
    return Surface.from_measures(measures, samples, provenance, path.axes)


def _sampler(path: BasePath, points: Any, adaptive: Adaptive | None) -> Sampler | None:
    if points is not None and adaptive is not None:
        raise AlphaError(
            "evaluate(points, adaptive): both are given.\nadaptive places the points itself. Pass one of them."
        )
    if adaptive is None and points is None and len(path.axes) > 1:
        if not hasattr(path, "window"):
            raise AlphaError(
                f"evaluate(points): none are given, and a {type(path).__name__} has no points by default.\n"
                "Pass some, such as ([0, 1], [0, 0.5, 1]) of a MultiLine or simplex.lattice(2)."
            )
        adaptive = Adaptive(path.window())
    if adaptive is not None and not isinstance(adaptive, Adaptive):
        raise AlphaError(f"evaluate(adaptive): got {adaptive!r}.\nPass ln.evaluation.Adaptive((-1, 2)), say.")
    return adaptive.sampler(path.axes, tuple(getattr(path, "marks", {}).values())) if adaptive else None


def _asked(sampler: Any, done: dict[Any, Point], evaluator: Evaluator, batched: bool | None) -> Iterator[Any]:
    """The points that a sampler asks for; the sampler learns what was measured there."""
    while points := sampler.ask():
        evaluator.sample_batch(points, batched)
        for point in points:
            yield point
            measures = done[point][0]
            sampler.tell_measured(point, {name: measures[name] for name in watched(done) if name in measures})


def _placement(sampler: Sampler, names: list[str], n: int) -> dict:
    """What adaptive sampling says of itself: printed, and as JSON."""
    summary = sampler.summary(names)
    interpolation = summary["interpolation"]
    interpolations = [interpolation] if isinstance(interpolation, str) else interpolation
    print(f"evaluate(adaptive): {sampler} ({listed(names)}; by {listed(interpolations)})")
    return summary | {"points": n, "quantities": names}


def watched(done: dict[Any, Point]) -> list[str]:
    """The quantities that are to be known to the tolerance."""
    known = {name: measure.kind for measures, _ in done.values() for name, measure in measures.items()}
    losses = [name for name, kind in known.items() if (kind or Quantity.named(name).kind) == "loss"]
    return losses or list(known)[:1]


def fill_gaps(done: dict[Any, Point]) -> None:
    """Give a quantity that could not be measured at a point a NaN there, so that it is drawn as a gap and named."""
    known = {name: measure for measures, _ in done.values() for name, measure in measures.items()}
    for measures, _ in done.values():
        for name in known.keys() - measures.keys():
            like = known[name]
            measures[name] = replace(like, values=np.full(len(like.values), np.nan), weights=np.ones(len(like.values)))


def ready(probes: Sequence[Any], path: BasePath) -> list:
    """The probes as they are measured along a path; refuses none, two with one name, a path without a tokenizer."""
    probes = [as_probe(probe) for probe in (probes if isinstance(probes, Iterable) else [probes])]
    if not probes:
        raise ProbeError("evaluate(probes): no probes.\nPass one or more, such as ln.Loss(corpus).")
    names = [probe.name for probe in probes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProbeError(f"evaluate(probes): two probes are called {twice[0]!r}.\nGive one of them another name.")
    if path.tokenizer is None:
        raise ProbeError(
            f"evaluate(path): the {type(path).__name__} has no tokenizer.\n"
            "Wrap live models: Checkpoint.from_model(model, tokenizer)."
        )
    return [prepared(probe, path) for probe in probes]


def as_cache(store: Store) -> Cache | None:
    if isinstance(store, Cache):
        return store
    if store is None or isinstance(store, bool):
        return Cache() if store else None
    if isinstance(store, (str, Path)):
        return Cache(store)
    raise ProbeError(
        f"evaluate(store): got {store!r}.\nIt takes a folder, a Cache, True for the default folder, or False."
    )


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
