"""The mass on springs: its motion and its experts against independent computations, its texts there and back."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lerpnb.data.spring import QuadraticCost, Rollout, Spring, four_digits, parsed, state_prompts
from lerpnb.errors import ArgumentError

SPRING = Spring(mass=2.0, stiffness=3.0, damping=0.4, step=0.3)
COST = QuadraticCost(position=10.0, velocity=1.0, force=0.1)
STARTS = np.random.default_rng(0).uniform(-1, 1, (5, 6))


def test_a_step_is_the_differential_equation_solved():
    force = np.array([0.5, -1.0, 2.0])

    def motion(_, x):
        return [*x[3:], *((force - 3.0 * x[:3] - 0.4 * x[3:]) / 2.0)]

    expected = solve_ivp(motion, (0, 0.3), STARTS[0], rtol=1e-10, atol=1e-12).y[:, -1]
    found = SPRING.rollout(lambda states: np.tile(force, (len(states), 1)), STARTS[:1], 1).states[0, 1]
    assert np.allclose(found, expected, atol=1e-8)


def riccati(cost: QuadraticCost) -> tuple[np.ndarray, np.ndarray]:
    """P and K of one axis, by going backwards over 500 steps."""
    a, b = (matrix[::3, ::3] for matrix in SPRING.matrices)
    q = p = np.diag([cost.position, cost.velocity])
    for _ in range(500):
        gain = (b.T @ p @ a) / (cost.force + b.T @ p @ b)
        p = q + a.T @ p @ (a - b @ gain)
    return p, gain


@pytest.mark.parametrize("cost", [COST, QuadraticCost(force=3.0)])
def test_the_regulator_is_the_riccati_recursions(cost):
    p, gain = riccati(cost)
    policy = SPRING.lqr(cost)
    assert np.allclose(policy.gain, np.kron(gain, np.eye(3)), atol=1e-9)  # each axis by itself
    long = SPRING.rollout(policy, STARTS, 400)
    expected = np.einsum("ni,ij,nj->n", STARTS, np.kron(p, np.eye(3)), STARTS)
    assert np.allclose(cost.of(long), expected, rtol=1e-9)


@pytest.mark.slow
def test_no_other_gain_costs_less():
    policy = SPRING.lqr(COST)
    best, draw = COST.of(SPRING.rollout(policy, STARTS, 200)), np.random.default_rng(1)
    for _ in range(20):
        gain = policy.gain + 0.1 * draw.standard_normal(policy.gain.shape)
        assert (COST.of(SPRING.rollout(lambda x, k=gain: -x @ k.T, STARTS, 200)) > best).all()


def test_a_missing_force_is_none():
    nothing = SPRING.rollout(lambda x: np.full((len(x), 3), np.nan), STARTS, 4)
    free = SPRING.rollout(lambda x: np.zeros((len(x), 3)), STARTS, 4)
    assert np.array_equal(nothing.states, free.states) and np.isnan(nothing.forces).all()
    assert np.array_equal(COST.of(nothing), COST.of(free))


def test_a_disturbance_repeats_and_has_its_size():
    zero = np.zeros((2000, 6))
    one, two = (SPRING.rollout(lambda x: x[:, :3] * 0, zero, 1, 0.5, seed=3).states for _ in "ab")
    assert np.array_equal(one, two)
    assert one[:, 1, 3:].std() == pytest.approx(0.5 * SPRING.matrices[1][3, 0], rel=0.05)


def test_settling_is_the_last_time_that_it_comes_within():
    distances = np.array([[1, 0.05, 0.5, 0.1, 0.0], [1, 1, 1, 1, 1], [1, 0.1, 0.1, 0.1, 0.1], [1, 0, 0, 0, 0.2]])
    states = np.zeros((4, 5, 6))
    states[..., 0] = distances
    found = Rollout(states, np.zeros((4, 4, 3)), step=0.5).settling_times(0.1)
    assert found.tolist() == [1.5, 2.0, 0.5, 2.0]


@pytest.mark.parametrize("number", [0.0, 0.012341, -12.3456, 1.0, 0.00001234, -987.65])
def test_a_number_comes_back_to_four_digits(number):
    text = four_digits(number)
    assert text[0] in "+-" and parsed(f" {text}") == pytest.approx(number, rel=5e-4)


@pytest.mark.parametrize("text", ["", "1", "-1.2.3", "1.2 3.4", "nan", "inf", "+1.2x", "1,5", "--1.0"])
def test_what_is_no_number_is_nan(text):
    assert np.isnan(parsed(text))


def test_demonstrations_are_the_policys_forces():
    policy = SPRING.lqr(COST)
    corpus = SPRING.demonstrations(STARTS, policy, "fast")
    assert len(corpus) == 15 and corpus.label_names == ("fast",)
    for text, prompt, force in zip(corpus.texts, state_prompts(STARTS), policy(STARTS).ravel(), strict=True):
        before, _, after = text.rpartition("->")
        assert before + "->" == prompt and parsed(after) == pytest.approx(force, rel=5e-4)
    assert [float(x) for x in state_prompts(STARTS)[4].split()[:2]] == pytest.approx(STARTS[1, [1, 4]], rel=5e-4)


@pytest.mark.parametrize("wrong", [dict(mass=0.0), dict(step=-1.0), dict(damping=-0.1), dict(stiffness=np.nan)])
def test_an_impossible_spring_is_refused(wrong):
    with pytest.raises(ArgumentError, match="above 0"):
        Spring(**wrong)


def test_an_impossible_cost_is_refused():
    with pytest.raises(ArgumentError, match="force is above 0"):
        QuadraticCost(force=0.0)
