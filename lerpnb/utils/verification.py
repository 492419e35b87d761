"""Which stored values are computed again while `lerpnb store verify` executes a notebook, and where it is written."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lerpnb.errors import LerpError
from lerpnb.utils.atomic import disk_errors

SHARE, REPORT = "LERPNB_VERIFY_SHARE", "LERPNB_VERIFY_REPORT"  # of the kernel's environment


def is_drawn(key: Mapping[str, Any]) -> bool:
    """Whether a stored value belongs to the share that is computed again: its key's hash decides."""
    share = float(os.environ.get(SHARE, 0))
    if not share:
        return False
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "little") < share * 2**64


def write_report(compared: int, differences: Sequence[str]) -> None:
    """Add what one evaluation found."""
    if path := os.environ.get(REPORT):
        with disk_errors(LerpError, "store verify", path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"compared": compared, "differences": list(differences)}) + "\n")
