"""Every notebook, by papermill, at a tiny size, into a temporary folder."""

import json
import re

import nbformat
import pandas as pd
import pytest
from tiny_notebooks import FOLDER, NOTEBOOKS

from lerpnb.results.curve import Curve
from lerpnb.runs.execution import run

pytest_plugins = ["tiny_notebooks"]
PLOTLY = "application/vnd.plotly.v1+json"
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


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, tiny_parameters, tmp_path):
    folder = run(NOTEBOOKS[name], tiny_parameters[name], to=tmp_path / "runs")
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
def test_the_main_one_records_its_curve(tiny_parameters, tmp_path):
    folder = run(NOTEBOOKS["02_interpolate"], tiny_parameters["02_interpolate"], to=tmp_path / "runs")
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
def test_the_main_one_gives_the_same_numbers_twice(tiny_parameters, tmp_path):
    folders = [
        run("02_interpolate", tiny_parameters["02_interpolate"], name, tmp_path, environment={"LERPNB_STORE": store})
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
    assert not any("from lerpnb" in cell.source or "import lerpnb." in cell.source for cell in code)  # public names


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
def test_the_main_one_places_its_alphas(tiny_parameters, tmp_path):
    folder = run(NOTEBOOKS["02_interpolate"], tiny_parameters["02_interpolate"] | {"tol": 0.05}, to=tmp_path / "runs")
    curve = Curve.load(folder)
    placement = curve.provenance["placement"]
    assert placement["points"] == len(curve.alphas) >= 7
    assert placement["quantities"] == ["loss/negative", "loss/positive"]
    executed = (folder / "executed.ipynb").read_text()
    assert "estimated error" in executed
