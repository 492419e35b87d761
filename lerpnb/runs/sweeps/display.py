"""How a sweep shows itself: a table that stays current in a terminal, one line per change in a log."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.spec import RunSpec
from lerpnb.runs.sweeps.lock import progress_of
from lerpnb.utils.progress import time_text

STYLES = {"done": "green", "skipped": "dim", "running": "cyan", "waiting": "dim"}  # the others are red
ENDED = ("done", "skipped", "failed", "failed before", "stopped")
WIDEST = 10_000  # letters of a line of text
SHOWN = 24  # rows of the live table


@dataclass
class Row:
    """What is known of one run: status is waiting, running, done, skipped, failed, failed before or stopped."""

    spec: RunSpec
    status: str = "waiting"
    seconds: float | None = None
    summary: dict[str, Any] | None = None
    why: str = ""

    def became(self, outcome: dict[str, Any]) -> None:
        self.status, self.seconds, self.why = outcome["status"], outcome["seconds"], outcome["error"]
        self.summary = outcome["summary"]


class SweepView:
    """Follows the runs of a sweep on stderr."""

    EVERY = 1.0  # seconds between two looks
    FAR = 10.0  # the same, where each look is a request to a store

    def __init__(self, name: str, rows: list[Row], runs: RunDirectory, console: Console | None = None):
        self.name, self.rows, self.runs, self.lanes = name, rows, runs, 1
        self.console = console or Console(stderr=True, highlight=False)
        self._shown: dict[int, str] = {}
        self._progress: dict[int, tuple[float, str]] = {}  # row -> when it was seen to run, and what it last wrote
        self._looked, self._start = -self.FAR, time.monotonic()
        terminal = self.console.is_terminal
        self._live = Live(console=self.console, auto_refresh=False, transient=True) if terminal else None

    def __enter__(self) -> "SweepView":
        if self._live:
            self._live.start()
        self.show()
        return self

    def __exit__(self, *_) -> None:
        if self._live:
            self._live.stop()

    def show(self) -> None:
        """Look at what runs, and show what has changed."""
        self._look()
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            self._lines()

    def left(self) -> float | None:
        """Seconds to go, by the mean time of the runs that this sweep has done; None before there is one."""
        took = [row.seconds for row in self.rows if row.status == "done" and row.seconds]
        if not took:
            return None
        mean, now = sum(took) / len(took), time.monotonic()
        rest = [mean for row in self.rows if row.status == "waiting"]
        rest += [max(mean - (now - self._progress[id(row)][0]), 0) for row in self.rows if row.status == "running"]
        return max(sum(rest) / self.lanes, max(rest, default=0))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < (self.EVERY * 0.9 if self.runs.local else self.FAR):
            return
        self._looked = now
        for row in self.rows:
            if row.status in ("waiting", "running"):
                if (text := progress_of(self.runs, row.spec.name)) is not None:
                    row.status = "running"
                    self._progress[id(row)] = (self._progress.get(id(row), (now,))[0], text)

    def _ended(self) -> str:
        return f"{sum(row.status in ENDED for row in self.rows)} of {len(self.rows)}"

    def _to_go(self) -> str:
        return f", about {time_text(left)} left" if (left := self.left()) else ""

    def _lines(self) -> None:
        for row in self.rows:
            if row.status == "waiting" or self._shown.get(id(row)) == row.status:
                continue
            self._shown[id(row)] = row.status
            line = f"{self.name}: {row.spec.name}: {row.status}"
            if row.status in ENDED:
                line += f" in {time_text(row.seconds)}" if row.seconds and row.status in ("done", "failed") else ""
                line += f"{f': {row.why}' if row.why else ''}; {self._ended()}{self._to_go()}"
            self.console.print(Text(line), soft_wrap=True)

    def _table(self) -> Table:
        title = f"{self.name}: {self._ended()}, {time_text(time.monotonic() - self._start)}{self._to_go()}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("run", "status", "time", ""):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        order = sorted(self.rows, key=lambda row: row.status != "running")  # what runs is never cut off
        for row in order[:SHOWN]:
            since, text = self._progress.get(id(row), (None, ""))
            seconds = time.monotonic() - since if row.status == "running" and since else row.seconds
            status, spent = Text(row.status, STYLES.get(row.status, "red")), time_text(seconds) if seconds else ""
            table.add_row(Text(row.spec.name), status, spent, Text(row.why or text.removeprefix(f"{row.spec.name}: ")))
        if len(order) > SHOWN:
            table.add_row(f"and {len(order) - SHOWN} more")
        return table


def summary(rows: list[Row]) -> str:
    """The table at the end, as text: name, status, time, summary numbers, reason of failure."""
    names = list(dict.fromkeys(name for row in rows for name in row.summary or {} if not name.startswith("spearman/")))
    header = ["run", "status", "time", *names, "why" if any(row.why for row in rows) else ""]
    lines = []
    for row in rows:
        values = {name: float(number["value"]) for name, number in (row.summary or {}).items()}
        numbers = [f"{values[name]:+.3f}".replace("+nan", "NaN") if name in values else "" for name in names]
        lines.append([row.spec.name, row.status, time_text(row.seconds) if row.seconds else "", *numbers, row.why])
    return text_table(header, lines, right=range(2, len(names) + 3))


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table as plain text, however wide; an empty header leaves only the rows.

    >>> print(text_table(["run", "time"], [["a", "9 s"]], right=[1]))
    run  time
    a     9 s
    """
    table = Table(box=None, pad_edge=False, show_header=any(header))
    for i, name in enumerate(header):
        table.add_column(Text(name), justify="right" if i in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    text = StringIO()
    Console(file=text, width=WIDEST).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
