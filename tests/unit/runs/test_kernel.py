"""The batch kernel: what it starts with, how its end is told, what is kept of its outputs, what watches it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from lerpnb.errors import RunError
from lerpnb.runs import execution, kernel, kernel_main, outputs
from lerpnb.runs.monitor import GIB, KernelMonitor
from lerpnb.runs.report import exporter as report
from lerpnb.utils.environment import DEVICE


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Write a notebook of code cells and stand beside it."""
    monkeypatch.chdir(tmp_path)

    def write(*cells: str) -> Path:
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path / "small.ipynb")
        return tmp_path / "small.ipynb"

    return write


def outputs_of(folder: Path) -> list:
    return [o for cell in nbformat.read(folder / "executed.ipynb", 4).cells for o in cell.get("outputs", [])]


# ---------------------------------------------------------------- the process


@pytest.mark.slow
def test_the_kernel_gets_an_environment_and_its_own_variables_stay(notebook, monkeypatch):
    monkeypatch.setenv("OURS", "1")
    cell = "import os\nprint([os.environ.get(k) for k in ('OURS', 'THEIRS', 'JPY_PARENT_PID')], len(os.environ['X']))"
    folder = execution.run(notebook(cell), environment={"THEIRS": "2", "X": "abc", kernel.RUN_DIR: "elsewhere"})
    assert outputs_of(folder)[0].text == "['1', '2', '1'] 3\n"


@pytest.mark.slow
def test_a_taken_port_is_tried_again(notebook, monkeypatch):
    real, tries = kernel._run_cells, []

    def taken(source, given, work, monitor, environment):
        tries.append(1)
        if len(tries) < 3:
            return {"cell": None, "kind": "RuntimeError", "why": "the kernel did not start: Address already in use"}
        return real(source, given, work, monitor, environment)

    monkeypatch.setattr(kernel, "_run_cells", taken)
    assert execution.run(notebook("x = 1")).is_dir() and len(tries) == 3


@pytest.mark.slow
def test_a_kernel_that_does_not_start_says_why(notebook, monkeypatch, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ipykernel.py").write_text("raise ImportError('half an ipykernel')")
    with pytest.raises(RunError) as error:
        execution.run(notebook("x = 1"), environment={"PYTHONPATH": str(tmp_path / "site")})
    assert str(error.value) == (
        'run("small"): the kernel did not start: ImportError: half an ipykernel\n'
        f"What was done until then is in runs/small.failed.\n{execution.NEXT.format('runs/small.failed')}"
    )


@pytest.mark.slow
def test_a_child_that_a_notebook_leaves_behind_ends_with_the_run(notebook):
    leave = (
        "import subprocess, time\nprint(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)\ntime.sleep(1)"
    )
    child = int(outputs_of(execution.run(notebook(leave)))[0].text)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_run_in_another_thread_or_with_handlers_of_its_own_leaves_signals_alone():
    def mine(*_):
        pass

    before = signal.signal(signal.SIGTERM, mine)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is not the default
    try:
        with kernel._ended_by_signals():
            assert signal.getsignal(signal.SIGTERM) is mine
            hangup = signal.getsignal(signal.SIGHUP)
            assert hangup is not signal.SIG_DFL
            with pytest.raises(SystemExit) as stop:
                hangup(signal.SIGHUP, None)
            assert stop.value.code == 129
        assert signal.getsignal(signal.SIGTERM) is mine and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGHUP, ignored)


def test_what_torch_computed_on_is_told_at_the_end(monkeypatch, tmp_path):
    file = tmp_path / "device.json"
    monkeypatch.setenv(DEVICE, str(file))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    kernel_main._note_device()
    assert not file.exists()
    cuda = SimpleNamespace(
        is_initialized=lambda: False, get_device_name=lambda: "NVIDIA X", max_memory_allocated=lambda: 7
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, get_num_threads=lambda: 2))
    kernel_main._note_device()
    assert json.loads(file.read_text()) == {"device": "cpu, 2 threads"}
    cuda.is_initialized = lambda: True
    kernel_main._note_device()
    assert json.loads(file.read_text()) == {"device": "NVIDIA X", "peak_gpu_memory_bytes": 7}


@pytest.mark.slow
def test_what_an_output_widget_captures_is_shown_by_the_cell_that_wrote_it(notebook):
    interact = "from ipywidgets import *\nprint('before')\n@interact(x=(0, 5))\ndef f(x=2):\n    print('x is', x)"
    capture = "out = Output()\n@out.capture()\ndef say(word):\n    print(word)\nsay('a')\nsay('b')\nout"
    clear = "out.clear_output()\nwith out:\n    print('c' * 1_499_999)"
    folder = execution.run(notebook(interact, capture, clear, "print('after')"))
    cells = nbformat.read(folder / "executed.ipynb", 4).cells
    printed = ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]
    assert [text[-30:] for text in printed] == ["before\nx is 2\n", "a\nb\n", "c" * 29 + "\n", "after\n"]
    assert "\n[500,000 characters are left out here]\n" in printed[2]
    assert "x is 2" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_notebook_that_other_tools_wrote_runs(notebook):
    bare = [{"cell_type": "code", "source": ["x = 1\n", "print(x)"]}, {"cell_type": "markdown", "source": "text"}]
    raw = {"nbformat": 4, "nbformat_minor": 4, "cells": bare}
    path = notebook("x = 1")
    path.write_text("\ufeff" + json.dumps(raw), encoding="utf-8")
    assert outputs_of(execution.run(path))[0].text == "1\n"
    assert report.write_report(path).is_file()


