"""Sweeps on a Dask cluster: a real scheduler and worker processes on this machine, and what befalls them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb.errors import RunError
from lerpnb.runs.sweeps import scheduler

CELL = """\
i: int = 0  # which
log: str = ""  # a file with a line an execution
seconds: float = 1.0  # to sleep"""
WORK = """\
import os, time
with open(log, "a") as file:
    file.write(f"{i}\\n")
time.sleep(seconds)"""
RUNS = 5  # more than the two workers have recorded and under way when a test steps in
PLAN = """\
notebook: trivial.ipynb
name: run{{i}}
parameters: {{log: {log}}}
grid: {{i: {i}}}
"""


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Path:
    """Runs of a notebook that sleeps for a second."""
    monkeypatch.chdir(tmp_path)
    cells = [new_code_cell(CELL, metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "trivial.ipynb")
    (tmp_path / "plan.yaml").write_text(PLAN.format(log=tmp_path / "executions", i=[*range(RUNS)]), encoding="utf-8")
    return tmp_path / "plan.yaml"


class Cluster:
    """A scheduler and two workers of one thread each, with nannies, as `dask worker` starts them."""

    def __init__(self, port: int):
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = self._dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.workers = [
            self._dask("worker", self.address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "20")
            for _ in range(2)
        ]

    def _dask(self, kind: str, *options: str) -> subprocess.Popen:
        root = Path(__file__).parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root), "DASK_DISTRIBUTED__WORKER__DAEMON": "True"}
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)

    def runs_under_way(self) -> list[tuple[psutil.Process, psutil.Process]]:
        """(worker, its child) of each run that holds a lock; a worker is the child of its nanny."""
        found, holders = [], {holder["pid"] for holder in locked()}
        for nanny in self.workers:
            with contextlib.suppress(psutil.Error):
                workers = psutil.Process(nanny.pid).children()
                found += [(w, child) for w in workers for child in w.children() if child.pid in holders]
        return found

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def start() -> Iterator:
    clusters = []

    def begin(port: int) -> Cluster:
        clusters.append(Cluster(port))
        return clusters[-1]

    yield begin
    for cluster in clusters:
        cluster.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def lerpnb(*arguments: str) -> subprocess.Popen:
    code = "from lerpnb.runs.sweeps import scheduler; scheduler.PATIENCE = 5; from lerpnb.cli import main; main()"
    root = str(Path(__file__).parents[2])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": root}, **pipes)


def recorded() -> set[tuple[str, int]]:
    """Each run's name and the number of its run.json on the disk, which a second recording would change."""
    found = set()
    for i in range(RUNS):
        with contextlib.suppress(FileNotFoundError):
            found.add((f"run{i}", Path(f"runs/run{i}/run.json").stat().st_ino))
    return found


def wait_for(condition: Callable, seconds: float = 180.0) -> Any:
    """What the condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)
    return found


def locked() -> list[dict]:
    """What the locks say of the runs under way."""
    found = []
    for file in Path("runs").glob(".*.lock/??????"):
        with contextlib.suppress(OSError, ValueError):
            found.append(json.loads(file.read_text()))
    return found


@pytest.mark.slow
def test_workers_are_killed_and_all_runs_finish_none_recorded_twice(plan, start, port):
    cluster = start(port)
    sweep = lerpnb("sweep", "plan.yaml", "--dask", cluster.address)
    (alone, _), *_, (worker, child) = wait_for(
        lambda: recorded() and len(under_way := cluster.runs_under_way()) > 1 and under_way
    )
    seen = recorded()
    alone.kill()  # its child lives on
    worker.kill()
    child.kill()
    while sweep.poll() is None:
        seen |= recorded()
        time.sleep(0.02)
    out, err = sweep.communicate()
    seen |= recorded()
    assert sweep.returncode == 0, err
    assert out.splitlines()[-1] == f"{RUNS} done"
    names = [f"run{i}" for i in range(RUNS)]
    assert sorted(name for name, _ in seen) == names  # a second record: a second number
    assert sorted(path.name for path in Path("runs").iterdir()) == names
    facts = [json.loads(file.read_text()) for file in Path("runs").glob("*/run.json")]
    assert [f["status"] for f in facts] == ["done"] * RUNS and len({f["attempt"] for f in facts}) == RUNS
    executed = Path("executions").read_text().split()
    assert set(executed) == {str(i) for i in range(RUNS)}
    assert len(executed) <= RUNS + 1  # the child that lives goes on; the other's run is made again


@pytest.mark.slow
def test_the_scheduler_restarts_and_the_next_sweep_does_the_rest(plan, start, port):
    cluster = start(port)
    first = lerpnb("sweep", "plan.yaml", "--dask", cluster.address)
    wait_for(recorded)
    cluster.close()
    out, err = first.communicate(timeout=60)
    assert first.returncode == 1 and out == ""
    assert err.splitlines()[-2:] == [
        "error: sweep(dask): the scheduler is gone. What is done is recorded, what is under way goes on.",
        "Start the cluster and run the sweep again: it does the rest.",
    ]
    before = recorded()
    assert 1 <= len(before) < RUNS
    cluster = start(port)
    out, err = lerpnb("sweep", "plan.yaml", "--dask", cluster.address).communicate()
    assert before <= recorded() and len(recorded()) == RUNS
    done = json.dumps(sorted(json.loads(f.read_text())["status"] for f in Path("runs").glob("*/run.json")))
    assert done == json.dumps(["done"] * RUNS)
    assert f"{len([line for line in out.splitlines() if ' skipped ' in line])} skipped" in out.splitlines()[-1]


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_told(plan, port, monkeypatch):
    monkeypatch.setattr(scheduler, "PATIENCE", 0.5)
    with pytest.raises(RunError) as error:
        scheduler.sweep(plan, dask=f"tcp://127.0.0.1:{port}")
    assert str(error.value) == f"sweep(dask='tcp://127.0.0.1:{port}'): no scheduler answers: OSError."


def test_without_dask_the_way_out_is_told(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RunError) as error:
        scheduler.sweep(plan, dask="tcp://127.0.0.1:1")
    assert str(error.value) == 'sweep(dask): Dask is not installed.\nRun pip install "lerpnb[dask]".'
