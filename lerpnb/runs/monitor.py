"""Monitoring a batch kernel from outside: how far it is, what memory it holds, its end at a limit, what it prints."""

import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from nbformat import NotebookNode
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lerpnb.utils.progress import time_text

GIB = 2**30


class KernelMonitor:
    """Monitors a kernel and its children: their peak memory, their limits, and how far the work is, drawn on stderr."""

    EVERY = 0.5  # seconds between two looks
    CLOSELY = 0.1  # the same where there is a memory limit: a process can take a GiB in that time
    TOUCH = 10.0  # seconds between two signs of life: the run's temporary folder gets the present time
    LINES = 15.0  # seconds between two lines of the same work, where stderr is no terminal

    def __init__(
        self, name: str, cells: int, file: Path, time_limit: float | None = None, memory_limit: float | None = None
    ):
        self.name, self.cells, self.file = name, cells, file
        self.time_limit, self.memory_limit = time_limit, memory_limit  # seconds, GiB
        self.cell = 0
        self.peak: int | None = None  # bytes
        self.process: Any = None
        self.ended: dict[str, str] | None = None  # by a limit: kind and why
        self._family: set[psutil.Process] = set()  # every child of the kernel that was ever seen
        self._stopped, self._start = threading.Event(), time.monotonic()
        self._end: float | None = None
        self._touched = 0.0
        self._bar: Progress | None = None
        self._line: tuple[str, int, float] = ("", 0, 0.0)  # the last one in a log: place, items done, when
        self._heard: tuple[float | None, float] = (None, 0.0)  # the last sign of progress, and when it came
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "KernelMonitor":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()
        self._end = time.monotonic()
        if self._bar:
            with suppress(OSError, ValueError):
                self._bar.stop()

    def seconds(self) -> float:
        return (self._end or time.monotonic()) - self._start

    def kernel_started(self, process: Any) -> None:
        self.process = process
        if self.ended:  # by the time limit, while it started
            self.kill()

    def cell_started(self, cell: NotebookNode) -> None:
        self.cell += is_run(cell)
        self._measure()

    def kill(self) -> None:
        """End the kernel, where it still runs, and every child of its that was seen."""
        if self.process is None:
            return
        with suppress(psutil.Error):
            self._family |= set(psutil.Process(self.process.pid).children(recursive=True))
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
                    os.utime(self.file.parent)
            with suppress(OSError, ValueError):  # a closed terminal must not stop the run
                self._show()

    def _over(self, held: int) -> dict | None:
        """The limit that is passed, with the words for it."""
        if self.time_limit is not None and self.seconds() >= self.time_limit:
            limit, took = time_text(self.time_limit), time_text(self.seconds())
            why = f"the run's time limit of {limit} was over, so the kernel was ended after {took}."
            return {"kind": "TimeLimit", "why": why}
        if self.memory_limit is None or held <= self.memory_limit * GIB:
            return None
        held = self._held(shared_once=True) or held
        if held <= self.memory_limit * GIB:
            return None
        why = f"the kernel held {held / GIB:.2f} GiB, above the run's memory limit of {self.memory_limit:g} GiB: ended."
        return {"kind": "MemoryLimit", "why": why}

    def _measure(self) -> int:
        """Bytes that the kernel and its children hold now; the highest figure is kept."""
        if self.process is None:
            return 0
        with suppress(psutil.Error, OSError):
            self._family |= set(psutil.Process(self.process.pid).children(recursive=True))
        now = top = self._held()
        with suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status")
            if kept := re.search(r"VmHWM:\s+(\d+) kB", status.read_text() if status.exists() else ""):
                top = max(now, int(kept[1]) * 1024)  # Linux keeps a process's own peak
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

    def _show(self) -> None:
        state = None
        with suppress(OSError, ValueError):
            state = json.loads(self.file.read_text(encoding="utf-8"))
        done, total = (state["done"], state["total"]) if state else (max(self.cell - 1, 0), self.cells)
        place = text = f"{self.name}: cell {max(self.cell, 1)} of {self.cells}"
        if state:
            text += f", {state['label'] or 'work'} {done}" + (f" of {total}" if total else "")
            if done and total:
                left = (total / done - 1) * (state["now"] - state["started"]) - self._age(state["now"])
                text += f", about {time_text(max(left, 0))} left"
        if sys.stderr.isatty():
            self._draw(f"{text}, {time_text(self.seconds())}", done, total)
        elif self.cell and (place != self._line[0] or self.seconds() - self._line[2] >= self.LINES):
            if (place, done) != self._line[:2]:
                self._line = (place, done, self.seconds())
                print(text, file=sys.stderr, flush=True)

    def _draw(self, text: str, done: int, total: int | None) -> None:
        if self._bar is None:
            columns = BarColumn(20), TextColumn("{task.description}", markup=False)
            self._bar = Progress(
                *columns,
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task("")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], description=text, completed=done, total=total or None, refresh=True)

    def _age(self, now: float) -> float:
        """Seconds since the work last said how far it is, by a clock that nobody sets."""
        if now != self._heard[0]:
            self._heard = (now, time.monotonic())
        return time.monotonic() - self._heard[1]


