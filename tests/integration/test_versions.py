"""Two versions of lerpnb on one store and one folder of runs; what another wrote is read, or refused in words."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lerpnb import cli
from lerpnb.errors import CurveError, RunError
from lerpnb.evaluation.cache import Cache
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.results.parquet import FLOAT, MEASURED, TEXT, sha256, write_frame
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.report.exporter import write_report
from lerpnb.runs.sweeps.worker import outcome, recorded
from lerpnb.runs.table import read_curves, read_runs
from lerpnb.runs.verify import verify
from lerpnb.utils.environment import VERSION

HERE = Path(__file__).parents[2]
WORK = """
import json, sys, nbformat
from pathlib import Path
from nbformat.v4 import new_code_cell, new_notebook
import torch
from lerpnb.data.corpus import Corpus
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.probes.loss import Loss
from lerpnb.runs import execution
from lerpnb.utils.environment import VERSION

torch.set_num_threads(1)
minus, plus, place = sys.argv[1:4]
line = Line(minus, plus, device="cpu")
texts = Corpus(("the film was slow", "a warm and funny story"), (0, 1), ("bad", "good"), "all")
curves = [evaluate(line, [0, 0.5, 1], [Loss(texts)], store=Path(place) / "store") for _ in range(2)]


def cells(source, given, folder, monitor, environment):
    nbformat.write(new_notebook(cells=[new_code_cell(VERSION)]), folder / "executed.ipynb")
    curves[0].save(folder)


execution.run_cells, execution._versions = cells, lambda: {"lerpnb": VERSION}
for name in ("mine-" + VERSION, *["both"] * 4):
    execution.run(Path(place) / "night.ipynb", name=name, to=Path(place) / "runs", force=True)
told = [[curve.provenance[key] for key in ("measured", "from_store")] for curve in curves]
print(json.dumps([VERSION, told, curves[1].value("loss/all").tolist()]))
"""


def versions(folder: Path, version: str) -> dict[str, str]:
    """The environment of a process that believes to be another version of lerpnb."""
    made = folder / version / f"lerpnb-{version}.dist-info"
    made.mkdir(parents=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lerpnb\nVersion: {version}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(made.parent), str(HERE)])}


@pytest.mark.slow
def test_side_by_side_on_one_store_and_one_folder_of_runs(tiny_llama_pair, tmp_path, monkeypatch):
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / "night.ipynb")
    command = [sys.executable, "-c", WORK, *map(str, tiny_llama_pair[1:]), str(tmp_path)]
    others = ["0.1.0", "9.9.9"]
    processes = [
        subprocess.Popen(command, env=versions(tmp_path / "as", version), stdout=subprocess.PIPE, text=True)
        for version in others
    ]
    told = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes]
    assert [version for version, _, _ in told] == others
    assert all(counts == [[3, 0], [0, 3]] for _, counts, _ in told)  # each measures all, and then finds its own

    from lerpnb.data.corpus import Corpus
    from lerpnb.evaluation.loop import evaluate
    from lerpnb.paths.line import Line
    from lerpnb.probes.loss import Loss

    line = Line(*tiny_llama_pair[1:], device="cpu")
    texts = Corpus(("the film was slow", "a warm and funny story"), (0, 1), ("bad", "good"), "all")
    for counts in ([3, 0], [0, 3]):
        curve = evaluate(line, [0, 0.5, 1], [Loss(texts)], store=tmp_path / "store")
        assert [curve.provenance["measured"], curve.provenance["from_store"]] == counts
    assert len(Cache(tmp_path / "store")) == 9
    assert [values for _, _, values in told] == [curve.value("loss/all").tolist()] * 2

    runs = tmp_path / "runs"
    assert sorted(p.name for p in runs.iterdir()) == ["both", "mine-0.1.0", "mine-9.9.9"]  # nothing of either is left
    for name in ("both", "mine-0.1.0", "mine-9.9.9"):
        by = json.loads((runs / name / "run.json").read_text())["versions"]["lerpnb"]
        assert nbformat.read(runs / name / "executed.ipynb", 4).cells[0].source == by and by in others
        assert name in ("both", f"mine-{by}")
        back = Curve.load(runs / name)
        assert back.provenance["versions"]["lerpnb"] == by and back.value("loss/all").tolist() == told[0][2]
    assert len(read_runs(runs)) == 3 and set(read_curves(runs)["run"]) == {"both", "mine-0.1.0", "mine-9.9.9"}


# ---------------------------------------------------------------- files


CURVE = Curve.from_measures({a: {"loss/x": Measurement([a, a + 1], unit="nats/token")} for a in (0.0, 1.0)})


def of_version(folder: Path, version: str | None, frame: pd.DataFrame, columns: dict, **changes) -> Path:
    """A curve's files as another version would write them."""
    CURVE.save(folder)
    digest = sha256((folder / "samples.parquet").read_bytes())
    told = {"axes": ["alpha"], "samples": digest, "provenance": {"n": 1}} | ({"version": version} if version else {})
    write_frame(frame, {"alpha": FLOAT} | columns, told | changes, folder / "curve.parquet")
    return folder


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", None, "9.9.9"])
def test_a_curve_of_the_same_form_is_read(tmp_path, version):
    back = Curve.load(of_version(tmp_path, version, CURVE.frame, MEASURED, more={"of": "later"}))
    pd.testing.assert_frame_equal(back.frame, CURVE.frame)
    assert back.provenance == {"n": 1}


