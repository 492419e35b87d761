"""notebooks/rendered/build.py: every file says which notebook it is of, none is older than that, none too large."""

import base64
import importlib.util
import io
import json
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from lerpnb.errors import RunError
from lerpnb.plots import image
from lerpnb.plots.curve import plot_curve
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.spec import Notebook, source_hash

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
BUILD = importlib.util.spec_from_file_location("build", NOTEBOOKS / "rendered" / "build.py")
gallery = importlib.util.module_from_spec(BUILD)
BUILD.loader.exec_module(gallery)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A made-up project: notebooks/01_walk.ipynb, and a run of it in runs/one."""
    png = io.BytesIO()
    Image.new("RGB", (9, 9), "white").save(png, "PNG")
    monkeypatch.setattr(image, "draw", lambda figures, *_: [png.getvalue()] * len(figures))
    curve = Curve.from_measures({a: {"loss/x": Measurement([a, a + 1])} for a in (0.0, 0.5, 1.0)})
    node = new_notebook(cells=[new_markdown_cell("# What?"), new_code_cell("curve", metadata={"tags": ["headline"]})])
    run = tmp_path / "runs" / "one"
    curve.save(run)
    (tmp_path / "notebooks").mkdir()
    nbformat.write(node, tmp_path / "notebooks" / "01_walk.ipynb")
    facts = {"status": "done", "name": "one", "notebook": {"name": "01_walk.ipynb", "sha256": source_hash(node)}}
    (run / "run.json").write_text(json.dumps(facts))
    node.cells[1].outputs = [new_output("display_data", plot_curve(curve)._repr_mimebundle_())]
    nbformat.write(node, run / "executed.ipynb")
    return tmp_path


def renewed(project: Path) -> list[Path]:
    """The files of a notebook; the gallery's page is the last one."""
    return gallery.build(project / "runs" / "one", project / "notebooks")[:-1]


def faults(project: Path) -> list[str]:
    return gallery.faults(project / "notebooks" / "rendered", project / "notebooks")


@pytest.mark.slow
def test_nothing_in_the_gallery_is_older_than_its_notebook_or_too_large():
    if not list((NOTEBOOKS / "rendered").glob("*.ipynb")):
        pytest.skip("the gallery holds no notebook yet: make demo, then make gallery")
    assert gallery.faults(NOTEBOOKS / "rendered", NOTEBOOKS) == []


@pytest.mark.slow
def test_a_run_renews_its_notebook_page_and_image(project):
    files = renewed(project)
    assert [file.name for file in files] == ["01_walk.ipynb", "01_walk.html", "01_walk.png"]
    assert {file.parent.name for file in files} == {"rendered"}
    node = nbformat.read(project / "notebooks" / "01_walk.ipynb", 4)
    source = {"name": "01_walk.ipynb", "sha256": source_hash(node)}
    assert [gallery.stamp(file) for file in files] == [source] * 3
    assert "image/png" in nbformat.read(files[0], 4).cells[1].outputs[0].data
    assert faults(project) == []


@pytest.mark.slow
def test_without_a_tagged_cell_there_is_no_image(project):
    path = project / "notebooks" / "01_walk.ipynb"
    node = nbformat.read(path, 4)
    node.cells[1].metadata.tags = []
    nbformat.write(node, path)
    assert [file.name for file in renewed(project)] == ["01_walk.ipynb", "01_walk.html"]


@pytest.mark.slow
def test_without_a_browser_the_notebook_and_its_page_are_renewed(project, monkeypatch):
    monkeypatch.setattr(image, "draw", lambda figures, *_: [None] * len(figures))
    files = renewed(project)
    assert [file.name for file in files] == ["01_walk.ipynb", "01_walk.html"]
    assert "image/png" not in nbformat.read(files[0], 4).cells[1].outputs[0].data


@pytest.mark.slow
def test_a_changed_notebook_makes_all_three_stale(project):
    renewed(project)
    path = project / "notebooks" / "01_walk.ipynb"
    node = nbformat.read(path, 4)
    node.cells[1].outputs = []
    node.metadata["more"] = 1
    nbformat.write(node, path)
    assert faults(project) == []  # the source is what counts
    node.cells[0].source = "# Which?"
    nbformat.write(node, path)
    assert faults(project) == ["01_walk.ipynb has other prose than its notebook: `make gallery`."]
    page = renewed(project)[1]  # without a new run
    assert faults(project) == [] and "Which?" in page.read_text() and "What?" not in page.read_text()
    node.cells[1].source = "curve.to_frame()"
    nbformat.write(node, path)
    late = "is older than 01_walk.ipynb: `make gallery`."
    assert faults(project) == [f"01_walk.{kind} {late}" for kind in ("html", "ipynb", "png")]
    with pytest.raises(RunError) as error:
        renewed(project)
    assert str(error.value) == (
        f"renew('{project / 'runs' / 'one'}'): 01_walk.ipynb has changed since that run, or the run failed.\n"
        "Run it again."
    )


