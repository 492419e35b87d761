"""Rows: many alphas in one pass, each row of a batch computed at its own.

All that a language model does with a weight matrix is linear in it, so a row's result at its alpha is the same mixture
of the results at the ends (networks share a pass in this way in BatchEnsemble, arXiv 2002.06715, and Punica, arXiv
2310.18547):

    y_r = theta(alpha_r) x_r = (1 - alpha_r) (minus x_r) + alpha_r (plus x_r)

Where both ends are low-rank changes of one base W, it is W x_r plus two thin products, and W is read once for all rows:

    y_r = W x_r + (1 - alpha_r) up_minus (down_minus x_r) + alpha_r up_plus (down_plus x_r)

No theta(alpha) is stored, nor rounded. Vectors (norms, biases) are small: each row gets its own, mixed once.

The form: in a structural copy of the live model each parameter that differs between the ends is replaced by a `Weight`
that answers `__torch_function__`, torch's protocol for tensor-like types. Replaced module forwards would need one for
every norm that transformers writes by hand; here the model's own code runs, and tied weights stay tied. A `Weight` is
no subclass of Tensor: it has no storage that an operation could use unseen, and its shape, dtype and device are plain
attributes, which are cheaper to ask for. What it does not know how to do is an error that names it.
"""

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .adapter import LowRank
from .errors import ProbeError
from .header import first_line
from .paths import DTYPES, Line

# Where rows are compared with the live model: beyond the ends, so that what moves little is seen too.
CHECKED_AT = (-0.5, 1.5)
# How far they may differ: as a share of what lies between the two models, and of the logits, for rounding.
OF_DIFFERENCE, OF_LOGITS = 1e-3, 1e-5
_checked: weakref.WeakKeyDictionary[Line, str | None] = weakref.WeakKeyDictionary()


class Unmixable(ProbeError, AttributeError, TypeError):
    """A model does with a weight what rows cannot do. `refusal` says so beforehand."""


