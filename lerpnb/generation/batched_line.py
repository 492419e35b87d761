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
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lerpnb.checkpoints.lora import LowRank
from lerpnb.errors import ProbeError
from lerpnb.generation.batched_weights import Batch, Matrix, Vector, Weight, base_of, same
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.base import DTYPES, BasePath
from lerpnb.paths.line import Line
from lerpnb.utils.text import first_line

# Up to how many rows an alpha all alphas at once are the faster way, by the table that tests/benchmarks/rows.py prints.
# A CPU's are measured; cuda's are estimates: a small batch waits for kernels to start, of which rows need a third.
ROWS_AN_ALPHA = {"cpu": {"low-rank": 64, "dense": 16}, "cuda": {"low-rank": 128, "dense": 64}}


# Where rows are compared with the live model: beyond the ends, so that what moves little is seen too.
CHECKED_AT = (-0.5, 1.5)


# How far they may differ: as a share of what lies between the two models, and of the logits, for rounding.
OF_DIFFERENCE, OF_LOGITS = 1e-3, 1e-5


_checked: weakref.WeakKeyDictionary[Line, str | None] = weakref.WeakKeyDictionary()


class BatchedLine:
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

    Raises:
        ProbeError: this model cannot be computed so; `unsupported_reason` tells without raising.

    Example:
        ```python
        rows = BatchedLine(line)
        rows.alphas = [0.0, 0.5, 1.0]
        logits = rows.model(ids.expand(3, -1)).logits  # (3, tokens, vocabulary)
        ```
    """

    def __init__(self, line: Line, *, dtype: torch.dtype | None = None, check: bool = True):
        if check and (why := unsupported_reason(line)):
            raise ProbeError(f"BatchedLine(line): {why}\nline.at(alpha) serves every model, one alpha at a time.")
        self.line, self.dtype = line, dtype or DTYPES[line.dtype]
        self.batch = Batch(line.device, self.dtype)
        memo = {id(tensor): self._weight(name, tensor) for name, tensor in _named(line.model)}
        self.model = copy.deepcopy(line.model, memo)

    @property
    def alphas(self) -> Tensor:
        """(rows,) float32, without unit. Set it before a pass; between decode steps it may shrink or be permuted."""
        return self.batch.alphas

    @alphas.setter
    def alphas(self, alphas: Tensor | Sequence[float]) -> None:
        self.batch.alphas = alphas

    @property
    def weights(self) -> list[Weight]:
        """What stands for the tensors that differ between the ends."""
        return self.batch.weights

    def _weight(self, name: str, tensor: Tensor) -> Any:
        """What stands for a tensor of the live model: an end's own where both agree, else a Weight."""
        ends = [end.weights.get(name) for end in (self.line.minus, self.line.plus)]
        if ends[0] is None:  # an integer buffer, the same at both ends
            return tensor
        if _equal(*ends):
            kind = type(tensor)
            data = ends[0].to(self.dtype) if kind is nn.Parameter else ends[0]  # a buffer keeps its own
            return kind(data, requires_grad=False) if kind is nn.Parameter else data
        self.weights.append((Vector if len(ends[0].shape) < 2 else Matrix)(name, ends, self.batch))
        return self.weights[-1]


def unsupported_reason(line: Line) -> str | None:
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
    return 1 + sum(a.numel() for a, b in pairs if not same(base_of(a), base_of(b))) / once


def prefer_batched(line: BasePath, spec: Continuations, alphas: int) -> tuple[bool, str]:
    """Whether `sample_batched` is the faster way to the texts of a line at so many alphas, and why, in words.

    A decoding step of few rows waits for the weights to be read: then all alphas share the reading. A step of many
    waits for arithmetic, of which dense ends need twice as much. Nothing is timed: the same question on the same kind
    of device has the same answer.

    Example:
        ```python
        pays, why = rows_pay(line, spec, len(alphas))
        texts = sample_rows(BatchedLine(line), line.tokenizer, alphas, spec) if pays else ...
        ```
    """
    if not isinstance(line, Line):
        return False, f"one point at a time: rows serve a Line, and this is a {type(line).__name__}."
    kind, each = "low-rank" if reads(line) < 1.5 else "dense", min(len(spec.prompts) * spec.n_samples, spec.batch_size)
    device = line.device.type
    most = ROWS_AN_ALPHA.get(device, ROWS_AN_ALPHA["cpu"])[kind]
    if alphas <= reads(line):
        return False, f"one alpha at a time: {alphas} with {kind} ends, nothing to share."
    if each > most:
        return (
            False,
            f"one alpha at a time: {each} texts an alpha; with {kind} ends on {device}, {most} at most share a pass.",
        )
    if why := unsupported_reason(line):
        return False, f"one alpha at a time: {why}"
    return (
        True,
        f"all {alphas} alphas in one pass: {each} texts an alpha, of at most {most} with {kind} ends on {device}.",
    )


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
        rows = BatchedLine(line, check=False)
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


def _named(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _equal(a: Tensor | LowRank, b: Tensor | LowRank) -> bool:
    if isinstance(a, LowRank) or isinstance(b, LowRank):
        return False
    return same(a, b) or torch.equal(a, b)
