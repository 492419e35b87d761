"""SHA-256 of files, kept between processes: the hash of a checkpoint of many gigabytes is taken once."""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from lerpnb.utils.atomic import write_whole
from lerpnb.utils.environment import cache_dir

LARGE = 2**24  # bytes; a smaller file is hashed as fast as a note about it is read
SETTLED = 2.0  # seconds; a younger file may be written to again before its clock ticks
_known: dict[tuple, str] = {}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    That of a file of 16 MiB or more is noted in `cache_dir()/hashes`, under its path, size, inode and the times of its
    last change of content and of state (the second cannot be set back), and taken anew where one of them differs.

    Raises:
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> file_sha256(path)[:8]
        'e3b0c442'
    """
    path = path.resolve()
    state = _state(path)
    if (found := _known.get(state) or _noted(state)) is None:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - max(state[3:]) / 1e9 < SETTLED or _state(path) != state:
            return found
        if state[1] >= LARGE:
            with suppress(OSError):  # a note less
                (note := _note(state)).parent.mkdir(parents=True, exist_ok=True)
                write_whole(note, json.dumps({"file": state, "sha256": found}))
    _known[state] = found
    return found


def _state(path: Path) -> tuple[str, int, int, int, int]:
    """What tells one content of a file from another: path, size, inode, and two times in nanoseconds."""
    found = os.stat(path)
    return str(path), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _note(state: tuple) -> Path:
    return cache_dir() / "hashes" / f"{hashlib.sha256(state[0].encode(errors='surrogateescape')).hexdigest()[:32]}.json"


def _noted(state: tuple) -> str | None:
    """The hash in a file's note, where that is of this very state."""
    if state[1] < LARGE:
        return None
    with suppress(OSError, ValueError, TypeError, KeyError):
        note = json.loads(_note(state).read_text(encoding="utf-8"))
        if note["file"] == list(state) and len(bytes.fromhex(note["sha256"])) == 32:
            return note["sha256"]
    return None