class Rows:
    """A line's model whose batch row r is computed at alphas[r].

    It reads the ends' tensors where they are, and holds no weights. A leading dimension that is a multiple of the
    number of rows (some models flatten batch and sequence) is row-major; one of length 1 (positions) serves all rows.

    Args:
        line: the line; its live model must be in float32.
        dtype: of the activations, the live model's by default; ends' tensors of another are cast one at a time.
        check: first see that rows agree with the live model (once a line; moves `line.model`).

    Attributes:
        line: the line.
        model: a transformers model, to be called; what its rows are is decided by `alphas`.
        weights: what stands in it for the parameters that differ between the ends.

    Raises:
        ProbeError: this model cannot be computed so; `refusal` tells without raising.

    Example:
        ```python
        rows = Rows(line)
        rows.alphas = [0.0, 0.5, 1.0]
        logits = rows.model(ids.expand(3, -1)).logits  # (3, tokens, vocabulary)
        ```
    """

    def __init__(self, line: Line, *, dtype: torch.dtype | None = None, check: bool = True):
        if check and (why := refusal(line)):
            raise ProbeError(f"Rows(line): {why}\nline.at(alpha) serves every model, one alpha at a time.")
        self.line, self.dtype = line, dtype or DTYPES[line.dtype]
        self.weights: list[Weight] = []
        self._alphas = torch.zeros(1, device=line.device)
        self._laid: dict[tuple, Tensor] = {}
        memo = {id(tensor): self._weight(name, tensor) for name, tensor in _named(line.model)}
        self.model = copy.deepcopy(line.model, memo)

    @property
    def alphas(self) -> Tensor:
        """(rows,) float32, without unit. Set it before a pass; between decode steps it may shrink or be permuted."""
        return self._alphas

    @alphas.setter
    def alphas(self, alphas: Tensor | Sequence[float]) -> None:
        if alphas is self._alphas:
            return  # what was mixed for them stays
        alphas = torch.as_tensor(alphas, dtype=torch.float32, device=self.line.device)
        if alphas.dim() != 1 or not len(alphas):
            raise ProbeError(f"Rows(alphas): got shape {tuple(alphas.shape)}.\nIt takes one number a row.")
        self._alphas, self._laid = alphas, {}
        for weight in self.weights:
            weight.forget()

    def __len__(self) -> int:
        return len(self._alphas)

    def spread(self, x: Tensor) -> Tensor:
        """x, whose leading dimension holds all rows; one that serves all rows is expanded to them."""
        return x.expand(len(self), *x.shape[1:]) if x.shape[0] == 1 else x

    def lay(self, each: Tensor, x: Tensor) -> Tensor:
        """(rows, n) as (x.shape[0], 1, ..., n), so that it can be broadcast with x."""
        times, rest = divmod(x.shape[0], len(self))
        if rest:
            raise Unmixable(f"{tuple(x.shape)} does not begin with a multiple of {len(self)} rows.")
        each = each.repeat_interleave(times, 0) if times > 1 else each
        return each.view(x.shape[0], *[1] * (x.dim() - 2), -1)

    def alpha_of(self, x: Tensor) -> Tensor:
        """Each leading entry's alpha, to be broadcast with x."""
        key = ("alpha", x.shape[0], x.dim(), x.dtype)
        if key not in self._laid:
            self._laid[key] = self.lay(self._alphas.unsqueeze(-1), x).to(x.dtype)
        return self._laid[key]

    def shares_of(self, x: Tensor, ranks: tuple[int, int]) -> Tensor:
        """What minus's and plus's columns of a thin product are multiplied by, to be broadcast with x."""
        key = (ranks, x.shape[0], x.dim(), x.dtype)
        if key not in self._laid:
            plus = self._alphas.unsqueeze(-1)
            each = torch.cat([(1 - plus).expand(-1, ranks[0]), plus.expand(-1, ranks[1])], -1)
            self._laid[key] = self.lay(each, x).to(x.dtype)
        return self._laid[key]

    def _weight(self, name: str, tensor: Tensor) -> Any:
        """What stands for a tensor of the live model: an end's own where both agree, else a Weight."""
        ends = [end.weights.get(name) for end in (self.line.minus, self.line.plus)]
        if ends[0] is None:  # an integer buffer, the same at both ends
            return tensor
        if _equal(*ends):
            kind = type(tensor)
            data = ends[0].to(self.dtype) if kind is nn.Parameter else ends[0]  # a buffer keeps its own
            return kind(data, requires_grad=False) if kind is nn.Parameter else data
        self.weights.append((Vector if len(ends[0].shape) < 2 else Matrix)(name, ends, self))
        return self.weights[-1]


