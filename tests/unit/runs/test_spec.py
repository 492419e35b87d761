"""What a run is to do: checked and hashed once, plain values that travel, the same for a run and for a sweep."""

import dataclasses
import hashlib
import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb.runs import execution, spec
from lerpnb.runs.spec import RunSpec, prepare
from lerpnb.runs.sweeps.config import read_sweep

CELL = """\
seed: int = 0  # a seed
texts: "InputPath" = "texts.csv"  # a file
out: "OutputPath" = "texts.csv"  # where to"""


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> Path:
    """A notebook of two parameters that name a file, in the folder in which one stands."""
    monkeypatch.chdir(tmp_path)
    cells = [new_code_cell(CELL, metadata={"tags": ["parameters"]}), new_code_cell("x = 1"), new_code_cell(" ")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "small.ipynb")
    (tmp_path / "texts.csv").write_text("text")
    return tmp_path / "small.ipynb"


def test_a_spec_holds_what_was_checked_and_hashed(notebook):
    made = prepare(notebook, {"seed": "3"}, environment={"A": "1"}, time_limit=5.0)
    assert (made.name, made.to, made.notebook, made.parameters) == ("small", "runs", str(notebook), {"seed": 3})
    assert made.values == {"seed": 3, "texts": "texts.csv", "out": "texts.csv"}
    assert made.files == {"texts": hashlib.sha256(b"text").hexdigest()}
    assert (made.cells, made.time_limit, made.environment) == (3, 5.0, {"A": "1"})  # papermill adds a cell
    assert made.source == {"name": "small.ipynb", "sha256": spec.source_hash(nbformat.read(notebook, 4))}
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"


def test_a_spec_travels_as_json_and_a_sweeps_is_that_of_a_run(notebook):
    Path("demo.yaml").write_text("notebook: small.ipynb\nparameters: {seed: 3}")
    swept = read_sweep("demo.yaml").specs[0]
    assert RunSpec(**json.loads(json.dumps(dataclasses.asdict(swept)))) == swept
    assert swept.identity == prepare(notebook, {"seed": 3}).identity != prepare(notebook).identity


def test_nothing_is_located_checked_or_hashed_a_second_time(notebook, monkeypatch):
    made = prepare(notebook, {"seed": 3}, "demo")
    for name in ("located", "checked", "contents", "fingerprint", "parameters_of"):
        monkeypatch.setattr(spec, name, lambda *_: pytest.fail("did it again"))
    cells = []

    def run_cells(source, given, work, monitor, environment):
        cells.append((source, given))
        nbformat.write(new_notebook(), work / "executed.ipynb")

    monkeypatch.setattr(execution, "run_cells", run_cells)
    staging = execution.stage(made, attempt="first")
    execution.execute(made, staging)
    assert not Path("runs/demo").exists()
    assert execution.publish(staging) == Path("runs/demo")
    facts = json.loads(Path("runs/demo/run.json").read_text())
    assert cells == [(notebook, {"seed": 3})]
    assert (facts["files"], facts["identity"], facts["attempt"]) == (made.files, made.identity, "first")


def test_the_projects_notebooks_are_found_by_name_and_by_their_place(monkeypatch, tmp_path):
    monkeypatch.setattr(spec, "project_root", lambda: tmp_path)
    for name in ("one", "studies/two"):
        (tmp_path / "notebooks" / name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(), tmp_path / "notebooks" / f"{name}.ipynb")
    assert spec.find_notebook("one") == spec.find_notebook("one.ipynb") == tmp_path / "notebooks" / "one.ipynb"
    assert spec.find_notebook("studies/two") == tmp_path / "notebooks" / "studies" / "two.ipynb"
