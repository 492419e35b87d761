"""Adaptive sampling of a surface: what comes first, where the others go, when it ends, and what it refuses."""

import math

import numpy as np
import pytest

from lerpnb.errors import AlphaError
from lerpnb.evaluation.adaptive_2d import AdaptiveSampler2D
from lerpnb.results.interpolant import PolyharmonicSpline
from lerpnb.utils.coordinates import COARSE, lattice

WINDOW = (-1.0, 2.0, -0.5, 1.5)


def refined(surface, most=45, tol=0.0, window=WINDOW, first=()) -> AdaptiveSampler2D:
    place = AdaptiveSampler2D(window, first, most, tol)
    while asked := place.ask():
        for at in asked:
            place.tell(at, {"loss": surface(*at)})
    return place


def test_the_named_points_come_first_then_a_lattice_without_what_lies_beside_them():
    asked = AdaptiveSampler2D(WINDOW, [(0.0, 0.0), (0.5, 0.5 + 1e-9)]).ask()
    assert asked[:2] == [(0.0, 0.0), (0.5, 0.5 + 1e-9)] and len(asked) == 2 + COARSE**2 - 1
    assert {(-1.0, -0.5), (2.0, -0.5), (-1.0, 1.5), (2.0, 1.5)} <= set(asked)


@pytest.mark.slow
def test_a_kink_draws_points_to_it():
    place = refined(lambda x, y: abs(x - 0.31), most=60)
    later = np.array(list(place.measured)[COARSE**2 :])
    assert np.mean(np.abs(later[:, 0] - 0.31) < 0.4) > 1.5 * 0.8 / 3  # that strip's share of the window


@pytest.mark.slow
def test_more_points_go_through_the_same_points_and_then_on():
    wave = lambda x, y: math.sin(2 * x) * y  # noqa: E731
    few, many = refined(wave, 30), refined(wave, 40)
    assert list(many.measured)[:30] == list(few.measured) and len(many.measured) == 40


def test_it_ends_within_the_tolerance():
    place = refined(lambda x, y: math.sin(x) + y * y, most=60, tol=0.02)
    grid = np.array(lattice(WINDOW, 21))
    spline = PolyharmonicSpline(
        np.array(list(place.measured)), np.array([found["loss"] for found in place.measured.values()])
    )
    true = np.abs(spline.at(grid) - np.sin(grid[:, 0]) - grid[:, 1] ** 2).max()
    assert len(place.measured) < 60 and true <= place.error <= 0.02 and place.rms < place.error
    assert repr(place).startswith(f"{len(place.measured)} points, estimated error ")


@pytest.mark.slow
def test_all_quantities_count_and_a_nan_ends():
    place = AdaptiveSampler2D(WINDOW, max_points=50)
    while asked := place.ask():
        for x, y in asked:
            place.tell((x, y), {"flat": 1.0, "kinked": abs(x - 0.31)} if y > 0 else {"flat": math.nan})
    later = np.array(list(place.measured)[COARSE**2 :])
    assert len(later) == 25 and (later[:, 1] > -0.2).all()  # what is NaN is left alone
    assert np.mean(np.abs(later[:, 0] - 0.31) < 0.4) > 1.2 * 0.8 / 3
    nowhere = refined(lambda x, y: math.nan, most=50)
    assert len(nowhere.measured) == COARSE**2 and nowhere.error == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bowl", "smooth", "two basins"])
def test_sixty_points_show_a_smooth_surface(kind):
    from plane import MARKS, MOST, row_of, surfaces
    from plane import WINDOW as window

    for surface in surfaces(kind, 2):
        row = row_of(kind, lambda at, surface=surface: float(surface(*at)), window, MARKS, MOST)
        assert row["placed"][0] < 0.02 and row["placed"][0] < row["even, bilinear"][0] and row["points"] <= 60


def test_a_lattice_is_the_same_again_whatever_the_last_bits_are():
    assert lattice((0, 1 / 3, 0, 1e4), 9) == lattice((0, 1 / 3 + 1e-16, 1e-14, 1e4), 9)
    assert set(lattice(WINDOW, COARSE)) <= set(lattice(WINDOW, 33))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            dict(window=(2, -1, 0, 1)),
            "Adaptive(domain): got (2, -1, 0, 1), expected x from below x to, y from below y to.",
        ),
        (dict(window=(0, 1)), "Adaptive(domain): got (0, 1).\nIt takes four numbers: x from, x to, y from, y to."),
        (dict(window=(0, 1, 0, "x")), "Adaptive(domain): 'x' is not a finite number. Pass one, such as 0.5."),
        (
            dict(first=[(9.0, 0.0)]),
            "Adaptive(domain): (9, 0) lies outside of (-1, 2, -0.5, 1.5).\n"
            "It is one of the checkpoints: take a window that holds them, such as plane.window().",
        ),
        (dict(max_points=20), "Adaptive(max_points): got 20.\nIt takes a whole number, 25 or more."),
        (dict(max_points=30.5), "Adaptive(max_points): got 30.5.\nIt takes a whole number, 25 or more."),
        (dict(tol=-1), "Adaptive(tol): got -1.\nIt is an error above 0, or 0 for all max_points."),
    ],
)
def test_what_cannot_be_placed_is_said(arguments, said):
    with pytest.raises(AlphaError) as error:
        AdaptiveSampler2D(**{"window": WINDOW, **arguments})
    assert str(error.value) == said
