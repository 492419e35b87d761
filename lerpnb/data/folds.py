"""The fold of a text, a hash of its letters, and the splits that are made by it."""

import hashlib
import re

from lerpnb.errors import CorpusError

# Ranges of `fold(text)`: what trained the adapters, what trained the classifier, what is evaluated.
SPLITS = {"adapters": (0.0, 0.52), "scorer": (0.52, 0.84), "held-out": (0.84, 1.0)}


def fold(text: str) -> float:
    """A number in [0, 1) that depends on the text's letters and digits alone, so that near copies share a split.

    Example:
        >>> fold("A fine film.") == fold("a fine film !")
        True
    """
    letters = re.sub(r"[\W_]+", "", text.lower())
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:8], "big") / 2**64


def split_range(split: str) -> tuple[float, float]:
    """The folds of a split, from the first on and below the second.

    Raises:
        CorpusError: no such split.
    """
    if split not in SPLITS:
        raise CorpusError(f"split {split!r}: no such split.\nIt is one of: {', '.join(SPLITS)}.")
    return SPLITS[split]
