"""The folder of a run: its name, the temporary folder it is made in, and how it takes its place."""

import json
import os
import re
import socket
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from lerpnb.errors import RunError

KEPT = 900  # seconds of quiet after which another machine's temporary folder is taken for abandoned


RUNNING = "running.json"  # in a temporary folder: whose it is, and what is known of its run


def run_folder(name: str, to: Path, call: str) -> Path:
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


def staging_folder(folder: Path, facts: dict, call: str) -> Path:
    """A new temporary folder beside the run's, which tells whose it is."""
    work = folder.with_name(f".{folder.name}.tmp-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.old-*"):
            if not folder.exists():  # killed between the two renames of `replace_folder`
                old.rename(folder)
        work.mkdir()
        told = {"machine": _machine(), "pid": os.getpid(), "born": psutil.Process().create_time(), "facts": facts}
        (work / RUNNING).write_text(json.dumps(told), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{call}: cannot write to {folder.parent}: {error.strerror}.") from error
    return work.resolve()


def abandoned(folder: Path) -> list[tuple[Path, dict]]:
    """The temporary folders of a run whose process is gone, each with what was known of its run."""
    found = []
    for left in folder.parent.glob(f".{folder.name}.tmp-*"):
        told = {}
        with suppress(OSError, ValueError):
            told = dict(json.loads((left / RUNNING).read_text(encoding="utf-8")))
        with suppress(OSError):
            quiet = time.time() - max(file.stat().st_mtime for file in (left, *left.iterdir()))
            if not _lives(told) if told.get("machine") == _machine() else quiet > KEPT:
                found.append((left, told.get("facts") or {}))
    return found


def say(text: str) -> None:
    """A line on stderr, which a closed terminal does not stop."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _machine() -> str:
    """What tells whether a process number means the same here: the host, its start, and its space of numbers."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(told)


def _lives(told: dict) -> bool:
    try:
        return abs(psutil.Process(told["pid"]).create_time() - told["born"]) < 2
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
