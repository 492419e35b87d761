"""Networks in a form that has derivatives of every order; those that have no such form are refused."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from lerpnb.errors import ProbeError

TWICE_DIFFERENTIABLE = ("eager", "sdpa")  # kinds of attention that have a second derivative


@contextmanager
def differentiable() -> Iterator[None]:
    """Networks in a form that has derivatives of every order, forward too.

    Attention is two products and a softmax, and what torch fuses without such derivatives is spelled out: the same
    functions, other kernels. (The fused layer norm has a second forward derivative, but a wrong one: torch 2.13.) The
    model is not touched.

    Raises:
        ProbeError: an operation that is not spelled out and has no such derivative.
    """
    try:
        with sdpa_kernel(SDPBackend.MATH), _SpelledOut():
            yield
    except NotImplementedError as error:
        raise ProbeError(
            f"differentiable(): {str(error).splitlines()[0]}\n"
            "The operation must be spelled out in lerpnb/probes/differentiable.py."
        ) from error


def refuse(model: nn.Module, call: str) -> None:
    """Say so where a model cannot be differentiated as this package does it.

    Raises:
        ProbeError: low precision, weights spread over devices, or a fused attention that is not torch's own.
    """
    dtypes = {parameter.dtype for parameter in model.parameters()} - {torch.float32, torch.float64}
    if dtypes:
        raise ProbeError(
            f"{call}: computed in {str(dtypes.pop()).removeprefix('torch.')}, in which derivatives are mostly rounding."
            '\nGive dtype="float32".'
        )
    if any(hasattr(module, "_hf_hook") for module in model.modules()):
        raise ProbeError(f"{call}: its live model is spread by a device_map.\nGive one device.")
    attention = getattr(model.config, "_attn_implementation", None)
    if attention not in (None, *TWICE_DIFFERENTIABLE):
        raise ProbeError(f"{call}: {attention} attention has no second derivative.\nLoad the model with eager or sdpa.")


class _SpelledOut(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return SPELLED_OUT.get(func, func)(*args, **(kwargs or {}))


def _silu(x: Tensor, inplace: bool = False) -> Tensor:
    return x * torch.sigmoid(x)


def _gelu(x: Tensor, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    over = tuple(range(-len(shape), 0))
    x = x - x.mean(over, keepdim=True)
    return _scaled(x * torch.rsqrt((x * x).mean(over, keepdim=True) + eps), weight, bias)


def _rms_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x * torch.rsqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdim=True) + eps), weight, None)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


SPELLED_OUT: dict[Any, Callable] = {F.silu: _silu, F.gelu: _gelu, F.layer_norm: _layer_norm, F.rms_norm: _rms_norm}
