"""A run under way: the temporary folder that it is made in, beside the place that it will take."""

import json
import os
import re
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerpnb.errors import RunError
from lerpnb.runs.spec import RunSpec
from lerpnb.utils.atomic import drop_folder, temporary_beside, write_whole
from lerpnb.utils.process import is_gone, machine, process_identity

QUIET = 900  # seconds without a change after which another machine's temporary folder is taken for abandoned
RUNNING = "running.json"  # in a temporary folder as long as it is one: the process that runs it, what is known of it


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
        if folder.is_symlink():
            raise RunError(f"{spec.call}: {folder} is a link to elsewhere.\nRemove the link, or choose another name.")
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
        for old in _beside(folder, "old-[0-9a-f]+"):
            if not folder.exists():  # killed between the two renames of `replace_folder`
                old.rename(folder)
        with temporary_beside(folder, Path.mkdir) as new:
            write_whole(new / RUNNING, json.dumps({"process": process_identity(), "facts": facts}))
            os.replace(new, work)
    except OSError as error:
        raise RunError(f"{call}: cannot write to {folder.parent}: {error.strerror}.") from error
    return work.resolve()


def abandoned(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The temporary folders of a run whose process is gone, each with what is readable of its run's facts."""
    left_behind = []
    for work in _beside(folder, r"tmp-\d+-[0-9a-f]+"):
        running = _read(work / RUNNING)
        if running is None and "" < _finished(work) <= _finished(folder):
            with suppress(OSError):
                drop_folder(work, folder)  # an earlier run, which the one that is there has replaced
            continue
        parts = [running.get(key) if isinstance(running, dict) else None for key in ("process", "facts")]
        process, facts = (part if isinstance(part, dict) else {} for part in parts)
        with suppress(OSError):
            quiet = time.time() - max(file.stat().st_mtime for file in (work, *work.iterdir()))
            if is_gone(process) if process.get("machine") == machine() else quiet > QUIET:
                left_behind.append((work, facts))
    return left_behind


def _read(file: Path) -> Any:
    """What a JSON file holds; None where there is none, or a damaged one."""
    with suppress(OSError, ValueError):
        return json.loads(file.read_text(encoding="utf-8"))
    return None


def _finished(folder: Path) -> str:
    """When a run ended, as its run.json says; "" where there is no such run."""
    facts = _read(folder / "run.json")
    return str(facts.get("finished", "")) if isinstance(facts, dict) else ""


def _beside(folder: Path, ending: str) -> list[Path]:
    """The hidden folders of this very run: `v1` has no part in those of a run called `v1.old-2`."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.{ending}")
    return [path for path in folder.parent.resolve().glob(".*") if name.fullmatch(path.name) and not path.is_symlink()]


def say(text: str) -> None:
    """Print a line on stderr; a closed terminal stops nothing."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)
