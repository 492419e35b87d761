"""Pairs of a source and a target text, as a sequence-to-sequence model reads and writes them, and their tokens."""

import re
from collections.abc import Iterable, Iterator, Sequence

import torch

ENOUGH = 128  # tokens; a smaller batch is not ended for its padding


def token_batches(
    tokenizer, texts: tuple[str, ...], max_tokens: int, max_length: int
) -> Iterator[tuple[list[int], list]]:
    """Groups of token lists sorted by length, each group at most `max_tokens` when padded to its longest.

    A group of `ENOUGH` tokens ends sooner where more than an eighth of it would be padding, as dear as text.

    Yields:
        The texts' places and their token ids. Longest first, so that what does not fit in memory fails at once.
    """
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    start = 0
    while start < len(order):
        longest = max(1, len(ids[order[start]]))
        group, tokens = [], 0
        for i in order[start:]:
            padded = longest * (len(group) + 1)
            sparse = tokens >= ENOUGH and tokens + len(ids[i]) < 7 / 8 * padded
            if group and (padded > max_tokens or sparse):
                break
            group.append(i)
            tokens += len(ids[i])
        yield group, [ids[i] for i in group]
        start += len(group)


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


def pad(ids: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists as one (texts, longest) int64 tensor filled with 0 on the right, and their lengths (texts,)."""
    longest = max(map(len, ids))
    rows = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids], device=device)
    return rows, torch.tensor([len(row) for row in ids], device=device)
