"""The project's folder: notebooks/, data/ and what they produce. `lerpnb init` lays out a new one."""

from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from lerpnb.errors import RunError
from lerpnb.utils.atomic import atomic_file, disk_errors

MARK = "data/wheels.txt"  # of a project: the checkout has it, and so has what `lerpnb init` lays out
PARTS = {  # what a project begins with
    "notebooks": ("*.ipynb", "studies/*.ipynb", "README.md"),
    "data": ("*.txt", "*.md", "adapters/**/*.*", "recipes/*.yaml", "scorer*/*.*", "sweeps/*.yaml"),
}
ENVIRONMENT = """\
name: {name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.12
  - pip
  - pip:
      - lerpnb=={version}
"""
README = """\
# {name}

What lies between two fine-tuned language models, with [lerpnb](https://pypi.org/project/lerpnb/) {version}.

    conda env create -f environment.yml     # or: pip install lerpnb=={version}
    lerpnb assets                           # the demo's model, reviews and encoder, once
    lerpnb run 02_interpolate --name demo   # a run folder with a page: runs/demo/report.html
    jupyter lab notebooks                   # or begin at 00_quickstart.ipynb

`notebooks/` is a course, and `notebooks/README.md` its guide; `data/` holds the demo's adapters, prompts and sweeps.
"""


def output_path(name: str | Path, start: Path | None = None) -> Path:
    """Where a relative name of an output leads: from the project's folder, wherever in the project one stands.

    A name that begins with ./ or ../ is taken from `start`, by default the working folder, and so is every name outside
    a project.
    """
    path, here = Path(name).expanduser(), start or Path.cwd()
    project = next((folder for folder in (here, *here.parents) if (folder / MARK).is_file()), None)
    if project and not str(name).startswith("."):
        return project / path
    return start / path if start else path


def timed_name(notebook: str, seconds: float) -> str:
    """What a run of a notebook is called by default: the notebook and a time, in seconds since 1970.

    >>> len(timed_name("02_interpolate", 0))
    30
    """
    return f"{notebook}-{datetime.fromtimestamp(seconds):%Y%m%d-%H%M%S}"


def project_root() -> Path:
    """The folder that holds `data/` and `notebooks/`.

    It is the checkout that the package lies in; else the nearest folder upwards that `lerpnb init` laid out; else the
    working folder.
    """
    here = Path.cwd()
    folders = (Path(__file__).resolve().parents[1], here, *here.parents)
    return next((folder for folder in folders if (folder / MARK).is_file()), here)


def template() -> Path:
    """What a project begins with: the wheel's copy, or the checkout itself."""
    packaged = Path(__file__).resolve().parent / "template"
    return packaged if packaged.is_dir() else packaged.parents[1]


def init(folder: str | Path = ".") -> Path:
    """Lay out a project of one's own: notebooks/, data/, environment.yml and a README; returns the folder.

    Again in the same folder it writes what is missing. Hidden files, such as .git, do not matter.

    Raises:
        RunError: the folder holds anything else, or a file that has changed; or the disk is full.

    Example:
        >>> import tempfile
        >>> mine = init(Path(tempfile.mkdtemp()) / "mine")
        >>> sorted(part.name for part in mine.iterdir())
        ['README.md', 'data', 'environment.yml', 'notebooks']
    """
    root, source = Path(folder).expanduser().resolve(), template()
    found = (file for part, kinds in PARTS.items() for kind in kinds for file in (source / part).glob(kind))
    files = {file.relative_to(source): file.read_bytes() for file in found}
    facts = {"name": root.name, "version": version("lerpnb")}
    files[Path("environment.yml")] = ENVIRONMENT.format(**facts).encode()
    files[Path("README.md")] = README.format(**facts).encode()
    for path in [path.relative_to(root) for path in root.rglob("*") if path.is_file()]:
        if not any(part.startswith(".") for part in path.parts) and files.get(path) != (root / path).read_bytes():
            what = "has changed" if path in files else "is none of a new project's files"
            raise RunError(f"lerpnb init {folder}: the folder is not empty, and {path} {what}.\nName a new folder.")
    for path, content in files.items():
        way_out = "Make room there and call it again: it writes what is missing."
        with disk_errors(RunError, f"lerpnb init {folder}", root / path, way_out):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(root / path) as temporary:
                temporary.write_bytes(content)
    return root
