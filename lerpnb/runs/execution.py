"""A run: one notebook executed by papermill into a folder that appears whole or not at all. No torch is needed.

The folder holds executed.ipynb, report.html, curve.parquet and samples.parquet where the notebook recorded a curve, and
run.json, which is written last and marks a whole run. A run that fails leaves NAME.failed beside it.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from lerpnb.errors import RunError
from lerpnb.results.curve import Curve
from lerpnb.runs import staging as stages
from lerpnb.runs.directory import is_whole
from lerpnb.runs.kernel import run_cells
from lerpnb.runs.monitor import KernelMonitor
from lerpnb.runs.preflight import check
from lerpnb.runs.redaction import Redactor, hidden, secrets_in
from lerpnb.runs.spec import RunSpec, prepare, read_notebook, source_hash
from lerpnb.runs.staging import Staging, say
from lerpnb.utils.atomic import drop_folder, refuse_links, replace_folder, write_whole

PACKAGES = "lerpnb torch transformers peft tokenizers numpy pandas pyarrow plotly papermill nbconvert ipykernel".split()
NEXT = "`lerpnb report {}` makes a page of it. Run it again to go on: finished points are stored."
FROM_CURVE = ("device", "dtype", "seeds", "hashes", "ends", "settings")  # of a curve's provenance, for run.json


def run(
    notebook: str | Path,
    parameters: dict[str, Any] | None = None,
    name: str | None = None,
    to: str | Path = "runs",
    *,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    environment: dict[str, str] | None = None,
    force: bool = False,
) -> Path:
    """Execute a notebook with papermill and return its run folder, `to`/`name`.

    Parameters are checked against the notebook's own parameters cell before a kernel starts. The kernel is this very
    Python and stands in the notebook's folder; an `InputPath` that is relative, leads to a file from where you stand
    and to none from there, is made absolute. A run of the same name is refused; with `force` it is replaced when this
    one has succeeded, not before. The kernel and its children end with the run, whatever ends it.

    Args:
        notebook: a path, or the name of one of the project's notebooks.
        parameters: name -> value; a text is converted to the declared type where nothing is lost, else refused.
        name: of the run; by default the notebook's.
        to: the folder of runs; a relative one is the project's, wherever in it you stand.
        time_limit: seconds that the notebook may take in all.
        memory_limit: GiB that the kernel and its children may hold together.
        environment: variables of the kernel's environment, beside those of this process.
        force: replace a run of the same name.

    Raises:
        RunError: no such notebook, an unknown parameter or a wrong type, a name that would leave `to`, a cell that
            failed, a limit that was passed, a kernel that died. What was done until then is in `to`/`name`.failed.

    >>> run("02_interpolate", {"n_point": 5})
    Traceback (most recent call last):
    lerpnb.errors.RunError: run("02_interpolate"): no parameter 'n_point'. Did you mean 'n_points'?
    It takes: minus, plus, ...
    """
    options = {"time_limit": time_limit, "memory_limit": memory_limit, "environment": environment or {}}
    spec = prepare(notebook, parameters, name, to, **options)
    if not force and is_whole(there := Path(spec.to) / spec.name):
        raise RunError(f"{spec.call}: there is a run at {there}.\nGive another name (--name), or replace it (--force).")
    staging = stage(spec)
    execute(spec, staging)
    return publish(staging)


def stage(spec: RunSpec, **facts: Any) -> Staging:
    """The temporary folder of a run that passes `preflight`, and what is known of it; `facts` go into run.json too."""
    check(spec.values, spec.kinds, Path(spec.notebook).parent, spec.call, Path(spec.to))
    limits = {"seconds": spec.time_limit, "memory_gib": spec.memory_limit}
    known = {
        "status": "failed",
        "name": spec.name,
        "notebook": dict(spec.source),
        "parameters": hidden(spec.values),
        "files": spec.files,
        "seeds": {key: value for key, value in spec.values.items() if key.split("_")[-1] in ("seed", "seeds")},
        "identity": spec.identity,
        "started": _clock(time.time()),
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "limits": {key: value for key, value in limits.items() if value is not None},
    }
    more = {"sweep": spec.sweep, "environment": sorted(spec.environment)}  # whose values are nobody's business
    staging = stages.stage(spec, known | {key: value for key, value in more.items() if value} | facts)
    _recover(staging.target, spec.environment)
    return staging


def execute(spec: RunSpec, staging: Staging) -> None:
    """Run the notebook's cells into the temporary folder, and note how that went."""
    progress = staging.folder / ".progress.json"
    with KernelMonitor(spec.name, spec.cells, progress, spec.time_limit, spec.memory_limit) as monitor:
        error = run_cells(Path(spec.notebook), spec.parameters, staging.folder, monitor, spec.environment)
    finished = _clock(_seconds(staging.facts["started"]) + monitor.seconds())
    staging.facts |= {"status": "failed" if error else "done", "error": error, "peak_memory_bytes": monitor.peak}
    staging.facts |= {"finished": finished, "seconds": round(monitor.seconds(), 1)}


