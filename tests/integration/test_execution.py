"""Runs: parameters checked before a kernel starts, one tiny notebook a fault, folders whole or not at all."""

import ast
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lerpnb.errors import RunError
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs import execution, recording, spec, staging
from lerpnb.runs.parameters import Parameter, checked, parameters_of
from lerpnb.runs.progress_line import ProgressLine
from lerpnb.runs.report import exporter
from lerpnb.runs.table import read_runs
from lerpnb.utils import progress
from lerpnb.utils.atomic import replace_folder
from lerpnb.utils.environment import FILE, RUN_DIR

CELL = """\
n_points: int = 13  # points, at least 2, n = 13 for the demo
lo: float = -1.0
minus: str = "data/adapters/negative"  # alpha 0
base: str | None = None
alphas: list[float] = [0.0, 0.5, 1.0]
flag: bool = False
seed = 0
anything = None"""
INPUTS = """\
data: "InputPath" = "texts.csv"
seed: int = 0
out: "OutputPath" = "texts.csv"
odd = {1}"""
RECORD = """\
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.recording import record
points = {a: {"loss/x": Measurement([a, a + 1.0], unit="nats/token")} for a in (0.0, 0.5, 1.0)}
told = {"device": "cpu", "seeds": {"sampling": 7}, "hashes": {"minus": "ab"}}
print(record(Curve.from_measures(points, provenance=told)))
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a notebook of code cells, the first one tagged `parameters` where it is given, and stand beside it."""
    monkeypatch.chdir(tmp_path)

    def write(*cells: str, parameters: str = "", name: str = "small") -> Path:
        notebook = new_notebook(cells=[new_markdown_cell("# A title"), *map(new_code_cell, cells)])
        if parameters:
            notebook.cells.insert(1, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        path = tmp_path / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


@pytest.fixture
def no_kernel(monkeypatch):
    """What is refused is refused before a kernel starts."""
    monkeypatch.setattr(execution, "run_cells", lambda *_: pytest.fail("a kernel was about to start"))


def facts_of(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def refused(*args, **kwargs) -> str:
    with pytest.raises(RunError) as error:
        execution.run(*args, **{"force": True} | kwargs)
    return str(error.value)


# ---------------------------------------------------------------- parameters


def test_the_parameters_cell_is_read_by_name_type_default_and_help(written):
    notebook = nbformat.read(written(parameters=CELL), as_version=4)
    found = parameters_of(notebook)
    assert [(p.name, p.type, p.default) for p in found.values()] == [
        ("n_points", "int", 13),
        ("lo", "float", -1.0),
        ("minus", "str", "data/adapters/negative"),
        ("base", "str | None", None),
        ("alphas", "list[float]", [0.0, 0.5, 1.0]),
        ("flag", "bool", False),
        ("seed", "int", 0),
        ("anything", "", None),
    ]
    assert found["n_points"].help == "points, at least 2, n = 13 for the demo"
    assert found["minus"].help == "alpha 0"
    assert found["lo"].help == ""


def test_a_default_that_is_no_literal_is_kept_as_its_source():
    cell = new_code_cell("import os\nhere: 'int' = len(os.sep)", metadata={"tags": ["parameters"]})
    assert parameters_of(new_notebook(cells=[cell])) == {"here": Parameter("here", "int", "len(os.sep)", "")}


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("n_points", 5, 5),
        ("n_points", "5", 5),
        ("n_points", 5.0, 5),
        ("n_points", np.int64(5), 5),
        ("lo", 2, 2.0),
        ("lo", "-0.5", -0.5),
        ("lo", "1e-3", 1e-3),
        ("lo", np.float32(0.5), 0.5),
        ("minus", Path("a/b"), "a/b"),
        ("minus", "3", "3"),
        ("base", None, None),
        ("base", "none", "none"),
        ("alphas", (0, 1), [0.0, 1.0]),
        ("alphas", np.array([0.0, 2.0]), [0.0, 2.0]),
        ("alphas", "[0, 0.25]", [0.0, 0.25]),
        ("flag", True, True),
        ("flag", "true", True),
        ("flag", "False", False),
        ("anything", {"a": (1, Path("b"))}, {"a": [1, "b"]}),
    ],
)
def test_a_value_is_converted_where_nothing_is_lost(written, name, given, kept):
    takes = parameters_of(nbformat.read(written(parameters=CELL), as_version=4))
    value = checked({name: given}, takes, "run")[name]
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("int | str", "5", "5"),
        ("int | float", 5, 5),
        ("int | float", "0.5", 0.5),
        ("Optional[bool]", "true", True),
        ("Union[int, None]", None, None),
        ("list[int | None]", [1, None], [1, None]),
        ("dict[str, int]", "{a: 1}", {"a": 1}),
        ("Device", "cuda:0", "cuda:0"),
    ],
)
def test_a_union_keeps_the_type_that_came(kind, given, kept):
    parameter = Parameter("x", kind, None, "")
    value = checked({"x": given}, {"x": parameter}, "run")["x"]
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("flag", "yes", "'flag' takes bool, came 'yes' (str).\nPass true or false."),
        ("flag", 1, "'flag' takes bool, came 1 (int).\nPass true or false."),
        ("n_points", 2.5, "'n_points' takes int, came 2.5 (float).\nPass a whole number."),
        ("n_points", True, "'n_points' takes int, came True (bool).\nPass a whole number."),
        ("n_points", "many", "'n_points' takes int, came 'many' (str).\nPass a whole number."),
        ("lo", "low", "'lo' takes float, came 'low' (str).\nPass a number."),
        ("lo", None, "'lo' takes float, came None (NoneType).\nPass a number."),
        ("minus", 3, "'minus' takes str, came 3 (int).\nPass a text; in YAML, put it in quotes."),
        ("base", 3, "'base' takes str | None, came 3 (int).\nPass a text; in YAML, put it in quotes."),
        ("alphas", "0.5", "'alphas' takes list[float], came '0.5' (str).\nPass a list, in YAML as [1, 2]."),
        ("alphas", [0, "x"], "'alphas' takes list[float], came [0, 'x'] (list).\nPass a list, in YAML as [1, 2]."),
        ("alphas", "[0", "'alphas' takes list[float], came '[0' (str).\nPass a list, in YAML as [1, 2]."),
        ("seed", "x", "'seed' takes int, came 'x' (str).\nPass a whole number."),
        (
            "anything",
            {1j},
            "'anything' takes plain values, came {1j} (set).\n"
            "Pass a text, a number, true or false, a list or a mapping.",
        ),
    ],
)
def test_a_wrong_type_is_refused_before_a_kernel_starts(written, no_kernel, name, given, message):
    assert refused(written(parameters=CELL), {name: given}) == f'run("small"): parameter {message}'