@pytest.mark.slow
def test_strangers_and_large_files_are_named(project, monkeypatch):
    renewed(project)
    (project / "notebooks" / "rendered" / "other.png").write_bytes(b"no picture")
    assert faults(project) == ["other.png does not say which notebook it was made from."]
    (project / "notebooks" / "01_walk.ipynb").rename(project / "notebooks" / "02_walk.ipynb")
    assert len(faults(project)) == 5  # and 02_walk is not in it
    (project / "notebooks" / "02_walk.ipynb").rename(project / "notebooks" / "01_walk.ipynb")
    (project / "notebooks" / "rendered" / "other.png").unlink()
    monkeypatch.setattr(gallery, "MAX_BYTES", {".ipynb": 100, ".js": 9e9, ".html": 9e9, "all": 1000})
    size = {f.name: f.stat().st_size for f in (project / "notebooks" / "rendered").iterdir()}
    source = [fault for fault in faults(project) if "ipynb" in fault or "gallery" in fault]
    assert source == [
        f"01_walk.ipynb has {size['01_walk.ipynb']:,} bytes, more than 100.",
        f"The gallery has {sum(size.values()):,} bytes, more than 1,000.",
    ]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError) as error:
        gallery.renew(tmp_path, tmp_path)
    assert str(error.value) == f"renew('{tmp_path}'): no whole run is there.\nMake it with `make gallery`."


@pytest.mark.slow
def test_a_folder_of_runs_renews_all_and_the_page_of_cards(project, capsys):
    (project / "runs" / "one").rename(project / "runs" / "01_walk")
    (project / "notebooks" / "studies").mkdir()
    nbformat.write(new_notebook(), project / "notebooks" / "studies" / "late.ipynb")
    files = gallery.build(project / "runs", project / "notebooks")
    assert [file.name for file in files] == ["01_walk.ipynb", "01_walk.html", "01_walk.png", "index.html"]
    assert "runs/late'): no whole run is there." in capsys.readouterr().err
    assert faults(project) == ["late.ipynb is not in the gallery: `make gallery`."]
    index = BeautifulSoup(files[-1].read_text(), "html.parser")
    card = index.find("li")
    node = nbformat.read(files[0], 4)
    assert (card.a["href"], card.h2.string) == ("01_walk.html", "What?")
    assert card.p.string == gallery.finding(node.cells[1].outputs[0].data["application/vnd.plotly.v1+json"])
    assert card.img["src"].startswith("data:image/webp;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(card.img["src"].partition(",")[2])))
    assert picture.size == (9, 9)  # whole, a figure of panels is cut nowhere
    page = files[1].read_text()
    assert 'src="plotly.js"' in page and (files[1].parent / "plotly.js").stat().st_size > 4_000_000 > len(page)
    node.metadata["lerpnb"]["sha256"] = "0" * 64
    nbformat.write(node, files[0])
    assert "index.html lists other notebooks than the gallery has: `make gallery`." in faults(project)


def test_every_entry_of_the_gallerys_file_is_a_run_of_a_notebook_with_parameters_that_it_has():
    given = gallery.read_yaml((NOTEBOOKS / "rendered" / "gallery.yaml").read_text())
    for name, parameters in given.items():
        notebook = Notebook.read(gallery._find(NOTEBOOKS, f"{name.partition('-')[0]}.ipynb"))
        assert set(parameters) <= set(notebook.takes)


def test_every_headline_is_one_cell_of_code():
    tagged = {}
    for path in gallery.course(NOTEBOOKS):
        cells = [c for c in nbformat.read(path, 4).cells if "headline" in c.metadata.get("tags", [])]
        tagged[path.stem] = [c.cell_type for c in cells]
    assert {name for name, kinds in tagged.items() if kinds not in (["code"], [])} == set()
    assert len([kinds for kinds in tagged.values() if kinds]) >= 10
