"""Losses along a line beside its bare forward passes and beside a careful user's loop: time, values, peak memory.

python tests/benchmarks/losses.py [--tiny]
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from common import arguments, ratios, save, show

from lerpnb.data.corpus import Corpus
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.probes.loss import Loss, sequence_nll
from lerpnb.results.measurement import Measurement
from lerpnb.utils.coordinates import alpha_grid

WAYS = ("bare forward passes", "a careful user's loop", "ln.evaluate, fresh store")


def made(tiny: bool) -> tuple[Line, Corpus, list[float]]:
    """The line, 32 held-out texts (8 made-up ones for --tiny) and the alphas."""
    if tiny:
        import tiny_models as makers

        folder = Path(tempfile.mkdtemp())
        trio = makers.trio(makers.llama(), folder)
        return (
            Line(trio.minus, trio.plus, device="cpu"),
            Corpus(tuple(makers.TEXTS), (0,) * 8, ("x",), "x"),
            [0.0, 0.5, 1.0],
        )
    from lerpnb.data.splits import held_out

    line = Line("data/adapters/negative", "data/adapters/positive", "smollm2-135m-instruct", device="cpu")
    return line, replace(held_out("rotten_tomatoes", 16), name="both"), alpha_grid(0, 1, 11).tolist()


class Beside:
    """A probe that does the loss's work another way at each alpha, and notes when it began and when it ended."""

    def __init__(self, name: str, way: Callable[[], float]):
        self.name, self.way, self.times = name, way, []

    def identity(self) -> None:
        """Nothing is stored of it."""

    def subset(self) -> "Beside":
        return Beside(self.name, lambda: 0.0)

    def measure(self, *_: object) -> dict[str, Measurement]:
        start = time.perf_counter()
        value = self.way()
        self.times.append((start, time.perf_counter()))
        return {self.name: Measurement([value], unit="nats/token")}


def bare(line: Line, corpus: Corpus) -> Callable[[], float]:
    """The forward passes alone: the same batches, made beforehand; nothing mixed, checked or stored."""
    probe, model = Loss(corpus), line.model
    batches = probe._tokenized(model, line.tokenizer)
    weights = torch.cat([lengths - 1 for _, _, lengths, _ in batches])

    def passes() -> float:
        found = [sequence_nll(model, *batch) for _, *batch in batches]
        return float(torch.cat(found) @ weights.double() / weights.sum())

    return passes


def careful(line: Line, corpus: Corpus) -> Callable[[], float]:
    """A careful user's loop: a dict mixed and loaded a point; batches of 16 as they come, padded; full logits."""
    model, tokenizer = line.minus.new_model(), line.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    minus, plus = line.minus.tensors, line.plus.tensors
    names = [name for name in model.state_dict() if name in minus]

    @torch.no_grad()
    def point() -> float:
        alpha, total, count = line.here, 0.0, 0
        model.load_state_dict({n: (1 - alpha) * minus[n] + alpha * plus[n] for n in names}, strict=False)
        for start in range(0, len(corpus), 16):
            tokens = tokenizer(list(corpus.texts[start : start + 16]), padding=True, return_tensors="pt")
            labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
            logits = model(**tokens).logits
            total += F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum").item()
            count += (labels[:, 1:] != -100).sum().item()
        return total / count

    return point


def timed(line: Line, corpus: Corpus, alphas: list[float]) -> dict[str, list[float]]:
    """Seconds at each alpha of each way, in one walk into a fresh store; what the two other ways do not take is ours.

    So all three meet the same moments of the machine. The last alpha's share holds what comes after it, the first's
    what came before.
    """
    loss, ways = Loss(corpus), [Beside("bare", bare(line, corpus)), Beside("careful", careful(line, corpus))]
    with tempfile.TemporaryDirectory() as store:
        start = time.perf_counter()
        curve = evaluate(line, alphas, [loss, *ways], store=store)
        end = time.perf_counter()
    gaps = {way.name: np.abs(curve.value(way.name) - curve.value(loss.name)).max() for way in ways}
    assert max(gaps.values()) < 1e-5, f"the losses differ: {gaps}"
    of_bare, of_careful = ([b - a for a, b in way.times] for way in ways)
    before = [start, *(after for _, after in ways[1].times[:-1])]
    of_ours = [begun - since for since, (begun, _) in zip(before, ways[0].times, strict=True)]
    of_ours[-1] += end - ways[1].times[-1][1]
    return dict(zip(WAYS, (of_bare, of_careful, of_ours), strict=True))


def peak(way: str, tiny: bool) -> int:
    """Bytes that a way adds to the peak memory of a process of its own, beyond the loaded line's."""
    command = [sys.executable, __file__, "--peak", way] + ["--tiny"] * tiny
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure_peak(way: str, tiny: bool) -> None:
    line, corpus, alphas = made(tiny)
    point = careful(line, corpus) if way == "careful" else None
    line.at(0.25)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = resident("VmRSS")
    if point:
        point(), point()
    else:
        evaluate(line, alphas[:2], [Loss(corpus)], store=False)
    print(resident("VmHWM") - before)


def resident(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    if "--peak" in sys.argv:
        measure_peak(sys.argv[sys.argv.index("--peak") + 1], "--tiny" in sys.argv)
        return
    tiny = arguments(__doc__).tiny
    line, corpus, alphas = made(tiny)
    timed(line, corpus, alphas[:1])
    seconds = timed(line, corpus, alphas)
    name = f"{len(alphas)} alphas, {len(corpus)} texts"
    result = {"name": name, "repeats": len(alphas), "ways": ratios(seconds)}
    took = {way: sum(seconds[name]) for way, name in zip(("bare", "careful", "ours"), WAYS, strict=True)}
    for found in result["ways"].values():
        found["difference"] = None  # it is asserted
    show(result)
    with ThreadPoolExecutor(2) as pool:
        memory = dict(zip(("ours", "careful"), pool.map(lambda way: peak(way, tiny), ("ours", "careful")), strict=True))
    result |= {"ours / bare": took["ours"] / took["bare"], "ours / careful": took["ours"] / took["careful"]}
    result |= {"peak bytes beyond weights": memory, "peak, ours / careful": memory["ours"] / max(1, memory["careful"])}
    print(f"  ours takes {result['ours / bare']:.3f}x the bare passes (bar: 1.05), ", end="")
    print(f"{result['ours / careful']:.3f}x the careful loop (bar: 0.7)")
    print(
        f"  peak beyond weights: ours {memory['ours'] / 1e6:.0f} MB, careful {memory['careful'] / 1e6:.0f} MB: ", end=""
    )
    print(f"{result['peak, ours / careful']:.2f}x (bar: 0.25)")
    if not tiny:
        print(save("losses", result))


if __name__ == "__main__":
    main()
