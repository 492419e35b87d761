"""Sweep files that ask for too much or for what is no limit: refused at once, in words."""

import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb.errors import RunError
from lerpnb.runs.sweeps.config import read_sweep
from lerpnb.runs.sweeps.scheduler import sweep

CELL = "seed: int = 0\nlo: float = -1.0\nfails: bool = False\nhf_token: str = ''"
NAME = "It starts with a letter or digit, holds letters, digits, spaces and .,_-+= and does not end in .failed."
LIMIT = "a number above 0, or None for no limit."
PATTERN = "is no pattern.\nWrite it as 'seed{seed}' or 'lo{lo:g}'."
MANY = "[" + "1, " * 3000 + "]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: ../..", f"'../..' is no name for a run.\n{NAME}"),
        ("then: {notebook: 08_compare_runs, name: ../a}", f"then: '../a' is no name for a run.\n{NAME}"),
        ("name: '{lo:.999999999f}'", f"name: '{{lo:.999999999f}}' {PATTERN}"),
        ("name: '{seed:999999999}'", f"name: '{{seed:999999999}}' {PATTERN}"),
        (
            "grid: {hf_token: [a, b]}",
            "name: a run's name would show 'hf_token'.\nGive a `name` without it.",
        ),
        (
            f"grid: {{seed: {MANY}, lo: {MANY}}}",
            "it describes 9,000,000 runs, more than 10,000.\nSplit it into several files.",
        ),
        ("resources: {GPU: 0}", "resources: 'GPU' is a number above 0, came 0 (int)."),
        ("resources: {GPU: .nan}", "resources: 'GPU' is a number above 0, came nan (float)."),
        ("memory_limit: 0", f"memory_limit is 0.0.\nIt takes GiB, {LIMIT}"),
        ("memory_limit: .nan", f"memory_limit is nan.\nIt takes GiB, {LIMIT}"),
        ("time_limit: 0", f"time_limit is 0.0.\nIt takes seconds, {LIMIT}"),
        (
            "time_limit: 1:30",
            "time_limit: '1:30' is no length of time; write it as 2h, 90m, 1h30m or as seconds.",
        ),
        ("parameters: {fails: yes}", "parameter 'fails' takes bool, came 'yes' (str).\nPass true or false."),
        ("parameters: &a {seed: *a}", "not plain YAML: it is deeper than 50 levels, or holds itself"),
    ],
)
def test_a_sweep_that_asks_for_too_much_is_refused_at_once(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    cells = [new_code_cell(CELL, metadata={"tags": ["parameters"]})]
    nbformat.write(new_notebook(cells=cells), "small.ipynb")
    Path("demo.yaml").write_text(f"\ufeffnotebook: small.ipynb\n{text}", encoding="utf-8")
    start = time.process_time()
    with pytest.raises(RunError) as error:
        read_sweep("demo.yaml")
    assert str(error.value) == f'sweep("demo.yaml"): {message}' and time.process_time() - start < 2


@pytest.mark.parametrize("jobs", [0, -1, True, float("nan")])
def test_jobs_are_a_number_of_them(tmp_path, monkeypatch, jobs):
    monkeypatch.chdir(tmp_path)
    nbformat.write(new_notebook(), "small.ipynb")
    Path("demo.yaml").write_text("notebook: small.ipynb")
    with pytest.raises(RunError) as error:
        sweep("demo.yaml", jobs=jobs)
    assert str(error.value) == f"sweep(jobs={jobs!r}): expected a whole number above 0, or None."