def test_an_unknown_parameter_is_refused_with_the_nearest_meant(written, no_kernel):
    assert refused(written(parameters=CELL, name="02_interpolate"), {"n_point": 5}) == (
        "run(\"02_interpolate\"): no parameter 'n_point'. Did you mean 'n_points'?\n"
        "It takes: n_points, lo, minus, base, alphas, flag, seed, anything."
    )
    assert refused("small.ipynb" if Path("small.ipynb").exists() else written("x = 1"), {"zzz": 1}) == (
        "run(\"small\"): no parameter 'zzz'.\nIt takes none: no cell is tagged 'parameters'."
    )


def test_a_parameters_cell_that_is_not_python_is_refused(written, no_kernel):
    assert refused(written(parameters="n = = 2")) == (
        'run("small"): the parameters cell is not plain Python: invalid syntax (<unknown>, line 1).'
    )


# ---------------------------------------------------------------- names and folders


def test_a_notebook_that_is_not_there_is_told_with_those_that_are(tmp_path, monkeypatch, no_kernel):
    monkeypatch.setattr(spec, "project_root", lambda: tmp_path)
    hint = "`lerpnb init` lays out a project with some."
    assert refused("nowhere") == f'run("nowhere"): no such notebook.\n{hint}'
    (tmp_path / "notebooks").mkdir()
    for name in ("02_b", "01_a"):
        nbformat.write(new_notebook(), tmp_path / "notebooks" / f"{name}.ipynb")
    assert refused("nowhere") == 'run("nowhere"): no such notebook.\nThe project\'s notebooks: 01_a, 02_b.'
    assert spec.find_notebook("02_b") == tmp_path / "notebooks" / "02_b.ipynb"


