"""Surveys of a plane: how far 60 placed points, and an even 8 x 8 grid, are from a 21 x 21 reference.

Errors are shares of the reference's range: the largest and the root mean square over its 441 points. Both ways are
interpolated alike, by the spline; the even grid is also told by plain bilinear interpolation, as a contour plot of it
would be. The demo's points come from the default store ($LERPNB_STORE moves it): a second run takes seconds.

python tests/benchmarks/plane.py [--tiny]
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import arguments, save

from lerpnb.evaluation.adaptive_2d import AdaptiveSampler2D
from lerpnb.results.interpolant import PolyharmonicSpline
from lerpnb.utils.coordinates import lattice

MOST, EVEN, REFERENCE = 60, 8, 21
WINDOW = (-0.6, 1.6, -0.4, 1.3)
MARKS = [(0.0, 0.0), (1.0, 0.0), (0.37, 0.81)]
Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


def surfaces(kind: str, seeds: int) -> list[Function]:
    """Losses as planes have them, in nats: the same for the same kind and seed."""
    return [_surface(kind, np.random.default_rng([seed, len(kind)])) for seed in range(seeds)]


def _surface(kind: str, draw: np.random.Generator) -> Function:
    (cx, cy), turn = draw.uniform(0, 0.9, 2), draw.uniform(0, np.pi)
    stiff, soft, jump = draw.uniform(0.4, 1), draw.uniform(0.05, 0.4), draw.uniform(0.3, 1)
    width, wave = draw.uniform(0.2, 0.35), draw.uniform(1, 4)

    def value(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        a, b = np.cos(turn) * (x - cx) + np.sin(turn) * (y - cy), np.cos(turn) * (y - cy) - np.sin(turn) * (x - cx)
        bowl = 3 + stiff * a**2 + soft * b**2
        if kind == "bowl":
            return bowl
        if kind == "smooth":
            return bowl + 0.1 * np.cosh(wave * a) / np.cosh(wave) + 0.05 * np.sin(wave * x + y)
        if kind == "valley":  # bent, as Rosenbrock's
            return 3 + 2 * stiff * (b - a**2) ** 2 + soft * a**2
        if kind == "bump":
            return bowl + jump * np.exp(-(a**2 + b**2) / width**2 / 2)
        if kind == "kink":
            return bowl + jump * np.abs(a)
        if kind == "two basins":
            left, right = np.exp(-(x**2 + y**2) / 0.3), np.exp(-((x - 1) ** 2 + y**2) / 0.2)
            return 4 - jump * (left + right) + soft * b**2
        raise ValueError(kind)

    return value


def bilinear(values: np.ndarray, n: int) -> np.ndarray:
    """An even grid's (m, m) values at n x n even places of its window."""
    places = np.linspace(0, len(values) - 1, n)
    low = np.minimum(places.astype(int), len(values) - 2)
    share = places - low
    along = values[:, low] * (1 - share) + values[:, low + 1] * share
    return along[low] * (1 - share)[:, None] + along[low + 1] * share[:, None]


def errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """The largest and the root mean square difference, as shares of the range."""
    apart = np.abs(found.ravel() - true.ravel()) / np.ptp(true)
    return float(apart.max()), float(np.sqrt(np.mean(apart**2)))


def row_of(name: str, value: Callable[[tuple[float, float]], float], window: tuple, marks: list, most: int) -> dict:
    """All ways on one surface, whose value at a point is asked."""
    reference = lattice(window, REFERENCE)
    true = np.array([value(at) for at in reference])
    place = AdaptiveSampler2D(window, marks, most)
    while asked := place.ask():
        for at in asked:
            place.tell(at, {"loss": value(at)})
    placed = PolyharmonicSpline(
        np.array(list(place.measured)), np.array([found["loss"] for found in place.measured.values()])
    )
    grid = lattice(window, EVEN)
    on_grid = np.array([value(at) for at in grid])
    believed, apart = placed.error(np.array(reference)), np.abs(placed.at(np.array(reference)) - true)
    return {
        "surface": name,
        "points": len(place.measured),
        "placed": errors(placed.at(np.array(reference)), true),
        "even, spline": errors(PolyharmonicSpline(np.array(grid), on_grid).at(np.array(reference)), true),
        "even, bilinear": errors(bilinear(on_grid.reshape(EVEN, EVEN), REFERENCE), true),
        "believed": float(believed.max() / np.ptp(true)),
        "within believed": float(np.mean(apart <= believed + 1e-9)),
    }


