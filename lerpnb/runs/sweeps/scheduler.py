"""A sweep: many runs of one notebook, from a YAML file, on this machine or on a Dask cluster. No torch is needed.

The seam is `concurrent.futures.Executor`: `run_one(spec)` goes to threads that start a process a run, or to Dask.
The run folders are all the state there is: what is finished is skipped, whoever finished it.
"""

import contextlib
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.spec import RunSpec
from lerpnb.runs.sweeps.config import SweepConfig, read_sweep
from lerpnb.runs.sweeps.display import Row, SweepView
from lerpnb.runs.sweeps.worker import FAR, failed, outcome, recorded, run_one, take_lane
from lerpnb.utils.process import graphics_cards

PATIENCE = 30.0  # seconds without a scheduler before a sweep gives up
Place = tuple[Executor, int, Callable[[], bool]]  # where runs go, how many at a time, and whether it is still there


def sweep(
    file: str | Path,
    to: str | Path = "runs",
    *,
    jobs: int | None = None,
    retry_failed: bool = False,
    dask: str | None = None,
) -> pd.DataFrame:
    """Run every run of a sweep's YAML file that is not done yet; a row a run: status, seconds, summary numbers, why.

    The file is checked in full before the first kernel starts: see `read_sweep` for what it holds. A run is skipped
    where one of its name is done with the same notebook, parameters and content of what these name. One that failed so
    is reported and left alone, unless `retry_failed`; one that was stopped runs again. A failed run stops no other.

    Args:
        file: the YAML file.
        to: the folder of runs, or a URL that fsspec knows, such as s3://bucket/runs.
        jobs: runs at a time on this machine; by default one a GPU, which it sees alone, else one.
        retry_failed: run again what failed with the same identity.
        dask: a Dask scheduler's address, such as tcp://127.0.0.1:8786; its workers then do the runs.

    Raises:
        RunError: the file is not as it should be; the cluster cannot be reached, or is lost on the way.
        KeyboardInterrupt: after the runs under way were stopped; what is done stays, and the next sweep goes on.

    >>> sweep("nowhere.yaml")
    Traceback (most recent call last):
    lerpnb.errors.RunError: sweep("nowhere.yaml"): No such file or directory.
    """
    return frame(perform(read_sweep(file, to), to, jobs=jobs, retry_failed=retry_failed, dask=dask))


def perform(
    config: SweepConfig, to: str | Path, *, jobs: int | None = None, retry_failed: bool = False, dask: str | None = None
) -> list[Row]:
    """Do the runs of a sweep, and then the one that compares them; a row for each, in order."""
    if jobs is not None and not (type(jobs) is int and jobs > 0):
        raise RunError(f"sweep(jobs={jobs!r}): expected a whole number above 0, or None.")
    rows, runs = rows_of(config, to, retry_failed), RunDirectory(to)
    stop = f".stop-{uuid.uuid4().hex[:8]}"
    todo = [row for row in rows if row.status == "waiting"]
    with SweepView(config.name, rows, runs) as view:
        if todo or config.then:
            place = _cluster(dask, config.resources) if dask else _threads(jobs)
            with place as (executor, view.lanes, alive):
                _work(executor, todo, stop, retry_failed, view, alive)
                done = [row.spec.name for row in rows if row.status in ("done", "skipped")]
                if spec := config.last(done, to):
                    rows.append(_row(spec, runs, retry_failed))
                    _work(executor, [r for r in rows[-1:] if r.status == "waiting"], stop, True, view, alive)
    return rows


def rows_of(config: SweepConfig, to: str | Path, retry_failed: bool = False) -> list[Row]:
    """The runs of a sweep, and what is known of them before any work."""
    runs = RunDirectory(to)
    return [_row(spec, runs, retry_failed) for spec in config.specs]


def frame(rows: list[Row]) -> pd.DataFrame:
    """A row a run: status, seconds, its summary numbers as columns, and why it failed."""
    records = [
        {"run": row.spec.name, "status": row.status, "seconds": row.seconds}
        | {name: float(number["value"]) for name, number in (row.summary or {}).items()}
        | {"why": row.why}
        for row in rows
    ]
    table = pd.DataFrame(records).set_index("run")
    return table[[*table.columns.drop("why"), "why"]]


