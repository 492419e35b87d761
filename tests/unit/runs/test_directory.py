"""Runs in a store without a rename, and folders that killed processes leave: no finished run is lost or hidden."""

import json
import os
import tempfile
from pathlib import Path

import fsspec
import nbformat
import pytest
from nbformat.v4 import new_notebook

from lerpnb.runs import execution, staging
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.spec import RunSpec
from lerpnb.runs.sweeps import worker

PARTS = ("run.json", "a.txt", "zz.txt", "more/b.txt")


@pytest.fixture(params=["memory://runs", "dir://runs::file://{here}"])
def runs(request, tmp_path, monkeypatch) -> RunDirectory:
    """A store in memory, and a store of objects that is no local folder to lerpnb."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield RunDirectory(request.param.format(here=tmp_path))
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pseudo_dirs[:] = [""]


def made(n: int) -> Path:
    work = Path(f"work{n}")
    for part in PARTS:
        (work / part).parent.mkdir(parents=True, exist_ok=True)
        (work / part).write_text(json.dumps({"n": n}))
    return work


def failing(monkeypatch, runs: RunDirectory, method: str, call: int) -> list[str]:
    """Let the store fail at one call of a method; the list gets every path."""
    paths: list[str] = []
    true = getattr(runs.fs, method)

    def call_or_fail(path, *rest, **options):
        paths.append(path if method == "pipe_file" else rest[0])
        if len(paths) == call:
            raise TimeoutError(110, "Connection timed out")
        return true(path, *rest, **options)

    monkeypatch.setattr(runs.fs, method, call_or_fail, raising=False)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "call"), [("pipe_file", 1), ("pipe_file", 4), *(("cp_file", i) for i in range(1, 9))]
)
def test_an_upload_that_fails_leaves_the_last_good_run_where_it_was(runs, monkeypatch, method, call):
    runs.put(made(1), "demo")
    with monkeypatch.context() as patch:
        paths = failing(patch, runs, method, call)
        with pytest.raises(TimeoutError):
            runs.put(made(2), "demo")
    assert len(paths) >= call and paths[call - 1].endswith("/run.json") == (call in (4, 8))
    assert runs.facts("demo") == {"n": 1} and json.loads(runs.read("demo", "more/b.txt")) == {"n": 1}
    assert len(runs.fs.find(runs.root)) == 4
    runs.put(made(3), "demo")
    assert runs.facts("demo") == {"n": 3} and len(runs.fs.find(runs.root)) == 4


def test_the_old_run_stays_until_the_new_one_is_seen_whole(runs, monkeypatch):
    runs.put(made(1), "demo")

    def cut(path, *_, true=RunDirectory._check_whole):
        if path == runs.path("demo"):
            runs.fs.pipe_file(f"{path}/a.txt", b"")
        true(runs, path, *_)

    monkeypatch.setattr(runs, "_check_whole", cut)
    with pytest.raises(OSError, match="a.txt has 0 bytes there, and 8 here"):
        runs.put(made(2), "demo")
    assert runs.facts("demo") == {"n": 1} and len(runs.fs.find(runs.root)) == 4


def test_what_a_killed_upload_set_aside_is_put_back(runs):
    runs.put(made(1), "demo")
    runs.fs.mv(runs.path("demo"), runs.path(".demo.old-0123abcd"), recursive=True)
    for part in ("demo", ".demo.new-0123abcd", ".demo.old-2.new-0123abcd"):
        runs.fs.makedirs(runs.path(part), exist_ok=True)
        runs.fs.pipe_file(runs.path(part, "a.txt"), b"half")
    runs.recover("demo")
    assert runs.facts("demo") == {"n": 1} and json.loads(runs.read("demo", "a.txt")) == {"n": 1}
    assert len(runs.fs.find(runs.root)) == 5 and runs.read(".demo.old-2.new-0123abcd", "a.txt") == b"half"


@pytest.mark.slow
def test_a_finished_run_that_cannot_be_uploaded_is_kept_here(runs, monkeypatch):
    def execute(spec, staging):
        nbformat.write(new_notebook(), staging.folder / "executed.ipynb")
        staging.facts |= {"status": "done", "error": None, "seconds": 1.0}

    monkeypatch.setattr(execution, "execute", execute)
    failing(monkeypatch, runs, "pipe_file", 2)
    monkeypatch.setattr(worker, "RunDirectory", lambda to: runs if str(to) == runs.where else RunDirectory(to))
    monkeypatch.setattr("lerpnb.runs.sweeps.lock.RunLock._live", lambda self: None)
    came = worker.attempt(RunSpec("demo", runs.where, "small.ipynb", {}, "ab", source={"name": "small.ipynb"}))
    assert came["status"] == "failed" and "Connection timed out; what was done is in " in came["error"]
    kept = Path(came["error"].rpartition(" is in ")[2])
    assert json.loads((kept / "run.json").read_text())["status"] == "done" and runs.names() == []


def test_a_run_takes_no_folder_of_one_whose_name_begins_with_its_own(tmp_path):
    other = staging.staging_folder(tmp_path / "v1.old-2", {"name": "v1.old-2"}, "run")
    more = staging.staging_folder(tmp_path / "v1.tmp-7-0", {"name": "v1.tmp-7-0"}, "run")
    staging.staging_folder(tmp_path / "v1", {}, "run")
    for work in (other, more):
        running = json.loads((work / staging.RUNNING).read_text())
        (work / staging.RUNNING).write_text(json.dumps(running | {"process": running["process"] | {"pid": 2**22 + 1}}))
    assert other.is_dir() and not (tmp_path / "v1").exists() and staging.abandoned(tmp_path / "v1") == []
    assert [work for work, _ in staging.abandoned(tmp_path / "v1.old-2")] == [other]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"process": 3, "facts": [1]}', '{"process": {}, "facts": {"notebook": 3, "started": "soon"}}'],
)
def test_a_damaged_note_costs_no_result_and_blocks_no_name(tmp_path, text):
    work = staging.staging_folder(tmp_path / "demo", {"name": "demo"}, "run")
    (work / "curve.parquet").write_bytes(b"values")
    nbformat.write(new_notebook(), work / "executed.ipynb")
    (work / staging.RUNNING).write_text(text)
    assert staging.abandoned(tmp_path / "demo") == []  # perhaps another machine's, until it was quiet for long
    for file in (*work.iterdir(), work):
        os.utime(file, (1e9, 1e9))
    execution._recover(tmp_path / "demo", {})
    assert [path.name for path in tmp_path.iterdir()] == ["demo.failed"]
    assert (tmp_path / "demo.failed" / "curve.parquet").read_bytes() == b"values"
    facts = json.loads((tmp_path / "demo.failed" / "run.json").read_text())
    assert (facts["status"], facts["name"], facts["error"]["kind"]) == ("failed", "demo", "Killed")
