"""A lock on a run: which of several processes, on several machines, may write it.

`filelock` is not used: its soft locks have no sign of life, so that a machine that dies would hold a run for ever, and
an object store has no file to lock.
"""

import json
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.utils.atomic import disk_errors
from lerpnb.utils.process import is_gone, process_identity

BEAT = 5.0  # seconds between two signs of life
PATIENCE = 60.0  # seconds without one, by the watcher's own clock, after which a lock may be taken over


class RunLock:
    """Numbered files in a run's `.NAME.lock/`: who made the highest one holds the lock. For one use, in `with`.

    A number is made exclusively, so that of several who take over an expired lock one succeeds, and an earlier holder
    who wakes up sees a higher number than its own. No two clocks are compared: a lock has expired when its sign of
    life did not change while the watcher's own clock went on for `PATIENCE` seconds, or at once when its process was on
    this machine and is gone. An object store must refuse to overwrite where it is asked to, as S3 and GCS do.

    >>> with RunLock(RunDirectory("memory://doctest-lock"), "demo") as lock:
    ...     lock.holds()
    True
    """

    def __init__(self, runs: RunDirectory, name: str, beat: float = BEAT, patience: float = PATIENCE):
        self.fs, self.folder = runs.fs, runs.path(f".{name}.lock")
        self.beat, self.patience = beat, patience
        self.text = ""  # how far the run is, written with each sign of life
        self.token = uuid.uuid4().hex
        self._number, self._beats = 0, 0
        self._stopped, self._lock = threading.Event(), threading.Lock()

    def __enter__(self) -> "RunLock":
        """Wait for the lock, however long another process holds it."""
        seen, since = None, time.monotonic()
        while not self._number:
            now = number, holder, _ = _newest(self.fs, self.folder)
            if now != seen:
                seen, since = now, time.monotonic()
            if not number or is_gone(holder) or time.monotonic() - since >= self.patience:
                with disk_errors(RunError, "sweep()", self.folder, "Make room there. Nothing was run."):
                    self._number = number + 1 if self._make(number + 1) else 0
            else:
                time.sleep(min(1.0, self.beat / 4))
        threading.Thread(target=self._live, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        with self._lock, suppress(OSError):
            if self.holds():
                self.fs.rm(self.folder, recursive=True)

    def holds(self) -> bool:
        """Whether no other process has taken over since."""
        number, holder, _ = _newest(self.fs, self.folder)
        return number == self._number and holder.get("token") == self.token

    def sign(self) -> bool:
        """Give a sign of life, in a file of one's own; False once the lock is another's or given back."""
        with self._lock, suppress(OSError):  # a full or far disk must not end the run
            if self._stopped.is_set() or not self.holds():
                return False
            self._beats += 1
            sign = json.dumps({"beat": self._beats, "text": self.text}).encode()
            self.fs.pipe_file(f"{self.folder}/{self.token}", sign)
        return True

    def _live(self) -> None:
        while not self._stopped.wait(self.beat) and self.sign():
            pass

    def _make(self, number: int) -> bool:
        path, made = f"{self.folder}/{number:06}", False
        me = json.dumps({"token": self.token} | process_identity()).encode()
        try:
            self.fs.makedirs(self.folder, exist_ok=True)
            try:
                with self.fs.open(path, "xb") as file:
                    made = True
                    file.write(me)
            except (NotImplementedError, ValueError):  # a driver that can say "create" in one request only
                self.fs.pipe_file(path, me, mode="create")
        except (FileExistsError, FileNotFoundError):  # another was faster; another has just given it back
            return False
        except OSError:  # a number without its holder would keep others waiting
            with suppress(OSError):
                if made:
                    self.fs.rm(path)
            raise
        return True


def progress_of(runs: RunDirectory, name: str) -> str | None:
    """How far a run is, as the holder of its lock last wrote; None where none holds it."""
    number, _, sign = _newest(runs.fs, runs.path(f".{name}.lock"))
    return sign.get("text", "") if number else None


def _newest(fs: Any, folder: str) -> tuple[int, dict, dict]:
    """The highest number, its holder, and the holder's last sign of life; (0, {}, {}) where there is none."""
    fs.invalidate_cache(folder)
    numbers = []
    with suppress(FileNotFoundError):
        numbers = [name for path in fs.ls(folder, detail=False) if len(name := path.rpartition("/")[2]) == 6]
    if not numbers:
        return 0, {}, {}
    holder = _mapping(fs, f"{folder}/{max(numbers)}")
    return int(max(numbers)), holder, _mapping(fs, f"{folder}/{holder['token']}") if "token" in holder else {}


def _mapping(fs: Any, path: str) -> dict:
    """What a small file holds; {} where it is not there or just being written."""
    with suppress(FileNotFoundError, ValueError):
        read = json.loads(fs.cat_file(path))
        return read if isinstance(read, dict) else {}
    return {}
