"""A mass on springs in three dimensions: a plant to be controlled, its optimal controllers, and both as text."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lerpnb.data.corpus import Corpus
from lerpnb.errors import ArgumentError

ARROW = " ->"  # ends a prompt
NUMBER = re.compile(r"[+-]?\d+\.\d*(e[+-]?\d+)?")
Policy = Callable[[np.ndarray], np.ndarray]  # (n, 6) states to (n, 3) forces, NaN where it gives none


@dataclass(frozen=True)
class QuadraticCost:
    """J = sum over the steps t = 0 ... T - 1 of position |p_t|^2 + velocity |v_t|^2 + force |u_t|^2.

    Args:
        position, velocity, force: the diagonals of the cost matrices Q and R; position and velocity 0 or more, force
            above 0.

    Raises:
        ArgumentError: a weight out of range.

    Example:
        >>> QuadraticCost(force=3.0).force
        3.0
    """

    position: float = 1.0
    velocity: float = 1.0
    force: float = 1.0

    def __post_init__(self) -> None:
        if not (self.position >= 0 and self.velocity >= 0 and self.force > 0 and np.isfinite(self.sum)):
            raise ArgumentError(f"{self}: out of range.\nposition and velocity are 0 or more, force is above 0.")

    @property
    def sum(self) -> float:
        return self.position + self.velocity + self.force

    def of(self, rollout: "Rollout") -> np.ndarray:
        """J of each trajectory, (n,) float64; a missing force costs nothing, as none was applied."""
        p, v = np.split(rollout.states[:, :-1], 2, axis=2)
        parts = (self.position, p), (self.velocity, v), (self.force, np.nan_to_num(rollout.forces))
        return np.sum([weight * (x**2).sum((1, 2)) for weight, x in parts], axis=0)


@dataclass(frozen=True, eq=False)
class Rollout:
    """Trajectories under a policy: states (n, steps + 1, 6) in m and m/s, forces (n, steps, 3) in N, `step` in s."""

    states: np.ndarray
    forces: np.ndarray
    step: float

    def settling_times(self, share: float = 0.1) -> np.ndarray:
        """(n,) seconds from which on |p| stays at most `share` of its start; the whole duration where it does not."""
        distance = np.linalg.norm(self.states[..., :3], axis=2)
        outside = distance > share * distance[:, :1]
        last = np.where(outside.any(1), outside.shape[1] - outside[:, ::-1].argmax(1), 0)
        return np.minimum(last, self.forces.shape[1]) * self.step


@dataclass(frozen=True)
class Spring:
    """A mass-spring-damper in three dimensions, m p'' = -k p - c p' + u, its state x = (p, p') and its force u.

    With u constant during each time step the state goes on by x_{t+1} = A x_t + B u_t exactly (zero-order hold).

    Args:
        mass, stiffness, damping: m in kg, k in N/m, c in N s/m.
        step: of time, in s.

    Raises:
        ArgumentError: a mass or step that is not above 0, or another that is below.

    Example:
        >>> spring = Spring()
        >>> expert = spring.lqr(QuadraticCost(force=3.0))
        >>> rollout = spring.rollout(expert, [[1, 0, 0, 0, 0, 0]], steps=8)
        >>> rollout.states.shape, rollout.forces.shape
        ((1, 9, 6), (1, 8, 3))
        >>> spring.demonstrations(rollout.states[:, 0], expert, "frugal").texts[0]
        '+1.000 +0.000 -> +0.01004'
    """

    mass: float = 1.0
    stiffness: float = 1.0
    damping: float = 0.2
    step: float = 0.5

    def __post_init__(self) -> None:
        good = self.mass > 0 and self.step > 0 and self.stiffness >= 0 and self.damping >= 0
        if not (good and np.isfinite(self.mass + self.step + self.stiffness + self.damping)):
            raise ArgumentError(f"{self}: out of range.\nmass and step are above 0, stiffness and damping 0 or more.")

    @property
    def matrices(self) -> tuple[np.ndarray, np.ndarray]:
        """A (6, 6) and B (6, 3)."""
        from scipy.linalg import expm  # it takes half a second, and few ask for it

        continuous = np.zeros((3, 3))  # of one axis, its force held: d/dt (p, v, u)
        continuous[0, 1] = 1.0
        continuous[1] = np.array([-self.stiffness, -self.damping, 1.0]) / self.mass
        discrete = expm(continuous * self.step)
        return np.kron(discrete[:2, :2], np.eye(3)), np.kron(discrete[:2, 2:], np.eye(3))

    def lqr(self, cost: QuadraticCost) -> "LinearPolicy":
        """The linear-quadratic regulator: u = -K x, of least J over an endless time."""
        from scipy.linalg import solve_discrete_are

        (a, b), ones = self.matrices, np.eye(3)
        r = cost.force * ones
        p = solve_discrete_are(a, b, np.kron(np.diag([cost.position, cost.velocity]), ones), r)
        return LinearPolicy(np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a))

    def rollout(self, policy: Policy, starts: Any, steps: int, disturbance: float = 0.0, seed: int = 0) -> Rollout:
        """Let a policy act from each start for a number of steps.

        Args:
            policy: (n, 6) states to (n, 3) forces; where one is NaN no force acts.
            starts: (n, 6).
            disturbance: N, the standard deviation of a random force beside the policy's.
            seed: of the disturbance.
        """
        (a, b), noise = self.matrices, np.random.default_rng(seed)
        states, forces = [np.array(starts, float)], []
        for _ in range(steps):
            forces.append(np.asarray(policy(states[-1]), float))
            applied = np.nan_to_num(forces[-1]) + disturbance * noise.standard_normal(forces[-1].shape)
            states.append(states[-1] @ a.T + applied @ b.T)
        return Rollout(np.stack(states, 1), np.stack(forces, 1), self.step)

    def demonstrations(self, states: Any, policy: Policy, name: str) -> Corpus:
        """What a policy does in some states, (n, 6), as 3 n texts, one an axis: its position, velocity and force."""
        forces = np.asarray(policy(np.asarray(states, float))).ravel()
        texts = [f"{prompt} {four_digits(u)}" for prompt, u in zip(state_prompts(states), forces, strict=True)]
        return Corpus(tuple(texts), (0,) * len(texts), (name,), name)


@dataclass(frozen=True, eq=False)
class LinearPolicy:
    """u = -K x: (n, 6) states to (n, 3) forces, with the gain K, (3, 6)."""

    gain: np.ndarray

    def __call__(self, states: np.ndarray) -> np.ndarray:
        return -np.asarray(states, float) @ self.gain.T


def four_digits(number: float) -> str:
    """A number with its sign and four significant digits: +0.5000, -12.34.

    >>> four_digits(0.5), four_digits(-12.341), four_digits(0.01234), four_digits(-0.0)
    ('+0.5000', '-12.34', '+0.01234', '+0.000')
    """
    return f"{number + 0.0:+#.4g}"


def parsed(text: str) -> float:
    """The number that a text is, with a decimal point and nothing beside it but spaces; NaN for any other text.

    >>> parsed(" -0.5120"), parsed("+1.2.3"), parsed("left")
    (-0.512, nan, nan)
    """
    return float(text) if NUMBER.fullmatch(text.strip()) else float("nan")


def state_prompts(states: Any) -> list[str]:
    """A prompt for each axis of each state, (n, 6): 3 n texts, each of a position and a velocity.

    >>> state_prompts([[1, 2, 3, 0.1, 0.2, 0.3]])[:2]
    ['+1.000 +0.1000 ->', '+2.000 +0.2000 ->']
    """
    p, v = np.split(np.asarray(states, float), 2, axis=1)
    return [f"{four_digits(x)} {four_digits(y)}{ARROW}" for x, y in zip(p.ravel(), v.ravel(), strict=True)]
