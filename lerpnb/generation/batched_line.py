"""The batched line: many alphas in one pass, each row of a batch computed at its own.

All that a language model does with a weight matrix is linear in it, so a row's result at its alpha is the same mixture
of the results at the ends (networks share a pass in this way in BatchEnsemble, arXiv 2002.06715, and Punica, arXiv
2310.18547):

    y_r = theta(alpha_r) x_r = (1 - alpha_r) (minus x_r) + alpha_r (plus x_r)

Where both ends are low-rank changes of one base W, it is W x_r plus two low-rank products, and W is read once for all
rows:

    y_r = W x_r + (1 - alpha_r) up_minus (down_minus x_r) + alpha_r up_plus (down_plus x_r)

No theta(alpha) is stored, nor rounded. Vectors (norms, biases) are small: each row gets its own, mixed once.

In a structural copy of the live model each parameter that differs between the ends is replaced by a `Weight`, which
answers `__torch_function__`, torch's protocol for tensor-like types. Replacing the modules' forwards instead would need
one for every norm that transformers writes by hand; this way the model's own code runs, and tied weights stay tied. A
`Weight` is no subclass of Tensor: it has no storage that an operation could use by mistake, and its shape, dtype and
device are plain attributes, which are cheaper to read. An operation that it does not support is an error that names it.
"""

import copy
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lerpnb.checkpoints.low_rank import base_of
from lerpnb.checkpoints.memory import same_storage
from lerpnb.errors import ProbeError
from lerpnb.generation.batched_weights import Batch, Matrix, Vector, Weight
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.base import DTYPES, BasePath
from lerpnb.paths.line import Line
from lerpnb.utils.text import first_line

# Up to how many texts an alpha a batched line is faster, by the table that tests/benchmarks/batched_texts.py prints.
# A CPU's are measured; cuda's are estimates: a small batch waits for kernels to start, of which it needs a third.
MAX_TEXTS_PER_ALPHA = {"cpu": {"low-rank": 64, "dense": 16}, "cuda": {"low-rank": 128, "dense": 64}}

# Where the batched line is compared with the live model: beyond the ends, so that small changes show too.
CHECKED_ALPHAS = (-0.5, 1.5)

# How far they may differ: relative to what lies between the two models, and to the logits, for rounding.
TOL_DIFFERENCE, TOL_LOGITS = 1e-3, 1e-5
_checked: weakref.WeakKeyDictionary[Line, str | None] = weakref.WeakKeyDictionary()


class BatchedLine:
    """A line's model whose batch row r is computed at alphas[r].

    It reads the ends' tensors where they are, and holds no weights. A leading dimension that is a multiple of the
    number of rows (some models flatten batch and sequence) is row-major; one of length 1 (positions) serves all rows.

    Args:
        line: the line; its live model must be in float32.
        dtype: of the activations, the live model's by default; ends' tensors of another are cast one at a time.
        check: first compare it with the live model (once a line; moves `line.model`).

    Attributes:
        line: the line.
        model: a transformers model, to be called; `alphas` has the alpha of each row.

    Raises:
        ProbeError: this model is not supported; `unsupported_reason` gives the reason without raising.

    Example:
        >>> batched = BatchedLine(Line(tiny_checkpoint(), tiny_checkpoint(), device="cpu"))
        >>> batched.alphas = [0.0, 0.5, 1.0]
        >>> batched.model(torch.tensor([[1, 2]]).expand(3, -1)).logits.shape  # (alphas, tokens, vocabulary)
        torch.Size([3, 2, 8])
    """

    def __init__(self, line: Line, *, dtype: torch.dtype | None = None, check: bool = True):
        if check and (reason := unsupported_reason(line)):
            raise ProbeError(f"BatchedLine(line): {reason}\nline.at(alpha) serves every model, one alpha at a time.")
        self.line, self.dtype = line, dtype or DTYPES[line.dtype]
        self.batch = Batch(line.device, self.dtype)
        named = [*line.model.named_parameters(), *line.model.named_buffers()]
        memo = {id(tensor): self._weight(name, tensor) for name, tensor in named}
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
        """The replacements of the tensors that differ between the ends."""
        return self.batch.weights

    def _weight(self, name: str, tensor: Tensor) -> Any:
        """The replacement of a tensor of the live model: an end's own where both agree, else a Weight."""
        if name not in self.line.minus.weights:  # an integer buffer, the same at both ends
            return tensor
        minus, plus = (end.weights[name] for end in (self.line.minus, self.line.plus))
        if isinstance(minus, Tensor) and isinstance(plus, Tensor):
            if same_storage(minus, plus) or torch.equal(minus, plus):
                is_parameter = isinstance(tensor, nn.Parameter)  # a buffer keeps its dtype
                return nn.Parameter(minus.to(self.dtype), requires_grad=False) if is_parameter else minus
            if minus.dim() < 2:
                self.weights.append(Vector(name, [minus, plus], self.batch))
                return self.weights[-1]
        self.weights.append(Matrix(name, [minus, plus], self.batch))
        return self.weights[-1]


