"""What goes wrong overnight, a test a fault: each is told in words, and nothing that was done is lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb import cli
from lerpnb.errors import RunError
from lerpnb.runs import execution, preflight
from lerpnb.runs.progress_line import ProgressLine
from lerpnb.runs.report import exporter
from lerpnb.utils import progress
from lerpnb.utils.environment import FILE

FIRST = "import os\nopen('pid', 'w').write(str(os.getpid()))\nprint('done so far')"
CHILD = "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\nopen('child', 'w').write(str(child.pid))"
ORPHAN = """import os
if (first := os.fork()) == 0:
    os.setsid()
    if (second := os.fork()) == 0:
        os.execlp('sleep', 'sleep', '600')
    open('child', 'w').write(str(second))
    os._exit(0)
os.waitpid(first, 0)"""
FOREVER = "import time\nwhile True:\n    time.sleep(0.1)"
HERE = Path(__file__).parents[2]


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Write a notebook of code cells and stand beside it."""
    monkeypatch.chdir(tmp_path)

    def write(*cells: str, parameters: str = "", name: str = "night") -> Path:
        made = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        if parameters:
            made.cells.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        nbformat.write(made, tmp_path / f"{name}.ipynb")
        return tmp_path / f"{name}.ipynb"

    return write


@pytest.fixture
def no_kernel(monkeypatch):
    """The fault is told before a kernel starts."""
    monkeypatch.setattr(execution, "run_cells", lambda *_: pytest.fail("a kernel was about to start"))


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """Mount a file system in memory of so many KiB; skipped where this user may not."""
    monkeypatch.setattr(preflight, "ROOM", 0)  # else a run refuses it before it starts
    places = []

    def mount(name: str, kib: int) -> Path:
        place = tmp_path / name
        place.mkdir()
        try:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a tmpfs")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "-l", place], check=True)


def facts(folder: str) -> dict:
    return json.loads(Path(folder, "run.json").read_text(encoding="utf-8"))


def told(path: Path | str, *given, **options) -> str:
    with pytest.raises(RunError) as error:
        execution.run(path, *given, **{"force": True} | options)
    return str(error.value)


