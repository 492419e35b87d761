"""Walks that place their own alphas: points taken, error believed, true error, and the even grids that do as well.

The true error is the largest difference from 121 even alphas over [-1, 2]. Even grids are interpolated in the same way.
The demo line's 121 points were measured once and lie in results/, as they take minutes; three are measured again and
must agree. --reference measures all of them anew. Points come from the default store ($LERPNB_STORE moves it).

    python tests/benchmarks/adaptive.py [--tiny] [--reference]
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

# This file's folder comes first on the path, so the library called adaptive could not be imported from here.
from common import RESULTS, arguments, save

from lerpnb.evaluation.adaptive import INTERPOLATION, Adaptive, AdaptiveSampler1D, interpolate

if TYPE_CHECKING:
    from lerpnb.evaluation.cache import Cache
    from lerpnb.paths.line import Line
    from lerpnb.probes.loss import Loss

LO, HI, TOLERANCES = -1.0, 2.0, (0.01, 0.003, 0.001)
REFERENCE = np.round(np.linspace(LO, HI, 121), 12)
RECORDED = RESULTS / "adaptive-reference.json"
Function = Callable[[np.ndarray], np.ndarray]


def curves(kind: str, seeds: int) -> list[Function]:
    """Losses as lines have them, in nats: the same for the same kind and seed."""
    return [_curve(kind, np.random.default_rng([seed, len(kind)])) for seed in range(seeds)]


def _curve(kind: str, draw: np.random.Generator) -> Function:
    centre, height = draw.uniform(-0.5, 1.5), draw.uniform(0.1, 0.6)
    rate, wave, decay = draw.uniform(0.5, 2), draw.uniform(1, 4), draw.uniform(0, 0.5)
    kink = LO + 0.15 + 2.7 * (draw.integers(1, 1000) * np.sqrt(2) % 1)  # irrational, and not at the very ends
    jump, width = draw.uniform(0.2, 2), draw.uniform(0.15, 0.4)

    def value(x: np.ndarray) -> np.ndarray:
        bowl = 3 + height * (x - centre) ** 2
        if kind == "quadratic":
            return bowl
        if kind == "smooth":
            return (
                bowl
                + height * np.cosh(rate * (x - centre)) / np.cosh(rate) / 3
                + 0.05 * np.sin(wave * x)
                + decay * np.exp(-x / 2)
            )
        if kind == "kinked":
            return bowl + jump * np.abs(x - kink)
        if kind == "bump":
            return bowl + jump * np.exp(-(((x - centre) / width) ** 2) / 2)
        if kind == "barrier":
            return bowl + jump / (1 + np.exp(-3 * (x - 0.2) / width)) / (1 + np.exp(3 * (x - 0.8) / width))
        raise ValueError(kind)

    return value


def place(parts: Callable[[float], np.ndarray], tol: float) -> AdaptiveSampler1D:
    """A placement that has reached `tol`, or 121 alphas, on a curve whose items' parts are told."""
    found = AdaptiveSampler1D(LO, HI, tol, max_points=len(REFERENCE))
    while alphas := found.ask():
        for alpha in alphas:
            found.tell(alpha, [parts(alpha)])
    return found


def even_errors(parts: Callable[[float], np.ndarray], true: np.ndarray) -> dict[int, float]:
    """True error of each even grid, from 3 alphas on."""
    grids = {n: np.linspace(LO, HI, n) for n in range(3, len(REFERENCE))}
    return {
        n: np.abs(interpolate(grid, np.stack([parts(a) for a in grid]), REFERENCE) - true).max()
        for n, grid in grids.items()
    }


def rows_of(name: str, parts: Callable[[float], np.ndarray], true: np.ndarray, even: dict[int, float]) -> list[dict]:
    rows = []
    for tol in TOLERANCES:
        placed = place(parts, tol)
        error = float(np.abs(placed.at(REFERENCE)[0] - true).max())
        coarsest = [next((n for n, found in even.items() if found <= bound), len(REFERENCE)) for bound in (tol, error)]
        rows.append(
            {
                "curve": name,
                "tol": tol,
                "points": len(placed.alphas),
                "believed": placed.error,
                "true": error,
                "even to tol": coarsest[0],
                "even as good": coarsest[1],
            }
        )
    return rows


def synthetic(kind: str, seeds: int) -> list[dict]:
    rows = []
    for seed, curve in enumerate(curves(kind, seeds)):
        parts = lambda alpha, curve=curve: np.atleast_1d(curve(np.float64(alpha)))  # noqa: E731
        true = curve(REFERENCE)
        rows += rows_of(f"{kind} {seed}", parts, true, even_errors(parts, true))
    return rows


