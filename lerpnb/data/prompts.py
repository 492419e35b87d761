"""Prompts: the beginnings of texts that a model continues."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerpnb import assets
from lerpnb.data.chat import Chat, chats
from lerpnb.data.corpus import Corpus
from lerpnb.data.files import SUFFIXES, read_table, read_text, split_lines
from lerpnb.data.folds import fold
from lerpnb.errors import CorpusError


def load_prompts(
    n: int | None = None,
    source: str | Path = "data/prompts.txt",
    *,
    column: str | None = None,
    system: str = "",
    template_arguments: Mapping[str, Any] | None = None,
    chat: bool = False,
) -> list[Any]:
    """The first `n` prompts of a file; by default the project's own, neutral in sentiment.

    Where it has fewer, it takes all and says so. Of a text file each line that is not blank is a prompt, without the
    spaces at its end. A `.csv`, `.tsv`, `.jsonl` or `.parquet` file has a prompt a row, in one column: a text,
    or a list of messages, which makes a `Chat`.

    Args:
        n: how many; None takes all.
        source: the file.
        column: of a table; None takes "messages", "prompt" or "text", the first that there is.
        system: the system's message of all; with it texts become chats.
        template_arguments: of the chat template, such as {"enable_thinking": False}; with it texts become chats.
        chat: make chats of texts: each is what the user says.

    Raises:
        CorpusError: no prompts, no such column, or the file is not in UTF-8 (or UTF-16 with a byte-order mark).
        ProbeError: messages of another form than {"role": ..., "content": a text}.

    Example:
        >>> len(load_prompts(25)), load_prompts(1, system="Answer in one sentence.")[0].messages[0]
        (25, ('system', 'Answer in one sentence.'))
    """
    if n is not None and not isinstance(n, int):
        hint = f"\nPass the file by its name: load_prompts(source={n!r})." if isinstance(n, str | Path) else ""
        raise CorpusError(f"load_prompts({n!r}): expected a number of prompts, or none for all.{hint}")
    file, call = assets.resolve(source), f"load_prompts(source={str(source)!r})"
    if column and file.suffix.lower() not in SUFFIXES:
        raise CorpusError(f"{call}: column={column!r}, but a text file has a prompt a line.\nLeave the column out.")
    prompts = _cells(file, column, call) if file.suffix.lower() in SUFFIXES else _lines(file, call)
    prompts = _first(prompts, n, f"load_prompts({'' if n is None else n})", file.name)
    if chat or system or template_arguments:
        return list(chats(prompts, system, **(template_arguments or {})))
    return prompts


def _lines(file: Path, call: str) -> list[Any]:
    try:
        return [line.rstrip(" \t") for line in split_lines(read_text(file)) if line.strip()]
    except ValueError as error:
        raise CorpusError(f"{call}: {file.name} cannot be read: {error}.\nSave it as UTF-8.") from error


def _cells(file: Path, column: str | None, call: str) -> list[Any]:
    """The prompts in a table's column: texts, and chats of messages."""
    try:
        frame = read_table(file)
    except (OSError, ValueError) as error:
        raise CorpusError(f"{call}: {file.name} cannot be read: {error}.\nSave it as UTF-8.") from error
    named = column or next((name for name in ("messages", "prompt", "text") if name in frame), "prompt")
    if named not in frame:
        raise CorpusError(f"{call}: no column {named!r}.\nIt has: {', '.join(map(str, frame.columns))}.")
    cells = [cell.tolist() if hasattr(cell, "tolist") else cell for cell in frame[named]]
    given = [
        cell for cell in cells if cell is not None and cell != "" and not (isinstance(cell, str) and cell.isspace())
    ]
    return [cell if isinstance(cell, str) else Chat.of(cell) for cell in given]


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


def _first(prompts: list[Any], n: int | None, call: str, where: str) -> list[Any]:
    if not prompts:
        raise CorpusError(f"{call}: no prompts in {where}.\nGive a file with a prompt a line, or longer texts.")
    if n is not None and n < 1:
        raise CorpusError(f"{call}: expected 1 or more prompts.\nThere are {len(prompts)} in {where}.")
    if n is not None and n > len(prompts):
        print(f"{call}: {where} has {len(prompts)} prompts, all of which are taken")
    return prompts[:n]