def printed(folder: str) -> str:
    cells = nbformat.read(Path(folder) / "executed.ipynb", 4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", []))


def lerpnb(*arguments: str, **environment: str) -> subprocess.Popen:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", "from lerpnb.cli import main\nmain()", *arguments],
        env=os.environ | {"PYTHONPATH": str(HERE)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def number_in(file: str, process: subprocess.Popen | None = None, seconds: float = 60) -> int:
    """The process number that a cell wrote, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = Path(file).read_text() if Path(file).exists() else ""
        if text:
            return int(text)
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"no {file}")


def is_gone(pid: int, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


# ---------------------------------------------------------------- the kernel


@pytest.mark.slow
def test_kernel_killed(notebook):
    """SIGKILL, as by a system out of memory: told as such; the cells before it are kept, its children end."""
    kill = f"{CHILD}\nimport os, signal, time\ntime.sleep(1.2)\nos.kill(os.getpid(), signal.SIGKILL)"
    message = told(notebook(FIRST, kill))
    why = "the kernel was killed (SIGKILL), as a system does when memory runs out; it held 0."
    assert message.startswith(f'run("night"): cell [2] failed: {why}')
    assert printed("runs/night.failed") == "done so far\n"
    assert is_gone(number_in("child"))


@pytest.mark.slow
def test_notebook_that_never_ends(notebook):
    """A time limit for the whole run ends the kernel and its children, and is told in words."""
    message = told(notebook(FIRST, CHILD, FOREVER), time_limit=4)
    assert message.startswith(
        'run("night"): cell [3] failed: the run\'s time limit of 4.0 s was over, so the kernel was ended after '
    )
    failed = facts("runs/night.failed")
    assert failed["error"]["kind"] == "TimeLimit" and failed["limits"] == {"seconds": 4}
    assert printed("runs/night.failed") == "done so far\n"
    assert is_gone(number_in("pid")) and is_gone(number_in("child"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
@pytest.mark.parametrize("end", ["done", "failed", "killed", "limit"])
def test_an_orphan_in_a_session_of_its_own_ends_with_the_run(notebook, end):
    """A double fork under setsid, right before the run ends: gone, whatever ends the run."""
    last = {"done": "1", "failed": "1 / 0", "killed": "os.kill(os.getpid(), 9)", "limit": FOREVER}[end]
    path = notebook(ORPHAN + ("\nimport time; time.sleep(1.2)" if end == "killed" else ""), last)
    if end == "done":
        execution.run(path)
    else:
        told(path, **({"time_limit": 4} if end == "limit" else {}))
    assert is_gone(number_in("child"))


@pytest.mark.slow
def test_notebook_that_holds_too_much(notebook):
    """A memory limit counts the kernel and its children together, ends them, and is told in words."""
    greedy = "'import time; held = bytearray(400_000_000); time.sleep(600)'"
    grow = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {greedy}])\ntime.sleep(600)"
    message = told(notebook(FIRST, grow), memory_limit=0.4)
    assert message.startswith('run("night"): cell [2] failed: the kernel held 0.')
    assert "above the run's memory limit of 0.4 GiB: ended.\n" in message
    failed = facts("runs/night.failed")
    assert failed["error"]["kind"] == "MemoryLimit" and failed["peak_memory_bytes"] > 0.4 * 2**30
    assert is_gone(number_in("pid"))


@pytest.mark.slow
def test_notebook_that_prints_100_mb(notebook):
    """Its beginning and end are kept, and how much is left out; the runner's memory and the notebook stay small."""
    path = notebook("for i in range(1000):\n    print('a' * 100_000)\nprint('the end')", "print('after')")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = execution.run(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 1024  # KiB
    assert (folder / "executed.ipynb").stat().st_size < 1.1e6 and (folder / "report.html").stat().st_size < 1.1e6
    text = printed(folder)
    assert text.startswith("a" * 100) and text.endswith("the end\nafter\n")
    assert "\n[99,001,008 characters are left out here]\n" in text


@pytest.mark.slow
def test_no_kernel_named_python3(notebook, tmp_path, monkeypatch):
    """A python3 of another environment, broken here, does not matter: the kernel is the Python that runs lerpnb."""
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/nowhere/python"], "display_name": "other", "language": "python"}))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    path = notebook("import sys\nprint(sys.executable)")
    made = nbformat.read(path, 4)
    made.metadata.kernelspec = {"name": "never-installed", "display_name": "x", "language": "python"}
    nbformat.write(made, path)
    assert printed(execution.run(path)) == f"{sys.executable}\n"


def test_no_ipykernel(notebook, monkeypatch):
    """The environment lacks ipykernel: said, with the way out."""
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert told(notebook("x = 1")) == (
        f'run("night"): there is no ipykernel in the Python that runs it, {sys.executable}. '
        "Install it: pip install ipykernel.\nWhat was done until then is in runs/night.failed.\n"
        + execution.NEXT.format("runs/night.failed")
    )


@pytest.mark.slow
def test_offline_hub(notebook, monkeypatch):
    """A model's name that only a hub knows fails within seconds, with the cell, and says what a name may be."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    resolve = "from lerpnb.assets import resolve\nresolve(model)"
    message = told(notebook(resolve, parameters="model: str = ''"), {"model": "somebody/some-model"})
    assert message.startswith(
        "run(\"night\"): cell [3] failed: AssetError: resolve('somebody/some-model'): no such folder here, not in the "
        "local hub cache, and the hub does not answer.\nA name is a folder, "
    )
    assert facts("runs/night.failed")["seconds"] < 30


# ---------------------------------------------------------------- the runner


@pytest.mark.slow
def test_parent_killed(notebook):
    """SIGKILL of the runner: kernel and children end by themselves; the next run keeps what was done."""
    path = notebook(FIRST, CHILD, FOREVER)
    runner = lerpnb("run", str(path), "--name", "night")
    child, kernel = number_in("child", runner), number_in("pid")
    runner.kill()
    runner.communicate()
    assert is_gone(kernel) and is_gone(child)
    assert not Path("runs/night").exists()
    execution.run(notebook("x = 1", name="short"), name="other")  # leaves another run's part alone
    assert not Path("runs/night.failed").exists()
    execution._recover(Path("runs/night"), {})  # as the next run of this name does before its kernel starts
    recovered = facts("runs/night.failed")
    assert recovered["error"] == {"cell": None, "kind": "Killed", "why": "the process that ran it was killed."}
    assert printed("runs/night.failed") == "done so far\n"
    assert sorted(p.name for p in Path("runs").iterdir()) == ["night.failed", "other"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "kind"), [("SIGINT", 130, "Interrupted"), ("SIGTERM", 143, "Terminated")])
def test_parent_stopped(notebook, number, code, kind):
    """Ctrl-C, or SIGTERM as from a cluster: the kernel ends too, and the part that is done is kept."""
    runner = lerpnb("run", str(notebook(FIRST, CHILD, FOREVER)), "--name", "night")
    child, kernel = number_in("child", runner), number_in("pid")
    runner.send_signal(getattr(signal, number))
    out, err = runner.communicate(timeout=60)
    assert runner.returncode == code and out == "" and "Traceback" not in err
    assert err.rstrip().splitlines()[-1] in ("What was done until then is in runs/night.failed.", "interrupted")
    assert is_gone(kernel) and is_gone(child)
    assert facts("runs/night.failed")["error"]["kind"] == kind
    assert printed("runs/night.failed") == "done so far\n"


@pytest.mark.slow
def test_two_runs_of_one_name_at_once(notebook):
    """Both finish whole, the later one stays, and nothing of either is left lying about."""
    path = notebook("import time\nprint(n)\ntime.sleep(1)", parameters="n: int = 0")
    threads = [threading.Thread(target=execution.run, args=(path, {"n": n}), kwargs={"force": True}) for n in (1, 2)]
    runner = lerpnb("run", str(path), "-p", "n", "3", "--name", "night", "--force")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out, err = runner.communicate(timeout=60)
    assert "/runs/night/report.html" in out and runner.returncode == 0, err
    assert [p.name for p in Path("runs").iterdir()] == ["night"]
    assert printed("runs/night") == f"{facts('runs/night')['parameters']['n']}\n"


@pytest.mark.slow
def test_clock_going_back(notebook, monkeypatch, capsys):
    """Times taken come from a clock that nobody sets; the end is never before the start."""
    clock = iter([2e9, *[1e9] * 1000])
    monkeypatch.setattr(execution, "time", SimpleNamespace(**{**vars(time), "time": lambda: next(clock, 1e9)}))

    def worked(source, given, work, monitor, environment):
        monitor.cell = 1
        nbformat.write(new_notebook(), work / "executed.ipynb")
        time.sleep(0.15)

    monkeypatch.setattr(execution, "run_cells", worked)
    found = facts(execution.run(notebook("x = 1")))
    assert 0.1 <= found["seconds"] < 30 and found["finished"] >= found["started"] == "2033-05-18T03:33:20+00:00"
    file = Path("progress.json")
    file.write_text(json.dumps({"label": "walk", "done": 1, "total": 2, "started": 2e9, "now": 2e9 + 60}))
    watch = ProgressLine("night", 1, file)
    watch.show(0, 1.0)
    assert capsys.readouterr().err == "" and watch.age(2e9 + 60) < 30
    monkeypatch.setenv(FILE, str(file))
    assert [*progress.track("ab", label="walk")] == ["a", "b"]
    assert capsys.readouterr().out.startswith("walk: 2 of 2 in 0.")


# ---------------------------------------------------------------- the disk


@pytest.mark.slow
def test_full_disk(notebook, small_disk):
    """The disk fills up in the middle: said; the cells that were done stay readable, the last good run whole."""
    disk = small_disk("disk", 600)
    path = notebook(FIRST, "print('b' * n)", "print('after')", parameters="n: int = 1")
    good = execution.run(path, to=disk)
    before = {p.name: p.read_bytes() for p in good.iterdir()}
    message = told(path, {"n": 900_000}, to=disk)
    assert "No space left on device" in message.splitlines()[0]
    assert {p.name: p.read_bytes() for p in good.iterdir()} == before
    kept = Path(message.splitlines()[1].removeprefix("What was done until then is in ").rstrip("."))
    assert "done so far\n" in printed(kept)


@pytest.mark.slow
def test_file_size_limit(notebook):
    """A quota on files (RLIMIT_FSIZE) ends no process by surprise: it is an error of the cell that met it."""
    quota = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    message = told(notebook(FIRST, quota, "with open('big', 'wb') as file:\n    file.write(bytes(2000))"))
    assert message.startswith('run("night"): cell [3] failed: OSError: [Errno 27] File too large\n')
    assert printed("runs/night.failed") == "done so far\n"


def test_read_only_folder(notebook, small_disk, no_kernel):
    """A file system mounted read-only (root ignores permissions): told before a kernel starts."""
    disk = small_disk("locked", 100)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert told(notebook("x = 1"), to=disk / "runs") == (
        f'run("night"): cannot write to {disk}/runs: Read-only file system.'
    )


@pytest.mark.slow
def test_run_folder_with_damaged_json(notebook, monkeypatch):
    """A rerun replaces it when it is done; until then its other files stay, and its page can be made."""
    damaged = Path("runs/night")
    path = notebook("x = 1")
    damaged.mkdir(parents=True)
    nbformat.write(new_notebook(), damaged / "executed.ipynb")
    for text in ("", "{", "[1]", '{"status": "do'):
        (damaged / "run.json").write_text(text)
        assert exporter.write_report(damaged).is_file()

    def worked(source, given, work, monitor, environment):
        assert (damaged / "executed.ipynb").is_file()
        nbformat.write(new_notebook(), work / "executed.ipynb")

    monkeypatch.setattr(execution, "run_cells", worked)
    assert facts(execution.run(path))["status"] == "done"


# ---------------------------------------------------------------- what people hand in


def test_parameter_file_that_would_run_code(notebook, no_kernel, tmp_path, capsys):
    """A YAML tag that asks for a Python call is refused, and nothing is called."""
    file = tmp_path / "night.yaml"
    file.write_text(f"n: !!python/object/apply:os.mkdir [{tmp_path / 'ran'}]", encoding="utf-8")
    path = notebook("x = 1", parameters="n: int = 0")
    for option in (["-f", str(file)], ["-y", file.read_text()]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["run", str(path), *option])
        assert stop.value.code == 1 and "not plain YAML: could not determine a constructor" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["..", "../up", "a/b", "/tmp/x", "", "a\0b", "-rf", ".hidden"])
def test_name_that_would_leave_the_folder(notebook, no_kernel, name):
    """A run's name is a name, not a path: refused before anything is touched."""
    assert told(notebook("x = 1"), name=name).startswith(f'run("night"): {name!r} is no name for a run.\n')
    assert not Path("runs").exists()


def test_file_that_is_not_there(notebook, no_kernel, tmp_path):
    """A parameter that names a missing file is told before a kernel starts, with where it was looked for."""
    path = notebook("x = 1", parameters="data: 'InputPath' = ''")
    assert told(path, {"data": "my_texts.csv"}) == (
        "run(\"night\"): parameter 'data': no file or folder 'my_texts.csv'.\n"
        f"There is none in {tmp_path}, where the notebook's kernel stands, nor in {tmp_path}.\n"
        "An InputPath that begins with /, ./, ../, ~/ or data/, or ends as files of data do, must be there."
    )


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "2h"])
def test_limit_that_is_none(notebook, no_kernel, limit):
    """A limit is a number above 0, or None."""
    assert told(notebook("x = 1"), time_limit=limit) == (
        f'run("night"): time_limit is {limit!r}.\nIt takes seconds, a number above 0, or None for no limit.'
    )
    assert told(notebook("x = 1"), memory_limit=limit).startswith(f'run("night"): memory_limit is {limit!r}.\n')
