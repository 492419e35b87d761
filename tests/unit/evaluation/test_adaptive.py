"""Placement: the estimated error covers the true one, few points, NaN, what stops it, and what it refuses."""

import math

import numpy as np
import pytest

from lerpnb.errors import AlphaError
from lerpnb.evaluation.adaptive import LARGEST, START, AdaptiveSampler1D, estimated_errors, interpolate, parts
from lerpnb.results.measurement import Measurement

GRID = np.linspace(-1, 2, 601)


def placed(function, tol=0.003, max_points=60, lo=-1.0, hi=2.0) -> AdaptiveSampler1D:
    place = AdaptiveSampler1D(lo, hi, tol, max_points)
    while alphas := place.ask():
        for alpha in alphas:
            place.tell(alpha, [np.atleast_1d(function(alpha))])
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quadratic", "smooth", "kinked", "bump", "barrier"])
@pytest.mark.parametrize("tol", [0.01, 0.001])
def test_the_estimated_error_covers_the_true_one(kind, tol):
    from adaptive import curves

    for curve in curves(kind, 6):
        place = placed(lambda alpha, curve=curve: curve(np.float64(alpha)), tol, 121)
        true = np.abs(place.at(GRID)[0] - curve(GRID)).max()
        assert true <= place.error + 1e-12 and place.error <= tol and place.reached


def test_a_polynomial_is_known_from_the_first_points():
    place = placed(lambda x: 3 * x**3 - x + 1)
    assert place.alphas.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0] and place.error < 1e-12
    assert np.allclose(place.at(GRID)[0], 3 * GRID**3 - GRID + 1, atol=1e-12)


def test_a_kink_takes_fewer_points_than_an_even_grid_and_they_lie_beside_it():
    place = placed(lambda x: abs(x - 2**0.5), 0.001)
    assert place.reached and len(place.alphas) < 30
    assert np.sum(np.abs(place.alphas - 2**0.5) < 0.1) > len(place.alphas) / 3


def test_a_jump_of_one_text_is_seen_where_the_mean_hides_it():
    """Two texts jump against each other: the mean is flat, and only the texts tell that it need not stay so."""

    def texts(x):
        step = 0.5 * (x > 0.3)
        return np.array([1 + step, 1 - step]) / 2

    assert len(placed(lambda x: texts(x).sum(), 0.01).alphas) == START
    assert len(placed(texts, 0.01, 30).alphas) > START


def test_a_step_is_said_not_to_be_reached():
    place = placed(lambda x: float(x > 1 / 3), 0.01, max_points=20)
    assert len(place.alphas) == 20 and not place.reached and place.error == pytest.approx(1, abs=0.5)
    assert repr(place).startswith("20 alphas, estimated error ") and repr(place).endswith(
        ": the tolerance of 0.01 is not reached"
    )
    narrow = placed(lambda x: float(x > 1 / 3), 0.01, max_points=500)
    assert len(narrow.alphas) < 100 and not narrow.reached  # no interval is split without end


@pytest.mark.parametrize("hole", [lambda x: 1.2 <= x, lambda x: x == 0.5, lambda x: x < 0, lambda x: True])
def test_a_nan_stays_and_ends(hole):
    place = placed(lambda x: math.nan if hole(x) else x**2 + abs(x - 0.3), 0.003, max_points=200)
    assert len(place.alphas) < 100
    beside = place.at([0.5, 1.9])
    assert np.isnan(beside[0][1]) == (hole(1.9) or hole(2.0)) and np.isnan(beside[0][0]) == hole(0.5)


def test_all_quantities_are_known_to_the_tolerance():
    place = AdaptiveSampler1D(-1, 2, 0.003, 60)
    while alphas := place.ask(3):  # several at once
        for alpha in alphas:
            place.tell(alpha, [[alpha**2], [abs(alpha - 0.2), alpha]])
    flat, kinked = place.at(GRID)
    assert np.abs(flat - GRID**2).max() < 0.003 and np.abs(kinked - abs(GRID - 0.2) - GRID).max() < 0.003


@pytest.mark.parametrize(
    ("lo", "hi", "first"),
    [(-1, 2, [0.0, 1.0, -1.0, 2.0]), (0, 1, [0.0, 1.0]), (0.2, 0.8, [0.2, 0.8]), (-3, 0.5, [0.0, -3.0, 0.5])],
)
def test_the_ends_come_first_and_exactly(lo, hi, first):
    asked = AdaptiveSampler1D(lo, hi, 0.01).ask(99)
    assert asked[: len(first)] == first and len(asked) == START == len(set(asked))
    assert min(asked) == lo and max(asked) == hi


def test_it_does_not_depend_on_the_order_in_which_it_is_told():
    place = placed(lambda x: abs(x - 0.2))
    other = AdaptiveSampler1D(-1, 2, 0.003, 60)
    for alpha in np.random.default_rng(0).permutation(place.alphas):
        other.tell(alpha, [[abs(alpha - 0.2)]])
    assert other.error == place.error and other.ask() == []


def test_no_more_than_most():
    place = AdaptiveSampler1D(-1, 2, 1e-9, max_points=9)
    while alphas := place.ask(5):
        for alpha in alphas:
            place.tell(alpha, [[math.exp(alpha)]])
    assert len(place.alphas) == 9 and not place.reached


def test_the_jump_that_is_believed_is_the_one_that_was_made():
    alphas = np.arange(-4.0, 5.0)
    errors, windows = estimated_errors(alphas, 2.5 * (alphas[:, None] > 0.5))
    assert errors[4] == pytest.approx(2.5) and errors[[0, 1, 2, 6, 7]].max() < 1e-12
    assert (windows[:, 1] <= LARGEST).all()
    assert interpolate(alphas, alphas[:, None] ** 2, np.array([0.5, 3.5])).tolist() == pytest.approx([0.25, 12.25])
    assert interpolate(alphas[:1], alphas[:1, None], alphas[:1]).tolist() == [-4.0]


def test_parts_add_up_to_the_value():
    measure = Measurement([1.0, 4.0, math.nan], weights=[2, 1, 0])
    assert parts(measure).tolist() == [2 / 3, 4 / 3, 0.0] and parts(measure).sum() == measure.value()
    assert parts(Measurement([0.0], transform="exp")).tolist() == [1.0]
    assert np.isnan(parts(Measurement([1.0], weights=[0]))).all() and np.isnan(
        parts(Measurement([1.0, math.nan])).sum()
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2, -1, 0.01), "Adaptive(domain=(2, -1)): expected the lower alpha first."),
        ((0, "x", 0.01), "Adaptive(domain): 'x' is not a finite number. Pass one, such as 0.5."),
        ((0, 1, 0), "Adaptive(tol): got 0.\nIt is an error above 0, such as 0.003 nats a token."),
        ((0, 1, math.nan), "Adaptive(tol): nan is not a finite number. Pass one, such as 0.5."),
        ((0, 1, 0.1, 6), "Adaptive(max_points): got 6.\nIt takes a whole number, 7 or more."),
        ((0, 1, 0.1, "many"), "Adaptive(max_points): got 'many'.\nIt takes a whole number, 7 or more."),
        ((0, 1, 0.1, 8.5), "Adaptive(max_points): got 8.5.\nIt takes a whole number, 7 or more."),
    ],
)
def test_what_cannot_be_placed_is_said(arguments, said):
    with pytest.raises(AlphaError) as error:
        AdaptiveSampler1D(*arguments)
    assert str(error.value) == said