def test_a_file_that_is_no_notebook_is_refused(written, no_kernel):
    path = written("x = 1")
    path.write_text("{", encoding="utf-8")
    assert refused(path).startswith('run("small"): small.ipynb is no notebook: ')


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "/tmp/x", ".hidden", "demo.failed", "a\nb"])
def test_a_name_that_would_leave_the_folder_of_runs_is_refused(written, no_kernel, name):
    assert refused(written("x = 1"), name=name) == (
        f'run("small"): {name!r} is no name for a run.\n'
        "It starts with a letter or digit, holds letters, digits, spaces and .,_-+= and does not end in .failed."
    )


def test_a_folder_that_is_no_run_is_never_replaced(written, no_kernel, tmp_path):
    (tmp_path / "runs" / "data").mkdir(parents=True)
    assert refused(written("x = 1"), name="data") == (
        'run("small"): runs/data is there and is no run: it holds no run.json.\nChoose another name.'
    )


def test_a_folder_that_cannot_be_written_is_told(written, no_kernel, tmp_path):
    (tmp_path / "runs").write_text("a file in the way", encoding="utf-8")
    assert refused(written("x = 1")) == 'run("small"): cannot write to runs: File exists.'


def left_behind(folder: Path, **process) -> Path:
    """A temporary folder as a process leaves it that is killed, with a first cell done and a curve recorded."""
    facts = {"status": "failed", "name": "demo", "started": "2026-01-01T00:00:00+00:00"}
    work = staging.staging_folder(folder, facts | {"notebook": {"name": "small.ipynb"}}, "run")
    nbformat.write(new_notebook(cells=[new_markdown_cell("done so far")]), work / "executed.ipynb")
    running = json.loads((work / staging.RUNNING).read_text())
    running["process"] |= process
    (work / staging.RUNNING).write_text(json.dumps(running))
    return work


def test_what_a_killed_process_left_becomes_a_failed_run(tmp_path, capsys):
    left = left_behind(tmp_path / "demo", pid=2**22 + 1)
    execution._recover(tmp_path / "demo", {})
    assert not left.exists() and [p.name for p in tmp_path.iterdir()] == ["demo.failed"]
    facts = facts_of(tmp_path / "demo.failed")
    assert facts["error"] == {"cell": None, "kind": "Killed", "why": "the process that ran it was killed."}
    assert facts["notebook"]["name"] == "small.ipynb" and facts["status"] == "failed"
    assert {p.name for p in (tmp_path / "demo.failed").iterdir()} == {"executed.ipynb", "run.json"}
    assert capsys.readouterr().err == (
        f"demo: an earlier attempt was killed; what it had done is in {tmp_path}/demo.failed\n"
    )


def test_a_whole_run_that_could_not_take_its_place_is_kept_as_it_is(tmp_path):
    left, empty = left_behind(tmp_path / "demo"), tmp_path / ".demo.tmp-7-0"
    (left / staging.RUNNING).unlink()
    (left / "run.json").write_text('{"status": "done"}')
    empty.mkdir()
    for file in (empty, left, *left.iterdir()):
        os.utime(file, (0, 0))
    execution._recover(tmp_path / "demo", {})
    assert [p.name for p in tmp_path.iterdir()] == ["demo.failed"]
    assert facts_of(tmp_path / "demo.failed") == {"status": "done"}


