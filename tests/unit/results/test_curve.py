"""curve.py and what it stands on: alpha, measure, bootstrap, barrier, samples. Values in closed form."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerpnb.errors import AlphaError, CurveError
from lerpnb.results import display
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
AGAIN = "Evaluate again: finished points come from the store."


def curve_of(values: dict[float, list[float]], name: str = "loss/x", **kind: str) -> Curve:
    return Curve.from_measures(
        {alpha: {name: Measurement(items, unit="nats/token", **kind)} for alpha, items in values.items()}
    )


def parabola(height: float, rise: float, grid=GRID) -> Curve:
    """Items 4 h a (1 - a) + d a + offset: the offset is the item's own, the shape is shared."""
    return curve_of({a: [4 * height * a * (1 - a) + rise * a + offset for offset in (0.0, 3.0, 8.0)] for a in grid})


def sampled(texts: dict[float, list[str]], draws: int = 1) -> pd.DataFrame:
    rows = [
        dict(alpha=a, prompt_id=i // draws, draw=i % draws, prompt=f"p{i // draws}", continuation=text, n_tokens=1)
        for a, row in texts.items()
        for i, text in enumerate(row)
    ]
    return pd.DataFrame(rows)


def with_samples(texts: dict[float, list[str]], draws: int = 1) -> Curve:
    return Curve.from_measures({a: {"loss/x": Measurement([1.0])} for a in texts}, sampled(texts, draws))


# Measure


def test_a_measure_is_a_weighted_mean():
    assert Measurement([1.0, 4.0], [2, 1]).value() == 2.0
    assert Measurement([1.0, 4.0]).value() == 2.5
    assert Measurement(3.0).value() == 3.0
    assert Measurement([0.0, 2.0], transform="exp").value() == math.e


def test_nan_stays_nan_and_weight_zero_leaves_out():
    assert math.isnan(Measurement([1.0, math.nan]).value())
    assert Measurement([1.0, math.nan], [1, 0]).value() == 1.0
    assert math.isnan(Measurement([1.0, 2.0], [0, 0]).value())
    assert math.isnan(Measurement([]).value())


def test_a_measure_keeps_its_own_copy():
    given = np.array([1.0, 2.0])
    measure = Measurement(given)
    given[0] = 9.0
    assert measure.value() == 1.5


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (dict(values=["a"]), "Measurement(values, weights): not numbers. Pass one float an item."),
        (dict(values=[[1.0]]), "Measurement(values): shape (1, 1), expected (n_items,). Pass one float an item."),
        (
            dict(values=[1.0, 2.0], weights=[1.0]),
            "Measurement(weights): shape (1,) against values (2,). Pass one weight an item.",
        ),
        (
            dict(values=[1.0, 2.0], weights=[1.0, -2.0]),
            "Measurement(weights): -2 among them. A weight is finite and >= 0; 0 leaves an item out.",
        ),
        (dict(values=[1.0], transform="log"), "Measurement(transform): 'log', expected '' or 'exp'."),
    ],
)
def test_a_measure_refuses(given, text):
    with pytest.raises(CurveError) as error:
        Measurement(**given)
    assert str(error.value) == text


# intervals


def test_two_items_have_a_known_bootstrap():
    # the mean of two draws from {0, 1} is 0, 1/2, 1 with probability 1/4, 1/2, 1/4
    assert curve_of({0.0: [0.0, 1.0]})["loss/x"].values.tolist() == [[0.0, 0.5, 0.0, 1.0]]


def test_equal_items_have_an_interval_of_no_width_and_one_item_has_none():
    assert curve_of({0.0: [0.25] * 5})["loss/x"].values.tolist() == [[0.0, 0.25, 0.25, 0.25]]
    row = curve_of({0.0: [0.25]})["loss/x"]
    assert row["value"].tolist() == [0.25] and row["low"].isna().all() and row["high"].isna().all()


def test_an_interval_is_as_wide_as_normal_theory_says():
    items = np.random.default_rng(1).normal(size=400)
    low, high = curve_of({0.0: list(items)}).interval("loss/x")
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * items.std() / 20, rel=0.1)
    assert low[0] < items.mean() < high[0]


def test_items_without_weight_change_nothing():
    measure = Measurement([0.0, 1.0, 7.0, math.nan], [1, 1, 0, 0])
    curve = Curve.from_measures({0.0: {"perplexity/continuations": measure}})
    assert curve.value("perplexity/continuations").tolist() == [0.5]
    assert curve.frame["n"].tolist() == [2]
    assert [ends[0] for ends in curve.interval("perplexity/continuations")] == [0.0, 1.0]


