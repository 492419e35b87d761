"""A folder that takes long to make is made once, and is whole or absent."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def atomic_folder(target: Path, mark: str, make: Callable[[Path], Any]) -> Path:
    """The folder `target`: found by the file `mark` in it, else written by `make` into a new one and then renamed.

    What dies leaves nothing that would be taken for the folder. Where two processes make it, the first to end wins.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "greeting"
    >>> def make(folder):
    ...     folder.mkdir()
    ...     print((folder / "text").write_text("hello"))
    >>> atomic_folder(target, "text", make) == atomic_folder(target, "text", make)
    5
    True
    """
    if (target / mark).is_file():
        return target
    work = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        make(work)
        try:
            os.replace(work, target)
        except OSError:
            if not (target / mark).is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def atomic_write(path: Path, text: str) -> None:
    """Write a text file whole or not at all, into a folder that is made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
