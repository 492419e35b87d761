"""Every notebook, by papermill, at a tiny size, into a temporary folder."""

import functools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from notebook_figures import PLOTLY, UNTRUSTED, figures, see_and_press
from tiny_notebooks import FOLDER, NOTEBOOKS, parameters_in

from lerpnb.plots import image
from lerpnb.results.curve import Curve
from lerpnb.runs.execution import run

pytest_plugins = ["browser", "tiny_notebooks"]
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
    "09_alignment",
    "studies/flat_loss",
    "studies/controllers",
    "studies/linear_connectivity",
    "studies/other_models",
    "studies/backdoor_defence",
    "studies/plausibility",
]
SEEN = ["02_interpolate"]  # in JupyterLab: panels, a map, a table, a slider; a person uses two others there
SWEPT = "studies/linear_connectivity"  # tests/integration/test_study_sweep.py runs it
HINT = "import lerpnb as ln  # missing, as in Colab and Kaggle? %pip install lerpnb, then !lerpnb assets"


@pytest.fixture(scope="module")
def executed(tiny, tiny_llama_pair, tiny_adapter_pair, tmp_path_factory) -> Callable[[str], Path]:
    """The run folder of a notebook, which is executed once, with a store of its own."""

    @functools.cache
    def folder_of(name: str) -> Path:
        folder = tmp_path_factory.mktemp("notebook")
        parameters = parameters_in(folder, tiny, tiny_llama_pair[0], tiny_adapter_pair)[name]
        return run(NOTEBOOKS[name], parameters, to=folder / "runs", environment={"LERPNB_STORE": str(folder / "store")})

    return folder_of


def ran(folder: Path) -> list[dict]:
    """What the run's figures are shown as; each of its cells ended well, and no one has to be warned."""
    node = nbformat.read(folder / "executed.ipynb", 4)
    outputs = [output for cell in node.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    warned = [output.text for output in outputs if output.get("name") == "stderr"]  # no wall of warnings
    assert warned == []
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "executed.ipynb").stat().st_size < 1_500_000
    return [output.data for output in outputs if PLOTLY in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in (*SEEN, SWEPT)])
def test_it_runs(name, executed, monkeypatch):
    monkeypatch.setattr(image, "find_chrome", lambda: None)  # static images take a browser five seconds
    ran(executed(name))


@pytest.mark.browser
@pytest.mark.parametrize("name", SEEN)
def test_it_runs_and_a_reader_opens_it_in_jupyterlab(name, executed, lab, reader):
    """On a server that has never seen the notebook and trusts no output: each figure is drawn, and its slider moves."""
    folder = executed(name)
    assert all("image/png" in shown for shown in ran(folder))  # for a code host's still view
    path = shutil.copy(folder / "executed.ipynb", lab.root / f"sent_{Path(name).name}.ipynb")
    panel = lab.turn_to(reader, path.name)
    reader.page.wait_for_function(UNTRUSTED)
    see_and_press(reader, panel, figures(path))
    reader.shoot(f"lab_{path.stem}")
    assert (reader.errors, reader.outside) == ([], [])


@pytest.mark.slow
def test_the_main_one_places_its_alphas_and_records_its_curve(executed):
    folder = executed("02_interpolate")
    assert {p.name for p in folder.iterdir()} >= {
        "executed.ipynb",
        "curve.parquet",
        "samples.parquet",
        "run.json",
        "report.html",
    }
    curve = Curve.load(folder)
    placement = curve.provenance["placement"]
    assert placement["points"] == len(curve.alphas) >= 7 and {-1.0, 0.0, 1.0, 2.0} <= set(curve.alphas)
    assert placement["quantities"] == ["loss/negative", "loss/positive"]
    assert "estimated error" in (folder / "executed.ipynb").read_text()
    assert len(curve.samples) == len(curve.alphas) * 3 * 2
    assert {
        "loss/negative",
        "loss/positive",
        "strength/positive",
        "perplexity/continuations",
        "dist-2",
        "words",
    } <= set(curve.quantities)
    drawn = [figure for _, _, figure in figures(folder / "executed.ipynb")]
    kinds = [{trace["type"] for trace in figure["data"]} for figure in drawn]
    assert kinds == [{"heatmap"}, {"scatter", "table"}, {"scatter", "heatmap"}, {"scatter"}]
    assert drawn[1]["layout"]["sliders"]
    assert "base" in [trace.get("name") for trace in drawn[3]["data"]]
    assert curve.provenance["item_names"]["loss/negative"][0].endswith(tuple("0123456789"))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_reads_as_a_notebook_should(name):
    cells = nbformat.read(NOTEBOOKS[name], 4).cells
    assert 12 <= len(cells) <= 20
    first, last = cells[0], cells[-1]
    assert first.cell_type == "markdown" and first.source.startswith("# ") and "?" in first.source.splitlines()[0]
    assert "**Hypothesis.**" in first.source
    assert cells[1].metadata.get("tags") == ["parameters"]
    parameters = cells[1].source.splitlines()
    assert len(parameters) <= 20 and all("  # " in line for line in parameters)  # a word of help each
    assert HINT in cells[2].source
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
