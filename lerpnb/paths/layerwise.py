"""A partial line: the line in some kinds of tensor or layers, each with its own share of alpha."""

from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

import numpy as np

from lerpnb.checkpoints.checkpoint import ModelSource
from lerpnb.checkpoints.devices import DeviceOptions
from lerpnb.errors import AlphaError
from lerpnb.paths.base import ScalarPath
from lerpnb.utils.coordinates import number
from lerpnb.utils.tensor_names import KINDS, place_of
from lerpnb.utils.text import listed, show

PARTS = tuple(dict.fromkeys(kind.split()[0] for kind in KINDS))


class LayerwiseLine(ScalarPath):
    """The line with an alpha of its own in each tensor, by kind and by depth; what it leaves out rests at one alpha.

    theta_t(alpha) = (1 - a_t) minus_t + a_t plus_t, a_t = rest + share_t (alpha - rest), for each tensor t; share_t is
    its kind's share times its depth's. `depth` reads as mergekit's gradients do (arXiv 2403.13257): values at even
    places from the first layer to the last, with straight lines between them. So `depth=(0, 1)` moves the last layer
    alone all the way, and as many values as there are layers give each its own. What lies before the layers has the
    first value, what lies behind them the last.

    Args:
        minus, plus, base, options: as for a `Line`.
        kinds: which kinds of tensor move: one of `PARTS` (attention, MLP, embeddings, norms, head, other), or a kind as
            `weight_deltas` names it ("attention q"), or several, or {kind: share}. Left out, all move. An embedding
            that is the head too is an embedding.
        depth: shares over the layers.
        rest: the alpha of what does not move.

    Raises:
        AssetError, CheckpointError, MismatchError: as for a `BasePath`.
        AlphaError: no such kind, none of it in this model, or a share that is no finite number.

    Example:
        >>> minus, plus = tiny_llama(num_hidden_layers=2), tiny_llama(num_hidden_layers=2)
        >>> part = LayerwiseLine(minus, plus, kinds={"attention": 1, "MLP": 0.5}, device="cpu")
        >>> part.shares["model.layers.0.self_attn.q_proj.weight"], part.shares["model.layers.0.mlp.up_proj.weight"]
        (1.0, 0.5)
        >>> bool((part.at(1).lm_head.weight == minus.lm_head.weight).all())
        True
    """

    kind, coordinate = "partial line", "alpha"

    def __init__(
        self,
        minus: ModelSource,
        plus: ModelSource,
        base: ModelSource | None = None,
        *,
        kinds: str | Sequence[str] | Mapping[str, float] | None = None,
        depth: Sequence[float] = (1.0,),
        rest: float = 0.0,
        **options: Unpack[DeviceOptions],
    ):
        self.kinds, self.depth = _kinds(kinds), _depth(depth)
        self.rest = number(rest, "LayerwiseLine(rest)")
        super().__init__({"minus": minus, "plus": plus}, base, **options)
        self.shares = self._shares(list(self.checkpoints["minus"].weights))

    def _shares(self, names: list[str]) -> dict[str, float]:
        """Each tensor's share of alpha."""
        places = {name: place_of(name) for name in names}
        unmet = [part for part in self.kinds if not any(_is(kind, part) for _, kind in places.values())]
        if unmet:
            raise AlphaError(
                f"LayerwiseLine(kinds): this model has no tensor of kind {listed(map(repr, unmet))}.\n"
                f"It has: {', '.join(dict.fromkeys(kind for _, kind in places.values()))}."
            )
        numbers = sorted({int(layer) for layer, _ in places.values() if layer.isdigit()})
        where = {"in": 0.0, "out": 1.0} | {str(n): i / max(1, len(numbers) - 1) for i, n in enumerate(numbers)}
        anchors = np.linspace(0, 1, len(self.depth)) if len(self.depth) > 1 else [0.0]
        return {
            name: self._of_kind(kind) * float(np.interp(where[layer], anchors, self.depth))
            for name, (layer, kind) in places.items()
        }

    def _of_kind(self, kind: str) -> float:
        """The share of a kind: its own before its family's ("attention q" before "attention")."""
        return self.kinds.get(kind, self.kinds.get(kind.split()[0], 0.0)) if self.kinds else 1.0

    def coefficients(self, point: float) -> Callable[[str], tuple[float, float]]:
        """From a tensor's name to what minus and plus are multiplied by there: (1 - a_t, a_t)."""
        point = number(point, "LayerwiseLine.coefficients(alpha)")

        def of(name: str) -> tuple[float, float]:
            alpha = self.rest + self.shares[name] * (point - self.rest)
            return 1.0 - alpha, alpha

        return of

    def identity(self) -> dict:
        return super().identity() | {"settings": {"kinds": self.kinds, "depth": list(self.depth), "rest": self.rest}}

    def _recipe(self, point: float) -> str:
        kinds = ", ".join(f"{kind} x {show(share)}" for kind, share in self.kinds.items()) or "all tensors"
        over = f", times {', '.join(map(show, self.depth))} over the layers" if set(self.depth) != {1.0} else ""
        return f"alpha {show(point)} in {kinds}{over}; what does not move at alpha {show(self.rest)}"


def _kinds(kinds: str | Sequence[str] | Mapping[str, float] | None) -> dict[str, float]:
    if kinds is None:
        return {}
    kinds = [kinds] if isinstance(kinds, str) else kinds
    shares = kinds if isinstance(kinds, Mapping) else dict.fromkeys(kinds, 1.0)
    odd = [kind for kind in shares if kind not in PARTS and kind not in KINDS]
    if odd or not shares:
        raise AlphaError(
            f"LayerwiseLine(kinds): {listed(map(repr, odd)) if odd else 'none'}, expected kinds of tensor.\n"
            f"They are: {', '.join(PARTS)}, and those that ln.paths.weight_deltas(line) names."
        )
    return {kind: number(share, f"LayerwiseLine(kinds[{kind!r}])") for kind, share in shares.items()}


def _depth(depth: Sequence[float]) -> tuple[float, ...]:
    depth = tuple(number(share, "LayerwiseLine(depth)") for share in depth)
    if not depth:
        raise AlphaError("LayerwiseLine(depth): no shares.\nPass (0, 1) for more of alpha from layer to layer, say.")
    return depth


def _is(kind: str, part: str) -> bool:
    return part in (kind, kind.split()[0])
