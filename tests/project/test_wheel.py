"""The wheel, installed into an environment of its own: it brings a project, in which a notebook runs."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from lerpnb import project
from lerpnb.errors import RunError

pytest_plugins = ["tiny_notebooks"]
ROOT = Path(__file__).parents[2]
MOST = 30_000_000  # bytes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built as `pip wheel` would, but without its isolated environment, which needs a network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """The programs of a fresh environment with the wheel in it; all else it sees in the one that runs this test."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    paths = {"base": str(folder), "platbase": str(folder)}
    Path(sysconfig.get_path("purelib", vars=paths), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    done = subprocess.run([*pip, "--no-deps", "--no-index", wheel], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def called(program: Path, *arguments: str, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))  # nbconvert's templates are no Python packages
    done = subprocess.run([program, *arguments], cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_brings_notebooks_and_the_demo_and_no_more(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    brought = {name.removeprefix("lerpnb/template/") for name in names if name.startswith("lerpnb/template/")}
    tracked = subprocess.run(["git", "ls-files", "notebooks", "data"], cwd=ROOT, capture_output=True, text=True)
    assert brought >= {"notebooks/00_quickstart.ipynb", "data/prompts.txt", "data/adapters/positive/training.json"}
    if tracked.returncode == 0:
        assert brought <= {name for name in tracked.stdout.splitlines() if not name.startswith("notebooks/rendered")}
    assert "lerpnb/conftest.py" not in names and "lerpnb/__init__.pyi" in names
    assert {name.partition("/")[0] for name in names} == {
        "lerpnb",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert wheel.stat().st_size < MOST


@pytest.mark.slow
def test_a_new_project_runs_a_notebook_outside_the_checkout(environment, tmp_path, tiny_parameters):
    lerpnb = environment / "lerpnb"
    called(lerpnb, "init", "mine", cwd=tmp_path)
    mine = tmp_path / "mine"
    parameters = [f"{name}={value}" for name, value in tiny_parameters["02_interpolate"].items()]
    shown = called(
        lerpnb,
        "run",
        "02_interpolate",
        "--name",
        "02_interpolate",
        *(x for p in parameters for x in ("-p", p)),
        cwd=mine,
    )
    run = mine / "runs" / "02_interpolate"
    assert "02_interpolate: done in " in shown and (run / "report.html").is_file()
    where = "import lerpnb as ln; print(ln.__file__, ln.__version__); print(ln.load_prompts(2))"
    there = called(environment / "python", "-c", where, cwd=tmp_path)  # no project here: the wheel's own prompts
    assert str(environment.parent) in there and len(there.splitlines()) == 2


def test_the_checkout_is_its_own_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert project.project_root() == project.template() == ROOT


def test_without_a_checkout_the_project_is_found_upwards(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "__file__", str(tmp_path / "site-packages" / "lerpnb" / "project.py"))
    monkeypatch.setattr(project, "template", lambda: ROOT)
    mine = project.init(tmp_path / "mine")
    monkeypatch.chdir(mine / "notebooks" / "studies")
    assert project.project_root() == mine
    monkeypatch.chdir(tmp_path)
    assert project.project_root() == tmp_path


@pytest.mark.slow
def test_a_project_is_laid_out_once(tmp_path):
    mine = project.init(tmp_path / "mine")
    (mine / ".git").mkdir()
    (mine / ".git" / "config").write_text("")
    (mine / "notebooks" / "00_quickstart.ipynb").unlink()
    assert project.init(mine) == mine and (mine / "notebooks" / "00_quickstart.ipynb").is_file()
    (mine / "data" / "prompts.txt").write_text("mine")
    with pytest.raises(RunError) as error:
        project.init(mine)
    assert str(error.value) == (
        f"lerpnb init {mine}: the folder is not empty, and data/prompts.txt has changed.\nName a new folder."
    )
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(RunError) as error:
        project.init(tmp_path / "other")
    assert str(error.value).endswith("and thesis.tex is none of a new project's files.\nName a new folder.")
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["thesis.tex"]