# ---------------------------------------------------------------- outputs


def test_a_long_value_and_a_long_error_are_shortened_in_their_middle():
    long = "a" * 700_000 + "b" * 700_000
    content = {"data": {"text/plain": long, "image/png": long}, "evalue": long, "traceback": [long, "short"]}
    outputs.shorten(content)
    short = "a" * 700_000 + "b" * 290_000 + "\n[400,000 characters are left out here]\n" + "b" * 10_000
    assert content["data"] == {"text/plain": short, "image/png": long}
    assert content["evalue"] == short and content["traceback"] == [short, "short"]
    for harmless in ({}, {"data": None}, {"data": {"text/plain": "x"}, "evalue": 3, "traceback": "x"}):
        before = dict(harmless)
        outputs.shorten(harmless)
        assert harmless == before


@pytest.mark.parametrize("size", [1, 1000, 400_000, 2_500_000])
def test_what_is_kept_does_not_depend_on_how_it_comes(size, monkeypatch):
    monkeypatch.setattr(outputs, "MOST", 1000)
    monkeypatch.setattr(outputs, "TAIL", 100)
    text = "".join(f"{i} " for i in range(700))
    printed, kept = outputs.OutputCap(), ""
    for start in range(0, len(text), size):
        kept += printed.split(text[start : start + size])[0]
    assert kept + printed.rest() == f"{text[:900]}\n[{len(text) - 1000:,} characters are left out here]\n{text[-100:]}"


def test_up_to_the_limit_all_is_kept(monkeypatch):
    monkeypatch.setattr(outputs, "MOST", 1000)
    monkeypatch.setattr(outputs, "TAIL", 100)
    printed = outputs.OutputCap()
    assert printed.split("a" * 1000) == ("a" * 900, "a" * 100) and printed.rest() == "a" * 100


def test_streams_are_joined_and_redrawn_lines_are_as_last_drawn():
    out, err = (lambda text, name=name: new_output("stream", name=name, text=text) for name in ("stdout", "stderr"))
    figure = new_output("display_data", {"text/plain": "figure"})
    found = outputs.joined([err("warn"), out("a\r\n1 %\r2 %"), figure, out("\r3 %\nlast\r"), err("ed")])
    assert found == [out("a\r\n3 %\nlast\r"), err("warned"), figure]
    assert outputs.joined([]) == []


def test_a_line_of_a_million_characters_is_joined_at_once():
    start = time.monotonic()
    outputs.joined([new_output("stream", text="a" * 1_000_000)])
    assert time.monotonic() - start < 5  # nbclient's pattern takes a quarter of an hour


# ---------------------------------------------------------------- the watch


class Process:
    """A kernel's process as `subprocess` gives it; this very one, so that its memory can be read."""

    pid = os.getpid()

    def __init__(self, code: int | None = None):
        self.code = code

    def poll(self) -> int | None:
        return self.code


def test_a_limit_ends_the_kernel_once_and_is_told(tmp_path):
    watch = KernelMonitor("demo", 2, tmp_path / "progress.json", memory_limit=1e-6)
    watch.kernel_started(Process())
    over = watch._over(watch._measure())
    assert over["kind"] == "MemoryLimit"
    assert over["why"].endswith(" GiB, above the run's memory limit of 1e-06 GiB: ended.")
    watch.memory_limit = 1000.0
    assert watch._over(watch._measure()) is None and watch._over(2000 * GIB) is None  # shared pages counted twice
    watch.time_limit = 0.001
    assert watch._over(0)["why"].startswith("the run's time limit of 0.0 s was over, so the kernel was ended after ")


def test_a_kernel_that_starts_after_its_time_is_ended_at_once(tmp_path):
    watch = KernelMonitor("demo", 2, tmp_path / "progress.json", time_limit=1)
    watch.ended = {"kind": "TimeLimit", "why": "over"}
    watch.kernel_started(process := subprocess.Popen(["sleep", "60"]))  # with its children: not this very process
    assert process.wait(10) == -signal.SIGKILL and watch.death(tmp_path / "kernel.log") == "over"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGKILL, "the kernel was killed (SIGKILL), as a system does when memory runs out."),
        (-signal.SIGSEGV, "the kernel crashed (SIGSEGV)."),
        (1, "the kernel ended by itself, with exit code 1."),
    ],
)
def test_a_death_is_told_by_its_exit_code(tmp_path, code, words):
    watch = KernelMonitor("demo", 2, tmp_path / "progress.json")
    watch.kernel_started(Process(code))
    watch.cell = 1
    assert watch.death(tmp_path / "kernel.log") == words


def test_a_watch_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(KernelMonitor, "EVERY", 0.01)
    monkeypatch.setattr(KernelMonitor, "TOUCH", 0.0)
    os.utime(tmp_path, (0, 0))
    with KernelMonitor("demo", 1, tmp_path / "progress.json"):
        time.sleep(0.1)
    assert tmp_path.stat().st_mtime > 1e9