def test_exp_is_taken_after_the_mean():
    curve = curve_of({0.0: [0.0, 1.0]}, transform="exp")
    assert curve["loss/x"].values[0] == pytest.approx([0.0, math.exp(0.5), 1.0, math.e])


def test_a_rise_is_paired():
    wide = [0.0, 100.0, 1000.0]
    curve = curve_of({0.0: wide, 1.0: [v + 1 for v in wide]})
    assert curve.difference("loss/x") == Estimate(1.0, 1.0, 1.0)
    low, high = curve.interval("loss/x")
    assert (high - low > 500).all()
    assert curve_of({0.0: [5.0, 9.0], 1.0: [5.0, 10.0]}).difference("loss/x") == Estimate(0.5, 0.0, 1.0)


def test_a_rise_finds_an_alpha_up_to_rounding():
    curve = curve_of({0.1 + 0.2: [1.0, 1.0], 1.0: [3.0, 3.0]})
    assert curve.difference("loss/x", start=0.3) == Estimate(2.0, 2.0, 2.0)
    with pytest.raises(CurveError) as error:
        curve.difference("loss/x", start=0.31)
    assert str(error.value) == "Curve.difference(start, stop): nothing at alpha 0.31. The nearest is 0.3."


@pytest.mark.slow
def test_spearman_by_hand():
    assert curve_of({a: [a**3, a**3] for a in (-1.0, 0.5, 2.0)}).spearman("loss/x") == Estimate(1.0, 1.0, 1.0)
    assert curve_of({a: [-a, -a] for a in (-1.0, 0.5, 2.0)}).spearman("loss/x").value == -1.0
    tied = curve_of({0.0: [1.0, 1.0], 1.0: [1.0, 1.0], 2.0: [2.0, 2.0]}).spearman("loss/x")
    assert tied.value == pytest.approx(math.sqrt(3) / 2)  # ranks 1.5, 1.5, 3 against 1, 2, 3
    assert math.isnan(curve_of({0.0: [1.0, 1.0], 1.0: [1.0, 1.0]}).spearman("loss/x").value)
    assert math.isnan(curve_of({0.0: [1.0, 1.0]}).spearman("loss/x").value)


# barriers


def test_the_barrier_of_a_parabola():
    barrier = parabola(height=1, rise=2).barrier("loss/x")
    assert (barrier.value, barrier.low, barrier.high, barrier.alpha) == pytest.approx((1, 1, 1, 0.5))
    # values over the first end: 0, 1.25, 2, 2.25, 2; the ends' mean is 1
    assert (barrier.frankle, barrier.frankle_low, barrier.frankle_high) == pytest.approx((1.25, 1.25, 1.25))
    assert barrier.gaps["alpha"].tolist() == [0.25, 0.5, 0.75]
    assert barrier.gaps["gap"].tolist() == pytest.approx([0.75, 1, 0.75])
    assert barrier.gaps["low"].tolist() == pytest.approx([0.75, 1, 0.75])


def test_under_the_chord_the_barrier_is_zero_and_the_gap_negative():
    barrier = parabola(height=-1, rise=2).barrier("loss/x")
    assert (barrier.value, barrier.low, barrier.high, barrier.alpha) == (0.0, 0.0, 0.0, 0.0)
    assert barrier.gaps["gap"].tolist() == pytest.approx([-0.75, -1, -0.75])
    assert barrier.frankle == pytest.approx(1.0)  # the higher end is 1 above the ends' mean


def test_what_lies_beyond_the_ends_is_no_barrier():
    barrier = parabola(height=-1, rise=0, grid=(-1.0, *GRID, 2.0)).barrier("loss/x")
    assert barrier.value == 0.0 and barrier.gaps["alpha"].tolist() == [0.25, 0.5, 0.75]


def test_two_points_have_a_chord_and_no_gap():
    barrier = parabola(height=1, rise=2, grid=(0.0, 1.0)).barrier("loss/x")
    assert barrier.value == 0.0 and len(barrier.gaps) == 0
    assert barrier.finding == "nothing was measured between the ends: cannot tell" in repr(barrier)


def test_a_barrier_reads_well():
    barrier = parabola(height=1, rise=2).barrier("loss/x")
    assert repr(barrier) == (
        "Barrier of loss/x on [0, 1]\n"
        "  in words                       goes above the chord by 1 at alpha 0.5: a barrier\n"
        "  above the chord (Entezari)     1 [1, 1] nats/token, at alpha 0.5\n"
        "  above the ends' mean (Frankle) 1.25 [1.25, 1.25] nats/token\n"
        "  largest signed gap inside      1 [1, 1] nats/token, at alpha 0.5"
    )
    below = parabola(height=-1, rise=2, grid=(0.0, 0.5, 1.0)).barrier("loss/x")
    assert below.finding == "stays at least 1 below the chord at every inner alpha measured: no barrier"
    assert "0 [0, 0] nats/token, at alpha" not in repr(below)
    page = curve_of({a: [a, a] for a in GRID}, name="loss/<b>").barrier("loss/<b>")._repr_html_()
    assert "<caption>Barrier of loss/&lt;b&gt; on [0, 1]</caption>" in page and "<b>" not in page


