"""Recording a result: into the run's folder during a batch run, else into one of this notebook and kernel."""

import copy
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from lerpnb.errors import RunError
from lerpnb.project import output_path, timed_name
from lerpnb.results.curve import Curve
from lerpnb.results.surface import Surface
from lerpnb.runs.redaction import Redactor, hidden, secrets_in
from lerpnb.utils.atomic import disk_errors, refuse_links, write_whole
from lerpnb.utils.environment import RUN_DIR


def record(curve: Curve | Surface, to: str | Path | None = None) -> Path:
    """Keep a result: in a batch run in its run folder, else in `to`. Returns the folder, absolute.

    By default `to` is runs/NOTEBOOK-TIME in the project, with the time at which the kernel was started, and it has a
    run.json, so that `lerpnb ls` and `compare_runs` find it. Without JupyterLab to name the notebook it is called live.

    Raises:
        RunError, CurveError: the disk is full, or the folder cannot be written.

    >>> import tempfile
    >>> from lerpnb.results.measurement import Measurement
    >>> folder = record(Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}}), tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['curve.parquet', 'samples.parquet']
    """
    redactor, folder = Redactor(secrets_in(os.environ)), recording_folder(to)
    redacted = copy.copy(curve)
    redacted.provenance = redactor(curve.provenance)
    redacted.frame, redacted.samples = (_redacted(frame, redactor) for frame in (curve.frame, curve.samples))
    with disk_errors(RunError, "record(curve)", folder):
        if RUN_DIR in os.environ:
            refuse_links(folder)
        redacted.save(folder)
        if not to and RUN_DIR not in os.environ:
            write_whole(folder / "run.json", json.dumps(redactor(_facts(folder.name, curve)), indent=2) + "\n")
    return folder


def recording_folder(to: str | Path | None = None) -> Path:
    """Where `record` keeps a result."""
    if folder := os.environ.get(RUN_DIR):
        return Path(folder)
    return (output_path(to) if to else output_path("runs") / timed_name(_notebook(), _started())).absolute()


def _redacted(frame: pd.DataFrame, redactor: Redactor) -> pd.DataFrame:
    texts = [column for column in frame if all(isinstance(cell, str) for cell in frame[column])]
    return frame.assign(**{column: frame[column].map(redactor) for column in texts}).rename(columns=redactor)


def _facts(name: str, curve: Curve | Surface) -> dict[str, Any]:
    """The run.json of a live notebook: its parameters are the annotated names of its cells."""
    live = sys.modules["__main__"]
    parameters = {key: getattr(live, key, None) for key in getattr(live, "__annotations__", {})}
    plain = {key: value for key, value in parameters.items() if isinstance(value, str | int | float | list | dict)}
    started = datetime.fromtimestamp(_started(), UTC)
    return {
        "status": "live",
        "name": name,
        "notebook": {"name": f"{_notebook()}.ipynb"},
        "parameters": hidden(json.loads(json.dumps(plain, default=str))),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        "summary": curve.summary() if isinstance(curve, Curve) else {},
    }


def _notebook() -> str:
    """The name of the notebook that this kernel serves, as Jupyter Server and VS Code give it."""
    path = str(os.environ.get("JPY_SESSION_NAME") or getattr(sys.modules["__main__"], "__vsc_ipynb_file__", ""))
    return Path(path).stem if path.endswith(".ipynb") else "live"


def _started() -> float:
    return psutil.Process().create_time()
