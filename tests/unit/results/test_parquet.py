"""Frames come back to the last bit. Their errors are in test_curve.py, too."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerpnb.errors import CurveError
from lerpnb.results.parquet import FLOAT, FLOATS, TEXT, checked_json, read_frame, write_frame

COLUMNS = {"at": FLOAT, "n": pa.int64(), "name": TEXT, "parts": FLOATS}
CALL = ("Thing.load(folder)", "Thing.save")


@pytest.fixture
def frame() -> pd.DataFrame:
    parts = [np.array([0.1, np.nan, -0.0]), np.array([1 / 3])]
    return pd.DataFrame({"at": [np.nextafter(1, 2), np.nan], "n": [3, 2**60], "name": ["é", ""], "parts": parts})


def test_it_comes_back_to_the_last_bit(frame, tmp_path):
    write_frame(frame, COLUMNS, {"seed": [1, None]}, tmp_path / "thing.parquet")
    back, told = read_frame(tmp_path / "thing.parquet", COLUMNS, *CALL)
    assert told == {"seed": [1, None]} and back["name"].tolist() == ["é", ""]
    assert back["n"].tolist() == [3, 2**60] and back["at"].to_numpy().tobytes() == frame["at"].to_numpy().tobytes()
    assert [part.tobytes() for part in back["parts"]] == [part.tobytes() for part in frame["parts"]]


def test_a_changed_value_or_word_is_seen(frame, tmp_path):
    path = tmp_path / "thing.parquet"
    write_frame(frame, COLUMNS, {"seed": 1}, path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, table.schema.field("n"), pa.array([4, 2**60])), path)
    said = f"Thing.load(folder): {path} is damaged: its checksum differs. "
    with pytest.raises(CurveError) as error:
        read_frame(path, COLUMNS, *CALL)
    assert str(error.value) == f"{said}Evaluate again: finished points come from the store."
    words = {**table.schema.metadata, b"lerpnb": b'{"seed": 2}'}
    pq.write_table(table.replace_schema_metadata(words), path)
    with pytest.raises(CurveError) as error:
        read_frame(path, COLUMNS, *CALL)
    assert str(error.value).startswith(said)


def test_what_json_cannot_hold_is_said():
    with pytest.raises(CurveError) as error:
        checked_json({"at": {1}}, "Thing(provenance)")
    assert (
        str(error.value) == "Thing(provenance): Object of type set is not JSON serializable. Pass what JSON can hold."
    )
