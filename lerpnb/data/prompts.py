"""Prompts."""

import re
from pathlib import Path

from lerpnb import assets
from lerpnb.data.corpus import Corpus
from lerpnb.data.folds import fold
from lerpnb.errors import CorpusError


def load_prompts(n: int | None = None, source: str | Path = "data/prompts.txt") -> list[str]:
    """The first `n` openings of a text file, one a line; by default the project's own, neutral in sentiment.

    Raises:
        CorpusError: there are fewer.

    Example:
        >>> len(load_prompts(25))
        25
    """
    lines = assets.resolve(source).read_text(encoding="utf-8").splitlines()
    lines = [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]
    if n is not None and not 0 < n <= len(lines):
        raise CorpusError(f"prompts({n}): {Path(source).name} has {len(lines)}.\nAsk for 1 to {len(lines)}.")
    return lines[:n]


def prompts_from(corpus: Corpus, n: int, words: int = 4) -> list[str]:
    """Prompts out of texts: the first words of `n` of them, drawn by their `fold`, each opening once.

    Raises:
        CorpusError: there are fewer texts of more words than that with an opening of their own.

    Example:
        >>> prompts_from(Corpus(("a film that ends well", "dull"), (0, 0), ("x",), "two"), 1, words=2)
        ['a film']
    """
    longer = [text.split() for text in sorted(corpus.texts, key=fold) if len(text.split()) > words]
    found = list(dict.fromkeys(" ".join(text[:words]) for text in longer))
    if not 0 < n <= len(found):
        raise CorpusError(
            f"openings({corpus.name!r}, {n}): its texts have {len(found)} openings of {words} words.\n"
            f"Ask for 1 to {len(found)}."
        )
    return found[:n]


def tidy(text: str) -> str:
    """Mend what old data sets do to punctuation.

    Example:
        >>> tidy("rare , honest .<br /><br />it's `` good ''")
        'rare, honest. it\\'s "good"'
    """
    text = re.sub(r"(?:<br\s*/?>|\s)+", " ", text)
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r'" ([^"]*?) "', r'"\1"', text)
    text = re.sub(r"\s+([,.;:!?)\]%])", r"\1", text)
    return re.sub(r"([(\[])\s+|\s+('(?:s|re|ve|ll|d|m|t)\b|n't\b)", r"\1\2", text).strip()
