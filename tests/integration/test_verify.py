"""A sample of a run's stored values is computed again: equal ones pass, a false one is found."""

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb import cli
from lerpnb.errors import RunError
from lerpnb.evaluation.cache import _digest
from lerpnb.runs.execution import run
from lerpnb.runs.verify import verify

CELLS = """import lerpnb as ln
line = ln.Line(minus, plus, device="cpu")
texts = ln.probes.TextFunctionProbe("letters", len, ln.Continuations(["the film"], 2, 4), cache_key="1")
curve = ln.evaluate(line, [0, 0.5, 1], [ln.Loss(["the film was a slow thing", "it wants to be clever"]), texts])
print(ln.record(curve))"""


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_llama_pair) -> Iterator[Path]:
    """The folder of a run whose values are in a store of its own; the working directory is above it."""
    folder, (_, minus, plus) = tmp_path_factory.mktemp("verify"), tiny_llama_pair
    parameters = new_code_cell(f'minus: str = "{minus}"\nplus: str = "{plus}"', metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(CELLS)]), folder / "small.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LERPNB_STORE", str(folder / "store"))
        yield run("small.ipynb", {}, "one", folder / "runs")


@pytest.mark.slow
def test_a_false_value_is_found_and_the_store_stays(done, capsys):
    found = verify(done, share=1.0)
    assert (found.compared, found.differences) == (6, ())
    records = {path: path.read_text() for path in Path("store").rglob("*.json")}
    path, text = next((path, text) for path, text in records.items() if '"loss/' in text and '"alpha": 0.5' in text)
    record = json.loads(text.rpartition("\n")[0])
    measures = record["measures"]
    name = next(iter(measures))
    measures[name]["values"] = [value + 1 for value in measures[name]["values"]]
    body = json.dumps(record)
    path.write_text(f"{body}\n{_digest(body)}")
    with pytest.raises(SystemExit) as ended:
        cli.main(["store", "verify", str(done), "--share", "1"])
    said = capsys.readouterr()
    assert ended.value.code == 1 and f"{name} at 0.5 was " in said.err + said.out
    assert "6 stored measurements were made again; 1 values differ." in said.out
    assert path.read_text() == f"{body}\n{_digest(body)}"  # it judges, and mends nothing


@pytest.mark.slow
def test_what_cannot_be_verified_is_said(done, tmp_path):
    with pytest.raises(RunError, match="no finished run is there"):
        verify(tmp_path)
    with pytest.raises(RunError, match="above 0 and at most 1"):
        verify(done, share=0)
    changed = nbformat.read("small.ipynb", 4)
    changed.cells.append(new_code_cell("1"))
    nbformat.write(changed, "small.ipynb")
    with pytest.raises(RunError, match="small.ipynb has changed since that run"):
        verify(done)
