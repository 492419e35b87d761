"""Each benchmark runs to its end at a tiny size; what compares ways gives ratios, and refuses one that disagrees.

But for mix.py, size.py, losses.py, memory.py and adaptive.py, which take longest: `make bench` runs them.
"""

import json
import runpy
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from transformers.utils import logging

FOLDER = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = {
    "batched_texts.py": ["low-rank ends", "mix + generate a point", "rows, float32 activations"],
    "explorer.py": ["first words, s", "longest gap of the event loop, ms"],
    "gpu.py --device cpu": [
        "The times below are no figures.",
        "mix + generate a point",
        "mixing, 8B",
        "20 texts of 3",
    ],
    "merging.py": ["mergekit"],
    "architectures.py": ["| gpt2 | = | = | = | = | = | = |", "4 architectures: 3 right, 1 without", "0 wrong"],
    "peft_options.py": ["prompt tuning", "4 low-rank"],
    "plane.py": ["two basins 0", "demo plane, 4 texts"],
    "agree.py": ["loss of a text at 4 alphas", "mean of two adapters' deltas, by cat", "of the mean delta is wrong"],
}


@pytest.fixture
def as_it_was():
    """What a benchmark silences speaks again."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_benchmark_runs(program, as_it_was, monkeypatch, capfd):
    name, *options = program.split()
    monkeypatch.chdir(FOLDER.parents[1])
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))  # for processes of its own
    monkeypatch.setattr(sys, "argv", [name, *options, "--tiny"])
    with ThreadPoolExecutor(1) as own:  # in this thread the browser of other tests may keep an event loop
        end = own.submit(runpy.run_path, str(FOLDER / name), run_name="__main__").exception()
    if end and not (isinstance(end, SystemExit) and not end.code):
        raise end
    printed = capfd.readouterr().out
    assert not [text for text in PROGRAMS[program] if text not in printed], printed


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import common

    return common


@pytest.mark.slow
def test_compare_gives_each_way_as_a_ratio_to_the_first(common):
    ways = {"short": lambda: time.sleep(0.002) or 1.0, "long": lambda: time.sleep(0.02) or 1.25}
    found = common.compare("sleep", ways, 3, lambda way, value: abs(value - 1), 0.5)
    assert found["ways"]["short"]["ratio"] == 1 and found["ways"]["long"]["difference"] == 0.25
    assert found["ways"]["long"]["low"] <= found["ways"]["long"]["ratio"] <= found["ways"]["long"]["high"]
    with pytest.raises(AssertionError, match="sleep, long: off by 0.25, not 0.1"):
        common.compare("sleep", ways, 3, lambda way, value: abs(value - 1), 0.1)


def test_a_result_is_saved_with_the_device(common, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    file = common.save("mix", [{"ratio": 1.5}])
    saved = json.loads(file.read_text())
    assert file.name.startswith("mix-c") and saved["result"] == [{"ratio": 1.5}]
    assert saved["device"] and saved["threads"] >= 1 and saved["torch"] and saved["date"]
