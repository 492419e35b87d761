"""A loss walk beside its bare forward passes and beside a careful user's loop: time, values, peak memory.

python tests/benchmarks/walk.py [--tiny]
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, compare, save, show

from lerpnb.alpha import alpha_grid
from lerpnb.corpus import Corpus
from lerpnb.paths import Line
from lerpnb.probes.loss import Loss, sequence_nll
from lerpnb.walks import walk


def made(tiny: bool) -> tuple[Line, Corpus, list[float]]:
    """The line, 32 held-out texts (8 made-up ones for --tiny) and the alphas."""
    if tiny:
        import tiny as makers

        folder = Path(tempfile.mkdtemp())
        trio = makers.trio(makers.llama(), folder)
        return (
            Line(trio.minus, trio.plus, device="cpu"),
            Corpus(tuple(makers.TEXTS), (0,) * 8, ("x",), "x"),
            [0.0, 0.5, 1.0],
        )
    from lerpnb.splits import held_out

    line = Line("data/adapters/negative", "data/adapters/positive", "smollm2-135m-instruct", device="cpu")
    return line, replace(held_out("rotten_tomatoes", 16), name="both"), alpha_grid(0, 1, 11).tolist()


def ours(line: Line, corpus: Corpus, alphas: list[float]) -> list[float]:
    """`walk` as a person calls it, into a fresh store."""
    with tempfile.TemporaryDirectory() as store:
        return walk(line, alphas, [Loss(corpus)], store=store).value(f"loss/{corpus.name}").tolist()


def bare(line: Line, corpus: Corpus, alphas: list[float]) -> Callable[[], list[float]]:
    """The forward passes alone: the same batches, made beforehand; nothing mixed, checked or stored."""
    probe, model = Loss(corpus), line.model
    batches = probe._tokenised(model, line.tokenizer)

    def passes() -> list[float]:
        found = [
            sequence_nll(model, ids, lengths, torch.ones_like(lengths)) for _ in alphas for _, ids, lengths in batches
        ]
        return [float(nll.sum()) for nll in found]

    return passes


@torch.no_grad()
def careful(line: Line, corpus: Corpus, alphas: list[float]) -> list[float]:
    """A careful user's loop: a dict mixed and loaded a point; batches of 16 as they come, padded; full logits."""
    model, tokenizer = line.model, line.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    minus, plus = line.minus.tensors, line.plus.tensors
    names, found = model.state_dict().keys(), []
    for alpha in alphas:
        model.load_state_dict({n: (1 - alpha) * minus[n] + alpha * plus[n] for n in names if n in minus}, strict=False)
        total = count = 0
        for start in range(0, len(corpus), 16):
            tokens = tokenizer(list(corpus.texts[start : start + 16]), padding=True, return_tensors="pt")
            labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
            logits = model(**tokens).logits
            total += F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum").item()
            count += (labels[:, 1:] != -100).sum().item()
        found.append(total / count)
    line.here = None
    return found


def peak(way: str, tiny: bool) -> int:
    """Bytes that a way adds to the peak memory of a process of its own, beyond the loaded line's."""
    command = [sys.executable, __file__, "--peak", way] + ["--tiny"] * tiny
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def measure_peak(way: str, tiny: bool) -> None:
    line, corpus, alphas = made(tiny)
    line.at(0.25)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = resident("VmRSS")
    (ours if way == "ours" else careful)(line, corpus, alphas[:2])
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
    want: list[float] = []
    ways = {
        "bare forward passes": bare(line, corpus, alphas),
        "a careful user's loop": lambda: careful(line, corpus, alphas),
        "ln.walk, fresh store": lambda: ours(line, corpus, alphas),
    }

    def agree(way: str, found: list[float]) -> float | None:
        if way.startswith("a careful"):
            want.extend(found)
        return max(abs(a - b) for a, b in zip(found, want, strict=True)) if way.startswith("ln.walk") else None

    few = alphas[:1]
    warm = {"bare": bare(line, corpus, few), "careful": lambda: careful(line, corpus, few)}
    warm["ours"] = lambda: ours(line, corpus, few)
    name = f"{len(alphas)} alphas, {len(corpus)} texts"
    rounds = 1 if tiny else 2
    result = compare(name, ways, rounds, agree, tolerance=1e-5, warm=warm, once=("a careful user's loop",))
    show(result)
    took = {way: result["ways"][name]["seconds"] for way, name in zip(("bare", "careful", "ours"), ways, strict=True)}
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
        print(save("walk", result))


if __name__ == "__main__":
    main()
