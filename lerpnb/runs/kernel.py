"""A batch kernel: papermill's engine runs a notebook's cells in this very Python, and a monitor watches it."""

import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from lerpnb.runs.monitor import KernelMonitor
from lerpnb.runs.outputs import MOST, OutputCap, joined, short, shorten
from lerpnb.runs.spec import is_run, read_notebook
from lerpnb.utils.atomic import refuse_links, write_whole
from lerpnb.utils.environment import DEVICE, FILE, RUN_DIR

KERNEL = "python3"
TRIES = 3  # to start a kernel: another run may have taken its ports
SYNCED = 50_000  # characters that go back to the kernel's Output; at some 100,000 the kernel's sockets get stuck
WHY = 2_000  # characters of an error


def run_cells(
    source: Path, given: dict[str, Any], work: Path, monitor: KernelMonitor, environment: dict[str, str]
) -> dict | None:
    """Run the notebook's cells, writing executed.ipynb as they end; None, or what went wrong and where."""
    if importlib.util.find_spec("ipykernel") is None:
        why = f"there is no ipykernel in the Python that runs it, {sys.executable}. Install it: pip install ipykernel."
        return {"cell": None, "kind": "NoSuchKernel", "why": why}
    for _ in range(TRIES):
        error = _run_cells(source, given, work, monitor, environment)
        if not (error and monitor.cell == 0 and "Address already in use" in error["why"]):
            break
    return error


def _run_cells(
    source: Path, given: dict[str, Any], work: Path, monitor: KernelMonitor, environment: dict[str, str]
) -> dict | None:
    import papermill  # takes seconds: not before a run is checked
    from papermill.exceptions import PapermillExecutionError

    environment = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"} | environment
    environment |= {RUN_DIR: str(work), FILE: str(monitor.file), DEVICE: str(work / ".device.json")}
    package = Path(__file__).resolve().parents[2]
    if package.name not in ("site-packages", "dist-packages"):  # the kernel takes this very lerpnb
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), environment.get("PYTHONPATH")]))
    files = (source, work / "executed.ipynb")
    paths = (str(file).replace("{", "{{").replace("}", "}}") for file in files)  # papermill formats them
    try:
        with _ended_by_signals(), open(work / "kernel.log", "w", encoding="utf-8") as log:
            papermill.execute_notebook(
                *(WHOLE + path for path in paths),
                parameters=given,
                engine_name=_engine(),
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                environment=environment,
                folder=source.parent,
                log=log,
                monitor=monitor,
            )
    except PapermillExecutionError as error:
        message = str(error.evalue).strip() or "no message"
        return {"cell": error.exec_count, "kind": error.ename, "why": f"{error.ename}: {message}"[:WHY]}
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nbclient leaves a task behind that complains later
        return {"cell": monitor.cell or None, **_fault(error, monitor, work)}
    finally:
        monitor.kill()  # whatever still runs: a second Ctrl-C came, or the notebook left a process behind
    return None


