"""A folder that a link to elsewhere has replaced between check and use: nothing outside changes, and it is said."""

import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb import cli
from lerpnb.errors import CheckpointError, LerpError, RunError
from lerpnb.evaluation.cache import Cache
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs import execution, kernel, preflight, staging
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.recording import record
from lerpnb.runs.report import exporter
from lerpnb.utils import progress
from lerpnb.utils.environment import FILE, RUN_DIR
from lerpnb.utils.process import process_identity

CURVE = Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}})


@pytest.fixture
def outside(tmp_path) -> Path:
    """A folder elsewhere that looks like a run and like a model, with a file that must stay."""
    folder = tmp_path / "elsewhere" / "precious"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    (folder / "run.json").write_text('{"status": "done"}')
    (folder / "config.json").write_text("{}")
    (folder / "executed.ipynb").write_text(nbformat.writes(new_notebook()))
    return folder


@pytest.fixture
def swap(outside, tmp_path) -> Callable[[Path], None]:
    """Put a link to elsewhere in place of a folder, which goes aside."""
    places, before = [], {}

    def put(folder: Path, to: Path = outside) -> None:
        before.update(seen(outside.parent))
        os.rename(folder, tmp_path / f"aside-{len(places)}")
        folder.symlink_to(to)
        places.append(folder)

    yield put
    assert seen(outside.parent) == before
    assert places and all(place.is_symlink() for place in places)


def seen(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def refusal(call: Callable[[], object], kind: type[LerpError] = RunError) -> str:
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


# ---------------------------------------------------------------- runs


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Run a notebook whose cells do as they are told, in place of a kernel, over a run that is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "ROOM", 0)
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / "night.ipynb")

    def run(do: Callable[[Path], object] = lambda work: None) -> Path:
        def cells(source, given, work, monitor, environment):
            nbformat.write(new_notebook(), work / "executed.ipynb")
            return do(work)

        monkeypatch.setattr(execution, "run_cells", cells)
        return execution.run("night.ipynb", force=True)

    run()
    return run


def test_a_run_folder(night, swap, tmp_path):
    there = tmp_path / "runs" / "night"
    message = refusal(lambda: night(lambda work: swap(there)))
    assert message.startswith(
        'run("night"): cannot write the run: night has become a link to elsewhere.\nWhat was done'
    )
    assert (Path(message.split(" is in ")[1].rstrip(".")) / "run.json").is_file()
    link = 'run("night"): runs/night is a link to elsewhere.\nRemove the link, or choose another name.'
    assert refusal(night) == link


def test_the_folder_of_a_failed_run(night, swap, tmp_path):
    failed = tmp_path / "runs" / "night.failed"

    def fail(work):
        if failed.exists():
            swap(failed)
        return {"cell": 1, "kind": "ValueError", "why": "boom"}

    assert "boom" in refusal(lambda: night(fail)) and failed.is_dir()
    first, *_ = refusal(lambda: night(fail)).splitlines()
    assert first == 'run("night"): boom; then cannot write the run: night.failed has become a link to elsewhere.'


def test_an_earlier_failure_that_is_made_good(night, swap, tmp_path):
    failed = tmp_path / "runs" / "night.failed"
    refusal(lambda: night(lambda work: {"cell": 1, "kind": "ValueError", "why": "boom"}))
    night(lambda work: swap(failed))  # the run itself is done
    assert (tmp_path / "runs" / "night" / "run.json").is_file()


def test_a_temporary_folder(night, swap, tmp_path, monkeypatch, capsys):
    """Neither the kernel's notebook, nor its progress, nor what it records follows the link; nor does the end."""

    def cells(work):
        swap(work)
        monkeypatch.setenv(RUN_DIR, str(work))
        monkeypatch.setenv(FILE, str(work / ".progress.json"))
        with pytest.raises(OSError, match="a link to elsewhere has taken the place of .night.tmp-"):
            kernel._Whole().write("{}", f"{kernel.WHOLE}{work}/executed.ipynb")
        assert "a link to elsewhere has taken the place of .night.tmp-" in refusal(lambda: record(CURVE))
        assert list(progress.track("ab")) == ["a", "b"]

    message = refusal(lambda: night(cells))
    assert message.startswith('run("night"): cannot write the run: a link to elsewhere has taken the place of .night.')
    assert "What was done" not in message
    assert (tmp_path / "runs" / "night" / "run.json").is_file()


def test_the_folder_of_runs(night, swap, tmp_path, outside):
    (outside.parent / "night").mkdir()
    message = refusal(lambda: night(lambda work: swap(tmp_path / "runs", outside.parent)))
    assert "a link to elsewhere has taken the place of" in message


