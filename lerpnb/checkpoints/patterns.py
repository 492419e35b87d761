"""The regular expressions of an adapter: one that backtracks without end is refused before peft uses it."""

import json
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from lerpnb.errors import CheckpointError

FIELDS = ("target_modules", "exclude_modules", "layers_pattern", "rank_pattern", "alpha_pattern")
# In a process of its own: nothing else can end Python's `re` in the middle of a match.
TRY = """
import json, re, sys
patterns, names, seconds = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
except ImportError:
    pass
for pattern in patterns:
    try:
        for name in names:
            re.fullmatch(pattern, name)
            re.match(rf"(.*\\.)?({pattern})$", name)
    except re.error:
        pass
"""
SECONDS = 1  # of work that all patterns may take on all names
PATIENCE = 60  # seconds on a machine that is busy, or has no limit on work


def refuse_endless_patterns(config: Any, names: Iterable[str], call: str) -> None:
    """Match an adapter's regular expressions with the base's modules as peft will.

    Raises:
        CheckpointError: that takes longer than a second of work.
    """
    found = {field: _texts(getattr(config, field, None)) for field in FIELDS}
    patterns = [text for texts in found.values() for text in texts if not text.replace("_", "").isalnum()]
    if not patterns:  # plain names, or "all-linear" alone
        return
    try:
        question = json.dumps([patterns, list(names), SECONDS])
        command = [sys.executable, "-I", "-S", "-c", TRY]
        done = subprocess.run(command, input=question, text=True, capture_output=True, timeout=PATIENCE).returncode == 0
    except subprocess.TimeoutExpired:
        done = False
    if not done:
        fields = ", ".join(field for field, texts in found.items() if set(texts) & set(patterns))
        raise CheckpointError(
            f"{call}: a regular expression of adapter_config.json ({fields}) takes more than {SECONDS} s.\n"
            "Name the modules in a list instead."
        )


def _texts(value: Any) -> list[str]:
    """What of a field peft takes for a regular expression: a text, or the keys of a mapping."""
    if isinstance(value, str):
        return [] if value == "all-linear" else [value]
    return [key for key in value if isinstance(key, str)] if isinstance(value, dict) else []
