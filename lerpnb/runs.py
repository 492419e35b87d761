"""A run: one notebook executed by papermill into a folder that appears whole or not at all. It knows no torch.

The folder holds executed.ipynb, report.html, curve.parquet and samples.parquet where the notebook recorded a curve, and
run.json, which is written last and is the mark that a run is whole. A run that fails leaves NAME.failed beside it.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from .assets import project_root
from .curve import Curve
from .errors import RunError
from .kernel import RUN_DIR, Watch, execute, is_run
from .parameters import checked, parameters_of
from .safe import scrub

KEPT = 86_400  # seconds for which a killed run's temporary folder is left alone
PACKAGES = "lerpnb torch transformers peft tokenizers numpy pandas pyarrow plotly papermill nbconvert ipykernel".split()
ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}


def run(
    notebook: str | Path, parameters: dict[str, Any] | None = None, name: str | None = None, to: str | Path = "runs"
) -> Path:
    """Execute a notebook with papermill and return its run folder, `to`/`name`.

    Parameters are checked against the notebook's own parameters cell before a kernel starts. The kernel stands in the
    notebook's folder. A run of the same name is replaced when this one has succeeded, not before.

    Args:
        notebook: a path, or the name of one of the project's notebooks.
        parameters: name -> value; a text is converted to the declared type where nothing is lost, else refused.
        name: of the run; by default the notebook's.
        to: the folder of runs.

    Raises:
        RunError: no such notebook, an unknown parameter or a wrong type, a name that would leave `to`, a cell that
            failed, a kernel that died. What was done until then is in `to`/`name`.failed.

    >>> run("02_walk_the_line", {"n_point": 5})
    Traceback (most recent call last):
    lerpnb.errors.RunError: run("02_walk_the_line"): no parameter 'n_point'. Did you mean 'n_points'?
    It takes: minus, plus, ...
    """
    source = find_notebook(notebook)
    call = f'run("{source.stem}")'
    node = _read(source, call)
    takes = parameters_of(node, call)
    given = checked(parameters or {}, takes, call)
    folder = _place(source.stem if name is None else name, Path(to), call)
    failed = folder.with_name(f"{folder.name}.failed")
    work = _workshop(folder, call)
    started = time.time()
    cells = sum(map(is_run, node.cells)) + bool(given)  # papermill adds a cell for what is given
    with Watch(folder.name, cells, work / ".progress.json") as watch:
        error = execute(source, given, work, watch)
    facts = {
        "status": "failed" if error else "done",
        "name": folder.name,
        "notebook": {"name": source.name, "sha256": source_hash(node)},
        "parameters": {key: parameter.default for key, parameter in takes.items()} | given,
        "started": _clock(started),
        "finished": _clock(started + watch.seconds()),
        "seconds": round(watch.seconds(), 1),
        "peak_memory_bytes": watch.peak,
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "error": error,
    }
    try:
        error = _finish(work, folder, facts)
        _swap(work, failed if error else folder)
    except OSError as trouble:  # a full disk, say: what was done stays where it is
        told = f"cannot write the run: {trouble.strerror}.\nWhat was done until then is in {work}."
        raise RunError(f"{call}: {told}") from trouble
    if not error:
        shutil.rmtree(failed, ignore_errors=True)  # an older attempt's, which this run has made good
        return folder
    if error["kind"] == "KeyboardInterrupt":
        raise KeyboardInterrupt
    where = f"cell [{error['cell']}] failed: " if error["cell"] else ""
    raise RunError(f"{call}: {where}{error['why'].splitlines()[0]}\nWhat was done until then is in {failed}.")


def record(curve: Curve, to: str | Path = "runs/live") -> Path:
    """Keep a curve beside the notebook that made it: in a batch run its run folder, else `to`. Returns the folder.

    >>> import tempfile
    >>> from lerpnb.measure import Measure
    >>> folder = record(Curve.from_measures({0.0: {"loss/x": Measure([1.0])}}), tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['curve.parquet', 'samples.parquet']
    """
    told = Curve(curve.frame, curve.samples, scrub(curve.provenance))
    return told.save(os.environ.get(RUN_DIR) or to)


def find_notebook(notebook: str | Path) -> Path:
    """The .ipynb that is meant: a path, with or without its ending, or a name in the project's notebooks folder."""
    path, shelf = Path(notebook), project_root() / "notebooks"
    for candidate in (path, Path(f"{path}.ipynb"), shelf / path.name, shelf / f"{path.name}.ipynb"):
        if candidate.is_file() and candidate.suffix == ".ipynb":
            return candidate.resolve()
    known = sorted(found.stem for found in shelf.glob("*.ipynb"))
    hint = f"\nThe project's notebooks: {', '.join(known)}." if known else ""
    raise RunError(f'run("{notebook}"): no such notebook.{hint}')


def source_hash(notebook: NotebookNode) -> str:
    """sha256 of a notebook's cells as their author wrote them: outputs, metadata and papermill's cells left out."""
    cells = [c for c in notebook.cells if not ADDED_BY_PAPERMILL & set(c.metadata.get("tags", []))]
    text = json.dumps([[cell.cell_type, cell.source] for cell in cells], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(source: Path, call: str) -> NotebookNode:
    try:
        return nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat raises whatever its parts raise
        raise RunError(f"{call}: {source.name} is no notebook: {str(error).splitlines()[0]}") from error


def _place(name: str, to: Path, call: str) -> Path:
    """The run's folder, refused where the name would leave `to` or somebody else's folder would be replaced."""
    if not re.fullmatch(r"\w[\w .,=+-]*", name) or name.endswith((".failed", ".", " ")):
        raise RunError(
            f"{call}: {name!r} is no name for a run.\n"
            "It starts with a letter or digit, holds letters, digits, spaces and .,_-+= and does not end in .failed."
        )
    for folder in (to / name, to / f"{name}.failed"):
        if folder.exists() and not (folder / "run.json").is_file():
            raise RunError(f"{call}: {folder} is there and is no run: it holds no run.json.\nChoose another name.")
    return to / name


def _workshop(folder: Path, call: str) -> Path:
    """A new temporary folder beside the run's, after clearing up what a killed process left."""
    work = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.old-*"):
            if not folder.exists():  # killed between the two renames of _swap
                old.rename(folder)
        for left in folder.parent.glob(f".{folder.name}.tmp-*"):
            quiet = time.time() - max(file.stat().st_mtime for file in (left, *left.iterdir()))
            if left == work or quiet > KEPT:  # its process may run on another machine: only age tells
                shutil.rmtree(left)
        work.mkdir()
    except OSError as error:
        raise RunError(f"{call}: cannot write to {folder.parent}: {error.strerror}.") from error
    return work.resolve()


def _finish(work: Path, folder: Path, facts: dict) -> dict | None:
    """Clean the notebook, draw the page, write run.json last; the run's error, which may be that this failed."""
    from .report import render, write_whole
    from .twins import with_twins

    also = {str(work): str(folder)}
    provenance: dict = {}
    try:
        notebook = work / "executed.ipynb"
        node = with_twins(scrub(nbformat.read(notebook, as_version=4), also))
        node.metadata.setdefault("papermill", {}).update(
            input_path=facts["notebook"]["name"], output_path=notebook.name
        )
        write_whole(notebook, nbformat.writes(node))
        if (work / "curve.parquet").exists():
            provenance = Curve.load(work).provenance
        told = ("device", "dtype", "seeds", "hashes", "ends", "settings")
        facts |= {key: provenance[key] for key in told if key in provenance}
        if not facts["error"]:
            write_whole(work / "report.html", render(node, facts, work))
    except Exception as error:
        if not facts["error"]:
            facts["error"] = {"cell": None, "kind": type(error).__name__, "why": f"{type(error).__name__}: {error}"}
            facts["status"] = "failed"
    for leftover in (*work.glob(".progress.json*"), work / "kernel.log"):
        leftover.unlink(missing_ok=True)
    text = json.dumps(json.loads(json.dumps(scrub(facts, also)), parse_constant=str), indent=2, ensure_ascii=False)
    write_whole(work / "run.json", text + "\n")
    return facts["error"]


def _swap(work: Path, folder: Path) -> None:
    """Put a finished folder in place of the last one, which is set aside until then."""
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
