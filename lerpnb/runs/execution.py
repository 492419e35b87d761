"""A run: one notebook executed by papermill into a folder that appears whole or not at all. It knows no torch.

The folder holds executed.ipynb, report.html, curve.parquet and samples.parquet where the notebook recorded a curve, and
run.json, which is written last and is the mark that a run is whole. A run that fails leaves NAME.failed beside it.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lerpnb.assets import project_root
from lerpnb.errors import RunError
from lerpnb.results.curve import Curve
from lerpnb.results.summary import chief_numbers
from lerpnb.runs.inputs import contents, located
from lerpnb.runs.kernel import execute
from lerpnb.runs.monitor import KernelMonitor, is_run
from lerpnb.runs.parameters import checked, parameters_of
from lerpnb.runs.report.sanitize import redact
from lerpnb.runs.staging import RUNNING, abandoned, run_folder, say, staging_folder
from lerpnb.utils.atomic import atomic_file, replace_folder

PACKAGES = "lerpnb torch transformers peft tokenizers numpy pandas pyarrow plotly papermill nbconvert ipykernel".split()


ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}


def run(
    notebook: str | Path,
    parameters: dict[str, Any] | None = None,
    name: str | None = None,
    to: str | Path = "runs",
    *,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    environment: dict[str, str] | None = None,
    also: dict[str, Any] | None = None,
    before_placing: Callable[[], None] | None = None,
) -> Path:
    """Execute a notebook with papermill and return its run folder, `to`/`name`.

    Parameters are checked against the notebook's own parameters cell before a kernel starts. The kernel is this very
    Python and stands in the notebook's folder; a relative path that leads to a file from where you stand, and to none
    from there, is made absolute. A run of the same name is replaced when this one has succeeded, not before. The
    kernel and its children end with the run, whatever ends it.

    Args:
        notebook: a path, or the name of one of the project's notebooks.
        parameters: name -> value; a text is converted to the declared type where nothing is lost, else refused.
        name: of the run; by default the notebook's.
        to: the folder of runs.
        time_limit: seconds that the notebook may take in all.
        memory_limit: GiB that the kernel and its children may hold together.
        environment: variables of the kernel's environment, beside those of this process.
        also: what else run.json shall hold.
        before_placing: called when the folder is whole, just before it is put in place; what it raises prevents that.

    Raises:
        RunError: no such notebook, an unknown parameter or a wrong type, a name that would leave `to`, a cell that
            failed, a limit that was passed, a kernel that died. What was done until then is in `to`/`name`.failed.

    >>> run("02_interpolate", {"n_point": 5})
    Traceback (most recent call last):
    lerpnb.errors.RunError: run("02_interpolate"): no parameter 'n_point'. Did you mean 'n_points'?
    It takes: minus, plus, ...
    """
    source = find_notebook(notebook)
    call = f'run("{source.stem}")'
    for limit, value, unit in (("time_limit", time_limit, "seconds"), ("memory_limit", memory_limit, "GiB")):
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
            raise RunError(f"{call}: {limit} is {value!r}.\nIt takes {unit}, a number above 0, or None for no limit.")
    node = _read(source, call)
    takes = parameters_of(node, call)
    given = located(checked(parameters or {}, takes, call), source.parent, call)
    folder = run_folder(source.stem if name is None else name, Path(to), call)
    failed = folder.with_name(f"{folder.name}.failed")
    before = failed.stat().st_ino if failed.exists() else None
    facts = _facts(source, node, {key: parameter.default for key, parameter in takes.items()} | given)
    facts = {"status": "failed", "name": folder.name} | facts | (also or {})
    facts["limits"] = {key: v for key, v in (("seconds", time_limit), ("memory_gib", memory_limit)) if v is not None}
    work = staging_folder(folder, facts, call)
    _recover(folder)
    cells = sum(map(is_run, node.cells)) + bool(given)  # papermill adds a cell for what is given
    with KernelMonitor(folder.name, cells, work / ".progress.json", time_limit, memory_limit) as watch:
        error = execute(source, given, work, watch, environment or {})
    facts |= {"status": "failed" if error else "done", "error": error, "peak_memory_bytes": watch.peak}
    facts |= {"finished": _clock(_seconds(facts["started"]) + watch.seconds()), "seconds": round(watch.seconds(), 1)}
    try:
        error = _finish(work, folder, facts)
        if before_placing:
            _allowed(before_placing, work)
        replace_folder(work, failed if error else folder)
    except OSError as trouble:  # a full disk, say: what was done stays where it is
        first = f"{error['why'].rstrip('.')}; then " if error else ""
        told = f"{first}cannot write the run: {trouble.strerror}.\nWhat was done until then is in {work}."
        raise RunError(f"{call}: {told}") from trouble
    if not error:
        if before and failed.exists() and failed.stat().st_ino == before:
            shutil.rmtree(failed, ignore_errors=True)  # an older attempt's, which this run has made good
        return folder
    if error["kind"] in ("Interrupted", "Terminated"):
        say(f"{call}: {error['why']}\nWhat was done until then is in {failed}.")
    if error["kind"] == "Interrupted":
        raise KeyboardInterrupt
    if error["kind"] == "Terminated":
        raise SystemExit(128 + signal.Signals[error["signal"]])
    where = f"cell [{error['cell']}] failed: " if error["cell"] else ""
    raise RunError(f"{call}: {where}{error['why'].splitlines()[0]}\nWhat was done until then is in {failed}.")


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
        node = nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat raises whatever its parts raise
        raise RunError(f"{call}: {source.name} is no notebook: {str(error).splitlines()[0]}") from error
    language = node.metadata.get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise RunError(f"{call}: {source.name} is written in {language}.\nOnly Python notebooks are run.")
    return node


def _facts(source: Path, node: NotebookNode, parameters: dict[str, Any]) -> dict:
    """What run.json tells that is known before a kernel starts."""
    parameters = json.loads(json.dumps(parameters, default=str))  # a default may be anything
    return {
        "notebook": {"name": source.name, "sha256": source_hash(node)} | _commit(source),
        "parameters": parameters,
        "files": contents(parameters, source.parent),
        "seeds": {key: value for key, value in parameters.items() if key.split("_")[-1] in ("seed", "seeds")},
        "started": _clock(time.time()),
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
    }


def _commit(source: Path) -> dict:
    """The git commit that a notebook is at, and whether it differs from it; nothing where git does not know it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(source.parent), *words]
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        git("ls-files", "--error-unmatch", "--", source.name)
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(git("diff", "HEAD", "--", source.name))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _recover(folder: Path) -> None:
    """Make failed runs of what killed processes left of this run, so that nothing they did is lost."""
    failed = folder.with_name(f"{folder.name}.failed")
    for left, facts in abandoned(folder):
        with suppress(OSError):
            if not facts and not (left / "run.json").exists():  # killed before it began
                shutil.rmtree(left)
                continue
            if not (left / "run.json").exists():  # else it was whole, and could not take its place
                last = max(file.stat().st_mtime for file in left.iterdir())
                facts |= {"finished": _clock(last), "seconds": round(max(last - _seconds(facts["started"]), 0), 1)}
                facts["error"] = {"cell": None, "kind": "Killed", "why": "the process that ran it was killed."}
                _finish(left, folder, facts)
            replace_folder(left, failed)
            say(f"{folder.name}: an earlier attempt was killed; what it had done is in {failed}")