@pytest.mark.parametrize(("grid", "named"), [((0.0, 0.5), "1"), ((-1e-17, 0.5, 1.0), "0"), ((0.5,), "0 and 1")])
def test_a_barrier_needs_both_ends_exactly(grid, named):
    with pytest.raises(CurveError) as error:
        parabola(1, 0, grid).barrier("loss/x")
    assert str(error.value) == (
        f"Curve.barrier('loss/x'): not measured at alpha {named} exactly; a chord needs both ends.\n"
        "Evaluate over alpha_grid(lo, hi, n), which holds 0 and 1 exactly."
    )


# NaN


@pytest.mark.slow
def test_a_nan_stays_and_is_named():
    curve = curve_of({0.0: [1.0, 2.0], 0.5: [1.0, math.nan], 1.0: [1.0, 2.0]})
    assert np.isnan(curve.value("loss/x")).tolist() == [False, True, False]
    assert np.isnan(curve.interval("loss/x")[0]).tolist() == [False, True, False]
    assert curve.nan_points() == [(0.5, "loss/x")]
    assert curve.difference("loss/x") == Estimate(0.0, 0.0, 0.0)
    assert math.isnan(curve.spearman("loss/x").value)
    assert curve.to_frame().isna().sum().tolist() == [1]
    assert repr(curve).splitlines()[-1] == "  NaN: loss/x at alpha 0.5"
    barrier = curve.barrier("loss/x")
    numbers = (barrier.alpha, barrier.value, barrier.low, barrier.high)
    assert all(map(math.isnan, (*numbers, barrier.frankle, barrier.frankle_low, barrier.frankle_high)))
    assert barrier.nan_alphas == (0.5,)
    assert repr(barrier).splitlines()[1:] == [
        "  unknown                        loss/x is no finite number at alpha 0.5"
    ]


def test_a_nan_beyond_the_ends_leaves_the_barrier_known():
    curve = curve_of({0.0: [1.0, 2.0], 1.0: [1.0, 2.0], 2.0: [1.0, math.nan]})
    assert curve.barrier("loss/x").value == 0.0


def test_infinity_is_a_value_without_interval():
    curve = curve_of({0.0: [1.0, math.inf], 1.0: [1.0, 1.0]})
    assert curve.value("loss/x").tolist() == [math.inf, 1.0]
    assert np.isnan(curve.interval("loss/x")[1]).tolist() == [True, False]
    assert curve_of({0.0: [1.0], 0.5: [math.inf], 1.0: [1.0]}).barrier("loss/x").value == math.inf
    at_an_end = curve_of({0.0: [math.inf], 0.5: [1.0], 1.0: [1.0]}).barrier("loss/x")
    assert math.isnan(at_an_end.value)
    assert repr(at_an_end).endswith("loss/x is no finite number at alpha 0")


# building, asking


def test_points_are_sorted_and_a_missing_quantity_is_a_gap():
    points = {
        1.0: {"a": Measurement([1.0]), "b": Measurement([5.0])},
        -1.0: {"a": Measurement([3.0])},
        -0.0: {"a": Measurement([2.0])},
    }
    curve = Curve.from_measures(points)
    assert curve.alphas.tolist() == [-1.0, 0.0, 1.0] and not np.signbit(curve.alphas[1])
    assert curve.quantities == ["a", "b"]
    assert curve.value("a").tolist() == [3.0, 2.0, 1.0]
    assert np.isnan(curve.value("b")).tolist() == [True, True, False]
    assert curve["b"]["alpha"].tolist() == [1.0] and curve.nan_points() == []
    assert curve.to_frame().columns.tolist() == ["a", "b"]


def test_the_summary_gives_both_ends():
    assert repr(parabola(1, 2, grid=(-1.0, 0.0, 1.0))) == (
        "Curve: 3 alphas from -1 to 1, 0 samples\n  loss/x  3.7 [0.0, 8.0] at 0, 5.7 [2.0, 10.0] at 1 nats/token"
    )
    assert repr(curve_of({0.5: [1.0]})).endswith("\n  loss/x  from 1 to 1 nats/token")


