"""Monitoring a batch kernel from outside: what memory it and its children hold, and its end at a limit."""

import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lerpnb.runs.progress_line import ProgressLine
from lerpnb.utils.atomic import refuse_links
from lerpnb.utils.progress import time_text

GIB = 2**30


class KernelMonitor:
    """Monitors a kernel and its children: their peak memory, their limits, and how far the work is."""

    EVERY = 0.5  # seconds between two looks
    CLOSELY = 0.1  # the same where there is a memory limit: a process can take a GiB in that time
    TOUCH = 10.0  # seconds between two signs of life: the run's temporary folder gets the present time

    def __init__(
        self, name: str, cells: int, file: Path, time_limit: float | None = None, memory_limit: float | None = None
    ):
        self.file, self.line = file, ProgressLine(name, cells, file)
        self.time_limit, self.memory_limit = time_limit, memory_limit  # seconds, GiB
        self.cell = 0  # the one that runs, as the kernel counts them
        self.peak: int | None = None  # bytes
        self.process: Any = None
        self.ended: dict[str, str] | None = None  # by a limit: kind and why
        self._family: set[psutil.Process] = set()  # every child of the kernel that was ever seen
        self._stopped, self._start = threading.Event(), time.monotonic()
        self._end: float | None = None
        self._touched = 0.0
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "KernelMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()
        self._end = time.monotonic()
        self.line.stop()

    def seconds(self) -> float:
        return (self._end or time.monotonic()) - self._start

    def kernel_started(self, process: Any) -> None:
        self.process = process
        if self.ended:  # by the time limit, while it started
            self.kill()

    def cell_started(self) -> None:
        self.cell += 1
        self._measure()

    def kill(self) -> None:
        """End the kernel, where it still runs, and every child of its that was seen."""
        if self.process is None:
            return
        self._see_children()
        if self.process.poll() is None:
            with suppress(OSError):
                self.process.kill()
        for child in self._family:
            with suppress(psutil.Error):
                child.kill()  # psutil makes sure that the number is still this process's

    def death(self, log: Path) -> str:
        """Why the kernel is gone, in words."""
        if self.ended:
            return self.ended["why"]
        if self.process is None or self.cell == 0:
            words = log.read_text(encoding="utf-8", errors="replace").split("\n")
            return f"the kernel did not start: {next(filter(str.strip, reversed(words)), 'it said nothing')}"
        code = self.process.poll()
        if code == -signal.SIGKILL:
            peak = f"; it held {self.peak / GIB:.2f} GiB" if self.peak else ""
            return f"the kernel was killed (SIGKILL), as a system does when memory runs out{peak}."
        if code is not None and code < 0:
            return f"the kernel crashed ({signal.Signals(-code).name})."
        return f"the kernel ended by itself, with exit code {code}."

    def _look_on(self) -> None:
        while not self._stopped.wait(self.EVERY if self.memory_limit is None else self.CLOSELY):
            held = self._measure()
            if self.ended is None and (over := self._over(held)):
                self.ended = over
                self.kill()
            if self.seconds() - self._touched >= self.TOUCH:
                self._touched = self.seconds()
                with suppress(OSError):
                    refuse_links(self.file.parent)
                    os.utime(self.file.parent)
            with suppress(OSError, ValueError):  # a closed terminal must not stop the run
                self.line.show(self.cell, self.seconds())

    def _over(self, held: int) -> dict | None:
        """The limit that is passed, with the words for it."""
        if self.time_limit is not None and self.seconds() >= self.time_limit:
            limit, took = time_text(self.time_limit), time_text(self.seconds())
            why = f"the run's time limit of {limit} was over, so the kernel was ended after {took}."
            return {"kind": "TimeLimit", "why": why}
        limit_bytes = float("inf") if self.memory_limit is None else self.memory_limit * GIB
        if held <= limit_bytes or (held := self._held(shared_once=True) or held) <= limit_bytes:
            return None
        why = f"the kernel held {held / GIB:.2f} GiB, above the run's memory limit of {self.memory_limit:g} GiB: ended."
        return {"kind": "MemoryLimit", "why": why}

    def _see_children(self) -> None:
        with suppress(psutil.Error, OSError):
            self._family |= set(psutil.Process(self.process.pid).children(recursive=True))

    def _measure(self) -> int:
        """Bytes that the kernel and its children hold now; the highest figure is kept."""
        if self.process is None:
            return 0
        self._see_children()
        now = top = self._held()
        with suppress(OSError):  # Linux keeps a process's own peak
            if kept := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text()):
                top = max(now, int(kept[1]) * 1024)
        if top:
            self.peak = max(self.peak or 0, top)
        return now

    def _held(self, shared_once: bool = False) -> int:
        """Resident bytes of kernel and children; `shared_once` counts pages that several share once, where it can."""
        total = 0
        with suppress(psutil.Error):
            for process in (psutil.Process(self.process.pid), *self._family):
                with suppress(psutil.Error, OSError):
                    memory = process.memory_full_info() if shared_once else process.memory_info()
                    total += getattr(memory, "pss", memory.rss)
        return total