def test_a_live_process_and_another_machine_keep_their_folders(tmp_path):
    left_behind(tmp_path / "demo")  # by this process, which lives
    other = left_behind(tmp_path / "demo", machine="another", pid=2**22 + 1)
    assert staging.abandoned(tmp_path / "demo") == []
    for file in (other, *other.iterdir()):
        os.utime(file, (time.time() - 1000,) * 2)
    assert [path for path, _ in staging.abandoned(tmp_path / "demo")] == [other]  # silent for a quarter of an hour


def test_a_run_set_aside_by_a_killed_process_is_put_back(tmp_path):
    (tmp_path / ".demo.old-1").mkdir()
    work = staging.staging_folder(tmp_path / "demo", {}, "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([work.name, "demo"])
    assert re.fullmatch(rf"\.demo\.tmp-{os.getpid()}-[0-9a-f]{{8}}", work.name)


@pytest.mark.slow
def test_a_full_disk_at_the_end_loses_nothing(written, monkeypatch):
    good = Path("runs/small")
    good.mkdir(parents=True)
    (good / "run.json").write_text("{}", encoding="utf-8")

    def full(*_):
        raise OSError(28, "No space left on device")

    def recorded(source, given, work, *_):
        nbformat.write(new_notebook(), work / "executed.ipynb")
        Curve.from_measures({0.0: {"x": Measurement([1.0])}}).save(work)

    monkeypatch.setattr(execution, "run_cells", recorded)
    monkeypatch.setattr(execution, "replace_folder", full)
    message = refused(written("x = 1"))
    kept = next(Path("runs").glob(".small.tmp-*")).resolve()
    assert message == (
        f'run("small"): cannot write the run: No space left on device.\nWhat was done until then is in {kept}.'
    )
    assert Curve.load(kept).quantities == ["x"] and (good / "run.json").read_text() == "{}"


def test_the_last_run_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    good = tmp_path / "demo"
    good.mkdir()
    (good / "run.json").touch()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "never made", good)
    assert [p.name for p in tmp_path.iterdir()] == ["demo"] and (good / "run.json").exists()


def test_the_source_hash_knows_the_code_only():
    cells = [new_markdown_cell("a"), new_code_cell("x = 1")]
    plain, changed = new_notebook(cells=cells), new_notebook(cells=[new_markdown_cell("a"), new_code_cell("x = 2")])
    assert spec.source_hash(plain) == spec.source_hash(new_notebook(cells=[new_markdown_cell("b"), cells[1]]))
    injected = new_code_cell("x = 3", metadata={"tags": ["injected-parameters"]})
    executed = new_notebook(cells=[*cells, injected], metadata={"papermill": {}})
    executed.cells[1] = new_code_cell("x = 1", outputs=[nbformat.v4.new_output("stream", text="1")], execution_count=1)
    assert spec.source_hash(plain) == spec.source_hash(executed) != spec.source_hash(changed)
    assert re.fullmatch("[0-9a-f]{64}", spec.source_hash(plain))


# ---------------------------------------------------------------- runs with a kernel