def test_an_unknown_quantity_is_told_with_the_nearest():
    curve = Curve.from_measures(
        {0.0: {name: Measurement([1.0]) for name in ("loss/negative", "loss/positive", "x", "y")}}
    )
    with pytest.raises(CurveError) as error:
        curve["loss/negativ"]
    assert str(error.value) == (
        "Curve[quantity]: no quantity 'loss/negativ'. Did you mean 'loss/negative'?\n"
        "It has: loss/negative, loss/positive, x and 1 more."
    )


@pytest.mark.parametrize(
    ("points", "kind", "text"),
    [
        ({}, CurveError, "Curve.from_measures(points): no points. Pass {alpha: {quantity: Measurement}}."),
        (
            {math.nan: {"a": Measurement([1.0])}},
            AlphaError,
            "Curve.from_measures(points): nan is not a finite number. Pass one, such as 0.5.",
        ),
        (
            {"half": {"a": Measurement([1.0])}},
            AlphaError,
            "Curve.from_measures(points): 'half' is not a finite number. Pass one, such as 0.5.",
        ),
        (
            {0.0: {"a": Measurement([1.0, 2.0])}, 0.5: {"a": Measurement([1.0])}},
            CurveError,
            "Curve.from_measures(points): 'a' has 1 texts at alpha 0.5 against 2 at alpha 0. "
            "Measure the same items at every alpha.",
        ),
        (
            {0.0: {"a": Measurement([1.0], unit="nats")}, 0.5: {"a": Measurement([1.0], unit="bits")}},
            CurveError,
            "Curve.from_measures(points): 'a' has unit 'bits' at alpha 0.5 against 'nats' at alpha 0. "
            "Give it another name.",
        ),
    ],
)
def test_a_curve_refuses_points(points, kind, text):
    with pytest.raises(kind) as error:
        Curve.from_measures(points)
    assert str(error.value) == text


def test_provenance_must_be_json():
    with pytest.raises(CurveError) as error:
        Curve.from_measures({0.0: {"a": Measurement([1.0])}}, provenance={"dtype": {1}})
    assert str(error.value) == (
        "Curve.from_measures(provenance): Object of type set is not JSON serializable. Pass what JSON can hold."
    )


# samples


def test_same_texts_counts_pairs():
    curve = with_samples({0.0: ["a", "b", "c", "d"], 0.1 + 0.2: ["a", "b", "x", "d"], 1.0: ["a"]}, draws=2)
    assert curve.same_texts(0, 0.3) == 0.75
    assert curve.same_texts(0.3, 1) == 1.0  # only the pairs sampled at both


def test_side_by_side_takes_the_first_draw():
    curve = with_samples({a: [f"{a}-{i}" for i in range(4)] for a in (-1.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0)}, draws=2)
    table = curve.side_by_side(n=2)
    assert table.columns.tolist() == [-1.0, 0.0, 0.5, 1.0, 2.0]
    assert table.index.tolist() == ["p0", "p1"]
    assert table.loc["p1"].tolist() == ["-1.0-2", "0.0-2", "0.5-2", "1.0-2", "2.0-2"]
    assert curve.side_by_side(n=1, alphas=[0.25]).values.tolist() == [["0.25-0"]]


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (
            lambda: curve_of({0.0: [1.0]}).same_texts(0, 1),
            "Curve.same_texts(a, b): the curve has no samples. Evaluate an AttributeStrength probe.",
        ),
        (
            lambda: curve_of({0.0: [1.0]}).side_by_side(),
            "Curve.side_by_side(alphas): the curve has no samples. Evaluate an AttributeStrength probe.",
        ),
        (
            lambda: with_samples({0.0: ["a"], 1.0: ["b"]}).same_texts(0, 0.5),
            "Curve.same_texts(a, b): nothing at alpha 0.5. The nearest is 0.",
        ),
        (
            lambda: Curve.from_measures(
                {0.0: {"a": Measurement([1.0])}},
                pd.concat([sampled({0.0: ["a"]}), sampled({1.0: ["a"]}).assign(prompt_id=7)]),
            ).same_texts(0, 1),
            "Curve.same_texts(a, b): no (prompt, draw) was sampled at both 0 and 1. Use the same prompts at both.",
        ),
        (
            lambda: Curve.from_measures({0.0: {"a": Measurement([1.0])}}, pd.DataFrame({"alpha": [0.0], "draw": [0]})),
            "Curve(samples): no column prompt_id, prompt, continuation and 1 more. "
            "Samples need alpha, prompt_id, draw, prompt, continuation, n_tokens.",
        ),
    ],
)
def test_samples_refuse(ask, text):
    with pytest.raises(CurveError) as error:
        ask()
    assert str(error.value) == text


