"""Surveys."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerpnb.errors import AlphaError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator, Point
from lerpnb.evaluation.loop import as_store, fill_gaps, ready, utc, watched
from lerpnb.evaluation.refinement import AdaptiveSampler2D
from lerpnb.paths.plane import Plane
from lerpnb.results.interpolant import interpolation
from lerpnb.results.surface import Surface
from lerpnb.utils.coordinates import Window, pair
from lerpnb.utils.progress import track
from lerpnb.utils.text import listed, show


def survey(
    plane: Plane,
    probes: Sequence[Any],
    *,
    window: Window | None = None,
    most: int = 60,
    tol: float = 0.0,
    points: Sequence[tuple[float, float]] | None = None,
    store: Cache | str | Path | None | bool = True,
    check: bool = True,
) -> Surface:
    """Measure probes over a plane, from coarse to fine.

    The three checkpoints and a coarse lattice come first, then points are placed where the surface of every
    `loss/...`, or where there is none the first probe's first quantity, is known least (`AdaptiveSampler2D`). Each is
    mixed
    from all three checkpoints, measured and stored at once: a survey that dies resumes, and one with more points pays
    only for the new ones. Ctrl-C returns the surface of what is done. How far the surface is believed to be off in
    between is printed, and kept in the provenance under "placement".

    Args:
        plane: the path.
        probes: as for `walk`.
        window: x from, x to, y from, y to, in the plane's unit; by default `plane.window()`.
        most: points at most.
        tol: the error that it may leave, in the quantity's unit, at which it ends before `most`.
        points: (x, y) to measure instead of placing them, such as `plane.grid(5)`.
        store: where finished points are kept: a `Cache`, a folder, True for the default folder, False for nowhere.
        check: first measure each new probe twice at minus on a few items, and refuse one that does not repeat.

    Raises:
        AlphaError: a window, `most`, `tol` or points out of range; points beside a window.
        ProbeError: no probes, two with one name, one that does not repeat or that returns no measurement.

    Example:
        >>> import lerpnb as ln
        >>> three = [tiny_checkpoint() for _ in range(3)]
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> plane = ln.Plane(*three, device="cpu")
        >>> surface = ln.survey(plane, [norm], points=plane.grid(3), store=False)
        >>> len(surface.points), surface.quantities
        (9, ['norm'])
    """
    started = time.time()
    if points is not None and window is not None:
        raise AlphaError("survey(window, points): both are given.\nA window is for points that are placed. Pass one.")
    place = None
    if points is None:
        place = AdaptiveSampler2D(plane.window() if window is None else window, list(plane.marks.values()), most, tol)
    grid = place.ask() if place else _checked_points(points)
    probes = ready(probes, plane, "survey", "plane")
    work = Evaluator(plane, probes, as_store(store))
    if check:
        work.check_repeats(grid)
    found: dict[tuple[float, float], Point] = {}
    total = place.most if place else len(grid)
    try:
        for at in track(_placed(place, found) if place else grid, total, label="survey"):
            found[at] = work.point(at)
    except KeyboardInterrupt:
        if not found:
            raise
        print(f"Interrupted: {len(found)} of {'at most ' if place else ''}{total} points are done.")
    told = work.provenance() | {"started": utc(started), "seconds": round(time.time() - started, 1)}
    told["marks"] = {name: list(at) for name, at in plane.marks.items()}
    fill_gaps(found)
    surface = Surface.from_measures({at: measures for at, (measures, _) in found.items()}, told)
    if place:
        surface.provenance["placement"] = _told(place, surface, watched(found))
    return surface


def _placed(place: AdaptiveSampler2D, found: dict[tuple[float, float], Point]) -> Iterator[tuple[float, float]]:
    """The points that a refinement asks for, each told to it when it is measured."""
    while asked := place.ask():
        for at in asked:
            yield at
            measures = found[at][0]
            place.tell(at, {name: measures[name].value() for name in watched(found) if name in measures})


def _told(place: AdaptiveSampler2D, surface: Surface, names: list[str]) -> dict:
    """What a survey that placed its own points says of it: printed, and as JSON."""
    error, rms = (float(value) if np.isfinite(value) else None for value in (place.error, place.rms))
    ways = list(dict.fromkeys(interpolation(surface.spline(name)) for name in names))
    print(f"survey(window, most): {place} ({listed(names)}; by {listed(ways)})")
    return {
        "window": list(place.window),
        "most": place.most,
        "tol": place.tol,
        "points": len(place.told),
        "error_believed": error,
        "rms_believed": rms,
        "quantities": names,
        "interpolation": ways,
    }


def _checked_points(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    grid = [pair(at, "survey(points)") for at in points]
    if not grid:
        raise AlphaError("survey(points): no points.\nPass plane.grid(5), say.")
    twice = [show(at) for at in sorted(set(grid)) if grid.count(at) > 1]
    if twice:
        raise AlphaError(f"survey(points): {', '.join(twice[:3])} is given twice.\nGive each point once.")
    return grid