def is_run(cell: NotebookNode) -> bool:
    """Whether a kernel gets this cell, and so counts it."""
    return cell.cell_type == "code" and bool(cell.source.strip())


MOST = 1_000_000  # characters of one cell's prints, or of one value
TAIL = 10_000  # of them from the end, where there were more


class OutputCap:
    """What one cell prints, as it comes: all of it up to `MOST` characters, then its last `TAIL`.

    >>> cap = OutputCap()
    >>> [len(part) for part in cap.split("a" * 2_000_000)]
    [990000, 1010000]
    >>> cap.rest()[:50]
    '\\n[1,000,000 characters are left out here]\\naaaaaaaa'
    """

    def __init__(self) -> None:
        self.kept, self.left, self.tail = 0, 0, ""
        self.note: dict | None = None  # the output that holds `rest()`

    def split(self, text: str) -> tuple[str, str]:
        """The part of a new text that is kept as it is, and what goes into the rest."""
        room = MOST - TAIL - self.kept
        kept, rest = text[:room], text[room:]
        self.kept += len(kept)
        self.left += len(rest)
        self.tail = (self.tail + rest[-TAIL:])[-TAIL:]
        return kept, rest

    def rest(self) -> str:
        """What stands in place of all that was not kept."""
        out = self.left - len(self.tail)
        return f"\n[{out:,} characters are left out here]\n{self.tail}" if out else self.tail


def joined(outputs: list[dict]) -> list[dict]:
    """A cell's outputs with one of stdout and one of stderr, in which a redrawn line is as it was last drawn.

    nbclient's coalesce_streams does this in a time that grows with the square of a line's length: 2 s for 40,000
    characters, 20 minutes for a million.

    >>> joined([{"output_type": "stream", "name": "stdout", "text": text} for text in ("a\\n1 %\\r", "2 %\\nb")])
    [{'output_type': 'stream', 'name': 'stdout', 'text': 'a\\n2 %\\nb'}]
    """
    streams: dict[str, list[dict]] = {}
    for output in outputs:
        if output["output_type"] == "stream":
            streams.setdefault(output["name"], []).append(output)
    later = {id(output) for same in streams.values() for output in same[1:]}
    for same in streams.values():
        same[0]["text"] = "\n".join(map(_last_drawn, "".join(output["text"] for output in same).split("\n")))
    kept = [output for output in outputs if id(output) not in later]
    for i in range(len(kept) - 1):  # which of the two came first is chance
        if [output.get("name") for output in kept[i : i + 2]] == ["stderr", "stdout"]:
            kept[i : i + 2] = kept[i + 1], kept[i]
    return kept


def _last_drawn(line: str) -> str:
    return line[line.rfind("\r", 0, max(len(line) - 1, 0)) + 1 :]


def shorten(content: dict) -> None:
    """Shorten, in place, what is too long of a kernel's message: a value as plain text, an error and its traceback."""
    data = content.get("data")
    for part, key in ((data, "text/plain"), (content, "evalue")):
        if isinstance(part, dict) and isinstance(part.get(key), str):
            part[key] = _short(part[key])
    if isinstance(content.get("traceback"), list):
        content["traceback"] = [_short(line) for line in content["traceback"]]


def _short(text: str) -> str:
    cap = OutputCap()
    kept, rest = cap.split(text)
    return kept + cap.rest() if rest else text
