"""Progress of work that takes time: a bar where a person watches, a small file where a batch run is watched."""

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from lerpnb.utils.atomic import refuse_links, write_whole
from lerpnb.utils.environment import FILE

Item = TypeVar("Item")
EVERY = 0.5  # seconds between two writes of that file
DELAY = 3.0  # seconds before a live bar shows
_depth = 0  # of a `track` inside another
_within: Callable[[float], None] | None = None  # reports what share of the outermost's present item is done


def is_batch() -> bool:
    """Whether a runner started this kernel, so that it is not interactive: `LERPNB_PROGRESS` names a file."""
    return bool(os.environ.get(FILE))


def track(iterable: Iterable[Item], total: int | None = None, label: str = "") -> Iterator[Item]:
    """Yield the items and show how far the work is.

    At a live kernel or terminal: a plain bar with the time left, for work of over three seconds. In a batch run: no bar
    in the notebook; the file that `LERPNB_PROGRESS` names holds {label, done, total, started, now} (times in seconds
    since 1970), replaced at most twice a second and removed at the end, when one line is printed. A `track` inside
    another shows nothing itself, and moves that file on by shares of an item. `total` is the number of items, where the
    iterable has no length.

    >>> [n * n for n in track(range(3), label="squares")]
    [0, 1, 4]
    """
    global _depth
    total = len(iterable) if total is None and isinstance(iterable, Sized) else total
    _depth += 1
    try:
        if _depth == 1:  # what a person waits for
            yield from _reported(iterable, total, label) if is_batch() else _drawn(iterable, total, label)
        elif _depth == 2:
            for done, item in enumerate(iterable):
                if _within and total:
                    _within(min(done / total, 1.0))
                yield item
        else:
            yield from iterable
    finally:
        _depth -= 1


def report(share: float) -> None:
    """Say what share of the present item of a `track` is done, where that item itself is long.

    >>> for _ in track(range(2), label="points"):
    ...     report(0.5)
    """
    if _within and _depth == 1:
        _within(min(share, 1.0))


def time_text(seconds: float) -> str:
    """A length of time as people write it.

    >>> [time_text(s) for s in (0.42, 9.96, 252, 3725)]
    ['0.4 s', '10 s', '4 min 12 s', '1 h 02 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def seconds_of(text: str) -> float:
    """A length of time that a person wrote, in seconds; a `ValueError` where it is none.

    >>> [seconds_of(text) for text in ("2h", "1h30m", "90 min", "0.5")]
    [7200.0, 5400.0, 5400.0, 0.5]
    """
    import pandas as pd

    for read in (float, lambda text: pd.Timedelta(text).total_seconds()):  # pandas takes a plain number for nanoseconds
        with contextlib.suppress(ValueError):
            if 0 <= (seconds := read(text)) < math.inf:
                return seconds
    raise ValueError(f"{text!r} is no length of time; write it as 2h, 90m, 1h30m or as seconds.")


def _drawn(iterable: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # A kernel has no terminal, but its front end redraws a line of stdout; tqdm.auto would leave a frozen widget.
    where = dict(file=sys.stdout, disable=False) if hasattr(shell, "kernel") else dict(file=sys.stderr, disable=None)
    global _within
    with _Bar(desc=label or None, total=total, delay=DELAY, mininterval=EVERY, **where) as bar:
        try:
            for done, item in enumerate(iterable):
                _within = lambda share, done=done: bar.update(done + share - bar.n)  # noqa: E731
                yield item
                bar.update(done + 1 - bar.n)
        finally:
            _within = None


class _Bar(tqdm):
    """A bar that moves by shares of an item, and shows a decimal of them."""

    @property
    def format_dict(self) -> dict:
        shown = super().format_dict
        return shown | {"n": int(shown["n"]) if shown["n"] == int(shown["n"]) else round(shown["n"], 1)}


def _reported(iterable: Iterable[Item], total: int | None, label: str) -> Iterator[Item]:
    global _within
    path, started = Path(os.environ[FILE]), time.time()
    start, written, done, finished = time.monotonic(), -EVERY, 0, False  # the wall clock may be set while we work

    def write(share: float = 0.0) -> None:
        nonlocal written
        spent = time.monotonic() - start
        if spent - written >= EVERY:
            written = spent
            state = {"label": label, "done": done + share, "total": total, "started": started, "now": started + spent}
            _write(path, state)

    try:
        _within = write
        for item in iterable:
            write()
            yield item
            done += 1
        finished = True
    finally:
        _within = None
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        count = f"{done} of {total}" if total is not None else str(done)
        stopped = "" if finished else ", stopped early"
        print(f"{label or 'done'}: {count} in {time_text(time.monotonic() - start)}{stopped}", flush=True)


def _write(path: Path, state: dict) -> None:
    with contextlib.suppress(OSError):  # a full disk must not stop the work itself
        refuse_links(path.parent)
        write_whole(path, json.dumps(state))
