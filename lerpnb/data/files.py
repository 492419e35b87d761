"""Files of texts, read as they are: no cell is rewritten, and what cannot be read is refused with its line."""

import codecs
import csv
import io
import json
import re
from pathlib import Path

import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".json")

# Byte-order marks, the longer ones first: UTF-32's begins with UTF-16's.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark.

    Raises:
        ValueError: it is in another encoding; the line is named.
    """
    raw = file.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(split_lines(raw[: error.start].decode("latin-1")))
        raise ValueError(f"line {line}: byte 0x{raw[error.start]:02x} is no {encoding.upper()}") from error
    if "\0" in text:
        line = len(split_lines(text[: text.index("\0")]))
        raise ValueError(f"line {line}: a null character, as UTF-16 without a byte-order mark has them")
    return text


def split_lines(text: str) -> list[str]:
    r"""Lines as Unix, Windows and old Macs end them; unlike `str.splitlines`, U+2028 and the like end none.

    Example:
        >>> split_lines("a\r\nb\u2028c\n")
        ['a', 'b\u2028c', '']
    """
    return re.split(r"\r\n|\n|\r", text)


def read_table(file: Path) -> pd.DataFrame:
    """A `.csv`, `.tsv`, `.jsonl` or `.parquet` file; the index, called "line" or "row", holds the place of each row.

    Cells of a `.csv` or `.tsv` are strings, empty ones None; those of a `.jsonl`, or of a `.json` with a list of
    objects, are what JSON makes of them.

    Raises:
        OSError, ValueError: it is damaged or in another encoding.
    """
    if (suffix := file.suffix.lower()) == ".parquet":
        return number_rows(pd.read_parquet(file))
    separators = {".csv": ",", ".tsv": "\t"}
    return _csv(read_text(file), separators[suffix]) if suffix in separators else _jsonl(read_text(file))


def number_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its rows counted from 1."""
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="row"))


def _csv(text: str, separator: str = ",") -> pd.DataFrame:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header: list[str] = []
    rows, lines, line = [], [], 1
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        for row in reader:
            line, here = reader.line_num + 1, line
            if not row:
                continue
            if not header:
                header = row
                continue
            if any(row[len(header) :]):
                raise ValueError(
                    f"line {here}: {len(row)} cells under {len(header)} columns; a text with commas is in double quotes"
                )
            rows.append([cell or None for cell in row[: len(header)]] + [None] * (len(header) - len(row)))
            lines.append(here)
    except csv.Error as error:
        raise ValueError(f"line {line}: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if not header:
        raise ValueError("it is empty")
    return pd.DataFrame(rows, pd.Index(lines, name="line"), header, dtype=object)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, no key of which is given twice."""
    if len(row := dict(pairs)) < len(pairs):
        raise ValueError(f"a key is given twice: {', '.join(key for key, _ in pairs)}")
    return row


def _jsonl(text: str) -> pd.DataFrame:
    if text.lstrip().startswith("["):
        rows = json.loads(text, object_pairs_hook=_once)
        if odd := [i for i, row in enumerate(rows, 1) if not isinstance(row, dict)]:
            raise ValueError(f"row {odd[0]}: {type(rows[odd[0] - 1]).__name__}, expected an object")
        return number_rows(pd.DataFrame(rows, dtype=object))
    rows, lines = [], []
    for line, part in enumerate(split_lines(text), 1):
        if not part.strip():
            continue
        try:
            row = json.loads(part, object_pairs_hook=_once)
            if "\\u" in part:
                json.dumps(row, ensure_ascii=False).encode()  # a surrogate that stands alone is no text
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {line}: {type(row).__name__}, expected an object")
        rows.append(row)
        lines.append(line)
    if not rows:
        raise ValueError("it is empty")
    return pd.DataFrame(rows, pd.Index(lines, name="line"), dtype=object)
