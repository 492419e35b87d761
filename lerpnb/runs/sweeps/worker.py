"""One run of a sweep, in a process of its own under a lease: what `sweeps.py` sends to an executor, near or far.

`run_one(spec)` starts `python -m lerpnb.runs.sweeps.worker`, so that a worker that is killed takes nothing
with it: its child goes on, holds its lease and records, and whoever is given the same run meanwhile waits for it.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.sweeps.lock import RunLock

STOPPED = ("Interrupted", "Terminated", "Killed")  # errors of runs that were ended from outside: no fault of theirs


LOOK, FAR = 0.25, 5.0  # seconds between two looks at the child; and at a store that is far


TAIL = 2_000  # letters of what a broken child said


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs to know, as plain values: it travels to other machines as JSON."""

    name: str
    to: str  # the shelf's address
    notebook: str  # its path
    parameters: dict[str, Any]
    identity: str
    sweep: str = ""
    time_limit: float | None = None
    memory_limit: float | None = None
    environment: dict[str, str] = field(default_factory=dict)
    again: bool = False  # whether to run although it has failed before
    stop: str = ""  # a name on the shelf that tells to stop, once it is there


class TakenOver(Exception):
    """Another process holds the lease by now: this one's result is not wanted."""


def run_one(spec: RunSpec) -> dict:
    """Do one run in a process of its own and tell what came of it: name, status, seconds, chief, error.

    status is "done", "failed" or "stopped". Nothing is raised for a run that fails.
    """
    shelf, interrupted, looked = RunDirectory(spec.to), False, time.monotonic()
    package = str(Path(__file__).resolve().parents[3])
    lane = getattr(_lane, "environment", {})
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    sent = json.dumps(asdict(spec) | {"environment": lane | spec.environment}).encode()
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as log:
        told.write(sent)
        told.seek(0)
        with tempfile.TemporaryFile() as answer:
            child = subprocess.Popen(
                [sys.executable, "-m", "lerpnb.runs.sweeps.worker"],
                stdin=told,
                stdout=answer,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then tells its runs to stop
            )
            while child.poll() is None:
                time.sleep(LOOK)
                if not spec.stop or interrupted or time.monotonic() - looked < (0 if shelf.local else FAR):
                    continue
                looked = time.monotonic()
                if interrupted := shelf.fs.exists(shelf.path(spec.stop)):
                    child.send_signal(signal.SIGINT)
            answer.seek(0)
            with suppress(ValueError, IndexError):
                return json.loads(answer.read().decode().splitlines()[-1])
            log.seek(0)
            said = log.read().decode(errors="replace")[-TAIL:].strip().splitlines() or ["it said nothing"]
    gone = f"its process ended with exit code {child.returncode}: {said[-1]}"
    status = "stopped" if interrupted else "failed"
    return failed(spec.name, gone, status)


def attempt(spec: RunSpec) -> dict:
    """Do one run here, unless another process has done it by the time the lease is had; what came of it."""
    shelf = RunDirectory(spec.to)
    before = _failure(shelf, spec)
    while True:
        with RunLock(shelf, spec.name) as lease:
            sys.stderr = Echo(sys.stderr, lease)
            try:
                now = recorded(shelf, spec.name, spec.identity)
                if now and (now.get("status") == "done" or not spec.again or now != before):
                    return outcome(spec.name, now)
                return _run(spec, shelf, lease)
            except TakenOver:
                continue
            finally:
                sys.stderr = sys.stderr.file


def failed(name: str, why: str, status: str = "failed") -> dict:
    """What came of a run that left no record."""
    return {"name": name, "status": status, "seconds": None, "chief": {}, "error": why}


def recorded(shelf: RunDirectory, name: str, identity: str) -> dict | None:
    """The facts of a run of that name and identity that is done or, if none is, has failed by itself."""
    for folder in (name, f"{name}.failed"):
        with suppress(RunError):
            facts = shelf.facts(folder)
            if facts and facts.get("identity") == identity and (facts.get("error") or {}).get("kind") not in STOPPED:
                return facts
    return None


def outcome(name: str, facts: dict) -> dict:
    """What came of a run, from its run.json."""
    error = facts.get("error") or {}
    status = "stopped" if error.get("kind") in STOPPED else "failed" if error else "done"
    where = f"cell [{error['cell']}]: " if error.get("cell") else ""
    why = f"{where}{str(error.get('why', '')).splitlines()[0]}" if error.get("why") else str(error.get("kind", ""))
    chief = facts.get("chief") or {}
    return {"name": name, "status": status, "seconds": facts.get("seconds"), "chief": chief, "error": why}


def take_lane(lanes: queue.Queue[dict[str, str]]) -> None:
    """Give this thread a lane of its own: the environment, such as a GPU, of every run that it will do."""
    _lane.environment = lanes.get()


_lane = threading.local()


class Echo:
    """A stderr whose last line the lease tells to whoever watches the sweep."""

    def __init__(self, file: Any, lease: RunLock):
        self.file, self.lease = file, lease

    def write(self, text: str) -> int:
        self.lease.text = ([line for line in text.splitlines() if line.strip()] or [self.lease.text])[-1]
        return self.file.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _failure(shelf: RunDirectory, spec: RunSpec) -> dict | None:
    facts = recorded(shelf, spec.name, spec.identity)
    return facts if facts and facts.get("status") != "done" else None


def _run(spec: RunSpec, shelf: RunDirectory, lease: RunLock) -> dict:
    from lerpnb.runs import execution

    def still_ours() -> None:
        if not lease.holds():
            raise TakenOver

    with tempfile.TemporaryDirectory() as near:
        folder = Path(spec.to if shelf.local else near) / spec.name
        status, why = "done", ""
        try:
            execution.run(
                spec.notebook,
                spec.parameters,
                spec.name,
                folder.parent,
                time_limit=spec.time_limit,
                memory_limit=spec.memory_limit,
                environment=spec.environment,
                also={"identity": spec.identity, "sweep": spec.sweep, "attempt": lease.token},
                before_placing=still_ours,
            )
        except (RunError, KeyboardInterrupt, SystemExit) as error:
            status, why = ("failed" if isinstance(error, RunError) else "stopped"), str(error)
            folder = folder.with_name(f"{spec.name}.failed")
        facts = RunDirectory(folder.parent).facts(folder.name)
        if facts is None or facts.get("attempt") != lease.token:  # refused before a kernel started
            return failed(spec.name, why, status)
        if not shelf.local:
            still_ours()
            shelf.put(folder, folder.name)
    if status == "done":  # an earlier attempt's, also one that was killed meanwhile: this run has made it good
        with suppress(RunError):
            shelf.remove(f"{spec.name}.failed")
    return outcome(spec.name, facts)


if __name__ == "__main__":
    try:
        came = attempt(RunSpec(**json.load(sys.stdin)))
    except (KeyboardInterrupt, SystemExit):  # while it waited for another's lease
        came = failed("", "", "stopped")
    print(json.dumps(came), flush=True)
