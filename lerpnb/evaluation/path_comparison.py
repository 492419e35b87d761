"""Several paths under the same probes, so that methods to combine checkpoints can be compared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lerpnb.errors import ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.base import BasePath
from lerpnb.probes.distance import WeightDistance
from lerpnb.results.comparisons import PathComparison
from lerpnb.utils.progress import track

EVEN = (0.0, 0.25, 0.5, 0.75, 1.0)


def compare_paths(
    paths: Mapping[str, BasePath | Callable[[], BasePath]],
    probes: Sequence[Any],
    points: Sequence[float] | Mapping[str, Sequence[float]] = EVEN,
    *,
    store: Cache | str | Path | None | bool = True,
    check: bool = True,
) -> PathComparison:
    """Evaluate several paths under the same probes, to compare them in one trade-off.

    Coordinates of two paths are not alike: what can be compared is where their points lie. How each point is made,
    its coefficients, is printed and kept in `recipes`.

    Args:
        paths: {name: path}: `Line`, its kin, ensembles, all on one base. A function that makes one is called when its
            turn comes, so that memory holds the live models of those alone that were made before.
        probes: as for `evaluate`: an `AttributeStrength` for the figure, and others; a `WeightDistance` from the path's
            base is measured besides.
        points: coordinates for all paths, or {name: coordinates}; 0 to 1 in quarters for a path without.
        store: as for `evaluate`.
        check: first see that the probes repeat, as `evaluate` does, on the first path alone.

    Returns:
        `PathComparison`: a curve a path, and the figure that they make.

    Raises:
        ProbeError: no paths, a name in `points` that no path has, or a path without a base, or of another one.
        AlphaError: a coordinate that a path does not have.

    Example:
        >>> import lerpnb as ln
        >>> base, one, two = (tiny_checkpoint() for _ in range(3))
        >>> paths = {"line": ln.Line(base, one, base, device="cpu"),
        ...          "sum": lambda: ln.merging.TaskArithmetic(base, {"one": one, "two": two}, device="cpu")}
        >>> def norm(model, tokenizer):
        ...     return model.lm_head.weight.norm()
        >>> comparison = compare_paths(paths, [norm], points=[0, 1], store=False)
        line at 0: 1 x minus + 0 x plus
        line at 1: 0 x minus + 1 x plus
        sum at 0: 1 x base + 0 x one + 0 x two
        sum at 1: -1 x base + 1 x one + 1 x two
        >>> comparison.to_frame()["distance/base"]["sum"].round(3).tolist()[0]
        0.0
    """
    unknown = [name for name in points if name not in paths] if isinstance(points, Mapping) else []
    if not paths or unknown:
        raise ProbeError(
            f"compare_paths({'points' if paths else 'paths'}): {f'no path {unknown[0]!r}' if paths else 'no paths'}.\n"
            + (f"They are: {', '.join(paths)}." if paths else "Pass {name: path}.")
        )
    grids = {name: list(points.get(name, EVEN) if isinstance(points, Mapping) else points) for name in paths}
    base = None
    for name, path in paths.items():
        if isinstance(path, BasePath):
            base = _check(name, path, grids[name], base)
    curves: dict[str, Any] = {}
    recipes: dict[str, dict[float, str]] = {}
    for name, path in track(paths.items(), len(paths), label="path"):
        path = path if isinstance(path, BasePath) else path()
        base = _check(name, path, grids[name], base)
        recipes[name] = {where: path.recipe(where) for where in grids[name]}
        print("\n".join(f"{name} at {where:.10g}: {recipe}" for where, recipe in recipes[name].items()))
        curves[name] = evaluate(path, grids[name], [*probes, WeightDistance()], store=store, check=check and not curves)
    return PathComparison(curves, recipes)


def _check(name: str, path: BasePath, grid: list[float], base: str | None) -> str:
    """The hash of the path's base, which is the one expected; its coordinates are its own."""
    if path.base is None or base not in (None, path.base.sha256):
        raise ProbeError(
            f"compare_paths(paths): {name!r} has {'no' if path.base is None else 'another'} base.\n"
            "Distances and perplexities are compared from one: pass the same base=... to each path."
        )
    for where in grid:
        path.checked(where, f"compare_paths(points[{name!r}])")
    return path.base.sha256