# files


@pytest.fixture
def odd() -> Curve:
    """Values that a careless format would change."""
    points = {
        a: {
            "loss/x": Measurement([0.1 + 0.2, -0.0, 5e-324, math.pi * a], [1, 2, 3, 4], "nats/token"),
            "strength/y": Measurement([math.nan, math.inf], unit="probability", items="prompts"),
        }
        for a in (0.1 + 0.2, -1 / 3, 0.0)
    }
    samples = sampled({0.0: ["caf\u00e9 \n\u202e", ""]}).assign(**{"strength/y": [math.nan, 1 / 3]})
    return Curve.from_measures(points, samples, {"seed": 7, "ends": ["a", "b"], "nested": {"x": None, "y": 0.1}})


def test_a_saved_curve_comes_back_bit_for_bit(odd, tmp_path):
    back = Curve.load(odd.save(tmp_path / "new" / "run"))
    for name in ("alpha", "value", "low", "high"):
        assert back.frame[name].to_numpy().tobytes() == odd.frame[name].to_numpy().tobytes()
    for name in ("item_values", "item_weights"):
        assert [a.tobytes() for a in back.frame[name]] == [a.tobytes() for a in odd.frame[name]]
    pd.testing.assert_frame_equal(back.frame, odd.frame)
    pd.testing.assert_frame_equal(back.samples, odd.samples)
    assert back.provenance == odd.provenance
    assert back.alphas.tolist() == [-1 / 3, 0.0, 0.1 + 0.2]


def test_a_curve_without_samples_comes_back(tmp_path):
    curve = parabola(1, 2)
    back = Curve.load(curve.save(tmp_path))
    pd.testing.assert_frame_equal(back.samples, curve.samples)
    assert back.barrier("loss/x").value == curve.barrier("loss/x").value


def test_a_failed_save_leaves_the_old_files(odd, tmp_path, monkeypatch):
    odd.save(tmp_path)
    monkeypatch.setattr(pq, "write_table", lambda *args, **settings: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        parabola(1, 2).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.parquet", "samples.parquet"]
    assert Curve.load(tmp_path).quantities == ["loss/x", "strength/y"]


def load_error(folder) -> str:
    with pytest.raises(CurveError) as error:
        Curve.load(folder)
    return str(error.value)


def test_a_missing_file_is_told(odd, tmp_path):
    path = tmp_path / "curve.parquet"
    assert load_error(tmp_path) == f"Curve.load(folder): no file {path}. Pass the folder that Curve.save wrote."


def test_a_truncated_file_is_told(odd, tmp_path):
    path = odd.save(tmp_path) / "curve.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert load_error(tmp_path) == f"Curve.load(folder): {path} is damaged: not a whole parquet file. {AGAIN}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curve.parquet", "samples.parquet"])
def test_no_flipped_byte_passes_unseen(odd, tmp_path, name):
    path = odd.save(tmp_path) / name
    whole = path.read_bytes()
    refused = 0
    for position in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            back = Curve.load(tmp_path)
        except CurveError as error:
            assert str(path) in str(error)
            refused += 1
        else:  # a byte that nobody reads, such as a column's statistics
            pd.testing.assert_frame_equal(back.frame, odd.frame, check_exact=True)
            assert back.provenance == odd.provenance
    assert refused > 100


def test_other_parquet_is_refused(odd, tmp_path):
    path = odd.save(tmp_path) / "curve.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert load_error(tmp_path) == f"Curve.load(folder): {path} was not written by Curve.save. {AGAIN}"


def test_changed_numbers_are_refused(odd, tmp_path):
    path = odd.save(tmp_path) / "curve.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, table.schema.field("value"), pa.array([0.0] * len(table))), path)
    assert load_error(tmp_path) == f"Curve.load(folder): {path} is damaged: its checksum differs. {AGAIN}"


def test_files_of_two_curves_are_refused(odd, tmp_path):
    odd.save(tmp_path / "a")
    with_samples({0.0: ["other"]}).save(tmp_path / "b")
    beside = tmp_path / "a" / "samples.parquet"
    beside.write_bytes((tmp_path / "b" / "samples.parquet").read_bytes())
    assert load_error(tmp_path / "a") == (
        f"Curve.load(folder): {beside} is damaged, or was not saved with curve.parquet. {AGAIN}"
    )


def test_without_plots_a_curve_shows_text(monkeypatch):
    monkeypatch.setattr(display, "_PLOTS", {})
    curve = parabola(1, 2)
    assert curve._repr_mimebundle_() == {"text/plain": repr(curve)}
