"""Verifying a run: a sample of the stored values that it uses is computed again and compared."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.execution import run
from lerpnb.runs.spec import find_notebook, read_notebook, source_hash
from lerpnb.utils.verification import REPORT, SHARE


@dataclass(frozen=True)
class Verification:
    """What was found: how many stored values were computed again, and a sentence for each that differs."""

    compared: int
    differences: tuple[str, ...]


def verify(folder: str | Path, share: float = 0.1) -> Verification:
    """Execute a run's notebook again, in a temporary folder, with its parameters and the store; a share of the values
    that the store has is measured anew, texts too, and compared with it.

    Args:
        folder: a finished run of a notebook that is still as it was.
        share: of the stored measurements, above 0 and at most 1; which they are is drawn from their keys.

    Raises:
        RunError: no finished run, a notebook that has changed since, a share out of range, nothing in the store.
    """
    call, folder = f"verify({str(folder)!r})", Path(folder)
    if not 0 < share <= 1:
        raise RunError(f"{call}: share={share}.\nGive a number above 0 and at most 1.")
    facts = RunDirectory(folder.absolute().parent).facts(folder.absolute().name) or {}
    try:
        name, before, parameters = facts["notebook"]["name"], facts["notebook"]["sha256"], facts["parameters"]
    except KeyError as error:
        raise RunError(f"{call}: no finished run is there.\nGive the folder of one, such as runs/demo.") from error
    notebook = find_notebook(Path(name).stem)
    if source_hash(read_notebook(notebook)) != before:
        raise RunError(f"{call}: {name} has changed since that run.\nRun it again first.")
    with tempfile.TemporaryDirectory() as to:
        report = Path(to) / "report.jsonl"
        run(notebook, parameters, "verified", to, environment={SHARE: str(share), REPORT: str(report)})
        rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()] if report.exists() else []
    compared = sum(row["compared"] for row in rows)
    if not compared:
        raise RunError(f"{call}: the store had none of its values, or none was drawn.\nGive a larger --share.")
    return Verification(compared, tuple(text for row in rows for text in row["differences"]))
