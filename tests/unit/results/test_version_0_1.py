"""Files that version 0.1 wrote: without kinds of quantities, and surfaces without samples."""

import numpy as np
import pandas as pd
import pytest

from lerpnb.errors import CurveError
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.results.parquet import FLOAT, MEASURED, sha256, write_frame
from lerpnb.results.quantity import Quantity
from lerpnb.results.surface import Surface

COLUMNS = {name: kind for name, kind in MEASURED.items() if name != "kind"}


def test_a_curve_is_read_and_its_kinds_are_found(tmp_path):
    points = {a: {"loss/x": Measurement([a, a + 1], unit="nats/token"), "words": Measurement([a])} for a in (0.0, 1.0)}
    curve = Curve.from_measures(points, provenance={"seed": 1})
    folder = curve.save(tmp_path / "old")
    old = curve.frame.drop(columns="kind")
    told = {"samples": sha256((folder / "samples.parquet").read_bytes()), "provenance": curve.provenance}
    write_frame(old, {"alpha": FLOAT} | COLUMNS, told, folder / "curve.parquet")
    back = Curve.load(folder)
    pd.testing.assert_frame_equal(back.frame, curve.frame)
    assert back.of_kind("loss") == ["loss/x"] and back.provenance == {"seed": 1}
    assert back.quantity("loss/x") == Quantity("loss", "x", "nats/token", lower_is_better=True)
    assert back.quantity("words") == Quantity("words", "")


def test_a_surface_is_read_without_samples(tmp_path):
    surface = Surface.from_measures({(x, 0.0): {"loss/x": Measurement([x])} for x in (0.0, 1.0)})
    old = surface.frame.drop(columns="kind")
    write_frame(old, {"x": FLOAT, "y": FLOAT} | COLUMNS, {"provenance": {}}, tmp_path / "surface.parquet")
    back = Surface.load(tmp_path)
    pd.testing.assert_frame_equal(back.frame, surface.frame)
    assert not len(back.samples)


def test_a_crossing_is_refused_in_one_sentence(tmp_path):
    pd.DataFrame({"mood": [0.0]}).to_parquet(tmp_path / "crossing.parquet")
    with pytest.raises(CurveError) as error:
        Surface.load(tmp_path)
    assert str(error.value) == (
        f"Surface.load(folder): {tmp_path / 'crossing.parquet'} is a crossing of version 0.1, which has no items: "
        "evaluate the MultiLine again."
    )


def test_a_kind_stands_above_the_name():
    curve = Curve.from_measures(
        {0.0: {"my own": Measurement([1.0, 2.0], kind="loss")}, 1.0: {"my own": Measurement([1.0, 2.0], kind="loss")}}
    )
    assert curve.quantity("my own") == Quantity("loss", "my own", lower_is_better=True)
    assert list(curve.summary()) == ["barrier/my own"] and np.isfinite(curve.barrier("my own").value)
