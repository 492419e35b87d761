"""The surface: values, paired intervals, slices in closed form, saving to the last bit, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from lerpnb.errors import AlphaError, CurveError
from lerpnb.results import display
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.results.surface import Surface

GRID = [(float(x), float(y)) for x in range(5) for y in range(4)]
MARKS = {"minus": [0, 0], "plus": [3, 0], "base": [2, 3]}


def height(x, y):
    return 4 + (x - 2) ** 2 + 0.5 * x * y


@pytest.fixture
def surface() -> Surface:
    points = {
        (x, y): {
            "loss/x": Measurement([height(x, y) - 1, height(x, y) + 1], unit="nats/token"),
            "strength/y": Measurement([x / 4], unit="probability", items="prompts"),
        }
        for x, y in reversed(GRID)
    }
    return Surface.from_measures(points, provenance={"marks": MARKS, "seed": 3})


def test_values_lie_at_their_points(surface):
    assert [tuple(point) for point in surface.points] == GRID and surface.quantities == ["loss/x", "strength/y"]
    assert surface.value("loss/x").tolist() == [height(x, y) for x, y in GRID]
    assert surface["loss/x"].columns.tolist() == ["x", "y", "value", "low", "high"]
    assert surface.unit("strength/y") == "probability" and surface.marks["base"] == (2.0, 3.0)


def test_intervals_are_the_curves(surface):
    curve = Curve.from_measures({0.0: {"loss/x": Measurement([height(0, 0) - 1, height(0, 0) + 1], unit="nats/token")}})
    low, high = (bound[0] for bound in curve.interval("loss/x"))
    row = surface["loss/x"].iloc[0]
    assert (row["low"], row["high"]) == (low, high) and np.isnan(surface["strength/y"].iloc[0]["low"])


def test_a_difference_keeps_the_pairing(surface):
    found = surface.difference("loss/x", "minus", (3, 0))
    assert (found.value, found.low, found.high) == (-3.0, -3.0, -3.0)


def test_a_slice_is_what_lies_on_the_way(surface):
    slice = surface.slice("minus", "plus", n=31)
    frame = slice.frame
    assert frame["distance"].tolist() == pytest.approx(np.linspace(0, 3, 31).tolist())
    assert np.allclose(frame["value"], height(frame["x"], frame["y"])) and (frame["y"] == 0).all()
    assert frame["error"].max() < 1e-6  # a bowl is met exactly
    assert slice.met["distance"].tolist() == [0, 1, 2, 3] and slice.met["value"].tolist() == [8, 5, 4, 5]
    assert repr(slice).startswith(
        "Slice of loss/x from minus to plus, 3 long: 4 measured points on it; in between by polyharmonic spline r^"
    )
    slanted = surface.slice((0, 3), (4, 0), "strength/y")
    assert slanted.frame["distance"].iloc[-1] == 5 and np.allclose(slanted.frame["value"], slanted.frame["x"] / 4)
    assert (slanted.a, slanted.b, len(slanted.met)) == ("(0, 3)", "(4, 0)", 2)


def test_it_is_saved_to_the_last_bit(surface, tmp_path):
    surface.frame.loc[0, "value"] = np.nan
    back = Surface.load(surface.save(tmp_path / "new"))
    for column in surface.frame:
        for one, other in zip(surface.frame[column], back.frame[column], strict=True):
            assert np.array_equal(one, other, equal_nan=not isinstance(one, str))
    assert back.provenance == surface.provenance and back.marks == surface.marks
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["surface.parquet", "surface_samples.parquet"]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda s: s["los/x"],
            CurveError,
            "Surface[quantity]: no quantity 'los/x'. Did you mean 'loss/x'?\nIt has: loss/x, strength/y.",
        ),
        (
            lambda s: s.slice("minus", "middle"),
            CurveError,
            "Surface.slice(a, b): no checkpoint 'middle'.\nIt has: minus, plus, base.",
        ),
        (
            lambda s: s.slice("minus", (0, 0)),
            CurveError,
            "Surface.slice(a, b): a and b are the same place, (0, 0).",
        ),
        (
            lambda s: s.slice("minus", (9, 0)),
            CurveError,
            "Surface.slice(a, b): (9, 0) lies outside of what was measured, (0, 4, 0, 3).\n"
            "Evaluate over a larger window, such as plane.window(1.0).",
        ),
        (
            lambda s: s.slice(3, "plus"),
            AlphaError,
            "Surface.slice(a, b): got 3, expected 2, in this order: x, y.",
        ),
        (
            lambda s: s.difference("loss/x", "minus", (0.5, 0)),
            CurveError,
            "Surface.difference(start, stop): nothing was measured at (0.5, 0). The nearest is (0, 0).",
        ),
        (
            lambda s: Surface.from_measures({}),
            CurveError,
            "Surface.from_measures(points): no points. Pass {(x, y): {quantity: Measurement}}.",
        ),
        (
            lambda s: Surface.from_measures({(0, 0): {"a": Measurement([1])}, (0, 1): {"a": Measurement([1, 2])}}),
            CurveError,
            "Surface.from_measures(points): 'a' has 2 texts at x 0, y 1 against 1 at x 0, y 0. "
            "Measure the same items at every x and y.",
        ),
        (
            lambda s: Surface.from_measures({(0, np.nan): {"a": Measurement([1])}}),
            AlphaError,
            "Surface.from_measures(points): nan is not a finite number. Pass one, such as 0.5.",
        ),
        (
            lambda s: Surface.from_measures({(0, 0): {"a": Measurement([1])}}, provenance={"at": {1}}),
            CurveError,
            "Surface.from_measures(provenance): Object of type set is not JSON serializable. Pass what JSON can hold.",
        ),
    ],
)
def test_what_it_refuses(surface, call, kind, said):
    with pytest.raises(kind) as error:
        call(surface)
    assert str(error.value) == said


def test_a_damaged_or_foreign_file_is_said(surface, tmp_path):
    path, again = tmp_path / "surface.parquet", "Evaluate again: finished points come from the store."
    said = [f"no file {path}. Pass the folder that Surface.save wrote."]
    with pytest.raises(CurveError) as error:
        Surface.load(tmp_path)
    assert str(error.value) == f"Surface.load(folder): {said[0]}"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(CurveError) as error:
        Surface.load(tmp_path)
    assert str(error.value) == f"Surface.load(folder): {path} is damaged: not a whole parquet file. {again}"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(CurveError) as error:
        Surface.load(tmp_path)
    assert str(error.value) == f"Surface.load(folder): {path} was not written by Surface.save. {again}"


def test_what_it_says_of_itself(surface, monkeypatch):
    monkeypatch.setattr(display, "_PLOTS", {})
    assert surface._repr_mimebundle_() == {"text/plain": repr(surface)}
    lines = repr(surface).splitlines()
    assert lines[0] == "Surface: 20 points"
    ends = "8.0 [7.0, 9.0] at minus, 5.0 [4.0, 6.0] at plus, 7.0 [6.0, 8.0] at base"
    assert lines[1] == f"  loss/x      {ends} nats/token"
    bare = Surface(surface.frame[surface.frame["quantity"] == "strength/y"])
    assert repr(bare).splitlines()[1] == "  strength/y  from 0 to 1 probability"