def demo(tiny: bool) -> dict:
    """The demo's plane and four short held-out sentences (for --tiny a made-up plane), measured by `ln.evaluate`."""
    from lerpnb.data.corpus import Corpus
    from lerpnb.evaluation.adaptive import Adaptive
    from lerpnb.evaluation.cache import Cache
    from lerpnb.evaluation.loop import evaluate
    from lerpnb.paths.plane import Plane
    from lerpnb.probes.loss import Loss

    if tiny:
        import tiny_models as makers

        folder = Path(tempfile.mkdtemp())
        trio = makers.trio(makers.llama(), folder)
        plane, store = Plane(trio.base, trio.minus, trio.plus, device="cpu"), Cache(folder / "store")
        loss, most = Loss(Corpus(tuple(makers.TEXTS[:2]), (0,) * 2, ("x",), "x")), 30
    else:
        from lerpnb.data.splits import held_out

        corpus = held_out("rotten_tomatoes", 200).only("negative")
        short = [text for text in corpus.texts if 6 <= len(text.split()) <= 12][:4]
        loss = Loss(replace(corpus, texts=tuple(short), labels=(corpus.labels[0],) * 4))
        plane = Plane("smollm2-135m-instruct", "data/adapters/negative", "data/adapters/positive", device="cpu")
        store, most = Cache(), MOST
    window = plane.window()
    placed = evaluate(plane, probes=[loss], adaptive=Adaptive(plane.window(), max_points=most), store=store)
    even = evaluate(plane, lattice(window, EVEN), [loss], store=store)
    reference = evaluate(plane, lattice(window, REFERENCE), [loss], store=store)
    known = {
        (x, y): value
        for surface in (reference, even, placed)
        for x, y, value in surface[loss.name][["x", "y", "value"]].itertuples(index=False)
    }
    return row_of("demo plane, 4 texts", known.__getitem__, window, list(plane.marks.values()), most)


def main() -> None:
    tiny = arguments(__doc__.splitlines()[0]).tiny
    print(
        "max and RMS error, as a share of the range over 21 x 21 points; the largest error believed of the placed ones,"
    )
    print("and at which share of the 441 the true error is within the one believed there")
    print(
        f"{'':20}{'points placed':>22}{'even 8x8, spline':>20}{'even 8x8, bilinear':>20}{'believed':>10}{'within':>8}"
    )
    rows = []
    for kind in ("bowl", "smooth", "valley", "bump", "kink", "two basins", "demo"):
        found = []
        if kind == "demo":
            found = [demo(tiny)]
        else:
            for seed, surface in enumerate(surfaces(kind, 1 if tiny else 4)):
                at = lambda point, surface=surface: float(surface(*point))  # noqa: E731
                found.append(row_of(f"{kind} {seed}", at, WINDOW, MARKS, 36 if tiny else MOST))
        for row in found:
            told = [f"{row[way][0]:.2%} {row[way][1]:.2%}" for way in ("placed", "even, spline", "even, bilinear")]
            print(
                f"{row['surface']:20}{row['points']:>5}{told[0]:>17}{told[1]:>20}{told[2]:>20}"
                f"{row['believed']:>10.2%}{row['within believed']:>8.0%}"
            )
        rows += found
    if not tiny:
        print(save("plane", rows))


if __name__ == "__main__":
    main()