NEW_COLUMN = (CURVE.frame.assign(judge="x"), MEASURED | {"judge": TEXT}, {})
OTHERS = {
    "another column": NEW_COLUMN,
    "another column before": (CURVE.frame.assign(judge="x"), {"judge": TEXT} | MEASURED, {}),
    "no provenance": (CURVE.frame, MEASURED, {"provenance": None}),
    "samples in parts": (CURVE.frame, MEASURED, {"samples": {"part-0": "ab"}}),
    "named axes": (CURVE.frame, MEASURED, {"axes": {"alpha": "nats"}}),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_curve_of_another_form_is_refused_in_one_sentence(tmp_path, other):
    frame, columns, changes = other
    folder = of_version(tmp_path, "9.9.9", frame, columns, **changes)
    with pytest.raises(CurveError) as error:
        Curve.load(folder)
    assert str(error.value) == (
        f"Curve.load(folder): {folder / 'curve.parquet'} is of lerpnb 9.9.9, whose files lerpnb {VERSION} does not "
        "read. Update lerpnb: pip install -U lerpnb."
    )


def test_a_file_says_which_version_wrote_it(tmp_path):
    CURVE.save(tmp_path)
    told = json.loads(pq.read_schema(tmp_path / "curve.parquet").metadata[b"lerpnb"])
    assert told["version"] == VERSION


FUTURE = {
    "more": {"status": "done", "cost": {"joules": 3}, "notebook": {"name": "a.ipynb", "cells": 3}},
    "parameters in a list": {"status": "done", "parameters": [{"name": "n", "value": 1}]},
    "a notebook as text": {"status": "done", "notebook": "a.ipynb"},
    "summary in a list": {"status": "done", "summary": [{"name": "rise/x", "value": 1}]},
    "numbers as text": {"status": "done", "summary": {"rise/x": "0.5"}, "seconds": "PT3S", "started": 1.5},
    "an error as text": {"status": "failed", "error": "it broke", "notebook": {"name": "a.ipynb"}},
    "no status": {"state": {"name": "done"}},
}


SAID = f"run.json is of lerpnb 9.9.9, which lerpnb {VERSION} does not read: update lerpnb"


@pytest.mark.slow
@pytest.mark.parametrize("facts", FUTURE.values(), ids=FUTURE)
@pytest.mark.filterwarnings("ignore:.* no whole run")
def test_a_run_of_a_later_version_is_read_or_refused_in_one_sentence(tmp_path, monkeypatch, capsys, facts, request):
    """By all that reads runs: no traceback, the other runs are read, and it can be deleted."""
    monkeypatch.chdir(tmp_path)
    for name, told in (("late", facts | {"versions": {"lerpnb": "9.9.9"}}), ("mine", {"status": "done"})):
        CURVE.save(folder := tmp_path / "runs" / name)
        (folder / "run.json").write_text(json.dumps({"name": name, "identity": "ab"} | told))
        nbformat.write(new_notebook(cells=[new_markdown_cell("# A title")]), folder / "executed.ipynb")
    frame = read_runs("runs")
    read = "late" in frame.index
    assert "mine" in frame.index and read == (facts == FUTURE["more"])
    assert read or frame.attrs["unreadable"] == {"late": SAID}
    for arguments in (["ls"], ["show", "late"]):
        with suppress(SystemExit):
            cli.main(arguments)
        told = capsys.readouterr()
        assert read or SAID in told.out + told.err or "no status" in request.node.name and arguments[0] == "show"
    write_report("runs/late")
    assert "<h1" in (tmp_path / "runs" / "late" / "report.html").read_text()
    with pytest.raises(RunError, match="no finished run is there|is of lerpnb 9.9.9"):
        verify(tmp_path / "runs" / "late")
    runs = RunDirectory("runs")
    told = recorded(runs, "late", "ab")  # whether a sweep has it already
    assert (outcome("late", told)["status"] == "done") if read else told is None
    runs.remove("late")
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["mine"]
