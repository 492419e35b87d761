"""The spline: bowls met exactly, the error believed covers the true one, closed forms against leaving out, NaN."""

import numpy as np
import pytest

from lerpnb.results import interpolant
from lerpnb.results.interpolant import PolyharmonicSpline, interpolation

DRAW = np.random.default_rng(0)
POINTS, PLACES = DRAW.uniform(-1, 2, (40, 2)), DRAW.uniform(-0.8, 1.8, (500, 2))


def bowl(p: np.ndarray) -> np.ndarray:
    return 3 + p[:, 0] ** 2 - 0.5 * p[:, 0] * p[:, 1] + 2 * p[:, 1] ** 2 - p[:, 0]


def test_a_bowl_is_met_exactly_and_said_to_be():
    for points in (POINTS, POINTS[:7], 1000 * POINTS + 5):
        found, scale = PolyharmonicSpline(points, bowl(points)), np.abs(bowl(points)).max()
        assert np.abs(found.at(points) - bowl(points)).max() < 1e-9 * scale
        inside = points.mean(0) + 0.1 * (PLACES - 0.5) * np.ptp(points, axis=0)
        assert np.abs(found.at(inside) - bowl(inside)).max() < 1e-8 * scale
        assert found.error(inside).max() < 1e-6 * scale


@pytest.mark.parametrize(
    "surface",
    [
        lambda p: np.sin(2 * p[:, 0]) * np.cos(p[:, 1]),
        lambda p: np.exp(-(p**2).sum(1) / 0.3),
        lambda p: np.abs(p[:, 0] - 0.3 * p[:, 1]),
    ],
    ids=["waves", "bump", "kink"],
)
def test_the_error_believed_covers_the_true_one(surface):
    grid = np.stack([a.ravel() for a in np.meshgrid(np.linspace(-1, 2, 8), np.linspace(-1, 2, 8))], 1)
    found = PolyharmonicSpline(grid, surface(grid))
    true = np.abs(found.at(PLACES) - surface(PLACES))
    assert (true <= found.error(PLACES)).mean() > 0.85
    assert found.error(PLACES).max() < 10 * true.max()  # nor is just anything believed


def test_the_values_are_met_and_sure_where_they_were_measured():
    values = np.abs(POINTS[:, 0])
    found = PolyharmonicSpline(POINTS, values)
    assert np.allclose(found.at(POINTS), values, atol=1e-9) and (found.error(POINTS) == 0).all()


def test_roughness_is_what_leaving_a_point_out_tells(monkeypatch):
    monkeypatch.setattr(interpolant, "POWERS", (3,))
    values = np.sin(3 * POINTS[:, 0]) + POINTS[:, 1] ** 3
    whole = PolyharmonicSpline(POINTS, values)
    inner = [i for i in range(len(POINTS)) if not np.isin(POINTS[i], [POINTS.min(0), POINTS.max(0)]).any()]
    for i in inner[:6]:
        rest = np.arange(len(POINTS)) != i
        other = PolyharmonicSpline(POINTS[rest], values[rest])
        basis = other._basis(POINTS[i : i + 1])
        power = np.sqrt(np.abs(basis @ other._inverse @ basis.T)).item()
        missed = abs(values[i] - other.at(POINTS[i : i + 1]).item())
        assert whole._rough[i] == pytest.approx(missed / power, rel=1e-6)


def test_a_kink_takes_a_rougher_spline_than_a_wave():
    assert (
        PolyharmonicSpline(POINTS, np.abs(POINTS[:, 0] - 0.3)).power
        < PolyharmonicSpline(POINTS, np.sin(POINTS[:, 0])).power
    )
    told = interpolation(PolyharmonicSpline(POINTS, np.sin(POINTS[:, 0])))
    assert told == "polyharmonic spline r^5 with a polynomial of degree 2"


def test_a_nan_blanks_what_lies_nearest_and_nothing_else():
    points = np.array([(x, y) for x in range(5) for y in range(5)], dtype=float)
    values = np.where((points == (2, 2)).all(1), np.nan, bowl(points))
    found = PolyharmonicSpline(points, values)
    assert np.isnan(found.at([[2, 2], [2.3, 1.8]])).all() and np.isnan(found.error([[2.3, 1.8]])).all()
    beside = np.array([[2.6, 2.0], [0.4, 0.3]])
    assert np.allclose(found.at(beside), bowl(beside))
    assert np.isfinite(found.error(beside)).tolist() == [False, True]  # beside a NaN it is not judged
    nothing = PolyharmonicSpline(points, np.full(25, np.nan))
    assert np.isnan(nothing.at(beside)).all() and np.isnan(nothing.error(beside)).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_of_too_few_points_the_error_is_not_known(n):
    points = np.array([(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)], dtype=float)[:n]  # all on one line
    found = PolyharmonicSpline(points, 2.0 + points[:, 0])
    assert np.allclose(found.at(points), 2.0 + points[:, 0])
    assert n > 1 or found.error([[0.5, 0.5]])[0] == np.inf


def test_values_that_are_all_nan_have_a_spline_of_nan():
    spline = PolyharmonicSpline(np.random.default_rng(0).random((8, 2)), np.full(8, np.nan))
    assert np.isnan(spline.at([[0.5, 0.5]])).all() and "through 0 points" in repr(spline)


@pytest.mark.parametrize("n", [4, 8, 30])
@pytest.mark.parametrize("surface", [lambda x, y: x * x + 3 * y, lambda x, y: np.abs(x - 0.3) + y, np.hypot])
def test_values_are_those_of_scipy(surface, n):
    from scipy.interpolate import RBFInterpolator

    points = np.random.default_rng(n).uniform(-1, 2, (n, 2))
    values = surface(*points.T)
    spline = PolyharmonicSpline(points, values)
    kernel = {1: "linear", 3: "cubic", 5: "quintic"}[spline.power]
    places = np.random.default_rng(0).uniform(-1, 2, (50, 2))
    wanted = RBFInterpolator(points, values, kernel=kernel, degree=spline._degree)(places)
    assert spline.at(places) == pytest.approx(wanted, rel=1e-7, abs=1e-7)
