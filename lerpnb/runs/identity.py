"""A run's identity: its notebook, its parameters, and the content of whatever they name. It knows no torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from lerpnb.runs.inputs import contents


def fingerprint(source_hash: str, parameters: dict[str, Any], folder: Path) -> str:
    """sha256 of a notebook's source, all its parameters, and the content of each file, folder or built-in they name.

    Runs of one identity are expected to give the same numbers. What a parameter names, and which of them name results
    and so are not looked into, `files.contents` says. lerpnb's own version is no part of it: delete a run to have it
    made again.

    Args:
        source_hash: of the notebook's cells, see `runs.source_hash`.
        parameters: every one of them, defaults too.
        folder: the notebook's, in which its kernel stands.

    >>> first = fingerprint("ab", {"n": 1}, Path("."))
    >>> first == fingerprint("ab", {"n": 1}, Path(".")), first == fingerprint("ab", {"n": 2}, Path("."))
    (True, False)
    """
    whole = json.dumps([source_hash, parameters, contents(parameters, folder)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()
