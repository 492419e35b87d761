"""Batched weights: a weight with a value of its own for each row of a batch; `batched_line.py` has the formulas."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lerpnb.checkpoints.low_rank import LowRank, base_of
from lerpnb.checkpoints.memory import same_storage
from lerpnb.errors import ProbeError


class UnsupportedOperation(ProbeError, AttributeError, TypeError):
    """A model does something with a weight that has no batched form; `unsupported_reason` finds it beforehand."""


class Batch:
    """The alphas of a batch's rows, and how they are broadcast with what a model computes; see `BatchedLine`."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32):
        self.device, self.dtype = device, dtype
        self.weights: list[Weight] = []  # they forget what they computed when the alphas change
        self._alphas = torch.zeros(1, device=device)
        self._broadcast: dict[tuple, Tensor] = {}  # by shape and dtype

    @property
    def alphas(self) -> Tensor:
        """See `BatchedLine.alphas`."""
        return self._alphas

    @alphas.setter
    def alphas(self, alphas: Tensor | Sequence[float]) -> None:
        if alphas is self._alphas:
            return  # what was mixed for them stays
        alphas = torch.as_tensor(alphas, dtype=torch.float32, device=self.device)
        if alphas.dim() != 1 or not len(alphas):
            raise ProbeError(f"BatchedLine(alphas): got shape {tuple(alphas.shape)}.\nIt takes one number a row.")
        self._alphas, self._broadcast = alphas, {}
        for weight in self.weights:
            weight.forget()

    def __len__(self) -> int:
        return len(self._alphas)

    def expand_rows(self, x: Tensor) -> Tensor:
        """x with a leading dimension for all rows; one of length 1 serves all rows and is expanded."""
        return x.expand(len(self), *x.shape[1:]) if x.shape[0] == 1 else x

    def broadcast_rows(self, values: Tensor, x: Tensor) -> Tensor:
        """(rows, n) as (x.shape[0], 1, ..., n), so that it can be broadcast with x."""
        times, rest = divmod(x.shape[0], len(self))
        if rest:
            raise UnsupportedOperation(f"{tuple(x.shape)} does not begin with a multiple of {len(self)} rows.")
        values = values.repeat_interleave(times, 0) if times > 1 else values
        return values.view(x.shape[0], *[1] * (x.dim() - 2), -1)

    def alpha_of(self, x: Tensor) -> Tensor:
        """The alpha of each leading entry, to be broadcast with x."""
        key = ("alpha", x.shape[0], x.dim(), x.dtype)
        if key not in self._broadcast:
            self._broadcast[key] = self.broadcast_rows(self._alphas.unsqueeze(-1), x).to(x.dtype)
        return self._broadcast[key]

    def shares_of(self, x: Tensor, ranks: Sequence[int]) -> Tensor:
        """The factors of minus's and plus's columns in a low-rank product, to be broadcast with x."""
        key = (*ranks, x.shape[0], x.dim(), x.dtype)
        if key not in self._broadcast:
            plus = self._alphas.unsqueeze(-1)
            each = torch.cat([(1 - plus).expand(-1, ranks[0]), plus.expand(-1, ranks[1])], -1)
            self._broadcast[key] = self.broadcast_rows(each, x).to(x.dtype)
        return self._broadcast[key]