@pytest.mark.slow
def test_a_run_is_a_whole_folder(written, tmp_path, capsys):
    notebook = written(RECORD, "import os\nos.getcwd(), n_points, base", parameters=CELL)
    folder = execution.run(notebook, {"n_points": "5", "base": "gpt2"}, name="demo")
    assert folder == Path("runs/demo")
    assert sorted(p.name for p in folder.iterdir()) == [
        "curve.parquet",
        "executed.ipynb",
        "report.html",
        "run.json",
        "samples.parquet",
    ]
    assert [p.name for p in Path("runs").iterdir()] == ["demo"]
    assert Curve.load(folder).value("loss/x").tolist() == [0.5, 1.0, 1.5]
    facts = facts_of(folder)
    defaults = {key: p.default for key, p in parameters_of(nbformat.read(notebook, 4)).items()}
    assert facts["parameters"] == {**defaults, "n_points": 5, "base": "gpt2"}
    assert facts["notebook"] == {"name": "small.ipynb", "sha256": spec.source_hash(nbformat.read(notebook, 4))}
    told = {key: facts[key] for key in ("status", "name", "error", "device", "seeds", "hashes")}
    assert told == {
        "status": "done",
        "name": "demo",
        "error": None,
        "device": "cpu",
        "seeds": {"sampling": 7},
        "hashes": {"minus": "ab"},
    }
    assert 20e6 < facts["peak_memory_bytes"] < 2e9
    assert 0 < facts["seconds"] < 60 and facts["started"] <= facts["finished"]
    assert {"python", "papermill", "numpy", "pandas", "plotly"} <= set(facts["versions"])
    executed = nbformat.read(folder / "executed.ipynb", as_version=4)
    assert spec.source_hash(executed) == facts["notebook"]["sha256"]
    assert ast.literal_eval(executed.cells[-1].outputs[0].data["text/plain"]) == (str(tmp_path), 5, "gpt2")
    assert executed.cells[-2].outputs[0].text == "runs/demo\n"
    assert executed.metadata.papermill.input_path == "small.ipynb"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<title>A title</title>" in page and facts["notebook"]["sha256"] in page
    assert re.fullmatch(r"(demo: cell \d of 4\n)*", capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_tells_commit_files_seeds_and_limits(written, tmp_path):
    notebook = written("x = 1", parameters=INPUTS)
    Path("texts.csv").write_text("text")
    assert "commit" not in facts_of(execution.run(notebook, force=True))["notebook"]  # git does not know it

    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert "commit" not in facts_of(execution.run(notebook, force=True))["notebook"]
    git("add", "small.ipynb")
    git("commit", "-m", "first")
    facts = facts_of(execution.run(notebook, {"seed": 7}, force=True, time_limit=100, memory_limit=50))
    assert (facts["notebook"]["commit"], facts["notebook"]["dirty"]) == (git("rev-parse", "HEAD"), False)
    assert facts["files"] == {"data": hashlib.sha256(b"text").hexdigest()}
    assert facts["seeds"] == {"seed": 7} and facts["limits"] == {"seconds": 100, "memory_gib": 50}
    assert facts["parameters"] == {"data": "texts.csv", "seed": 7, "out": "texts.csv", "odd": "{1}"}
    written("x = 2", parameters="data: str = 'texts.csv'")
    assert facts_of(execution.run(notebook, force=True))["notebook"]["dirty"] is True


def test_a_notebook_in_another_language_is_refused(written, no_kernel):
    path = written("x <- 1")
    notebook = nbformat.read(path, 4)
    notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    nbformat.write(notebook, path)
    assert refused(path) == 'run("small"): small.ipynb is written in R.\nOnly Python notebooks are run.'


@pytest.mark.slow
def test_a_failed_cell_is_told_in_full_and_never_costs_the_last_good_run(written):
    notebook = written("print('until here')", "if n:\n    raise ValueError('boom\\nand more')", parameters="n: int = 0")
    good = execution.run(notebook)
    before = {p.name: p.read_bytes() for p in good.iterdir()}
    assert refused(notebook, {"n": 1}) == (
        'run("small"): cell [4] failed: ValueError: boom\nand more\n'
        f"What was done until then is in runs/small.failed.\n{execution.NEXT.format('runs/small.failed')}"
    )
    assert {p.name: p.read_bytes() for p in good.iterdir()} == before
    failed = Path("runs/small.failed")
    assert sorted(p.name for p in failed.iterdir()) == ["executed.ipynb", "run.json"]
    facts = facts_of(failed)
    assert facts["status"] == "failed"
    assert facts["error"] == {"cell": 4, "kind": "ValueError", "why": "ValueError: boom\nand more"}
    outputs = [o for c in nbformat.read(failed / "executed.ipynb", 4).cells for o in c.get("outputs", [])]
    assert outputs[0].text == "until here\n" and outputs[1].evalue == "boom\nand more"

    again = execution.run(
        notebook, {"n": 0}, force=True
    )  # a rerun that succeeds replaces the run and clears the failed attempt
    assert [p.name for p in Path("runs").iterdir()] == ["small"]
    assert facts_of(again)["started"] > json.loads(before["run.json"])["started"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "kind", "why"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "DeadKernelError",
            r"the kernel was killed \(SIGKILL\), as a system does when memory runs out; it held 0\.\d\d GiB\.",
        ),
        ("import os\nos._exit(3)", "DeadKernelError", r"the kernel ended by itself, with exit code 3\."),
    ],
)
def test_a_dead_kernel_is_reported_as_what_it_was(written, cell, kind, why):
    message = refused(written("x = 1", cell, "y = 1"))
    assert re.fullmatch(
        rf'run\("small"\): cell \[2\] failed: {why}\nWhat was done until then is in runs/small\.failed\.\n.*', message
    )
    error = facts_of(Path("runs/small.failed"))["error"]
    assert (error["cell"], error["kind"]) == (2, kind)
    assert re.fullmatch(why, error["why"])