class Weight:
    """Stands where a tensor stood, and has one value a row: (1 - alpha_r) minus + alpha_r plus."""

    requires_grad = is_meta = False

    def __init__(self, name: str, shape: torch.Size, rows: Rows):
        self.name, self.shape, self.rows = name, shape, rows
        self.dtype, self.device, self.ndim = rows.dtype, rows.line.device, len(shape)
        self.used = False

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        handler = HANDLERS.get(func)
        if handler is None:
            name = next(x.name for x in (*args, *(kwargs or {}).values()) if isinstance(x, Weight))
            raise Unmixable(f"{name}: {getattr(func, '__name__', func)}() cannot be computed a row an alpha.")
        return handler(func, *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        raise Unmixable(f"{self.__dict__.get('name')}: its .{name} cannot be had a row an alpha.")

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
    """A weight that is only ever multiplied with: never mixed, its products are.

    The ends are kept as one or two dense tensors and at most one pair of factors,
    bases + left @ (the row's shares * right), which have both ends' ranks side by side.
    """

    def __init__(self, name: str, ends: Sequence[Tensor | LowRank], rows: Rows):
        super().__init__(name, ends[0].shape, rows)
        bases = [_base(end) for end in ends]
        self.bases = bases[:1] if _same(*bases) else bases
        factors = [_factors(end) for end in ends]
        self.ranks = tuple(left.shape[1] for left, _ in factors)
        if any(self.ranks):
            self.left = torch.cat([left for left, _ in factors], 1).to(rows.dtype)
            self.right = torch.cat([right for _, right in factors], 0).to(rows.dtype)

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
        self.used, x = True, self.rows.spread(x)
        cast = x.is_floating_point()  # an embedding looks up first, and casts what it found
        y, *other = (product(x, base.to(self.dtype) if cast else base) for base in self.bases)
        if other:
            y = y.lerp_(other[0], self.rows.alpha_of(y))
        if any(self.ranks):
            thin = product(x, getattr(self, first))
            thin = thin.mul_(self.rows.shares_of(thin, self.ranks))
            wide = self.right if then == "right" else self.left.t()
            y.flatten(0, -2).addmm_(thin.flatten(0, -2), wide)
        return y


class Vector(Weight):
    """A norm's weight, a bias or a scalar: each row has its own, (rows, n), and a function of it is one again."""

    def __init__(self, name: str, ends: Sequence[Tensor], rows: Rows):
        super().__init__(name, ends[0].shape, rows)
        self.ends, self._values = ends, None

    @property
    def values(self) -> Tensor:
        """(rows, n): mixed in float32, when first asked for after `alphas` were set."""
        self.used = True
        if self._values is None:
            low, high = (end.float().flatten() for end in self.ends)
            self._values = torch.lerp(low, high, self.rows.alphas.unsqueeze(-1)).to(self.dtype)
        return self._values

    def forget(self) -> None:
        self._values = None

    def of(self, values: Tensor) -> "Vector":
        """Another vector of the same rows: a function of this one."""
        made = Vector(self.name, self.ends, self.rows)
        made._values, made.dtype = values, values.dtype
        return made

    def along(self, x: Tensor) -> Tensor:
        """Laid along the last dimension of x."""
        return self.rows.lay(self.values, x)

    def to(self, dtype: torch.dtype) -> "Vector":
        return self if dtype == self.dtype else self.of(self.values.to(dtype))

    def float(self) -> "Vector":
        return self.to(torch.float32)

    def type_as(self, other: Tensor) -> "Vector":
        return self.to(other.dtype)

    def __add__(self, other: Any) -> Any:
        return _elementwise(torch.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _elementwise(torch.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _elementwise(torch.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _elementwise(torch.rsub, self, other)

    def __mul__(self, other: Any) -> Any:
        return _elementwise(torch.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _elementwise(torch.mul, other, self)


def refusal(line: Line) -> str | None:
    """Why rows cannot be computed on this line, in words; None where they can. Found once a line, in two short passes.

    Rows are compared with the live model at two alphas beyond the ends, on a few tokens and a cached step: an operation
    that a weight cannot do is found, and so is a parameter that is passed by unseen. Moves `line.model`.
    """
    if line not in _checked:
        _checked[line] = _refusal(line)
    return _checked[line]


def reads(line: Line) -> float:
    """How often a pass over rows reads the weights: once where the ends share a tensor or its base, else twice."""
    pairs = [(line.minus.weights[name], line.plus.weights[name]) for name in line.minus.weights]
    once = sum(a.numel() for a, _ in pairs)
    return 1 + sum(a.numel() for a, b in pairs if not _same(_base(a), _base(b))) / once


@torch.inference_mode()
def _refusal(line: Line) -> str | None:
    kind = type(line.model).__name__
    if line.dtype != "float32":
        return f"the line is computed in {line.dtype}, in which rows and single passes round to other texts."
    if any(hasattr(module, "_hf_hook") for module in line.model.modules()):
        return "its live model is spread by a device_map."
    away = {weight.device.type for end in (line.minus, line.plus) for weight in end.weights.values()} - {
        line.device.type
    }
    if away:
        return f"its ends lie on {away.pop()}, and the live model on {line.device.type}: each pass would move them all."
    vocabulary = line.model.get_input_embeddings().weight.shape[0]
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 5]], device=line.device) * (vocabulary // 8)
    try:
        rows = Rows(line, check=False)
        rows.alphas = CHECKED_AT
        found = _few_logits(rows.model, ids)
    except Exception as error:  # whatever it is, the walk has another way
        return f"{kind} cannot be computed a row an alpha.\n  {first_line(error)}"
    unused = [weight.name for weight in rows.weights if not weight.used]
    if unused:
        return f"{kind} has weights that it was not seen to use: {', '.join(unused[:3])}."
    low, high = (_few_logits(line.at(alpha), ids) for alpha in CHECKED_AT)
    wanted = torch.stack([low[0], high[1]])
    error, apart = (found - wanted).abs().max().item(), (high - low).abs().max().item()
    if not error <= OF_DIFFERENCE * apart + OF_LOGITS * wanted.abs().max().item():  # NaN is no agreement either
        return f"{kind} computed a row an alpha is {error:.2g} off in logits that lie {apart:.2g} apart at two alphas."
    return None


def _few_logits(model: nn.Module, ids: Tensor) -> Tensor:
    """(2, tokens, vocabulary): three tokens in one pass, and a fourth after them from the cache."""
    start = model(input_ids=ids[:, :3], use_cache=True)
    step = model(input_ids=ids[:, 3:], past_key_values=start.past_key_values, use_cache=True)
    return torch.cat([start.logits, step.logits], 1)


def _linear(func: Callable, x: Tensor, weight: Any, bias: Any = None) -> Tensor:
    y = weight.linear(x) if isinstance(weight, Matrix) else F.linear(bias.rows.spread(x), weight)
    return _plus(y, bias)


def _addmm(func: Callable, bias: Any, x: Tensor, weight: Any) -> Tensor:
    y = weight.matmul(x) if isinstance(weight, Matrix) else torch.mm(bias.rows.spread(x), weight)
    return _plus(y, bias)


def _matmul(func: Callable, x: Tensor, weight: Matrix) -> Tensor:
    if not isinstance(weight, Matrix) or not isinstance(x, Tensor):
        raise Unmixable(f"{(x if isinstance(x, Weight) else weight).name}: a product of this kind cannot be computed.")
    return weight.matmul(x)


def _plus(y: Tensor, bias: Any) -> Tensor:
    return y if bias is None else y.add_(bias.along(y) if isinstance(bias, Vector) else bias)


def _embedding(func: Callable, ids: Tensor, weight: Matrix, padding_idx: int | None = None, **options: Any) -> Tensor:
    if options.get("max_norm") is not None:
        raise Unmixable(f"{weight.name}: an embedding with max_norm cannot be computed a row an alpha.")
    return weight.embedding(ids)


def _norm(
    func: Callable, x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float | None = None
) -> Tensor:
    x = next(w for w in (weight, bias) if isinstance(w, Vector)).rows.spread(x)
    y = func(x, shape, eps=eps)
    if weight is not None:
        y = y.mul_(weight.along(y) if isinstance(weight, Vector) else weight)
    return _plus(y, bias)


def _elementwise(func: Callable, *args: Any) -> Any:
    """func of vectors and tensors: each vector laid along the tensor; of vectors and numbers alone, another vector."""
    vector = next(arg for arg in args if isinstance(arg, Weight))
    if any(isinstance(arg, Matrix) for arg in args):
        raise Unmixable(f"{vector.name}: {func.__name__}() cannot be computed a row an alpha.")
    x = next((arg for arg in args if isinstance(arg, Tensor) and arg.dim() > 1), None)
    if x is None:
        return vector.of(func(*(arg.values if isinstance(arg, Vector) else arg for arg in args)))
    x, given = vector.rows.spread(x), x
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


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _base(end: Tensor | LowRank) -> Tensor:
    return end.base if isinstance(end, LowRank) else end


def _factors(end: Tensor | LowRank) -> tuple[Tensor, Tensor]:
    """left (rows of the weight, rank) and right (rank, columns) of what a low-rank end adds to its base."""
    if not isinstance(end, LowRank):
        return end.new_empty(end.shape[0], 0), end.new_empty(0, end.shape[1:].numel())
    left, right = (end.down.T, end.up.T) if end.transposed else (end.up, end.down)
    return left * end.scaling, right


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


def _equal(a: Tensor | LowRank, b: Tensor | LowRank) -> bool:
    if isinstance(a, LowRank) or isinstance(b, LowRank):
        return False
    return _same(a, b) or torch.equal(a, b)
