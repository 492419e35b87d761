"""A batch kernel: papermill's engine runs a notebook's cells in it, and a watch looks on from outside."""

import functools
import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from nbformat import NotebookNode

from .progress import FILE, time_text

RUN_DIR = "LERPNB_RUN_DIR"  # environment variable: the folder into which a batch run's notebook records
KERNEL = "python3"
CLEAR = "\r\x1b[2K"  # a terminal's line, emptied


def execute(
    source: Path, given: dict[str, Any], work: Path, watch: "Watch", environment: dict[str, str]
) -> dict | None:
    """Run the notebook's cells, writing executed.ipynb as they end; None, or what went wrong and where."""
    import papermill  # takes seconds: not at the top, since notebooks import this module to record
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    environment = os.environ | environment | {RUN_DIR: str(work), FILE: str(watch.file), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    package = Path(__file__).resolve().parent.parent
    if package.name not in ("site-packages", "dist-packages"):  # the kernel takes this very lerpnb
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), environment.get("PYTHONPATH")]))
    try:
        with open(work / "kernel.log", "w", encoding="utf-8") as log:
            papermill.execute_notebook(
                str(source).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
                str(work / "executed.ipynb").replace("{", "{{").replace("}", "}}"),
                parameters=given,
                engine_name=_engine(),
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                environment=environment,
                folder=source.parent,
                log=log,
                watch=watch,
            )
    except PapermillExecutionError as error:
        first = next((line for line in str(error.evalue).splitlines() if line.strip()), "no message")
        return {"cell": error.exec_count, "kind": error.ename, "why": f"{error.ename}: {first}"}
    except NoSuchKernel:
        why = f"there is no Jupyter kernel named {KERNEL}. Install ipykernel into this environment."
        return {"cell": None, "kind": "NoSuchKernel", "why": why}
    except (Exception, KeyboardInterrupt) as error:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nbclient leaves a task behind that complains later
        kind, died = type(error).__name__, isinstance(error, DeadKernelError) or "Kernel died" in str(error)
        why = watch.death(work / "kernel.log") if died else f"{kind}: {error}".strip(": ")
        return {"cell": watch.cell or None, "kind": kind, "why": why}
    return None


@functools.cache
def _engine() -> str:
    """Papermill's engine, with an environment, a folder and a log for the kernel, and somebody who watches it."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, environment, folder, log, watch, log_output=False, start_timeout=60, **_
        ):
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=start_timeout,
                iopub_timeout=60,
                store_widget_state=False,
                coalesce_streams=True,
                on_notebook_start=lambda notebook: watch.kernel_started(client.km.provisioner.process),
                on_cell_start=lambda cell, cell_index: watch.cell_started(cell),
            )
            client.execute(env=environment, cwd=str(folder), stderr=log)

    papermill_engines.register("lerpnb", Engine)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of parameters that only it could not read
    return "lerpnb"


class Watch:
    """Watches a kernel from outside: its peak memory, and how far it is, drawn on stderr."""

    EVERY = 0.5  # seconds between two looks
    LINES = 15.0  # seconds between two lines of the same work, where stderr is no terminal

    def __init__(
        self, name: str, cells: int, file: Path, time_limit: float | None = None, memory_limit: float | None = None
    ):
        self.name, self.cells, self.file = name, cells, file
        self.time_limit, self.memory_limit = time_limit, memory_limit
        self.cell, self.peak, self.process = 0, None, None
        self._stopped, self._start, self._end = threading.Event(), time.monotonic(), None
        self._drawn, self._said = False, ("", 0, 0.0)
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()
        self._end = time.monotonic()
        if self._drawn:
            print(CLEAR, end="", file=sys.stderr, flush=True)

    def seconds(self) -> float:
        return (self._end or time.monotonic()) - self._start

    def kernel_started(self, process: Any) -> None:
        self.process = process

    def cell_started(self, cell: NotebookNode) -> None:
        self.cell += is_run(cell)
        self._measure()

    def death(self, log: Path) -> str:
        """Why the kernel is gone, in words."""
        if self.process is None:
            words = log.read_text(encoding="utf-8", errors="replace").split("\n")
            return f"the kernel did not start: {next(filter(str.strip, reversed(words)), 'it said nothing')}"
        code = self.process.poll()
        if code == -signal.SIGKILL:
            peak = f"; it held {self.peak / 2**30:.2f} GiB" if self.peak else ""
            return f"the kernel was killed (SIGKILL), as a system does when memory runs out{peak}."
        if code is not None and code < 0:
            return f"the kernel crashed ({signal.Signals(-code).name})."
        return f"the kernel ended by itself, with exit code {code}."

    def _look_on(self) -> None:
        while not self._stopped.wait(self.EVERY):
            self._measure()
            with suppress(OSError):  # a closed terminal must not stop the run
                self._show()

    def _measure(self) -> None:
        if self.process is None:
            return
        with suppress(psutil.Error, OSError):
            memory = psutil.Process(self.process.pid).memory_info()
            now = getattr(memory, "peak_wset", memory.rss)
            status = Path(f"/proc/{self.process.pid}/status")
            if status.exists() and (kept := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
                now = int(kept[1]) * 1024  # Linux keeps the peak itself
            self.peak = max(self.peak or 0, now)

    def _show(self) -> None:
        state = None
        with suppress(OSError, ValueError):
            state = json.loads(self.file.read_text(encoding="utf-8"))
        done, total = (state["done"], state["total"]) if state else (max(self.cell - 1, 0), self.cells)
        where = text = f"{self.name}: cell {max(self.cell, 1)} of {self.cells}"
        if state:
            text += f", {state['label'] or 'work'} {done}" + (f" of {total}" if total else "")
            if done and total:
                left = (total / done - 1) * (state["now"] - state["started"]) - (time.time() - state["now"])
                text += f", about {time_text(max(left, 0))} left"
        if sys.stderr.isatty():
            full, empty = "█░" if (sys.stderr.encoding or "").lower().startswith("utf") else "#-"
            filled = round(20 * done / total) if total else 0
            line = f"{full * filled}{empty * (20 - filled)} {text}, {time_text(self.seconds())}"
            print(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif self.cell and (where != self._said[0] or self.seconds() - self._said[2] >= self.LINES):
            if (where, done) != self._said[:2]:
                self._said = (where, done, self.seconds())
                print(text, file=sys.stderr, flush=True)


def is_run(cell: NotebookNode) -> bool:
    """Whether a kernel gets this cell, and so counts it."""
    return cell.cell_type == "code" and bool(cell.source.strip())