@pytest.mark.slow
def test_a_page_that_cannot_be_made_fails_the_run_and_keeps_what_was_recorded(written, monkeypatch):
    def broken(*_):
        raise ValueError("no page")

    monkeypatch.setattr(exporter, "render", broken)
    assert refused(written(RECORD)) == (
        'run("small"): ValueError: no page\nWhat was done until then is in runs/small.failed.\n'
        + execution.NEXT.format("runs/small.failed")
    )
    assert [p.name for p in Path("runs").iterdir()] == ["small.failed"]
    assert Curve.load("runs/small.failed").quantities == ["loss/x"]


@pytest.mark.slow
def test_ctrl_c_ends_the_kernel_and_keeps_what_was_done(written):
    notebook = written("import os\nopen('pid', 'w').write(str(os.getpid()))", "import time\ntime.sleep(60)")

    def interrupt(*_):
        if Path("pid").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        with pytest.raises(KeyboardInterrupt):
            execution.run(notebook)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)
    assert facts_of(Path("runs/small.failed"))["error"]["kind"] == "Interrupted"


@pytest.mark.slow
def test_a_run_keeps_no_secret_and_does_not_say_whose_machine_it_was(written, tmp_path, monkeypatch, capsys):
    home = tmp_path / "home" / "will"
    (home / "model").mkdir(parents=True)
    planted = {"HOME": str(home), "USER": "will", "LOGNAME": "will", "HF_TOKEN": "planted-credential"}
    for name, value in (planted | {"MAX_TOKENS": "100000000"}).items():
        monkeypatch.setenv(name, value)
    cells = [
        "from os import environ as e\nprint('it will end', 100000000, e['HOME'], e['HF_TOKEN'], e['SVC_KEY'], token)",
        "raise ValueError(e['HOME'] + ' ' + e['SVC_KEY'])",
    ]
    notebook = written(cells[0], parameters="model: 'InputPath' = ''\ntoken: str = ''")
    given = {"model": str(home / "model"), "token": "a word"}
    folder = execution.run(notebook, given, environment={"SVC_KEY": "svc_0123456789"})
    assert "demo: " not in capsys.readouterr().err
    written(*cells, parameters="token: str = ''", name="fails")
    message = refused("fails.ipynb", environment={"SVC_KEY": "svc_0123456789"})
    assert message.startswith(f'run("fails"): cell [3] failed: ValueError: {home} svc_01')  # for the person at hand
    for path in [*folder.iterdir(), *Path("runs/fails.failed").iterdir()]:
        text = path.read_text(encoding="utf-8")
        for word in ("planted-credential", "svc_0123456789", "tmp-", str(home)):
            assert word not in text, (path, word)
    facts = facts_of(folder)
    assert facts["parameters"] == {"model": "~/model", "token": "***"} and facts["environment"] == ["SVC_KEY"]
    executed = nbformat.read(folder / "executed.ipynb", as_version=4)
    assert executed.cells[2].source.splitlines()[1:] == ['model = "~/model"', 'token = "***"']
    assert executed.cells[3].source == cells[0]
    assert executed.cells[3].outputs[0].text == "it will end 100000000 ~ *** *** a word\n"
    assert "it will end 100000000 ~ *** *** a word" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_is_replaced_only_when_that_is_asked_for(written):
    notebook = written("print(n)", parameters="n: int = 0")
    first = execution.run(notebook)
    with pytest.raises(RunError, match=r"there is a run at runs/small\.\nGive another name .*--force"):
        execution.run(notebook, {"n": 1})
    (first / "run.json").write_text("{")  # no whole run any more
    assert facts_of(execution.run(notebook, {"n": 1}))["parameters"] == {"n": 1}
    assert facts_of(execution.run(notebook, {"n": 2}, force=True))["parameters"] == {"n": 2}