def publish(staging: Staging, before: Callable[[], None] | None = None) -> Path:
    """Write the page and run.json, put the folder in its place and return that; a run that failed raises.

    Args:
        staging: what `execute` has filled.
        before: called when the folder is whole, just before it is put in place; what it raises prevents that.

    Raises:
        RunError: the notebook failed, or its page; or the disk refuses.
        KeyboardInterrupt, SystemExit: the run was ended from outside.
    """
    call, failed, error = staging.spec.call, staging.failed, staging.facts["error"]
    done = "What was done until then is in"
    try:
        private = staging.spec.environment | staging.spec.values
        refuse_links(staging.folder)
        error = _finish(staging.folder, staging.target, staging.facts, private)
        if before:
            try:
                before()
            except BaseException:
                shutil.rmtree(staging.folder, ignore_errors=True)
                raise
        _place(staging.folder, failed if error else staging.target)
    except OSError as trouble:  # a full disk, say: what was done stays where it is
        first = f"{error['why'].rstrip('.')}; then " if error else ""
        why = f"{call}: {first}cannot write the run: {trouble.strerror}."
        raise RunError(why if staging.folder.is_symlink() else f"{why}\n{done} {staging.folder}.") from trouble
    if not error:
        if staging.earlier_failure and failed.exists() and failed.stat().st_ino == staging.earlier_failure:
            with suppress(OSError):
                drop_folder(failed)  # an earlier attempt, which this run has made good
        return staging.target
    if error["kind"] in ("Interrupted", "Terminated"):
        say(f"{call}: {error['why']}\n{done} {failed}.")
        raise KeyboardInterrupt if "signal" not in error else SystemExit(128 + signal.Signals[error["signal"]])
    where = f"cell [{error['cell']}] failed: " if error["cell"] else ""
    raise RunError(f"{call}: {where}{error['why'].rstrip()}\n{done} {failed}.\n{NEXT.format(failed)}")


def _recover(folder: Path, environment: dict[str, str]) -> None:
    """Make failed runs of what killed processes left of this run, so that nothing they did is lost."""
    failed = folder.with_name(f"{folder.name}.failed")
    for work, facts in stages.abandoned(folder):
        with suppress(OSError):
            files = [file for file in work.iterdir() if file.name not in (stages.RUNNING, "kernel.log")]
            if not facts and not files:  # killed before it began
                shutil.rmtree(work)
                continue
            if work / "run.json" not in files:  # else it was whole, and could not take its place
                last = max(file.stat().st_mtime for file in (work, *work.iterdir()))
                known = {"status": "failed", "name": folder.name, "notebook": {"name": ""}, "started": _clock(last)}
                facts = known | {
                    key: value for key, value in facts.items() if type(value) is type(known.get(key, value))
                }
                facts["notebook"] = known["notebook"] | facts["notebook"]
                took = 0.0
                with suppress(ValueError):  # of a damaged file
                    took = max(last - _seconds(facts["started"]), 0)
                facts |= {"finished": _clock(last), "seconds": round(took, 1)}
                facts["error"] = {"cell": None, "kind": "Killed", "why": "the process that ran it was killed."}
                _finish(work, folder, facts, environment)
            _place(work, failed)
            say(f"{folder.name}: an earlier attempt was killed; what it had done is in {failed}")


def _place(work: Path, folder: Path) -> None:
    """Put a finished temporary folder where the run belongs, in the folder of runs as it was found before."""
    refuse_links(work.parent)
    there = work.with_name(folder.name)
    replace_folder(work, there)
    (there / stages.RUNNING).unlink(missing_ok=True)  # by which a run that is killed before is recovered


def _finish(work: Path, folder: Path, facts: dict[str, Any], private: dict[str, Any]) -> dict[str, Any] | None:
    """Take what is private out of the notebook, draw its images and the page, write run.json last.

    `private` has variables and parameters, some of them secret. Returns the run's error, which may be that this failed.
    """
    from lerpnb.runs.report.exporter import render
    from lerpnb.runs.report.images import with_images

    places, notebook = {str(work): str(folder)}, work / "executed.ipynb"
    secrets = secrets_in(os.environ | private)
    try:
        node = read_notebook(notebook)
        facts["notebook"]["sha256"] = source_hash(node)  # of what ran
        papermill = node.metadata.setdefault("papermill", {})
        papermill.update(input_path=facts["notebook"]["name"], output_path=notebook.name)
        secrets |= secrets_in(papermill.get("parameters", {}))
        redactor = Redactor(secrets, places)
        node = with_images(redactor.notebook(node))
        write_whole(notebook, nbformat.writes(node))
        facts["left out"] = dict(redactor.counts)
        if count := redactor.counts["secret"]:
            say(f"{facts['name']}: {count} times a secret was taken out of executed.ipynb")
        with suppress(OSError, ValueError):  # what the kernel noted at its end; a curve knows better
            facts |= json.loads((work / ".device.json").read_text(encoding="utf-8"))
        if (work / "curve.parquet").exists():
            curve = Curve.load(work)
            facts["summary"] = curve.summary()
            facts |= {key: curve.provenance[key] for key in FROM_CURVE if key in curve.provenance}
        if not facts["error"]:
            write_whole(work / "report.html", render(node, facts, work))
    except Exception as error:
        if not facts["error"]:
            facts["error"] = {"cell": None, "kind": type(error).__name__, "why": f"{type(error).__name__}: {error}"}
            facts["status"] = "failed"
    for leftover in (*work.glob(".*.tmp"), work / ".progress.json", work / "kernel.log", work / ".device.json"):
        leftover.unlink(missing_ok=True)
    plain = json.loads(json.dumps(Redactor(secrets, places)(facts)), parse_constant=str)  # NaN is no JSON
    write_whole(work / "run.json", json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    return facts["error"]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(clock: str) -> float:
    return datetime.fromisoformat(clock).timestamp()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