def unsupported_reason(line: Line) -> str | None:
    """Why a `BatchedLine` cannot serve this line, in words; None where it can. Checked once a line; moves `line.model`.

    The batched line is compared with the live model at two alphas beyond the ends, on a few tokens and a cached step.
    This finds an operation that a weight does not support, and a parameter that is bypassed.
    """
    if line not in _checked:
        _checked[line] = _check(line)
    return _checked[line]


def reads_per_pass(line: Line) -> float:
    """How often a batched pass reads the weights: once where the ends share a tensor or its base, else twice."""
    pairs = [(line.minus.weights[name], line.plus.weights[name]) for name in line.minus.weights]
    once = sum(a.numel() for a, _ in pairs)
    return 1 + sum(a.numel() for a, b in pairs if not same_storage(base_of(a), base_of(b))) / once


def prefer_batched(line: BasePath, spec: Continuations, alphas: int) -> tuple[bool, str]:
    """Whether `sample_batched` is faster for the texts of a line at so many alphas, and why, in words.

    A decoding step of few rows waits for the weights to be read: then all alphas share the reading. A step of many
    waits for arithmetic, of which dense ends need twice as much. Nothing is timed, so the answer is always the same on
    the same kind of device.

    Returns:
        Whether to batch, and the reason.
    """
    if not isinstance(line, Line):
        return False, f"one point at a time: only a Line can be batched, and this is a {type(line).__name__}."
    reads = reads_per_pass(line)
    ends, texts = "low-rank" if reads < 1.5 else "dense", len(spec.prompts) * spec.n_samples
    per_alpha = min(texts, spec.batch_size or texts)
    device = line.device.type
    limit = MAX_TEXTS_PER_ALPHA.get(device, MAX_TEXTS_PER_ALPHA["cpu"])[ends]
    if alphas <= reads:
        return False, f"one alpha at a time: {alphas} with {ends} ends, nothing to share."
    if per_alpha > limit:
        why = f"{per_alpha} texts an alpha; with {ends} ends on {device}, {limit} at most share a pass."
        return False, f"one alpha at a time: {why}"
    stored = {base_of(weight).dtype for end in (line.minus, line.plus) for weight in end.weights.values()}
    if device == "cpu" and stored - {torch.float32}:
        return False, "one alpha at a time: the ends are stored in 16 bits, and each pass would widen them."
    if reason := unsupported_reason(line):
        return False, f"one alpha at a time: {reason}"
    why = f"{per_alpha} texts an alpha, of at most {limit} with {ends} ends on {device}."
    return True, f"all {alphas} alphas in one pass: {why}"


@torch.inference_mode()
def _check(line: Line) -> str | None:
    model: Any = line.model
    kind = type(model).__name__
    if line.dtype != "float32":
        return f"the line is computed in {line.dtype}, in which batched and single passes round to different texts."
    if any(hasattr(module, "_hf_hook") for module in model.modules()):
        return "its live model is spread by a device_map."
    devices = {weight.device.type for end in (line.minus, line.plus) for weight in end.weights.values()}
    if elsewhere := devices - {line.device.type}:
        where = f"its ends lie on {elsewhere.pop()}, and the live model on {line.device.type}"
        return f"{where}: each pass would move them."
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 5]], device=line.device) * (vocabulary // 8)
    try:
        batched = BatchedLine(line, check=False)
        batched.alphas = CHECKED_ALPHAS
        logits = _few_logits(batched.model, ids)
    except Exception as error:  # whatever it is, one alpha at a time still works
        return f"{kind} cannot be computed with an alpha per row.\n  {first_line(error)}"
    unused = [weight.name for weight in batched.weights if not weight.used]
    if unused:
        return f"{kind} has weights that it was not seen to use: {', '.join(unused[:3])}."
    low, high = (_few_logits(line.at(alpha), ids) for alpha in CHECKED_ALPHAS)
    expected = torch.stack([low[0], high[1]])
    off, apart = (logits - expected).abs().max().item(), (high - low).abs().max().item()
    if not off <= TOL_DIFFERENCE * apart + TOL_LOGITS * expected.abs().max().item():  # NaN is no agreement either
        return f"{kind} with an alpha per row is {off:.2g} off in logits that lie {apart:.2g} apart at two alphas."
    return None


def _few_logits(model: nn.Module, ids: Tensor) -> Tensor:
    """(2, tokens, vocabulary): three tokens in one pass, and a fourth after them from the cache."""
    start = model(input_ids=ids[:, :3], use_cache=True)
    step = model(input_ids=ids[:, 3:], past_key_values=start.past_key_values, use_cache=True)
    return torch.cat([start.logits, step.logits], 1)
