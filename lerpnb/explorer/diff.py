"""Word differences: which words of a text are not in another one."""

import difflib
import re
from collections.abc import Sequence

import numpy as np

BEFORE, AFTER, MINUS, PLUS = 1, 2, 4, 8  # what a word differs from: the neighbors on the grid, the ends


def words(text: str) -> list[str]:
    """A text as words, each with the space before it, so that joined they are the text again.

    >>> words("A slow,  lovely film")
    ['A', ' slow,', '  lovely', ' film']
    """
    return re.findall(r"\s*\S+|\s+$", text)


def changed(text: Sequence[str], other: Sequence[str]) -> list[bool]:
    """Whether each word of a text is outside what it has in common, in this order, with another.

    >>> changed(["A", " slow", " film"], ["A", " lovely", " film"])
    [False, True, False]
    """
    text, other = [word.strip() for word in text], [word.strip() for word in other]
    same = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    flags = [False] * same + [True] * (len(text) - same)
    matcher = difflib.SequenceMatcher(None, text[same:], other[same:], autojunk=False)
    for block in matcher.get_matching_blocks():
        flags[same + block.a : same + block.a + block.size] = [False] * block.size
    return flags


def word_diff(texts: Sequence[Sequence[str]], ends: tuple[int, int]) -> list[list[int]]:
    """For each word of each alpha's text, the sum of what it differs from: BEFORE, AFTER, MINUS, PLUS.

    >>> word_diff([["a"], ["a"], ["b"]], (0, 2))
    [[8], [10], [5]]
    """
    sums = []
    for i, text in enumerate(texts):
        total = np.zeros(len(text), int)
        for j, kind in ((i - 1, BEFORE), (i + 1, AFTER), (ends[0], MINUS), (ends[1], PLUS)):
            if 0 <= j < len(texts) and j != i:
                total += kind * np.array(changed(text, texts[j]), int)
        sums.append(total.tolist())
    return sums