# ---------------------------------------------------------------- progress


def test_outside_a_run_a_curve_is_recorded_where_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(RUN_DIR, raising=False)
    curve = Curve.from_measures({0.0: {"x": Measurement([1.0])}})
    assert recording.record(curve, "here") == tmp_path / "here" and not (tmp_path / "here" / "run.json").exists()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "wheels.txt").touch()  # from here on this is a project
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("JPY_SESSION_NAME", "/srv/notebooks/02_mine.ipynb")
    monkeypatch.setattr(sys.modules["__main__"], "__annotations__", {"seed": int}, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "seed", 3, raising=False)
    folder = recording.record(curve)
    assert folder.parent == tmp_path / "runs" and re.fullmatch(r"02_mine-\d{8}-\d{6}", folder.name)
    assert recording.record(curve) == folder  # one kernel, one folder
    row = read_runs("runs").iloc[0]
    assert (row["status"], row["notebook"], row["seed"]) == ("live", "02_mine.ipynb", 3)
    assert recording.record(curve, "./here") == tmp_path / "notebooks" / "here"
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "work"))
    assert recording.record(curve, "here") == tmp_path / "work"
    assert (tmp_path / "work" / "curve.parquet").exists()


@pytest.fixture
def batch(tmp_path, monkeypatch) -> Path:
    file = tmp_path / "progress.json"
    monkeypatch.setenv(FILE, str(file))
    return file


