"""The simplex: any number of checkpoints, each with a weight of its own."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Unpack

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.paths.base import BasePath
from lerpnb.utils.coordinates import coordinates
from lerpnb.utils.text import show


class Simplex(BasePath):
    """Any number of checkpoints, theta(w) = sum_i w_i theta_i: rewarded soups (arXiv 2306.04488).

    The coordinate is a tuple of weights, a finite number a checkpoint in their order, without unit. Nothing is ever
    renormalized: weights add up to 1, or are refused. A single 1 among zeros is that checkpoint bit for bit; a weight
    below 0 lies outside the simplex, as an alpha below 0 lies outside the line.

    Args:
        checkpoints: role -> a name (`assets.resolve`), a `Checkpoint`, or a live transformers model; two or more.
        affine: False allows weights of any sum. Those of full models then scale what they share, too.
        base, options: as for a `BasePath`.

    Raises:
        AlphaError: fewer than two checkpoints; at a coordinate, weights that are not one a checkpoint, not finite, or
            that do not add up to 1.
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.

    Example:
        >>> kind, short, odd = (tiny_llama() for _ in range(3))
        >>> simplex = Simplex({"kind": kind, "short": short, "odd": odd}, device="cpu")
        >>> simplex
        Simplex: kind, short, odd; weights add up to 1
        >>> bool((simplex.at((0, 1, 0)).lm_head.weight == short.lm_head.weight).all())
        True
        >>> simplex.at((0.5, 0.5, 0.5))
        Traceback (most recent call last):
            ...
        lerpnb.errors.AlphaError: Simplex.at(weights): 0.5, 0.5, 0.5 add up to 1.5, expected 1.
        They are never renormalized: change them, or allow any sum with Simplex(affine=False).
    """

    kind, coordinate = "simplex", "weights"

    def __init__(
        self,
        checkpoints: Mapping[str, ModelSource],
        base: ModelSource | None = None,
        *,
        affine: bool = True,
        **options: Unpack[DeviceOptions],
    ):
        if len(checkpoints) < 2:
            raise AlphaError(
                f"Simplex(checkpoints): {len(checkpoints) or 'none'}, expected two or more.\n"
                'Pass a dict of them, such as {"kind": "my/kind", "short": "my/short"}.'
            )
        self.axes = tuple(checkpoints)
        self.affine, self.start = affine, (1.0, *[0.0] * (len(checkpoints) - 1))
        super().__init__(checkpoints, base, **options)

    def checked(self, point: Sequence[float], call: str) -> tuple[float, ...]:
        weights = coordinates(point, tuple(self.checkpoints), call)
        if self.affine and abs(sum(weights) - 1) > 1e-9:
            raise AlphaError(
                f"{call}: {', '.join(map(show, weights))} add up to {show(sum(weights))}, expected 1.\n"
                "They are never renormalized: change them, or allow any sum with Simplex(affine=False)."
            )
        return weights

    def coefficients(self, point: Sequence[float]) -> tuple[float, ...]:
        """What each checkpoint is multiplied by: the weights themselves."""
        return self.checked(point, "Simplex.coefficients(weights)")

    def lattice(self, steps: int) -> list[tuple[float, ...]]:
        """All weights that are multiples of 1/steps, none below 0: an even grid over the simplex.

        Of k checkpoints there are (steps + k - 1 choose k - 1); the corners are among them.

        Raises:
            AlphaError: `steps` is not a whole number above 0.
        """
        if not isinstance(steps, int) or steps < 1:
            raise AlphaError(f"Simplex.lattice(steps): got {steps!r}, expected a whole number above 0.")
        k = len(self.checkpoints)
        bars = combinations(range(steps + k - 1), k - 1)  # each choice of k - 1 bars among as many stars
        counts = ([b - a - 1 for a, b in pairwise((-1, *chosen, steps + k - 1))] for chosen in bars)
        return sorted((tuple(n / steps for n in row) for row in counts), reverse=True)

    def __repr__(self) -> str:
        return f"Simplex: {', '.join(self.checkpoints)}; weights {'add up to 1' if self.affine else 'of any sum'}"
