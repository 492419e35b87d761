"""Frames in parquet files: float64 to the last bit, with checksums."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lerpnb.errors import CurveError
from lerpnb.utils.environment import VERSION

FLOAT, TEXT, FLOATS = pa.float64(), pa.string(), pa.list_(pa.float64())

# What every quantity at every coordinate has; a curve, a surface puts its coordinates before them.
MEASURED = dict(quantity=TEXT, kind=TEXT, value=FLOAT, low=FLOAT, high=FLOAT, n=pa.int64(), unit=TEXT, items=TEXT)
MEASURED |= dict(transform=TEXT, item_values=FLOATS, item_weights=FLOATS)
AGAIN = "Evaluate again: finished points come from the store."


def write_frame(frame: pd.DataFrame, columns: dict[str, pa.DataType], metadata: dict, path: Path) -> None:
    """Write a frame and its metadata into one file, with a checksum over both.

    Pages have checksums of their own, which neither see a flipped bit in a column's name nor a file that was rewritten.
    """
    words = json.dumps(metadata).encode()
    digest = sha256(words + _content(frame, columns))
    schema = pa.schema(list(columns.items()), metadata={"lerpnb": words, "sha256": digest})
    arrays = [pa.array(list(frame[name]), type=kind, from_pandas=False) for name, kind in columns.items()]
    write_table(pa.Table.from_arrays(arrays, schema=schema), path)


def read_frame(path: Path, columns: dict[str, pa.DataType], call: str, writer: str) -> tuple[pd.DataFrame, dict]:
    """The frame that `write_frame` wrote, equal to the last bit, and its metadata.

    It has `columns` behind its coordinates, which may have any names; "kind" may be missing, as in files of version
    0.1. A CurveError names `call` and the `writer`: the file is missing, damaged, or not lerpnb's.
    """
    table = read_table(path, call, writer)
    words, digest = ((table.schema.metadata or {}).get(name) for name in (b"lerpnb", b"sha256"))
    names = table.schema.names
    columns = {name: kind for name, kind in columns.items() if name != "kind" or name in names}
    if words is None:
        raise CurveError(f"{call}: {path} {stranger(None, writer)}")
    try:
        metadata = json.loads(words)
        if names[-len(columns) :] != list(columns) or not isinstance(metadata, dict):
            raise CurveError(f"{call}: {path} {stranger(metadata, writer)}")
    except ValueError as error:
        raise CurveError(f"{call}: {path} is damaged: its metadata cannot be read. {AGAIN}") from error
    frame, columns = table.to_pandas(), dict.fromkeys(names[: -len(columns)], FLOAT) | columns
    if sha256(words + _content(frame, columns)).encode() != digest:
        foreign = metadata.get("version", VERSION) != VERSION
        why = stranger(metadata, writer) if foreign else f"is damaged: its checksum differs. {AGAIN}"
        raise CurveError(f"{call}: {path} {why}")
    return frame, metadata


def stranger(metadata: Any, writer: str) -> str:
    """Why a file that is whole is not read, in words."""
    other = metadata.get("version") if isinstance(metadata, dict) else None
    if other in (None, VERSION):
        return f"was not written by {writer}. {AGAIN}"
    return f"is of lerpnb {other}, whose files lerpnb {VERSION} does not read. Update lerpnb: pip install -U lerpnb."


def write_table(table: pa.Table, path: Path) -> str:
    """Write the file; its SHA-256."""
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    return sha256(path.read_bytes())


def read_table(path: Path, call: str, writer: str) -> pa.Table:
    """The table of a parquet file; a CurveError where it is missing or damaged."""
    if not path.is_file():
        raise CurveError(f"{call}: no file {path}. Pass the folder that {writer} wrote.")
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CurveError(f"{call}: {path} is damaged: not a whole parquet file. {AGAIN}") from error


def checked_json(provenance: dict, call: str) -> dict:
    """A copy through JSON; a CurveError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(provenance))
    except (TypeError, ValueError) as error:
        raise CurveError(f"{call}: {error}. Pass what JSON can hold.") from error


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _content(frame: pd.DataFrame, columns: dict[str, pa.DataType]) -> bytes:
    """All that the frame holds, bit for bit, whatever file format carries it."""
    strings = [name for name, kind in columns.items() if kind == TEXT]
    numbers = [name for name in columns if name not in strings]
    arrays = [np.concatenate([np.atleast_1d(cell) for cell in frame[name]]).tobytes() for name in numbers]
    return b"".join(arrays) + "\0".join(text for name in strings for text in frame[name]).encode()
