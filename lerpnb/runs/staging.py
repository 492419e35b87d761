"""A run under way: the temporary folder that it is made in, beside the place that it will take."""

import json
import os
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerpnb.errors import RunError
from lerpnb.runs.spec import RunSpec
from lerpnb.utils.process import is_gone, machine, process_identity

QUIET = 900  # seconds without a change after which another machine's temporary folder is taken for abandoned
RUNNING = "running.json"  # in a temporary folder: the process that runs it, and what is known of the run


@dataclass
class Staging:
    """A run that is being made: its spec, its temporary folder, and what run.json will say."""

    spec: RunSpec
    folder: Path
    facts: dict[str, Any]
    earlier_failure: int | None = None  # the inode of NAME.failed, where it was there before this run

    @property
    def target(self) -> Path:
        """Where a run that succeeds is put."""
        return Path(self.spec.to) / self.spec.name

    @property
    def failed(self) -> Path:
        """Where a run that fails is put."""
        return self.target.with_name(f"{self.spec.name}.failed")


def stage(spec: RunSpec, facts: dict[str, Any]) -> Staging:
    """Make the temporary folder of a run.

    Raises:
        RunError: what stands in the run's place is no run, or the folder of runs cannot be written.
    """
    staging = Staging(spec, Path(), facts)
    for folder in (staging.target, staging.failed):
        if folder.exists() and not (folder / "run.json").is_file():
            raise RunError(f"{spec.call}: {folder} is there and is no run: it holds no run.json.\nChoose another name.")
    if staging.failed.exists():
        staging.earlier_failure = staging.failed.stat().st_ino
    staging.folder = staging_folder(staging.target, facts, spec.call)
    return staging


def staging_folder(folder: Path, facts: dict[str, Any], call: str) -> Path:
    """A new temporary folder beside the run's, which says whose it is."""
    work = folder.with_name(f".{folder.name}.tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.old-*"):
            if not folder.exists():  # killed between the two renames of `replace_folder`
                old.rename(folder)
        work.mkdir()
        (work / RUNNING).write_text(json.dumps({"process": process_identity(), "facts": facts}), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{call}: cannot write to {folder.parent}: {error.strerror}.") from error
    return work.resolve()


def abandoned(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The temporary folders of a run whose process is gone, each with what was known of its run."""
    left_behind = []
    for work in folder.parent.glob(f".{folder.name}.tmp-*"):
        running: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            running = dict(json.loads((work / RUNNING).read_text(encoding="utf-8")))
        process = running.get("process") or {}
        with suppress(OSError):
            quiet = time.time() - max(file.stat().st_mtime for file in (work, *work.iterdir()))
            if is_gone(process) if process.get("machine") == machine() else quiet > QUIET:
                left_behind.append((work, running.get("facts") or {}))
    return left_behind


def say(text: str) -> None:
    """Print a line on stderr; a closed terminal stops nothing."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
