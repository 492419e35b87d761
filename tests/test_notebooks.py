"""Every notebook, by papermill, at a tiny size, into a temporary folder."""

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lerpnb.curve import Curve
from lerpnb.runs import run

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture
def parameters(tiny, tmp_path, tiny_llama_pair, tiny_adapter_pair, monkeypatch) -> dict[str, dict]:
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "store"))
    texts = pd.DataFrame({"text": [f"{text} {i}" for i in range(25) for text in tiny.TEXTS]})
    texts["label"] = ["negative", "positive"] * (len(texts) // 2)
    texts.to_csv(tmp_path / "texts.csv")
    (tmp_path / "prompts.txt").write_text("the film\nnobody\na good cast\n")
    base, minus, plus = map(str, tiny_adapter_pair)
    return {
        "01_fine_tune": {
            "base": str(tiny_llama_pair[0]),
            "data": str(tmp_path / "texts.csv"),
            "steps": 2,
            "batch_size": 4,
            "out": str(tmp_path / "adapter"),
        },
        "02_walk_the_line": {
            "minus": minus,
            "plus": plus,
            "base": base,
            "scorer": str(tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer())),
            "data": str(tmp_path / "texts.csv"),
            "prompts": str(tmp_path / "prompts.txt"),
            "n_points": 4,
            "n_texts": 6,
            "n_prompts": 3,
            "draws": 2,
            "new_tokens": 5,
            "device": "cpu",
        },
        "04_explore": {
            "minus": minus,
            "plus": plus,
            "base": base,
            "prompt": "the film was",
            "another": "nobody",
            "n_points": 4,
            "new_tokens": 12,
            "device": "cpu",
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(notebook, parameters, tmp_path):
    folder = run(notebook, parameters[notebook.stem], to=tmp_path / "runs")
    executed = nbformat.read(folder / "executed.ipynb", 4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]  # nor a wall of warnings
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert (folder / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_main_one_records_its_curve(parameters, tmp_path):
    notebook = next(path for path in NOTEBOOKS if path.stem == "02_walk_the_line")
    folder = run(notebook, parameters[notebook.stem], to=tmp_path / "runs")
    assert {p.name for p in folder.iterdir()} >= {
        "executed.ipynb",
        "curve.parquet",
        "samples.parquet",
        "run.json",
        "report.html",
    }
    curve = Curve.load(folder)
    assert curve.alphas.tolist() == [-1.0, 0.0, 1.0, 2.0] and len(curve.samples) == 4 * 3 * 2
    assert {
        "loss/negative",
        "loss/positive",
        "strength/positive",
        "perplexity/continuations",
        "dist-2",
        "words",
    } <= set(curve.quantities)
    figures = [
        output
        for cell in nbformat.read(folder / "executed.ipynb", 4).cells
        for output in cell.get("outputs", [])
        if "application/vnd.plotly.v1+json" in output.get("data", {})
    ]
    assert len(figures) == 1 and figures[0]["data"]["application/vnd.plotly.v1+json"]["layout"]["sliders"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_reads_as_a_notebook_should(notebook):
    cells = nbformat.read(notebook, 4).cells
    assert (
        cells[0].cell_type == "markdown" and cells[0].source.startswith("# ") and "?" in cells[0].source.splitlines()[0]
    )
    assert cells[1].metadata.get("tags") == ["parameters"]
    assert all("  # " in line for line in cells[1].source.splitlines() if line.strip())  # a word of help each
    assert cells[-1].cell_type == "markdown" and "What we doubt" in cells[-1].source
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in code)
    assert not any("def " in cell.source for cell in code)


def test_there_are_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {"01_fine_tune", "02_walk_the_line"}