def test_what_looks_like_a_killed_runs(night, outside, tmp_path):
    """Links that are called as what a killed process leaves are neither recovered, put back nor deleted."""
    gone = process_identity() | {"pid": 2**22 + 1}
    (outside / staging.RUNNING).write_text(f'{{"process": {gone}, "facts": {{}}}}'.replace("'", '"'))
    before = seen(outside)
    names = [".night.tmp-1-0123abcd", ".night.old-0123abcd", ".night.0123abcd.tmp"]
    for name in names:
        (tmp_path / "runs" / name).symlink_to(outside)
    night()
    assert seen(outside) == before
    assert all((tmp_path / "runs" / name).is_symlink() for name in names)
    assert not (tmp_path / "runs" / "night.failed").exists()


@pytest.mark.parametrize("root", [False, True])
def test_rm(night, swap, tmp_path, outside, monkeypatch, capsys, root):
    """The link is put there while a person is asked."""
    (outside.parent / "night").mkdir()
    (outside.parent / "night" / "run.json").write_text("{}")
    folder = tmp_path / "runs" / ("" if root else "night")
    monkeypatch.setattr("typer.confirm", lambda *_, **__: swap(folder, outside.parent if root else outside))
    with pytest.raises(SystemExit):
        cli.main(["rm", "night"])
    said = capsys.readouterr().err
    assert ("a link to elsewhere has taken the place of runs" if root else "it is a link to elsewhere") in said


def test_rm_at_the_last_moment(night, swap, tmp_path, monkeypatch):
    runs = RunDirectory(tmp_path / "runs")
    checked = runs.removable
    monkeypatch.setattr(runs, "removable", lambda name: (checked(name), swap(tmp_path / "runs" / name))[0])
    assert refusal(lambda: runs.remove("night")) == (
        f"rm('night'): cannot write {tmp_path}/runs/night: night is a link to elsewhere.\nNothing was deleted."
    )


def test_a_page(night, swap, tmp_path, monkeypatch):
    there = tmp_path / "runs" / "night"
    monkeypatch.setattr(exporter, "render", lambda *_, **__: swap(there) or "<html>")
    message = refusal(lambda: exporter.write_report(there))
    assert "cannot write" in message and "a link to elsewhere has taken the place of night" in message


# ---------------------------------------------------------------- the store


@pytest.mark.parametrize("part", ["", "points", "points/*"])
def test_the_store(swap, tmp_path, outside, part):
    (outside / "points").mkdir()
    (outside / "points" / "record").touch()
    store = Cache(tmp_path / "store")
    store.put({"a": 1}, {"x": Measurement([1.0])})
    swap(next((tmp_path / "store").glob(part)) if part else tmp_path / "store")
    message = refusal(lambda: store.put({"a": 1}, {"x": Measurement([2.0])}), LerpError)
    assert "a link to elsewhere has taken the place of" in message and "Finished points stay." in message
    if part != "points/*":
        assert refusal(store.clear, LerpError).startswith("Cache.clear(): cannot write ")


def test_a_store_behind_a_link_is_a_store(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "far")
    store = Cache(tmp_path / "store")
    store.put({"a": 1}, {"x": Measurement([1.0])})
    assert len(store) == len(Cache(tmp_path / "far")) == 1 and store.get({"a": 1})[0]["x"].value() == 1.0


# ---------------------------------------------------------------- models


def test_where_a_model_is_saved(tiny, swap, tmp_path, monkeypatch):
    from transformers import PreTrainedModel

    from lerpnb.checkpoints.saving import write_folder

    to = write_folder(tiny.llama(), None, tmp_path / "model")
    save = PreTrainedModel.save_pretrained
    monkeypatch.setattr(PreTrainedModel, "save_pretrained", lambda self, *a, **k: (save(self, *a, **k), swap(to)))
    assert refusal(lambda: write_folder(tiny.llama(), None, to, overwrite=True), CheckpointError) == (
        f"write_folder(to={str(to)!r}): cannot write {to}: model has become a link to elsewhere.\n"
        "Nothing was changed there. Make room, or take another folder."
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aside-0", "elsewhere", "model"]


@pytest.mark.parametrize("argument", ["out", "cache_dir"])
def test_where_a_fine_tune_is_saved(tiny_llama_pair, swap, tmp_path, monkeypatch, argument):
    from lerpnb import training
    from lerpnb.data.corpus import Corpus

    def trained(config, corpus, work, held_out):
        (work / "training.json").write_text("{}")
        place = tmp_path / "out" if argument == "out" else work.with_name(work.name[1:].partition(".")[0])
        place.mkdir(exist_ok=True)
        swap(place)

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(training, "_fine_tune", trained)
    texts = Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
    config = training.FineTuneConfig(str(tiny_llama_pair.base))
    message = refusal(lambda: training.fine_tune(config, texts, **{argument: tmp_path / "out"}), CheckpointError)
    assert message.startswith(f"fine_tune({argument}={str(tmp_path / 'out')!r}): cannot write {tmp_path / 'out'}")
