"""Every notebook, by papermill, at a tiny size, into a temporary folder."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.execution import run

PLOTLY = "application/vnd.plotly.v1+json"
FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {
    path.relative_to(FOLDER).with_suffix("").as_posix(): path
    for path in sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("studies/*.ipynb")])
}
COURSE = [
    "00_quickstart",
    "01_fine_tune",
    "02_interpolate",
    "03_explore",
    "04_loss_landscape",
    "05_curvature",
    "06_merging_methods",
    "07_several_attributes",
    "08_compare_runs",
    "studies/linear_connectivity",
    "studies/backdoor_defence",
]


@pytest.fixture
def parameters(tiny, tmp_path, tiny_llama_pair, tiny_adapter_pair, monkeypatch) -> dict[str, dict]:
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "store"))
    texts = pd.DataFrame({"text": [f"{text} {i}" for i in range(25) for text in tiny.TEXTS]})
    texts["label"] = ["negative", "positive"] * (len(texts) // 2)
    texts.to_csv(tmp_path / "texts.csv")
    (tmp_path / "prompts.txt").write_text("the film\nnobody\na good cast\n")
    base, minus, plus = map(str, tiny_adapter_pair)
    for seed in (0, 1):
        points = {a: {"loss/x": Measurement([a, a + seed]), "strength/y": Measurement([a, a])} for a in (0.0, 0.5, 1.0)}
        folder = Curve.from_measures(points).save(tmp_path / "compared" / f"seed{seed}")
        (folder / "run.json").write_text(json.dumps({"status": "done", "parameters": {"seed": seed}}))
    classifier = str(tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer()))
    encoder = str(tiny.save(tiny.classifier().bert, tmp_path / "encoder", tiny.tokenizer()))
    data, prompts = {"data": str(tmp_path / "texts.csv")}, {"prompts": str(tmp_path / "prompts.txt")}
    line = {"minus": minus, "plus": plus, "base": base, "device": "cpu"}
    measured = line | data | prompts | {"classifier": classifier}
    second = {"second_minus": plus, "second_plus": minus, "second_classifier": classifier, "second_label": "negative"}
    return {
        "00_quickstart": measured | {"n_texts": 4, "n_prompts": 2, "n_samples": 1, "to": str(tmp_path / "saved")},
        "01_fine_tune": data
        | {"base": str(tiny_llama_pair[0]), "steps": 2, "batch_size": 4, "out": str(tmp_path / "adapter")},
        "02_interpolate": measured | {"n_points": 4, "n_texts": 6, "n_prompts": 3, "n_samples": 2, "max_new_tokens": 5},
        "08_compare_runs": {"runs": str(tmp_path / "compared"), "rule": "strongest"},
        "03_explore": line | {"prompt": "the film was", "another": "nobody", "n_points": 4, "max_new_tokens": 12},
        "04_loss_landscape": measured
        | {"n_texts": 3, "n_points": 30, "n_strength": 2, "n_prompts": 2, "max_new_tokens": 4}
        | {"n_directions": 2, "n_alphas": 4},
        "06_merging_methods": measured
        | {"n_texts": 4, "n_prompts": 2, "n_samples": 1, "max_new_tokens": 5, "rounds": 1},
        "studies/linear_connectivity": data
        | prompts
        | {
            "minus": minus,
            "plus": plus,
            "pair_base": base,
            "device": "cpu",
            "classifier": classifier,
            "encoder": encoder,
        }
        | {"pretrain_data": data["data"], "width": 16, "layers": 2, "pretrain_steps": 2, "steps": 1}
        | {"classifier_steps": 1, "batch_size": 4, "n_texts": 4, "n_prompts": 2, "n_samples": 1, "max_new_tokens": 4}
        | {"n_points": 3, "cache": str(tmp_path / "made")},
        "studies/backdoor_defence": data
        | {"base": encoder, "most": 12, "n_clean": 4, "n_texts": 6, "epochs": 1.0, "tune_epochs": 1.0}
        | {"n_points": 3, "n_tokens": 5, "device": "cpu", "save": str(tmp_path / "fine_tunes")},
        "05_curvature": line | data | {"n_points": 4, "n_texts": 3, "n_hessian": 2, "draws": 2},
        "07_several_attributes": prompts
        | {"first_minus": minus, "first_plus": plus, "first_classifier": classifier, "base": base, "device": "cpu"}
        | second
        | {"n_prompts": 3, "n_samples": 2, "max_new_tokens": 5},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, parameters, tmp_path):
    folder = run(NOTEBOOKS[name], parameters[name], to=tmp_path / "runs")
    executed = nbformat.read(folder / "executed.ipynb", 4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]  # nor a wall of warnings
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "executed.ipynb").stat().st_size < 1_500_000
    drawn = [output.data for output in outputs if PLOTLY in output.get("data", {})]
    assert all("image/png" in data for data in drawn)  # for a code host's still view


@pytest.mark.slow
def test_the_main_one_records_its_curve(parameters, tmp_path):
    folder = run(NOTEBOOKS["02_interpolate"], parameters["02_interpolate"], to=tmp_path / "runs")
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
        if PLOTLY in output.get("data", {})
    ]
    kinds = [{trace["type"] for trace in figure["data"][PLOTLY]["data"]} for figure in figures]
    assert kinds == [{"heatmap"}, {"scatter", "table"}, {"scatter"}, {"scatter"}]
    assert figures[1]["data"][PLOTLY]["layout"]["sliders"]
    assert "base" in [trace.get("name") for trace in figures[3]["data"][PLOTLY]["data"]]
    assert curve.provenance["item_names"]["loss/negative"][0].endswith(tuple("0123456789"))


@pytest.mark.slow
def test_the_main_one_gives_the_same_numbers_twice(parameters, tmp_path):
    folders = [
        run("02_interpolate", parameters["02_interpolate"], name, tmp_path, environment={"LERPNB_STORE": store})
        for name, store in (("a", str(tmp_path / "store-a")), ("b", str(tmp_path / "store-b")))
    ]
    one, two = map(Curve.load, folders)
    assert one.provenance["from_store"] == two.provenance["from_store"] == 0  # each was measured
    pd.testing.assert_frame_equal(one.frame, two.frame, check_exact=True)
    pd.testing.assert_frame_equal(one.samples, two.samples, check_exact=True)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_reads_as_a_notebook_should(name):
    cells = nbformat.read(NOTEBOOKS[name], 4).cells
    first, last = cells[0], cells[-1]
    assert first.cell_type == "markdown" and first.source.startswith("# ") and "?" in first.source.splitlines()[0]
    assert "**Hypothesis.**" in first.source
    assert cells[1].metadata.get("tags") == ["parameters"]
    assert all("  # " in line for line in cells[1].source.splitlines() if line.strip())  # a word of help each
    assert last.cell_type == "markdown" and last.source.startswith("## Limitations") and "\n**Next:** " in last.source
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in code)
    assert not any("def " in cell.source for cell in code)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_file_that_it_names_is_there(name):
    prose = "\n".join(cell.source for cell in nbformat.read(NOTEBOOKS[name], 4).cells if cell.cell_type == "markdown")
    for link in re.findall(r"`((?:studies\/|data\/|\d\d)[\w/]+\.(?:ipynb|yaml))`", prose):
        assert (FOLDER / link).is_file() or (FOLDER.parent / link).is_file(), link


def test_the_notebooks_are_a_course():
    assert sorted(COURSE) == sorted(NOTEBOOKS)
    for name, following in zip(COURSE, COURSE[1:], strict=False):
        last = nbformat.read(NOTEBOOKS[name], 4).cells[-1].source
        assert f"`{following}.ipynb`" in last.partition("**Next:**")[2], name


def test_the_quickstart_is_short():
    cells = nbformat.read(NOTEBOOKS["00_quickstart"], 4).cells
    assert len(cells) <= 14 and sum(len(cell.source.splitlines()) for cell in cells) <= 130


@pytest.mark.slow
def test_the_main_one_places_its_alphas(parameters, tmp_path):
    folder = run(NOTEBOOKS["02_interpolate"], parameters["02_interpolate"] | {"tol": 0.05}, to=tmp_path / "runs")
    curve = Curve.load(folder)
    told = curve.provenance["placement"]
    assert told["points"] == len(curve.alphas) >= 7 and told["quantities"] == ["loss/negative", "loss/positive"]
    executed = (folder / "executed.ipynb").read_text()
    assert "error believed" in executed