def _fault(error: BaseException, monitor: KernelMonitor, work: Path) -> dict[str, str]:
    """What ended the run, where that was no error of a cell's: kind and why."""
    from nbclient.exceptions import DeadKernelError

    kind = type(error).__name__
    if monitor.ended or isinstance(error, DeadKernelError) or "Kernel died" in str(error):
        return {"kind": (monitor.ended or {"kind": kind})["kind"], "why": monitor.death(work / "kernel.log")}
    if isinstance(error, SystemExit):
        name = signal.Signals(int(error.code or 0) - 128).name
        return {"kind": "Terminated", "signal": name, "why": f"the run was ended from outside ({name})."}
    if isinstance(error, KeyboardInterrupt):
        return {"kind": "Interrupted", "why": "the run was interrupted (Ctrl-C)."}
    return {"kind": kind, "why": f"{kind}: {error}".strip(": ")[:WHY]}


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP leave by SystemExit, so that the kernel is ended; only the main thread can see to that."""

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    ours = [n for n in numbers if main and signal.getsignal(n) is signal.SIG_DFL]  # nohup's is left alone
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


WHOLE = "whole:"  # what a path begins with that papermill hands to `_Whole`


class _Whole:
    """How papermill reads a notebook, mended, and writes it: whole or not at all, as on a disk that is full."""

    def read(self, path: str) -> str:
        return nbformat.writes(read_notebook(Path(path.removeprefix(WHOLE))))

    def write(self, text: str, path: str) -> None:
        file = Path(path.removeprefix(WHOLE))
        refuse_links(file.parent)
        write_whole(file, text)

    def pretty_path(self, path: str) -> str:
        return path.removeprefix(WHOLE)


@functools.cache
def _engine() -> str:
    """Papermill's engine with an environment, a folder, a log and a monitor for the kernel; its name."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from nbclient.output_widget import OutputWidget
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.iorw import papermill_io

    class Manager(AsyncKernelManager):
        """Starts this Python, whatever environment a kernel called python3 on this machine belongs to."""

        @property
        def kernel_spec(self) -> KernelSpec:
            argv = [sys.executable, "-m", "lerpnb.runs.kernel_main", "-f", "{connection_file}"]
            return KernelSpec(**get_kernel_dict() | {"argv": argv})

    class Captured(OutputWidget):
        """An ipywidgets.Output: what it holds is shown by the cell that wrote to it, as no page shows a widget."""

        cell_index: int | None = None

        def __init__(self, comm_id: str, state: dict, kernel_client: Any, executor: Any):
            super().__init__(comm_id, state, kernel_client, executor)
            executor.widget_state[comm_id] = {}

        def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> None:
            self.cell_index = cell_index
            if sum(len(output.get("text", "")) for output in self.outputs) < MOST:
                if msg["msg_type"] == "stream":
                    msg["content"]["text"] = short(msg["content"]["text"])
                super().output(outs, msg, display_id, cell_index)

        def sync_state(self) -> None:
            if len(str(self.outputs)) < SYNCED:
                super().sync_state()

    class Client(PapermillNotebookClient):
        """Shows the kernel to the monitor as soon as it is there, and caps what a cell prints."""

        monitor: KernelMonitor
        cap = OutputCap()

        def start_new_kernel(self, **kwargs: Any) -> None:
            super().start_new_kernel(**kwargs)
            self.monitor.kernel_started(self.km.provisioner.process)

        def execute_cell(self, cell: Any, cell_index: int) -> Any:
            try:
                return super().execute_cell(cell, cell_index)
            finally:
                widgets = [widget for widget in self.comm_objects.values() if widget.cell_index == cell_index]
                if captured := [output for widget in widgets for output in widget.outputs]:
                    cell.outputs += captured
                if cell.get("outputs"):
                    cell.outputs = joined(cell.outputs)

        def set_widgets_metadata(self) -> None:
            """Widgets' state is not kept: it may be large, and nothing shows it."""

        def process_message(self, msg: dict, cell: Any, cell_index: int) -> Any:
            shorten(msg["content"])
            return super().process_message(msg, cell, cell_index)

        def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> Any:
            if msg["msg_type"] != "stream" or self.output_hook_stack[msg["parent_header"].get("msg_id")]:
                return super().output(outs, msg, display_id, cell_index)
            if not outs or self.clear_before_next_output:
                self.cap = OutputCap()
            msg["content"]["text"], rest = self.cap.split(msg["content"]["text"])
            shown = super().output(outs, msg, display_id, cell_index) if msg["content"]["text"] else None
            if rest:
                if self.cap.note is None:
                    self.cap.note = super().output(outs, msg, display_id, cell_index)
                self.cap.note["text"] = self.cap.rest()
            return shown

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, environment, folder, log, monitor, log_output=False, start_timeout=60, **_
        ):
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                kernel_manager_class=Manager,
                startup_timeout=start_timeout,
                iopub_timeout=60,
                store_widget_state=False,
                on_cell_start=lambda cell, cell_index: is_run(cell) and monitor.cell_started(),
            )
            client.monitor = monitor
            client.widget_registry = {"@jupyter-widgets/output": {"OutputModel": Captured}}
            client.execute(env=environment, cwd=str(folder), stdout=subprocess.DEVNULL, stderr=log)

    papermill_engines.register("lerpnb", Engine)
    papermill_io.register(WHOLE, _Whole())
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of parameters that only it could not read
    return "lerpnb"
