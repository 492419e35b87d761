"""Pairs of a source and a target text, as a sequence-to-sequence model reads and writes them, and their tokens."""

import re
from collections.abc import Iterable, Sequence


def halves(text: str) -> tuple[str, str]:
    """A text before and after the space that is nearest to its middle; a text without a space has no second half.

    Example:
        >>> halves("a story told well"), halves("dull")
        (('a story', 'told well'), ('dull', ''))
    """
    spaces = [found.start() for found in re.finditer(r"\s+", text.strip())]
    if not spaces:
        return text.strip(), ""
    cut = min(spaces, key=lambda place: abs(place - len(text.strip()) / 2))
    return text.strip()[:cut].rstrip(), text.strip()[cut:].lstrip()


def ended(tokenizer, texts: Iterable[str], max_length: int) -> list[list[int]]:
    """The token ids of each text, at most `max_length` with the end-of-text token that closes each."""
    ids, end = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"], tokenizer.eos_token_id
    return [row if row[-1:] == [end] else [*row[: max_length - 1], end] for row in ids]


def filled(rows: Sequence[list[int]], fill: int) -> list[list[int]]:
    """The rows, filled on the right to the length of the longest.

    Example:
        >>> filled([[1, 2], [3]], 0)
        [[1, 2], [3, 0]]
    """
    longest = max(map(len, rows))
    return [[*row, *[fill] * (longest - len(row))] for row in rows]