def demo(tiny: bool) -> list[dict]:
    """The demo line and 32 short held-out sentences (for --tiny a made-up line and few alphas) by `ln.evaluate`."""
    from lerpnb.data.corpus import Corpus
    from lerpnb.evaluation.cache import Cache
    from lerpnb.evaluation.loop import evaluate
    from lerpnb.paths.line import Line
    from lerpnb.probes.loss import Loss

    if tiny:
        import tiny_models as makers

        folder = Path(tempfile.mkdtemp())
        trio = makers.trio(makers.llama(), folder)
        line, store = Line(trio.minus, trio.plus, device="cpu"), Cache(folder / "store")
        corpus, tolerances, reference = Corpus(tuple(makers.TEXTS), (0,) * 8, ("x",), "x"), (0.1,), REFERENCE[::20]
    else:
        from lerpnb.data.splits import held_out

        corpus = held_out("rotten_tomatoes", 400).only("negative")
        short = [text for text in corpus.texts if 3 <= len(text.split()) <= 7][:32]
        corpus = replace(corpus, texts=tuple(short), labels=(corpus.labels[0],) * 32)
        line = Line("data/adapters/negative", "data/adapters/positive", "smollm2-135m-instruct", device="cpu")
        store, tolerances, reference = Cache(), TOLERANCES, REFERENCE
    loss = Loss(corpus)
    items, weights = measured(line, loss, reference, store) if tiny else recorded(line, loss, store)
    items = items * weights / weights.sum()
    true, rows = items.sum(1), []
    even = {}
    for step in [s for s in range(1, len(reference)) if (len(reference) - 1) % s == 0]:  # the grids the reference holds
        n = (len(reference) - 1) // step + 1
        if n >= 3:
            even[n] = float(np.abs(interpolate(reference[::step], items[::step], reference) - true).max())
    for tol in tolerances:
        curve = evaluate(line, probes=[loss], adaptive=Adaptive((LO, HI), tol, len(REFERENCE)), store=store)
        told = curve.provenance["placement"]
        placed = AdaptiveSampler1D(LO, HI, tol, max_points=len(REFERENCE))
        frame = curve.frame[curve.frame["quantity"] == loss.name]
        for alpha, values in zip(frame["alpha"], frame["item_values"], strict=True):
            placed.tell(alpha, [values * weights / weights.sum()])
        error = float(np.abs(placed.at(reference)[0] - true).max())
        coarsest = [min((n for n, e in even.items() if e <= bound), default=len(reference)) for bound in (tol, error)]
        rows.append(
            {
                "curve": "demo line, 32 texts",
                "tol": tol,
                "points": told["points"],
                "believed": told["error_believed"],
                "true": error,
                "even to tol": coarsest[0],
                "even as good": coarsest[1],
            }
        )
    return rows


def measured(line: "Line", loss: "Loss", alphas: np.ndarray, store: "Cache") -> tuple[np.ndarray, np.ndarray]:
    """Each text's loss at each alpha, and its number of tokens."""
    from lerpnb.evaluation.loop import evaluate

    frame = evaluate(line, alphas, [loss], store=store).frame
    frame = frame[frame["quantity"] == loss.name]
    return np.stack(list(frame["item_values"])), np.asarray(frame["item_weights"].iloc[0])


def recorded(line: "Line", loss: "Loss", store: "Cache") -> tuple[np.ndarray, np.ndarray]:
    """The same at all alphas of the reference, from its file; three of them are measured again and must agree."""
    if "--reference" in sys.argv:
        items, weights = measured(line, loss, REFERENCE, store)
        told = {"texts": loss.corpus.sha256, "items": items.round(9).tolist(), "weights": weights.tolist()}
        RECORDED.write_text(json.dumps(told) + "\n", encoding="utf-8")
    told = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert told["texts"] == loss.corpus.sha256, "other texts than the reference's: run adaptive.py --reference"
    items, weights = np.array(told["items"]), np.array(told["weights"])
    again = [0, 47, 120]
    off = np.abs(measured(line, loss, REFERENCE[again], store)[0] - items[again]).max()
    assert off < 1e-4, f"the recorded reference is off by {off:.1e} here: run adaptive.py --reference"
    return items, weights


def summary(rows: list[dict]) -> dict:
    """How many of the rows keep each promise."""
    return {
        "cases": len(rows),
        "covered": sum(row["true"] <= row["believed"] + 1e-12 for row in rows),
        "at most 4 more than an even grid as good": sum(row["points"] <= row["even as good"] + 4 for row in rows),
        "at most 4 more than an even grid to tol": sum(row["points"] <= row["even to tol"] + 4 for row in rows),
        "fewer than an even grid to tol": sum(row["points"] < row["even to tol"] for row in rows),
    }


def main() -> None:
    tiny = arguments(__doc__.splitlines()[0], "--reference").tiny
    print(f"interpolation: {INTERPOLATION}; errors in nats")
    result = {"interpolation": INTERPOLATION, "rows": [], "summary": {}}
    print(f"{'':24}{'tol':>7}{'points':>8}{'believed':>10}{'true':>10}{'even to tol':>13}{'even as good':>14}")
    kinds = ("quadratic", "smooth", "kinked", "bump", "barrier")
    for kind in (*kinds, "demo"):
        rows = demo(tiny) if kind == "demo" else synthetic(kind, 1 if tiny else 4)
        for row in rows if tiny or kind == "demo" else rows[:6]:
            print(
                f"{row['curve']:24}{row['tol']:7}{row['points']:8}{row['believed']:10.5f}{row['true']:10.5f}"
                f"{row['even to tol']:13}{row['even as good']:14}"
            )
        result["rows"] += rows
        result["summary"][kind] = summary(rows)
    for kind, found in result["summary"].items():
        print(f"{kind}: {', '.join(f'{name} {count}' for name, count in found.items())}")
    if not tiny:
        print(save("adaptive", result))


if __name__ == "__main__":
    main()
