"""One run of a sweep, in a process of its own under a lock: what the scheduler sends to an executor, near or far.

`run_one(spec)` starts `python -m lerpnb.runs.sweeps`, so that a worker that is killed takes nothing
with it: its child goes on, holds its lock and records, and whoever is given the same run meanwhile waits for it.
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.spec import RunSpec
from lerpnb.runs.sweeps.lock import RunLock

STOPPED = ("Interrupted", "Terminated", "Killed")  # errors of runs that were ended from outside: no fault of theirs
LOOK, FAR = 0.25, 5.0  # seconds between two looks at the child; and at a store that is far
TAIL = 2_000  # letters of what a broken child printed


class TakenOver(Exception):
    """Another process holds the lock by now: this one's result is not wanted."""


def run_one(spec: RunSpec) -> dict:
    """Do one run in a process of its own; what came of it: name, status, seconds, summary, error.

    status is "done", "failed" or "stopped". Nothing is raised for a run that fails.
    """
    runs, interrupted, looked = RunDirectory(spec.to), False, time.monotonic()
    paths = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH")]))
    lane = getattr(_lane, "environment", {})
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as log:
        question.write(json.dumps(asdict(spec) | {"environment": lane | spec.environment}).encode())
        question.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-m", "lerpnb.runs.sweeps"],
            stdin=question,
            stdout=answer,
            stderr=log,
            env=os.environ | {"PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its runs
        )
        while child.poll() is None:
            time.sleep(LOOK)
            if not spec.stop or interrupted or time.monotonic() - looked < (0 if runs.local else FAR):
                continue
            looked = time.monotonic()
            if interrupted := runs.fs.exists(runs.path(spec.stop)):
                child.send_signal(signal.SIGINT)
        answer.seek(0)
        with suppress(ValueError, IndexError):
            return json.loads(answer.read().decode().splitlines()[-1])
        log.seek(0)
        printed = log.read().decode(errors="replace")[-TAIL:].strip().splitlines() or ["it printed nothing"]
    gone = f"its process ended with exit code {child.returncode}: {printed[-1]}"
    return failed(spec.name, gone, "stopped" if interrupted else "failed")


def attempt(spec: RunSpec) -> dict:
    """Do one run here, unless another process has done it by the time this one holds the lock; what came of it."""
    runs = RunDirectory(spec.to)
    before = recorded(runs, spec.name, spec.identity)
    while True:
        with RunLock(runs, spec.name) as lock:
            sys.stderr = Echo(sys.stderr, lock)
            try:
                if not runs.local:
                    for folder in (spec.name, f"{spec.name}.failed"):
                        runs.recover(folder)
                now = recorded(runs, spec.name, spec.identity)
                if now and (now.get("status") == "done" or not spec.again or now != before):
                    return outcome(spec.name, now)
                return _run(spec, runs, lock)
            except TakenOver:
                continue
            finally:
                sys.stderr = sys.stderr.file


def failed(name: str, why: str, status: str = "failed") -> dict:
    """What came of a run that left no record."""
    return {"name": name, "status": status, "seconds": None, "summary": {}, "error": why}


def recorded(runs: RunDirectory, name: str, identity: str) -> dict | None:
    """The facts of a run of that name and identity that is done or, if none is, has failed by itself."""
    for folder in (name, f"{name}.failed"):
        with suppress(RunError):
            facts = runs.facts(folder)
            if not facts or "status" not in facts:
                continue
            if facts.get("identity") == identity and (facts.get("error") or {}).get("kind") not in STOPPED:
                return facts
    return None


def outcome(name: str, facts: dict) -> dict:
    """What came of a run, from its run.json."""
    error = facts.get("error") or {}
    status = "stopped" if error.get("kind") in STOPPED else "failed" if error else "done"
    where = f"cell [{error['cell']}]: " if error.get("cell") else ""
    why = f"{where}{str(error.get('why', '')).splitlines()[0]}" if error.get("why") else str(error.get("kind", ""))
    summary = facts.get("summary") or {}
    return {"name": name, "status": status, "seconds": facts.get("seconds"), "summary": summary, "error": why}


def take_lane(lanes: queue.Queue[dict[str, str]]) -> None:
    """Give this thread a lane of its own: the environment, such as a GPU, of every run that it will do."""
    _lane.environment = lanes.get()


_lane = threading.local()


class Echo:
    """A stderr whose last line the lock passes on to whoever watches the sweep."""

    follows = True  # so that a run writes a line a change, not a line a minute

    def __init__(self, file: Any, lock: RunLock):
        self.file, self.lock = file, lock

    def write(self, text: str) -> int:
        self.lock.text = ([line for line in text.splitlines() if line.strip()] or [self.lock.text])[-1]
        return self.file.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _run(spec: RunSpec, runs: RunDirectory, lock: RunLock) -> dict[str, Any]:
    from lerpnb.runs import execution

    def still_ours() -> None:
        if not lock.holds():
            raise TakenOver

    with tempfile.TemporaryDirectory() as near:
        spec = replace(spec, to=spec.to if runs.local else near)
        status, why, folder = "done", "", Path(spec.to) / f"{spec.name}.failed"
        try:
            staging = execution.stage(spec, attempt=lock.token)
            execution.execute(spec, staging)
            folder = execution.publish(staging, before=still_ours)
        except (RunError, KeyboardInterrupt, SystemExit) as error:
            status, why = ("failed" if isinstance(error, RunError) else "stopped"), str(error)
        facts = RunDirectory(folder.parent).facts(folder.name)
        if facts is None or facts.get("attempt") != lock.token:  # refused before a kernel started, or by the disk
            return failed(spec.name, why, status)
        if not runs.local:
            still_ours()
            try:
                runs.put(folder, folder.name)
            except Exception as error:  # a driver raises whatever its store's client raises
                kept = Path(tempfile.mkdtemp(prefix="lerpnb-run-"), folder.name)
                shutil.copytree(folder, kept)
                why = f"cannot write to {runs.where}: {type(error).__name__}: {error}; what was done is in {kept}"
                return failed(spec.name, why)
    if status == "done":  # an earlier failure, also one that was killed meanwhile: this run has made it good
        with suppress(RunError):
            runs.remove(f"{spec.name}.failed")
    return outcome(spec.name, facts)