class Weight:
    """Replaces a tensor, with a value for each row r: (1 - alpha_r) minus + alpha_r plus."""

    requires_grad = is_meta = False

    def __init__(self, name: str, shape: torch.Size, batch: Batch):
        self.name, self.shape, self.batch = name, shape, batch
        self.dtype, self.device, self.ndim = batch.dtype, batch.device, len(shape)
        self.used = False

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        handler = HANDLERS.get(func)
        if handler is None:
            name = next(x.name for x in (*args, *(kwargs or {}).values()) if isinstance(x, Weight))
            raise UnsupportedOperation(f"{name}: {_name(func)}() cannot be computed with an alpha per row.")
        return handler(func, *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedOperation(f"{self.__dict__.get('name')}: its .{name} is not available with an alpha per row.")

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> int:
        return self.shape.numel()

    def is_floating_point(self) -> bool:
        return True

    def forget(self) -> None:
        """Drop what was computed for other alphas."""


class Matrix(Weight):
    """A weight that is only ever multiplied with: bases + left @ (the row's shares * right), both ends side by side.

    Example:
        >>> batch = Batch(torch.device("cpu"))
        >>> batch.alphas = [0.0, 0.5, 2.0]
        >>> weight = Matrix("weight", [torch.tensor([[1.0]]), torch.tensor([[3.0]])], batch)
        >>> F.linear(torch.ones(3, 1), weight).tolist()
        [[1.0], [2.0], [5.0]]
    """

    def __init__(self, name: str, ends: Sequence[Tensor | LowRank], batch: Batch):
        super().__init__(name, ends[0].shape, batch)
        bases = [base_of(end) for end in ends]
        self.bases = bases[:1] if same_storage(*bases) else bases
        factors = [_factors(end) for end in ends]
        self.ranks = tuple(left.shape[1] for left, _ in factors)
        if any(self.ranks):
            self.left = torch.cat([left for left, _ in factors], 1).to(batch.dtype)
            self.right = torch.cat([right for _, right in factors], 0).to(batch.dtype)

    @property
    def T(self) -> "Matrix":
        """The transpose, of the same storage."""
        self.used, made = True, copy.copy(self)
        made.shape, made.bases = self.shape[::-1], [base.T for base in self.bases]
        if any(self.ranks):
            made.left, made.right = self.right.T, self.left.T
        return made

    def linear(self, x: Tensor) -> Tensor:
        """x (..., in) times the transpose of (out, in)."""
        return self._through(x, F.linear, "right", "left")

    def matmul(self, x: Tensor) -> Tensor:
        """x (..., in) times (in, out)."""
        return self._through(x, torch.matmul, "left", "right")

    def embedding(self, ids: Tensor) -> Tensor:
        """Rows of (vocabulary, n) by ids (..., tokens)."""
        return self._through(ids, lambda ids, weight: F.embedding(ids, weight).to(self.dtype), "left", "right")

    def _through(self, x: Tensor, product: Callable[[Tensor, Tensor], Tensor], first: str, then: str) -> Tensor:
        self.used, x = True, self.batch.expand_rows(x)
        cast = x.is_floating_point()  # an embedding looks up first, and casts what it found
        y, *other = (product(x, base.to(self.dtype) if cast else base) for base in self.bases)
        if other:
            y = y.lerp_(other[0], self.batch.alpha_of(y))
        if any(self.ranks):
            low = product(x, getattr(self, first))
            low = low.mul_(self.batch.shares_of(low, self.ranks))
            wide = self.right if then == "right" else self.left.t()
            y.flatten(0, -2).addmm_(low.flatten(0, -2), wide)
        return y


class Vector(Weight):
    """A norm's weight, a bias or a scalar: each row has its own, (rows, n), and a function of it is one again."""

    def __init__(self, name: str, ends: Sequence[Tensor], batch: Batch):
        super().__init__(name, ends[0].shape, batch)
        self.ends = ends
        self._values: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """(rows, n): mixed in float32, when first asked for after `alphas` were set."""
        self.used = True
        if self._values is None:
            low, high = (end.float().flatten() for end in self.ends)
            self._values = torch.lerp(low, high, self.batch.alphas.unsqueeze(-1)).to(self.dtype)
        return self._values

    def forget(self) -> None:
        self._values = None

    def of(self, values: Tensor) -> "Vector":
        """Another vector of the same rows: a function of this one."""
        made = Vector(self.name, self.ends, self.batch)
        made._values, made.dtype = values, values.dtype
        return made

    def along(self, x: Tensor) -> Tensor:
        """The values along the last dimension of x."""
        return self.batch.broadcast_rows(self.values, x)

    def to(self, dtype: torch.dtype) -> "Vector":
        return self if dtype == self.dtype else self.of(self.values.to(dtype))

    def float(self) -> "Vector":
        return self.to(torch.float32)

    def type_as(self, other: Tensor) -> "Vector":
        return self.to(other.dtype)

    __add__ = __radd__ = lambda self, other: _elementwise(torch.add, self, other)
    __mul__ = __rmul__ = lambda self, other: _elementwise(torch.mul, self, other)
    __sub__ = lambda self, other: _elementwise(torch.sub, self, other)  # noqa: E731
    __rsub__ = lambda self, other: _elementwise(torch.rsub, self, other)  # noqa: E731


def _linear(func: Callable, x: Tensor, weight: Any, bias: Any = None) -> Tensor:
    y = weight.linear(x) if isinstance(weight, Matrix) else F.linear(bias.batch.expand_rows(x), weight)
    return _plus(y, bias)


def _addmm(func: Callable, bias: Any, x: Tensor, weight: Any) -> Tensor:
    y = weight.matmul(x) if isinstance(weight, Matrix) else torch.mm(bias.batch.expand_rows(x), weight)
    return _plus(y, bias)


def _matmul(func: Callable, x: Tensor, weight: Matrix) -> Tensor:
    if not isinstance(weight, Matrix) or not isinstance(x, Tensor):
        name = (x if isinstance(x, Weight) else weight).name
        raise UnsupportedOperation(f"{name}: a product of this kind cannot be computed.")
    return weight.matmul(x)


def _plus(y: Tensor, bias: Any) -> Tensor:
    return y if bias is None else y.add_(bias.along(y) if isinstance(bias, Vector) else bias)


def _embedding(func: Callable, ids: Tensor, weight: Matrix, padding_idx: int | None = None, **options: Any) -> Tensor:
    if options.get("max_norm") is not None:
        raise UnsupportedOperation(f"{weight.name}: max_norm cannot be computed with an alpha per row.")
    return weight.embedding(ids)


def _norm(func: Callable, x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: Any = None) -> Tensor:
    x = next(w for w in (weight, bias) if isinstance(w, Vector)).batch.expand_rows(x)
    y = func(x, shape, eps=eps)
    if weight is not None:
        y = y.mul_(weight.along(y) if isinstance(weight, Vector) else weight)
    return _plus(y, bias)


def _elementwise(func: Callable, *args: Any) -> Any:
    """func of vectors and a tensor, each vector broadcast along it; of vectors and numbers alone, another vector."""
    vector = next(arg for arg in args if isinstance(arg, Weight))
    if any(isinstance(arg, Matrix) for arg in args):
        raise UnsupportedOperation(f"{vector.name}: {func.__name__}() cannot be computed with an alpha per row.")
    x = next((arg for arg in args if isinstance(arg, Tensor) and arg.dim() > 1), None)
    if x is None:
        return vector.of(func(*(arg.values if isinstance(arg, Vector) else arg for arg in args)))
    x, given = vector.batch.expand_rows(x), x
    return func(*(arg.along(x) if isinstance(arg, Vector) else x if arg is given else arg for arg in args))


HANDLERS: Mapping[Callable, Callable] = {
    F.linear: _linear,
    torch.addmm: _addmm,
    F.embedding: _embedding,
    F.layer_norm: _norm,
    F.rms_norm: _norm,
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__), _matmul),
    **{
        getattr(home, name): _elementwise
        for home, names in ((torch, "add sub mul"), (Tensor, "add sub mul __add__ __sub__ __mul__ __radd__ __rmul__"))
        for name in names.split()
    },
}


def _name(func: Callable) -> str:
    return getattr(func, "__name__", str(func))


def _factors(end: Tensor | LowRank) -> tuple[Tensor, Tensor]:
    """left (rows of the weight, rank) and right (rank, columns) of what a low-rank end adds to its base."""
    if not isinstance(end, LowRank):
        return end.new_empty(end.shape[0], 0), end.new_empty(0, end.shape[1:].numel())
    left, right = (end.down.T, end.up.T) if end.transposed else (end.up, end.down)
    return left * end.scaling, right