def _finish(work: Path, folder: Path, facts: dict) -> dict | None:
    """Clean the notebook, draw the page, write run.json last; the run's error, which may be that this failed."""
    from lerpnb.runs.report.exporter import render
    from lerpnb.runs.report.images import with_images

    also = {str(work): str(folder)}
    provenance: dict = {}
    try:
        notebook = work / "executed.ipynb"
        node = with_images(redact(nbformat.read(notebook, as_version=4), also))
        node.metadata.setdefault("papermill", {}).update(
            input_path=facts["notebook"]["name"], output_path=notebook.name
        )
        _write(notebook, nbformat.writes(node))
        if (work / "curve.parquet").exists():
            curve = Curve.load(work)
            provenance = curve.provenance
            facts["chief"] = chief_numbers(curve)
        told = ("device", "dtype", "seeds", "hashes", "ends", "settings")
        facts |= _device(work) | {key: provenance[key] for key in told if key in provenance}
        if not facts["error"]:
            _write(work / "report.html", render(node, facts, work))
    except Exception as error:
        if not facts["error"]:
            facts["error"] = {"cell": None, "kind": type(error).__name__, "why": f"{type(error).__name__}: {error}"}
            facts["status"] = "failed"
    for leftover in (*work.glob(".*.tmp"), work / ".progress.json", work / "kernel.log", work / ".device.json"):
        leftover.unlink(missing_ok=True)
    plain = json.loads(json.dumps(redact(facts, also)), parse_constant=str)  # NaN is no JSON
    _write(work / "run.json", json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    (work / RUNNING).unlink(missing_ok=True)
    return facts["error"]


def _write(file: Path, text: str) -> None:
    with atomic_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _allowed(before_placing: Callable[[], None], work: Path) -> None:
    try:
        before_placing()
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _device(work: Path) -> dict:
    """What the kernel told at its end of the device it computed on; a curve knows better."""
    with suppress(OSError, ValueError):
        return dict(json.loads((work / ".device.json").read_text(encoding="utf-8")))
    return {}


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(clock: str) -> float:
    return datetime.fromisoformat(clock).timestamp()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
