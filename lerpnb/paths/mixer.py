"""Mixer: puts sum_i c_i theta_i into one live model, in place."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from lerpnb.checkpoints.devices import writable_tensors
from lerpnb.checkpoints.low_rank import LowRank, Weight
from lerpnb.checkpoints.memory import same_storage
from lerpnb.errors import MismatchError

# Numbers mixed at once where the result cannot be written straight into the live model: 4 MiB of float32.
BLOCK = 2**20


class Mixer:
    """Puts theta = sum_i c_i theta_i into one live model, in place, tensor by tensor, computed from all ends each time.

    Two coefficients that add up to 1 are a `torch.lerp` in float32, exact to rounding; ends in 16 bits are widened on
    their way, block by block. Low-rank ends add one product of all their factors to their bases' sum:
    theta = sum_i c_i base_i + [c_1 s_1 up_1, ...] @ [down_1; ...]. A single 1 among zeros is a copy, so the ends are
    met bit for bit (lerp would turn -0.0 into +0.0). A live model of another dtype, or on another device than the ends,
    gets each tensor through a float32 scratch tensor beside the ends, and is rounded to once. A tensor that all ends
    share is put once, and again where another hand wrote to it (except by `.data`, which autograd does not count). No
    memory is taken a point.

    Args:
        model: the live model; its parameters and float buffers are overwritten. Tied ones are one tensor.
        ends: for each checkpoint its weights by name, see `Checkpoint.weights`.

    Raises:
        MismatchError: a tensor of the model is missing at an end.
        CheckpointError: a tensor of the model cannot be written to: see `writable_tensors`.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> mixer = Mixer(model, [{"weight": torch.zeros(1, 1)}, {"weight": torch.ones(1, 1)}])
        >>> mixer.put((0.25, 0.75))
        >>> model.weight.item()
        0.75
    """

    def __init__(self, model: nn.Module, ends: Sequence[Mapping[str, Weight]]):
        live = writable_tensors(model)
        absent = sorted(name for name in live if any(name not in end for end in ends))
        if absent:
            of = f"{len(absent)} of {len(live)} tensors are missing at an end"
            raise MismatchError(f"Mixer(model, ends): {of}: {', '.join(absent[:3])}.")
        scratch = _Scratch()
        rows = [
            _Row(name, part, of_ends, scratch)
            for name, tensor in live.items()
            for part, of_ends in _parts(tensor, [end[name] for end in ends])
        ]
        self._common = [row for row in rows if row.shared]
        self._rows = [row for row in rows if not row.shared]
        self._common_sum: float | None = None
        self._live = list(live.values())
        self._counts: list[int] = []

    @property
    def touched(self) -> bool:
        """Whether another hand has written to the live model since the last `put`, as autograd counts writes."""
        return self._counts != self._counted()

    def mark(self) -> None:
        """Take what the live model holds now as put."""
        self._counts = self._counted()

    def _counted(self) -> list[int]:
        return [0 if tensor.is_inference() else tensor._version for tensor in self._live]

    @torch.no_grad()
    def put(self, coefficients: Sequence[float] | Callable[[str], Sequence[float]]) -> None:
        """Overwrite the live model with sum_i coefficients[i] * theta_i.

        Args:
            coefficients: one number an end, without unit, never renormalized; or a function from a tensor's name to
                them.
        """
        if callable(coefficients):
            for row in (*self._rows, *self._common):
                row.put(coefficients(row.name))
            self._common_sum = None
            self.mark()
            return
        touched = self.touched
        for row in self._rows:
            row.put(coefficients)
        total = _snapped(sum(coefficients))
        if touched or total != self._common_sum:
            for row in self._common:
                row.put((total, *[0.0] * (len(coefficients) - 1)))
            self._common_sum = total
        self.mark()


class _Row:
    """One live tensor and what it is mixed from: distinct dense tensors, and the factors of all low-rank ends."""

    def __init__(self, name: str, live: torch.Tensor, ends: list[Weight], scratch: "_Scratch"):
        self.name, self.live, self.ends, self.scratch = name, live, ends, scratch
        self.shared = all(_same(ends[0], end) for end in ends[1:])
        self.dense: list[tuple[torch.Tensor, list[int]]] = []  # each with the ends that it is, or is the base of
        for i, end in enumerate(ends):
            tensor = end.base if isinstance(end, LowRank) else end
            known = next((which for other, which in self.dense if _same(other, tensor)), None)
            if known is None:
                self.dense.append((tensor, known := []))
            known.append(i)
        low = [(i, end) for i, end in enumerate(ends) if isinstance(end, LowRank)]
        self.factors: list[tuple[int, float, torch.Tensor, torch.Tensor]] = []
        if low:
            lefts = [end.down.T if end.transposed else end.up for _, end in low]
            self.right = torch.cat([end.up.T if end.transposed else end.down for _, end in low])
            self.left = self.right.new_empty(live.shape[0], len(self.right))  # the scaled ones, side by side
            parts = self.left.split([left.shape[1] for left in lefts], dim=1)
            self.factors = [(i, end.scaling, left, to) for (i, end), left, to in zip(low, lefts, parts, strict=True)]
        device = ends[0].device
        self.product = scratch.need("product", device, live) if any(end.transposed for _, end in low) else None
        self.widens = any(tensor.dtype != torch.float32 for tensor, _ in self.dense)  # torch.lerp takes one dtype
        self.second = scratch.need("second", device, live) if self.widens and len(self.dense) > 1 else None
        # The way from the ends to the live tensor, where that cannot take a float32 result itself.
        self.mixed = self.moved = None
        if _indirect(live, ends[0]):
            self.mixed = scratch.need("mixed", device, live)
            if live.device != device and live.dtype != torch.float32:
                self.moved = scratch.need("moved", device, live, live.dtype)

    def put(self, coefficients: Sequence[float]) -> None:
        scratch, shape = self.scratch, self.live.shape
        out = self.live if self.mixed is None else scratch.of(self.mixed, shape)
        used = [i for i, c in enumerate(coefficients) if c != 0]
        if len(used) != 1 or coefficients[used[0]] != 1:
            self._mix(coefficients, out)
        elif isinstance(end := self.ends[used[0]], LowRank):
            product = None if self.product is None else scratch.of(self.product, (self.live.numel(),))
            end.tensor(out, product)
        else:
            out.copy_(end)
        if self.moved is not None:
            out = scratch.of(self.moved, shape).copy_(out)
        if out is not self.live:
            self.live.copy_(out)

    def _mix(self, coefficients: Sequence[float], out: torch.Tensor) -> None:
        terms = [(_snapped(sum(coefficients[i] for i in which)), tensor) for tensor, which in self.dense]
        terms = [term for term in terms if term[0] != 0] or [(0.0, self.dense[0][0])]
        for i, scaling, left, to in self.factors:
            torch.mul(left, coefficients[i] * scaling, out=to)
        (weight, first), *others = terms
        first = out.copy_(first) if self.widens else first
        if not others and self.factors:
            torch.addmm(first, self.left, self.right, beta=weight, out=out)
            return
        if len(terms) == 2 and _snapped(weight + others[0][0]) == 1:
            weight, second = others[0]
            second = second if self.second is None else self.scratch.of(self.second, out.shape).copy_(second)
            torch.lerp(first, second, weight, out=out)
        else:
            torch.mul(first, weight, out=out)
            for weight, tensor in others:
                out.add_(tensor, alpha=weight)
        if self.factors:
            out.addmm_(self.left, self.right)


class _Scratch:
    """Memory that all rows use in turn: one flat tensor a kind, as large as the largest row needs."""

    def __init__(self) -> None:
        self.sizes: dict[tuple, int] = {}
        self.held: dict[tuple, torch.Tensor] = {}

    def need(self, role: str, device: torch.device, live: torch.Tensor, dtype: torch.dtype = torch.float32) -> tuple:
        """The key under which there will be room for as many numbers as `live` has."""
        pinned = device.type == "cpu" and live.device.type == "cuda"  # else a transfer is a copy more, and slower
        key = role, device, dtype, pinned
        self.sizes[key] = max(self.sizes.get(key, 0), live.numel())
        return key

    def of(self, key: tuple, shape: Sequence[int]) -> torch.Tensor:
        if key not in self.held:
            _, device, dtype, pinned = key
            with torch.inference_mode(False):  # else a first call in that mode would bind all later ones to it
                self.held[key] = torch.empty(self.sizes[key], device=device, dtype=dtype, pin_memory=pinned)
        return self.held[key][: math.prod(shape)].view(shape)


def _parts(live: torch.Tensor, ends: list[Weight]) -> Iterator[tuple[torch.Tensor, list[Weight]]]:
    """The tensor whole, or in blocks of rows where scratch is needed: it stays small, and in the cache."""
    tensors = [end for end in ends if not isinstance(end, LowRank)]
    whole = len(tensors) < len(ends)  # a part of a low-rank one's product may be rounded otherwise
    in_place = not _indirect(live, ends[0]) and all(tensor.dtype == torch.float32 for tensor in tensors)
    if whole or live.numel() <= BLOCK or in_place:
        yield live, ends
        return
    rows = max(1, BLOCK * len(live) // live.numel())
    for part, *others in zip(live.split(rows), *(tensor.split(rows) for tensor in tensors), strict=True):
        yield part, [*others]


def _indirect(live: torch.Tensor, end: Weight) -> bool:
    return live.dtype != torch.float32 or live.device != end.device


def _same(a: Weight, b: Weight) -> bool:
    if isinstance(a, LowRank) or isinstance(b, LowRank):
        return a is b
    return same_storage(a, b)


def _snapped(total: float) -> float:
    return 1.0 if abs(total - 1.0) < 1e-12 else total
