"""The simplex: any number of checkpoints, each with a weight of its own."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AlphaError
from lerpnb.paths.base import BasePath
from lerpnb.utils.coordinates import coordinates
from lerpnb.utils.text import show


class Simplex(BasePath):
    """Any number of checkpoints, theta(w) = sum_i w_i theta_i: rewarded soups (arXiv 2306.04488).

    The coordinate is a tuple of weights, a finite number a checkpoint in their order, without unit. Nothing is ever
    renormalised: weights add up to 1, or are refused. A single 1 among zeros is that checkpoint bit for bit; a weight
    below 0 lies outside the simplex, as an alpha below 0 lies outside the line.

    Args:
        named: role -> a name (`assets.resolve`), a `Checkpoint`, or a live transformers model; two or more.
        base: the pre-trained model that all share; left out, the base that all adapters share, else none.
        affine: False allows weights of any sum. Those of full models then scale what they share, too.
        device, dtype, ends_device, device_map: as of `BasePath`.

    Raises:
        AlphaError: fewer than two checkpoints; at a coordinate, weights that are not one a checkpoint, not finite, or
            that do not add up to 1.
        AssetError, CheckpointError, MismatchError: as `load_all` says, before any long work.

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
        They are never renormalised: change them, or allow any sum with Simplex(affine=False).
    """

    kind, coordinate = "simplex", "weights"

    def __init__(
        self,
        named: Mapping[str, str | Path | Checkpoint | nn.Module],
        base: str | Path | Checkpoint | nn.Module | None = None,
        *,
        affine: bool = True,
        device: str = "auto",
        dtype: str = "float32",
        ends_device: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
    ):
        if len(named) < 2:
            raise AlphaError(
                f"Simplex(named): {len(named)} checkpoint{'s' * (len(named) != 1)}, expected two or more.\n"
                'Pass a dict of them, such as {"kind": "my/kind", "short": "my/short"}.'
            )
        self.affine, self.start = affine, (1.0, *[0.0] * (len(named) - 1))
        super().__init__(named, base, device=device, dtype=dtype, ends_device=ends_device, device_map=device_map)

    def checked(self, at: Sequence[float], call: str) -> tuple[float, ...]:
        weights = coordinates(at, tuple(self.checkpoints), call)
        if self.affine and abs(sum(weights) - 1) > 1e-9:
            raise AlphaError(
                f"{call}: {', '.join(map(show, weights))} add up to {show(sum(weights))}, expected 1.\n"
                "They are never renormalised: change them, or allow any sum with Simplex(affine=False)."
            )
        return weights

    def coefficients(self, at: Sequence[float]) -> tuple[float, ...]:
        """What each checkpoint is multiplied by: the weights themselves."""
        return self.checked(at, "Simplex.coefficients(weights)")

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
        counts = ([b - a - 1 for a, b in zip((-1, *at), (*at, steps + k - 1), strict=True)] for at in bars)
        return sorted((tuple(n / steps for n in found) for found in counts), reverse=True)

    def __repr__(self) -> str:
        return f"Simplex: {', '.join(self.checkpoints)}; weights {'add up to 1' if self.affine else 'of any sum'}"
