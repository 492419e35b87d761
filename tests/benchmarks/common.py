"""What all benchmarks share: compare ways in turn in one process, print and save the ratios; models to compare on."""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own log, before torch reads it

import torch  # noqa: E402

RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))  # for tiny_models


def compare(
    name: str,
    ways: dict[str, Callable[[], Any]],
    repeats: int = 7,
    agree: Callable[[str, Any], float | None] | None = None,
    tolerance: float = 1e-6,
    warm: dict[str, Callable[[], Any]] | None = None,
) -> dict:
    """Time ways to do one thing, in turn in one process, and give each as a ratio to the first way.

    Args:
        name: of the comparison.
        ways: {name: function}; the first is the yardstick.
        repeats: rounds; in a round each way is called once, so that a slow moment of the machine meets all of them.
        agree: (way, what its first call returned) to its largest difference from the true value; None where there is
            nothing to check.
        tolerance: the largest difference allowed.
        warm: what is called once before any is timed, by default the ways themselves; less of the same for long ones.

    Returns:
        {"name", "repeats", "ways": {way: {"seconds": median, "ratio": median of the rounds, "low", "high": its
        quartiles, "difference"}}}.

    Raises:
        AssertionError: a way does not agree.
    """
    found: dict[str, dict] = {}

    def check(way: str, returned: Any) -> None:
        if way not in found:
            difference = agree(way, returned) if agree else None
            told = f"{name}, {way}: off by {difference}, not {tolerance}"
            assert difference is None or difference <= tolerance, told
            found[way] = {"difference": difference}

    for way, call in (warm or ways).items():
        returned = call()
        if not warm:
            check(way, returned)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        gc.collect()  # a round, not a way: with transformers loaded it takes longer than a point does
        for way, call in ways.items():
            _wait()
            start = time.perf_counter()
            returned = call()
            _wait()
            seconds[way].append(time.perf_counter() - start)
            check(way, returned)
    told = ratios(seconds)
    return {"name": name, "repeats": repeats, "ways": {way: found[way] | told[way] for way in ways}}


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict]:
    """{way: its median seconds, and of its ratios to the first way, round by round, the median and the quartiles}."""
    first, found = seconds[next(iter(seconds))], {}
    for way, times in seconds.items():
        each = [a / b for a, b in zip(times, first, strict=True)]
        low, ratio, high = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
        found[way] = {"seconds": statistics.median(times), "ratio": ratio, "low": low, "high": high}
    return found


def show(result: dict) -> None:
    """Print a comparison as a table."""
    print(f"\n{result['name']} ({result['repeats']} rounds; the ratio's median and quartiles)")
    for way, found in result["ways"].items():
        gap = "" if found["difference"] is None else f"   off by {found['difference']:.1e}"
        spread = f"{found['ratio']:8.2f}x  ({found['low']:.2f} to {found['high']:.2f})"
        print(f"  {way:36}{1e3 * found['seconds']:10.2f} ms {spread}{gap}")


def save(name: str, result: Any) -> Path:
    """Write `results/<name>-<device>.json`: a result with the device's name, threads, torch's version and the date."""
    RESULTS.mkdir(exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    told = {"device": device_name(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    file = RESULTS / f"{name}-{device}.json"
    file.write_text(json.dumps(told | {"date": date.today().isoformat(), "result": result}, indent=1) + "\n")
    return file


def device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def arguments(about: str, *flags: str) -> argparse.Namespace:
    """The command line of every program: --tiny, which is for the tests and saves nothing, and flags of its own."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few rounds; nothing is saved")
    for flag in flags:
        parser.add_argument(flag, action="store_true")
    silence()
    return parser.parse_args()


def silence() -> None:
    """No hub, and no bars or warnings of others between the figures; a case is told when it is done, in a log too."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.stdout.reconfigure(line_buffering=True)
    warnings.filterwarnings("ignore", category=FutureWarning)
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def gpt2(tiny: bool = False, seed: int = 0) -> torch.nn.Module:
    """A random GPT-2 of 124M float32 parameters (or a tiny one), frozen."""
    from transformers import GPT2Config, GPT2LMHeadModel

    small = {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 500} if tiny else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(GPT2Config(**small)).eval().requires_grad_(False)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
