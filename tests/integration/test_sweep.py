"""Sweeps: files checked before a kernel starts, identities, locks, stores without a rename, and what is resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import fsspec
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console

from lerpnb import cli
from lerpnb.errors import RunError
from lerpnb.runs import execution
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.spec import RunSpec
from lerpnb.runs.sweeps import lock, scheduler, worker
from lerpnb.runs.sweeps.config import read_sweep
from lerpnb.runs.sweeps.display import Row, SweepView, summary
from lerpnb.runs.sweeps.lock import RunLock
from lerpnb.utils import process

CELL = """\
seed: int = 0  # a seed
lo: float = -1.0  # an alpha
texts: "InputPath" = ""  # a file
fails: bool = False  # whether to fail"""
WORK = """\
if fails:
    raise ValueError("boom")"""
SOURCE = {"name": "small.ipynb", "sha256": "ab"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with a small notebook, in which one stands."""
    monkeypatch.chdir(tmp_path)
    cells = [new_code_cell(CELL, metadata={"tags": ["parameters"]}), new_code_cell(WORK)]
    nbformat.write(new_notebook(cells=cells), tmp_path / "small.ipynb")
    return tmp_path


def write(text: str, name: str = "demo.yaml") -> Path:
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def refused(text: str) -> str:
    with pytest.raises(RunError) as error:
        read_sweep(write(text))
    return str(error.value)


def recorded(name: str, spec: RunSpec, error: dict | None = None, to: str = "runs") -> dict:
    """A run folder as a finished run of that spec leaves it."""
    facts = {"status": "failed" if error else "done", "name": name, "identity": spec.identity, "seconds": 61.0}
    facts |= {"error": error, "summary": {"rise/strength/x": {"value": 0.5, "low": 0.4, "high": 0.6, "unit": ""}}}
    folder = Path(to) / (f"{name}.failed" if error else name)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return facts


# ---------------------------------------------------------------- plans


def test_a_grid_meets_a_list_and_names_come_from_a_pattern(here):
    plan = read_sweep(
        write("""
notebook: small.ipynb
name: "{texts}-s{seed}-lo{lo:.1f}"
parameters: {fails: true}
list: [{texts: data/prompts.txt, lo: -2}, {texts: data/wheels.txt, lo: 0.25}]
grid: {seed: [0, 1]}
time_limit: 1h30m
memory_limit: 4
environment: {A: 1}
resources: {GPU: 1}
""")
    )
    assert [spec.name for spec in plan.specs] == [
        "prompts.txt-s0-lo-2.0",
        "prompts.txt-s1-lo-2.0",
        "wheels.txt-s0-lo0.2",
        "wheels.txt-s1-lo0.2",
    ]
    assert plan.specs[3].parameters == {"fails": True, "texts": "data/wheels.txt", "lo": 0.25, "seed": 1}
    told = {(spec.time_limit, spec.memory_limit, spec.environment["A"], spec.sweep) for spec in plan.specs}
    assert told == {(5400.0, 4, "1", "demo")}
    assert (plan.varying, plan.resources, plan.name) == (("texts", "lo", "seed"), {"GPU": 1}, "demo")
    assert {spec.to for spec in plan.specs} == {str(here / "runs")}


def test_names_tell_what_varies_unless_a_pattern_does(here):
    plan = read_sweep(write("notebook: small.ipynb\ngrid: {seed: [0, 1], lo: [-1, 0.5]}"))
    assert [spec.name for spec in plan.specs] == [f"seed={s},lo={lo}" for s in (0, 1) for lo in ("-1", "0.5")]
    assert [spec.name for spec in read_sweep(write("notebook: small.ipynb")).specs] == ["demo"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "no mapping of keys to values.\nIt starts with 'notebook: 02_interpolate'."),
        ("name: x", "it names no notebook.\nWrite 'notebook: 02_interpolate', say."),
        (
            "notebook: small.ipynb\ngird: {seed: [0]}",
            "no key 'gird'. Did you mean 'grid'?\n"
            "It takes: notebook, name, parameters, grid, list, time_limit, memory_limit, environment, resources, then.",
        ),
        ("notebook: small.ipynb\ngrid: [1]", "'grid' is a mapping of names to lists of values, came [1] (list)."),
        ("notebook: small.ipynb\ngrid: {seed: 3}", "grid: 'seed' is a list of values, such as [0, 1], came 3 (int)."),
        ("notebook: small.ipynb\nlist: [3]", "list: entry 1 is a mapping of names to values, came 3 (int)."),
        (
            "notebook: small.ipynb\ngrid: {sed: [0]}",
            "no parameter 'sed'. Did you mean 'seed'?\nIt takes: seed, lo, texts, fails.",
        ),
        (
            "notebook: small.ipynb\ngrid: {seed: [0, x]}",
            "parameter 'seed' takes int, came 'x' (str).\nPass a whole number.",
        ),
        (
            "notebook: small.ipynb\ngrid: {seed: [0]}\nparameters: {seed: 1}",
            "parameter 'seed' is in parameters and in grid.\nGive it in one of them.",
        ),
        (
            "notebook: small.ipynb\nname: all\ngrid: {seed: [0, 1]}",
            "two runs would be called 'all'. It leaves out 'seed'.\nWrite a field into `name` that differs.",
        ),
        (
            "notebook: small.ipynb\ngrid: {seed: [0, 0]}",
            "two runs would be called 'seed=0'. Two of them are the same.\nWrite a field into `name` that differs.",
        ),
        (
            "notebook: small.ipynb\nname: '{sead}'",
            "name: no parameter 'sead'. Did you mean 'seed'?\nIt takes: seed, lo, texts, fails.",
        ),
        (
            "notebook: small.ipynb\nname: '{seed.real}'",
            "name: no parameter 'seed.real'. Did you mean 'seed'?\nIt takes: seed, lo, texts, fails.",
        ),
        (
            "notebook: small.ipynb\nname: '{seed!r}'",
            "name: '{seed!r}' is no pattern.\nWrite it as 'seed{seed}' or 'lo{lo:g}'.",
        ),
        (
            "notebook: small.ipynb\nname: '{seed'",
            "name: '{seed' is no pattern: expected '}' before end of string.\nWrite it as 'seed{seed}'.",
        ),
        (
            "notebook: small.ipynb\nname: '{texts:d}'",
            "name: '{texts:d}' does not fit its parameters: Unknown format code 'd' for object of type 'str'.",
        ),
        (
            "notebook: small.ipynb\nname: 'x{seed:0200}'",
            f"a name of 201 letters: x{'0' * 39}...\nGive a shorter pattern as `name`.",
        ),
        ("notebook: small.ipynb\nnotebook: b", "not plain YAML: 'notebook' stands twice in one mapping, line 1"),
        (
            "notebook: small.ipynb\ntime_limit: soon",
            "time_limit: 'soon' is no length of time; write it as 2h, 90m, 1h30m or as seconds.",
        ),
        (
            "notebook: small.ipynb\ntime_limit: 0",
            "time_limit is 0.0.\nIt takes seconds, a number above 0, or None for no limit.",
        ),
        ("notebook: small.ipynb\nmemory_limit: much", "'memory_limit' is GiB, came 'much' (str)."),
        ("notebook: small.ipynb\nresources: {GPU: x}", "resources: 'GPU' is a number above 0, came 'x' (str)."),
        (
            "notebook: small.ipynb\nthen: {name: a}",
            "then: it names no notebook.\nWrite 'notebook: 02_interpolate', say.",
        ),
        (
            "notebook: small.ipynb\nthen: {notebook: small.ipynb}",
            "then: small.ipynb has no parameter 'runs', which would get the finished runs.",
        ),
        (
            "notebook: small.ipynb\nthen: {book: a}",
            "then: no key 'book'. Did you mean 'notebook'?\nIt takes: notebook, name, parameters.",
        ),
    ],
)
def test_a_plan_that_is_not_right_is_refused_before_any_kernel(here, text, message):
    assert refused(text) == f'sweep("demo.yaml"): {message}'


def test_yaml_runs_no_code(here):
    message = refused(f"notebook: !!python/object/apply:pathlib.Path.touch [{here / 'made'}]")
    assert message.startswith('sweep("demo.yaml"): not plain YAML: could not determine a constructor for the tag')
    assert not (here / "made").exists()


def test_a_missing_notebook_and_a_missing_file_are_told(here):
    first, second = refused("notebook: smal").splitlines()
    assert first == 'run("smal"): no such notebook.' and second.startswith("The project's notebooks: 00_quickstart, ")
    first = refused("notebook: small.ipynb\nparameters: {texts: ./none.txt}").splitlines()[0]
    assert first == "sweep(\"demo.yaml\"): parameter 'texts': no file or folder './none.txt'."


# ---------------------------------------------------------------- identity


def test_the_identity_follows_notebook_parameters_and_the_content_of_what_they_name(here):
    (here / "folder").mkdir()
    (here / "folder" / "a.txt").write_text("one")
    file = write("notebook: small.ipynb\nparameters: {texts: ./folder}")

    def now() -> str:
        return read_sweep(file).specs[0].identity

    first = now()
    assert first == now()
    (here / "folder" / "a.txt").write_text("two")
    second = now()
    (here / "folder" / "a.txt").write_text("one")
    assert second != first == now()
    file.write_text("notebook: small.ipynb\nparameters: {texts: ./folder, seed: 0}")
    assert now() == first  # a default that is written out is no other run
    file.write_text("notebook: small.ipynb\nparameters: {texts: ./folder, seed: 1}")
    third = now()
    notebook = nbformat.read("small.ipynb", 4)
    notebook.cells[1].source += "\n"
    notebook.cells[1].metadata["x"] = 1
    nbformat.write(notebook, "small.ipynb")
    assert len({first, second, third, now()}) == 4


# ---------------------------------------------------------------- what is known before, and told


def test_done_is_skipped_failed_is_left_and_stopped_runs_again(here):
    plan = read_sweep(write("notebook: small.ipynb\ngrid: {seed: [0, 1, 2, 3, 4]}"))
    names = [spec.name for spec in plan.specs]
    recorded(names[0], plan.specs[0])
    recorded(names[1], plan.specs[1], {"cell": 2, "kind": "ValueError", "why": "ValueError: boom\nmore"})
    recorded(names[2], plan.specs[2], {"cell": None, "kind": "Interrupted", "why": "Ctrl-C"})
    recorded(names[3], replace(plan.specs[3], identity="of another notebook"))
    rows = scheduler.rows_of(plan, "runs")
    assert [row.status for row in rows] == ["skipped", "failed before", "waiting", "waiting", "waiting"]
    assert rows[1].why == "cell [2]: ValueError: boom"
    assert [row.status for row in scheduler.rows_of(plan, "runs", retry_failed=True)][1] == "waiting"
    assert not scheduler.passed(rows) and scheduler.passed(rows[:1])
    frame = scheduler.frame(rows)
    assert list(frame) == ["status", "seconds", "rise/strength/x", "why"] and frame.loc["seed=0", "seconds"] == 61.0
    assert (
        summary(rows[:3])
        == """\
run     status              time  rise/strength/x  why
seed=0  skipped        1 min 1 s           +0.500
seed=1  failed before  1 min 1 s           +0.500  cell [2]: ValueError: boom
seed=2  waiting"""
    )


def test_a_dry_run_prints_the_table_and_runs_nothing(here, capsys, monkeypatch):
    monkeypatch.setattr(scheduler, "perform", lambda *_, **__: pytest.fail("something was about to run"))
    file = write("notebook: small.ipynb\ngrid: {seed: [0, 1]}\nthen: {notebook: 08_compare_runs, name: all}")
    recorded("seed=1", read_sweep(file).specs[1])
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", str(file), "--dry-run"])
    assert stop.value.code == 0
    assert (
        capsys.readouterr().out
        == """\
run     seed  would
seed=0  0     run
seed=1  1     be skipped: done
all           look at all of them
"""
    )


def test_a_log_gets_a_line_a_change_and_an_eta(here):
    rows = [Row(RunSpec(name, "runs", "", {}, "")) for name in "abc"]
    out = StringIO()
    view = SweepView("demo", rows, RunDirectory("runs"), Console(file=out, width=200))
    view.show()
    rows[0].became({"status": "done", "seconds": 60.0, "summary": {}, "error": ""})
    view.show()
    view.show()
    rows[1].became({"status": "failed", "seconds": 1.0, "summary": {}, "error": "cell [1]: boom"})
    view.show()
    assert out.getvalue().splitlines() == [
        "demo: a: done in 1 min 0 s; 1 of 3, about 2 min 0 s left",
        "demo: b: failed in 1.0 s: cell [1]: boom; 2 of 3, about 1 min 0 s left",
    ]


def test_a_terminal_gets_a_table_with_what_runs_first(here):
    rows = [Row(RunSpec(f"run{i}", "runs", "", {}, "")) for i in range(30)]
    view = SweepView("demo", rows, RunDirectory("runs"), Console(file=StringIO(), width=100, force_terminal=True))
    with RunLock(RunDirectory("runs"), "run29") as held:
        held.text = "run29: cell 4 of 9"
        held.sign()
        view.show()
        printed = Console(file=StringIO(), width=100)
        printed.print(view._table())
    lines = printed.file.getvalue().splitlines()
    assert lines[0].startswith("demo: 0 of 30, ")
    assert re.fullmatch(r"run29 +running +\d\.\d s +cell 4 of 9 *", lines[2])
    assert lines[-1].strip() == "and 6 more"


def test_graphics_cards_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-ab")
    assert process.graphics_cards() == ["2", "GPU-ab"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert process.graphics_cards() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(process.shutil, "which", lambda name: name)
    answer = subprocess.CompletedProcess([], 0, stdout="0\n1\n")
    monkeypatch.setattr(process.subprocess, "run", lambda *_, **__: answer)
    assert process.graphics_cards() == ["0", "1"]


@pytest.mark.parametrize(
    ("cards", "jobs", "lanes"), [("", None, [""]), ("0,1", None, ["0", "1"]), ("3", 2, ["3", "3"])]
)
def test_a_job_a_gpu_each_with_its_own(here, monkeypatch, cards, jobs, lanes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
    seen, all_there = [], threading.Barrier(len(lanes), timeout=20)

    def one(spec: RunSpec) -> dict:
        all_there.wait()
        seen.append(getattr(worker._lane, "environment", {}).get("CUDA_VISIBLE_DEVICES", ""))
        return worker.failed(spec.name, "", "done")

    monkeypatch.setattr(scheduler, "run_one", one)
    grid = ", ".join(str(i) for i in range(len(lanes)))
    frame = scheduler.sweep(write(f"notebook: small.ipynb\ngrid: {{seed: [{grid}]}}"), jobs=jobs)
    assert sorted(seen) == lanes and set(frame["status"]) == {"done"}


# ---------------------------------------------------------------- locks


@pytest.fixture(params=["runs", "memory://runs", "dir://runs::file://{here}"])
def runs(request, here) -> RunDirectory:
    """A folder, a store in memory, and a store of objects that is no local folder to lerpnb."""
    found = RunDirectory(request.param.format(here=here))
    yield found
    if request.param.startswith("memory"):
        fsspec.filesystem("memory").store.clear()
        fsspec.filesystem("memory").pseudo_dirs[:] = [""]


@pytest.mark.slow
def test_of_many_at_once_one_holds_the_lock(runs):
    inside, most = [], []

    def take() -> None:
        with RunLock(runs, "demo", beat=0.02, patience=30) as held:
            inside.append(1)
            most.append(len(inside))
            assert held.holds()
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 6
    assert lock.progress_of(runs, "demo") is None


@pytest.mark.slow
def test_a_lock_without_a_sign_of_life_is_taken_over_and_its_holder_learns_of_it(runs, monkeypatch):
    monkeypatch.setattr(lock, "is_gone", lambda content: False)  # a holder on another machine
    sleeper = RunLock(runs, "demo", beat=3600)
    with sleeper:
        assert sleeper.holds()
        with RunLock(runs, "demo", beat=0.04, patience=0.2) as other:
            assert other.holds() and not sleeper.holds()
        assert not sleeper.holds()  # and gives back nothing that is not its own
    with RunLock(runs, "demo") as third:
        assert third.holds()


@pytest.mark.slow
def test_a_sign_of_life_keeps_a_lock_whatever_the_clock_says(runs, monkeypatch):
    monkeypatch.setattr(lock, "is_gone", lambda content: False)
    monkeypatch.setattr(time, "time", lambda: -1e9)  # no clock of the day is asked
    taken = threading.Event()

    def wait() -> None:
        with RunLock(runs, "demo", beat=0.04, patience=0.6):
            taken.set()

    with RunLock(runs, "demo", beat=0.05) as held:
        threading.Thread(target=wait, daemon=True).start()
        assert not taken.wait(1.5)
        assert held.holds()
    assert taken.wait(20)


@pytest.mark.slow
def test_a_lock_of_a_process_that_is_gone_is_taken_at_once(here):
    take = "RunLock(RunDirectory('runs'), 'demo').__enter__()"
    code = f"import os; from lerpnb.runs.sweeps.lock import *; {take}; os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert lock.progress_of(RunDirectory("runs"), "demo") == ""
    start = time.monotonic()
    with RunLock(RunDirectory("runs"), "demo", patience=3600) as held:
        assert held.holds()
    assert time.monotonic() - start < 60


# ---------------------------------------------------------------- one run under a lock


@pytest.fixture
def quick(monkeypatch):
    """`execute` without a kernel: a notebook and an outcome; the names of the runs."""
    calls = []

    def execute(spec, staging):
        calls.append(spec.name)
        assert (spec.time_limit, spec.memory_limit, spec.environment) == (60.0, 2.0, {"A": "1"})
        error = {"cell": 2, "kind": "ValueError", "why": "ValueError: boom"} if spec.parameters.get("fails") else None
        nbformat.write(new_notebook(), staging.folder / "executed.ipynb")
        staging.facts |= {"status": "failed" if error else "done", "error": error, "seconds": 1.0}

    monkeypatch.setattr(execution, "execute", execute)
    return calls


def spec_on(runs: RunDirectory, **changes) -> RunSpec:
    return replace(
        RunSpec("demo", runs.where, "small.ipynb", {}, "ab", "sweep", 60.0, 2.0, {"A": "1"}, source=SOURCE), **changes
    )


@pytest.mark.slow
def test_one_run_is_recorded_with_its_identity_and_not_again(runs, quick):
    came = worker.attempt(spec_on(runs))
    assert came == {"name": "demo", "status": "done", "seconds": 1.0, "summary": {}, "error": ""}
    facts = runs.facts("demo")
    assert (facts["identity"], facts["sweep"]) == ("ab", "sweep")
    assert runs.names() == ["demo"]
    assert worker.attempt(spec_on(runs)) == came
    assert quick == ["demo"]
    assert worker.attempt(spec_on(runs, identity="cd"))["status"] == "done"
    assert runs.facts("demo")["identity"] == "cd" and len(quick) == 2


@pytest.mark.slow
def test_a_failure_is_recorded_and_made_again_only_where_that_is_asked(runs, quick):
    came = worker.attempt(spec_on(runs, parameters={"fails": True}))
    assert (came["status"], came["error"]) == ("failed", "cell [2]: ValueError: boom")
    assert runs.names() == ["demo.failed"]
    assert worker.attempt(spec_on(runs))["status"] == "failed" and len(quick) == 1
    assert worker.attempt(spec_on(runs, again=True))["status"] == "done" and len(quick) == 2
    assert runs.names() == ["demo"]


@pytest.mark.slow
def test_who_has_lost_the_lock_puts_nothing_in_place(runs, quick, monkeypatch):
    """The run is taken over while the notebook runs: the other's record stays, and is what is told."""
    true_execute = execution.execute

    def slow(spec, staging):
        monkeypatch.setattr(execution, "execute", true_execute)
        monkeypatch.setattr(lock, "is_gone", lambda content: True)
        other = worker.attempt(spec_on(runs))  # takes the lock over, and records
        monkeypatch.setattr(lock, "is_gone", lambda content: False)
        assert other["status"] == "done"
        true_execute(spec, staging)

    monkeypatch.setattr(execution, "execute", slow)
    placed = []
    monkeypatch.setattr(
        RunDirectory, "put", lambda self, *a, _put=RunDirectory.put: (placed.append(a[1]), _put(self, *a))
    )
    monkeypatch.setattr(
        execution, "replace_folder", lambda *a, _swap=execution.replace_folder: (placed.append(a[1].name), _swap(*a))
    )
    assert worker.attempt(spec_on(runs))["status"] == "done"
    assert placed.count("demo") == (1 if runs.local else 2)  # the other's: near where there is no rename, and far
    assert runs.names() == ["demo"] and len(quick) == 2


# ---------------------------------------------------------------- whole sweeps, with kernels


def lerpnb(*arguments: str, **options) -> subprocess.Popen:
    code = "from lerpnb.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True, **options)


@pytest.mark.slow
def test_a_failing_run_stops_nothing_and_a_rerun_does_only_what_is_missing(here):
    file = write("notebook: small.ipynb\nname: s{seed}\nlist: [{seed: 0, fails: true}, {seed: 1}]")
    sweep = lerpnb("sweep", str(file))
    out, err = sweep.communicate()
    assert sweep.returncode == 1
    table = [re.sub(r"  +", "|", re.sub(r"[\d.]+ s\b", "T", line)) for line in out.splitlines()]
    assert table == [
        "run|status|time|why",
        "s0|failed|T|cell [3]: ValueError: boom",
        "s1|done|T",
        "1 failed, 1 done",
    ]
    assert sorted(p.name for p in Path("runs").iterdir()) == ["s0.failed", "s1"]
    assert {line.partition(" in ")[0] for line in err.splitlines() if " in " in line} == {
        "demo: s0: failed",
        "demo: s1: done",
    }
    before = {p: p.stat().st_ino for p in Path("runs").glob("*/run.json")}
    out, _ = lerpnb("sweep", str(file)).communicate()
    assert out.splitlines()[-1] == "1 failed before, 1 skipped; --retry-failed runs again what failed before"
    assert before == {p: p.stat().st_ino for p in Path("runs").glob("*/run.json")}
    notebook = nbformat.read("small.ipynb", 4)
    notebook.cells[1].source = "print(seed)"
    nbformat.write(notebook, "small.ipynb")
    sweep = lerpnb("sweep", str(file))
    assert sweep.communicate()[0].splitlines()[-1] == "2 done" and sweep.returncode == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["s0", "s1"]


@pytest.mark.slow
def test_ctrl_c_ends_the_kernels_and_the_next_sweep_goes_on(here):
    notebook = nbformat.read("small.ipynb", 4)
    notebook.cells[1].source = "import os, time\nopen(f'pid{seed}', 'w').write(str(os.getpid()))\ntime.sleep(lo)"
    nbformat.write(notebook, "small.ipynb")
    file = write("notebook: small.ipynb\nname: s{seed}\nlist: [{seed: 0, lo: 0}, {seed: 1, lo: 600}, {seed: 2, lo: 0}]")
    sweep = lerpnb("sweep", str(file))
    end = time.monotonic() + 60
    while not Path("pid1").exists() or not Path("pid1").read_text():
        assert time.monotonic() < end and sweep.poll() is None
        time.sleep(0.1)
    sweep.send_signal(signal.SIGINT)
    _, err = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert err.splitlines()[-2:] == ["demo: s1: running", "demo: stopping; what is done stays"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid1").read_text()), 0)
    assert sorted(p.name for p in Path("runs").iterdir()) == ["s0", "s1.failed"]
    rows = scheduler.rows_of(read_sweep(file), "runs")
    assert [row.status for row in rows] == ["skipped", "waiting", "waiting"]


@pytest.mark.slow
def test_two_sweeps_on_one_folder_at_once_do_each_run_once(here):
    notebook = nbformat.read("small.ipynb", 4)
    notebook.cells[1].source = "open('log', 'a').write(f'{seed} ')"
    nbformat.write(notebook, "small.ipynb")
    file = write("notebook: small.ipynb\nname: s{seed}\ngrid: {seed: [0, 1]}")
    both = [lerpnb("sweep", str(file)) for _ in range(2)]
    assert [sweep.communicate()[0].splitlines()[-1].replace("skipped", "done") for sweep in both]
    assert [sweep.returncode for sweep in both] == [0, 0]
    assert sorted(Path("log").read_text().split()) == ["0", "1"]


@pytest.mark.slow
def test_a_sweep_into_a_store_without_a_rename(here):
    to = f"dir://runs::file://{here}"
    file = write("notebook: small.ipynb\nname: s{seed}\nlist: [{seed: 0}, {seed: 1, fails: true}]")
    sweep = lerpnb("sweep", str(file), "--to", to, "--jobs", "2")
    assert sweep.communicate()[0].splitlines()[-1] == "1 done, 1 failed"
    assert RunDirectory(to).names() == ["s0", "s1.failed"] and RunDirectory(to).facts("s0")["status"] == "done"
    assert lerpnb("sweep", str(file), "--to", to).communicate()[0].splitlines()[-1].startswith("1 skipped, 1 failed be")
