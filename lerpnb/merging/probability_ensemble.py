"""The mean of two models' next-token probabilities."""

import torch
from torch import Tensor

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.errors import AlphaError
from lerpnb.merging.ensemble import Ensemble
from lerpnb.utils.coordinates import number
from lerpnb.utils.text import show


class ProbabilityEnsemble(Ensemble):
    """The mean of two models' next-token probabilities: p = (1 - a) p_minus + a p_plus, a from 0 to 1.

    Args:
        minus, plus: what lies at 0 and 1.
        base: as for a `Line`.
        device, dtype: as for a `BasePath`.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: at an alpha outside [0, 1], where a probability would be negative.

    Example:
        >>> minus, plus = (tiny_llama() for _ in range(2))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> p, p_minus, p_plus = (model(ids).logits.softmax(-1) for model in
        ...                (ProbabilityEnsemble(minus, plus, device="cpu").at(0.25), minus, plus))
        >>> torch.allclose(p, 0.75 * p_minus + 0.25 * p_plus, atol=1e-6)
        True
    """

    kind, coordinate, landmarks = "probability mix", "alpha", ((0.0, "minus"), (1.0, "plus"))

    def __init__(
        self,
        minus: ModelSource,
        plus: ModelSource,
        base: ModelSource | None = None,
        *,
        device: str = "auto",
        dtype: str = "float32",
    ):
        super().__init__({"minus": minus, "plus": plus}, base, device=device, dtype=dtype)

    def checked(self, point: float, call: str) -> float:
        point = number(point, call)
        if not 0 <= point <= 1:
            raise AlphaError(
                f"{call}: {show(point)}, expected 0 to 1.\n"
                "Outside, a probability would be negative. A Line takes any finite alpha."
            )
        return point

    def coefficients(self, point: float) -> tuple[float, float]:
        """What the probabilities of minus and plus are multiplied by: (1 - alpha, alpha)."""
        point = self.checked(point, "ProbabilityEnsemble.coefficients(alpha)")
        return 1.0 - point, point

    def combined(self, point: float, logits: list[Tensor], sampling: bool) -> Tensor:
        minus, plus = (torch.log_softmax(one, -1) for one in logits)
        shares = torch.tensor(self.coefficients(point), dtype=torch.float64).log().tolist()  # log 0 is -inf
        return torch.logaddexp(minus + shares[0], plus + shares[1])

    def _recipe(self, point: float) -> str:
        return f"probabilities: {super()._recipe(point)}"
