"""Columns of texts and of labels, out of a file or a hub data set."""

from pathlib import Path

import numpy as np
import pandas as pd

from lerpnb import assets
from lerpnb.data import files
from lerpnb.errors import CorpusError

NESTED = (list, tuple, dict, set, bytes, np.ndarray)


def read_columns(source: str | Path, texts: list[str], split: str, call: str, label: str = "") -> pd.DataFrame:
    """A file or a hub data set with these columns of texts, and one of labels; one text or label a cell.

    Raises:
        CorpusError, AssetError: as `Corpus.load` says.
    """
    frame = _read(source, split, call)
    for column in filter(None, (*texts, label)):
        if column not in frame:
            raise CorpusError(f"{call}: no column {column!r}.\nIt has: {', '.join(map(str, frame.columns))}.")
        if isinstance(frame[column], pd.DataFrame):
            raise CorpusError(f"{call}: {frame[column].shape[1]} columns are called {column!r}.\nRename all but one.")
        for place, value in frame[column].items():
            number = column != label and isinstance(value, (float, bool, np.bool_)) and value == value
            if number or isinstance(value, NESTED):
                raise CorpusError(
                    f"{call}: {frame.index.name} {place}: column {column!r} holds a {type(value).__name__}, expected "
                    "one text or one label.\nWrite a chat as one text with tokenizer.apply_chat_template(..., "
                    "tokenize=False), a number that is a text in quotes, and one label a text."
                )
    return frame


def _read(source: str | Path, split: str, call: str) -> pd.DataFrame:
    path = Path(str(source)).expanduser()
    if path.is_file() and path.suffix.lower() not in files.SUFFIXES:
        raise CorpusError(f"{call}: a file, but none of {', '.join(files.SUFFIXES)}.\nSave its texts as one of these.")
    if path.suffix.lower() in files.SUFFIXES:
        file = assets.resolve(path)
        try:
            return files.read_table(file)
        except (OSError, ValueError) as error:  # what pandas, pyarrow and the decoder raise is one of these
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise CorpusError(
                f"{call}: {file.name} cannot be read as {path.suffix[1:]}: {reason}.\n"
                "Texts are in a UTF-8 .csv with a header, a .jsonl of an object a line, or a .parquet."
            ) from error
    if not assets.hub_answers():
        raise CorpusError(
            f"{call}: no {', '.join(files.SUFFIXES)} file, and the hub does not answer.\n"
            "Give a file, or a data set's hub id where there is a network."
        )
    from datasets import load_dataset

    return files.number_rows(load_dataset(str(source), split=split).to_pandas())
