"""Prompts: the beginnings of texts that a model continues."""

from pathlib import Path

from lerpnb import assets
from lerpnb.data.corpus import Corpus
from lerpnb.data.files import SUFFIXES, read_text, split_lines
from lerpnb.data.folds import fold
from lerpnb.errors import CorpusError


def load_prompts(n: int | None = None, source: str | Path = "data/prompts.txt") -> list[str]:
    """The first `n` prompts of a text file, one a line; by default the project's own, neutral in sentiment.

    Where it has fewer, it takes all and says so. A line that is not blank is a prompt, without the spaces at its end.
    Tables and JSON are not read.

    Raises:
        CorpusError: the file is a table or JSON, has none, or is not in UTF-8 (or UTF-16 with a byte-order mark).

    Example:
        >>> len(load_prompts(25))
        25
    """
    if n is not None and not isinstance(n, int):
        hint = f"\nPass the file by its name: load_prompts(source={n!r})." if isinstance(n, str | Path) else ""
        raise CorpusError(f"load_prompts({n!r}): expected a number of prompts, or none for all.{hint}")
    file = assets.resolve(source)
    if file.suffix.lower() in SUFFIXES:
        raise CorpusError(
            f"load_prompts(source={str(source)!r}): a {file.suffix} file, expected text with a prompt per line.\n"
            "Save the prompts as .txt, or take the first words of its texts: prompts_from(Corpus.load(...), n)."
        )
    try:
        prompts = [line.rstrip(" \t") for line in split_lines(read_text(file)) if line.strip()]
    except ValueError as error:
        raise CorpusError(
            f"load_prompts(source={str(source)!r}): {file.name} cannot be read: {error}.\nSave it as UTF-8."
        ) from error
    return _first(prompts, n, f"load_prompts({'' if n is None else n})", file.name)


def prompts_from(corpus: Corpus, n: int, words: int = 4) -> list[str]:
    """Prompts out of texts: the first words of `n` of them, drawn by their `fold`, each prompt once.

    Args:
        corpus: the texts; those of `words` words or fewer are left out.
        n: how many prompts.
        words: of each prompt.

    Raises:
        CorpusError: the texts have none so long. Fewer different ones than `n` are all taken, which is said.

    Example:
        >>> prompts_from(Corpus(("a film that ends well", "dull"), (0, 0), ("x",), "two"), 1, words=2)
        ['a film']
    """
    longer = [text.split() for text in sorted(corpus.texts, key=fold) if len(text.split()) > words]
    prompts = list(dict.fromkeys(" ".join(text[:words]) for text in longer))
    return _first(prompts, n, f"prompts_from({corpus.name!r}, {n})", f"the first {words} words of its texts")


def _first(prompts: list[str], n: int | None, call: str, where: str) -> list[str]:
    if not prompts:
        raise CorpusError(f"{call}: no prompts in {where}.\nGive a file with a prompt a line, or longer texts.")
    if n is not None and n < 1:
        raise CorpusError(f"{call}: expected 1 or more prompts.\nThere are {len(prompts)} in {where}.")
    if n is not None and n > len(prompts):
        print(f"{call}: {where} has {len(prompts)} prompts, all of which are taken")
    return prompts[:n]