def test_a_batch_run_keeps_a_file_current_and_prints_one_line(batch, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    states = []
    for _ in progress.track(iter("abc"), total=3, label="walk"):
        states.append(json.loads(batch.read_text(encoding="utf-8")))
    assert [(s["label"], s["done"], s["total"]) for s in states] == [("walk", n, 3) for n in range(3)]
    assert all(abs(s["started"] - time.time()) < 60 and s["started"] <= s["now"] for s in states)
    assert not batch.exists()
    assert re.fullmatch(r"walk: 3 of 3 in 0\.\d s\n", capsys.readouterr().out)


def test_the_file_is_written_at_most_twice_a_second(batch, capsys):
    seen = {batch.read_text(encoding="utf-8") for _ in progress.track(range(1000), label="walk")}
    assert len(seen) <= 3


def test_a_break_or_an_error_ends_the_work_in_the_file_too(batch, capsys):
    for n in progress.track([1, 2, 3], label="walk"):
        if n == 2:
            break
    with pytest.raises(ValueError, match="^boom$"):
        for _ in progress.track(iter("ab"), label="again"):
            raise ValueError("boom")
    assert not batch.exists()
    assert re.fullmatch(
        r"walk: 1 of 3 in 0\.\d s, stopped early\nagain: 0 in 0\.\d s, stopped early\n", capsys.readouterr().out
    )


def test_only_the_outermost_work_is_shown(batch, capsys):
    for _ in progress.track(range(2), label="outer"):
        assert [*progress.track(range(2), label="inner")] == [0, 1]
        assert json.loads(batch.read_text(encoding="utf-8"))["label"] == "outer"
    assert re.fullmatch(r"outer: 2 of 2 in 0\.\d s\n", capsys.readouterr().out)


def test_work_within_work_moves_the_whole_on(batch, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    done = []
    for _ in progress.track(range(2), label="path"):
        for _ in progress.track(range(4), label="evaluate"):
            done.append(json.loads(batch.read_text(encoding="utf-8"))["done"])
            assert [*progress.track(range(2), label="deltas")] == [0, 1]
    assert done == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]


def test_a_long_item_reports_shares_to_the_file_and_to_the_bar(batch, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    done = []
    for _ in progress.track(range(2), label="points"):
        for share in (0.25, 0.5):
            progress.report(share)
            done.append(json.loads(batch.read_text(encoding="utf-8"))["done"])
    assert done == [0.25, 0.5, 1.25, 1.5]
    capsys.readouterr()
    monkeypatch.delenv(FILE)
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for _ in progress.track(range(2), label="points"):
        progress.report(0.5)
    shown = capsys.readouterr().err
    assert " 0.5/2 [" in shown and " 1.5/2 [" in shown and "100%" in shown


def test_a_log_gets_a_line_a_minute_and_a_sweep_a_line_a_change(tmp_path, capsys, monkeypatch):
    line = ProgressLine("demo", 9, tmp_path / "none.json")
    for cell, second in enumerate((0, 5, 59, 60, 100, 121), start=1):
        line.show(cell, second)
    assert capsys.readouterr().err == "".join(f"demo: cell {cell} of 9\n" for cell in (1, 4, 6))
    line = ProgressLine("demo", 9, tmp_path / "none.json")
    monkeypatch.setattr(sys.stderr, "follows", True, raising=False)
    line.show(1, 0), line.show(2, 1)
    assert capsys.readouterr().err == "demo: cell 1 of 9\ndemo: cell 2 of 9\n"


def test_a_folder_that_is_gone_does_not_stop_the_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(FILE, str(tmp_path / "gone" / "progress.json"))
    assert [*progress.track("ab", label="walk")] == ["a", "b"]


def test_at_a_live_kernel_short_work_shows_nothing_and_long_work_a_bar(monkeypatch, capsys):
    class Shell:
        kernel = object()

    import IPython

    monkeypatch.delenv(FILE, raising=False)
    monkeypatch.setattr(IPython, "get_ipython", lambda: Shell())
    assert not progress.is_batch()
    assert [*progress.track(range(3), label="walk")] == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(progress, "EVERY", 0)
    assert [*progress.track(range(3), label="walk")] == [0, 1, 2]
    out, err = capsys.readouterr()
    assert err == "" and re.search(r"walk: 100%\|█+\| 3/3 \[", out)


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (None, "demo: cell 2 of 4\n"),
        ({"label": "walk", "done": 0, "total": 13}, "demo: cell 2 of 4, walk 0 of 13\n"),
        ({"label": "path", "done": 1.25, "total": 5}, "demo: cell 2 of 4, path 2 of 5, about 1 min 0 s left\n"),
        ({"label": "walk", "done": 4, "total": 13}, "demo: cell 2 of 4, walk 4 of 13, about 45 s left\n"),
        ({"label": "walk", "done": 4, "total": None}, "demo: cell 2 of 4, walk 4\n"),
    ],
)
def test_a_log_gets_one_line_a_change(tmp_path, capsys, monkeypatch, state, line):
    monkeypatch.setattr(time, "time", lambda: 1020.0)
    file = tmp_path / "progress.json"
    if state:
        file.write_text(json.dumps({**state, "started": 1000.0, "now": 1020.0}), encoding="utf-8")
    watch = ProgressLine("demo", 4, file)
    watch.show(2, 1.0)
    watch.show(2, 1.0)
    assert capsys.readouterr().err == line
