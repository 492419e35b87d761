"""How far a batch run is, on stderr: one live line in a terminal, in a log a line a minute."""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lerpnb.utils.progress import time_text

EVERY = 60.0  # seconds between two lines in a log
FOLLOWED = 15.0  # the same of one work, where a sweep follows the run's lines


class ProgressLine:
    """Shows which cell of how many runs, and what the work in it last wrote to `file` (`utils.progress.track`)."""

    def __init__(self, name: str, cells: int, file: Path):
        self.name, self.cells, self.file = name, cells, file
        self._bar: Progress | None = None
        self._last: tuple[str, int, float] = ("", 0, 0.0)  # the last line in a log: place, items done, when
        self._heard: tuple[float | None, float] = (None, 0.0)  # the last sign of progress, and when it came

    def show(self, cell: int, seconds: float) -> None:
        state = None
        with suppress(OSError, ValueError):
            state = json.loads(self.file.read_text(encoding="utf-8"))
        done, total = (state["done"], state["total"]) if state else (max(cell - 1, 0), self.cells)
        place = text = f"{self.name}: cell {max(cell, 1)} of {self.cells}"
        if state:
            count = done if float(done).is_integer() else int(done) + 1  # the item that is under way
            text += f", {state['label'] or 'work'} {count}" + (f" of {total}" if total else "")
            if done and total:
                left = (total / done - 1) * (state["now"] - state["started"]) - self.age(state["now"])
                text += f", about {time_text(max(left, 0))} left"
        if sys.stderr.isatty():
            self._draw(f"{text}, {time_text(seconds)}", done, total)
        elif cell and self._is_due(place, done, seconds):
            self._last = (place, done, seconds)
            print(text, file=sys.stderr, flush=True)

    def _is_due(self, place: str, done: int, seconds: float) -> bool:
        if getattr(sys.stderr, "follows", False):
            return place != self._last[0] or done != self._last[1] and seconds - self._last[2] >= FOLLOWED
        return not self._last[0] or seconds - self._last[2] >= EVERY

    def stop(self) -> None:
        if self._bar:
            with suppress(OSError, ValueError):
                self._bar.stop()

    def age(self, now: float) -> float:
        """Seconds since the work last said how far it is, by a clock that nobody sets."""
        if now != self._heard[0]:
            self._heard = (now, time.monotonic())
        return time.monotonic() - self._heard[1]

    def _draw(self, text: str, done: int, total: int | None) -> None:
        if self._bar is None:
            options: dict = {"auto_refresh": False, "transient": True}
            options |= {"redirect_stdout": False, "redirect_stderr": False}
            columns = BarColumn(20), TextColumn("{task.description}", markup=False)
            self._bar = Progress(*columns, console=Console(stderr=True), **options)
            self._bar.add_task("")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], description=text, completed=done, total=total or None, refresh=True)