def passed(rows: list[Row]) -> bool:
    """Whether every run is done, now or before."""
    return all(row.status in ("done", "skipped") for row in rows)


def _row(spec: RunSpec, runs: RunDirectory, retry_failed: bool) -> Row:
    facts = recorded(runs, spec.name, spec.identity)
    row = Row(spec)
    if facts:
        row.became(outcome(spec.name, facts))
        row.status = "skipped" if row.status == "done" else "waiting" if retry_failed else "failed before"
    return row


def _work(
    executor: Executor, rows: list[Row], stop: str, again: bool, view: SweepView, alive: Callable[[], bool]
) -> None:
    """Send the runs to the executor and follow them to their ends."""
    futures: dict[Future, Row] = {}
    answered = time.monotonic()
    try:
        for row in rows:
            row.status = "waiting"
            futures[executor.submit(run_one, replace(row.spec, again=again, stop=stop))] = row
        while futures:
            ended, _ = wait(futures, timeout=view.EVERY, return_when=FIRST_COMPLETED)
            answered = time.monotonic() if alive() else answered
            if any(future.cancelled() for future in ended) or time.monotonic() - answered > PATIENCE:
                raise RunError(
                    "sweep(dask): the scheduler is gone. What is done is recorded, what is under way goes on.\n"
                    "Start the cluster and run the sweep again: it does the rest."
                )
            for future in ended:
                row = futures.pop(future)
                row.became(_outcome(future, row, view.runs))
            view.show()
    except KeyboardInterrupt:
        view.console.print(f"{view.name}: stopping; what is done stays")
        _stop(futures, view.runs, stop, near=isinstance(executor, ThreadPoolExecutor))
        raise


def _stop(futures: dict[Future, Row], runs: RunDirectory, stop: str, near: bool) -> None:
    """Ask every run under way to end, wherever it is, and wait for it."""
    with contextlib.suppress(OSError):
        runs.fs.makedirs(runs.root, exist_ok=True)
        runs.fs.pipe_file(runs.path(stop), b"")
    for future, row in futures.items():
        if near or row.status == "waiting":  # a future of Dask that is cancelled would no longer be waited for
            future.cancel()
    wait([future for future in futures if not future.cancelled()], timeout=PATIENCE)
    if not near:
        time.sleep(2 * FAR)  # what had only just been sent sees it too
    with contextlib.suppress(OSError):
        runs.fs.rm(runs.path(stop))


def _outcome(future: Future, row: Row, runs: RunDirectory) -> dict:
    """What came of a run, or what is recorded of it where its worker could not tell."""
    try:
        return future.result(timeout=0)
    except Exception as error:  # Dask gives up on a run after several of its workers died
        facts = recorded(runs, row.spec.name, row.spec.identity)
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        return outcome(row.spec.name, facts) if facts else failed(row.spec.name, why)


@contextlib.contextmanager
def _threads(jobs: int | None) -> Iterator[Place]:
    """This machine: a thread a job, each with one of its GPUs."""
    cards = graphics_cards()
    jobs = jobs or len(cards) or 1
    lanes: queue.Queue = queue.Queue()
    for lane in range(jobs):
        lanes.put({"CUDA_VISIBLE_DEVICES": cards[lane % len(cards)]} if cards else {})
    executor = ThreadPoolExecutor(jobs, "run", initializer=take_lane, initargs=(lanes,))
    try:
        yield executor, jobs, lambda: True
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _cluster(address: str, resources: dict[str, float]) -> Iterator[Place]:
    """A Dask cluster."""
    try:
        from distributed import Client
    except ImportError:
        raise RunError('sweep(dask): Dask is not installed.\nRun pip install "lerpnb[dask]".') from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise RunError(f"sweep(dask={address!r}): no scheduler answers: {type(error).__name__}.") from error
    try:
        executor = client.get_executor(pure=False, **({"resources": resources} if resources else {}))
        yield executor, max(sum(client.nthreads().values()), 1), lambda: client.status == "running"
        executor.shutdown(wait=False)
    finally:
        client.close(timeout=5)
