"""Differentiable networks: what is spelled out has torch's own values, and second derivatives that are right."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import jvp

from lerpnb.errors import ProbeError
from lerpnb.probes.differentiable import SPELLED_OUT, differentiable, refuse

NUMBERS = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
WEIGHT, BIAS = NUMBERS[0] + 1, NUMBERS[1]
QUERY, KEY, VALUE = torch.randn(3, 1, 2, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
CALLS = {
    "silu": lambda x: F.silu(x),
    "gelu": lambda x: F.gelu(x),
    "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"),
    "layer norm": lambda x: F.layer_norm(x, (5,), WEIGHT, BIAS, 1e-5),
    "layer norm, bare": lambda x: F.layer_norm(x, (3, 5)),
    "rms norm": lambda x: F.rms_norm(x, (5,), WEIGHT, 1e-6),
    "rms norm, bare": lambda x: F.rms_norm(x, (5,)),
    "attention": lambda x: F.scaled_dot_product_attention(x.sum() * QUERY, KEY, VALUE, is_causal=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_are_torchs_own_and_the_second_derivative_is_right(name):
    call, along, h = CALLS[name], NUMBERS.flip(0), 1e-4

    def at(step: float) -> torch.Tensor:
        return call(NUMBERS + step * along)  # torch's own kernels

    with differentiable():
        inner = lambda x: jvp(call, (x,), (along,))  # noqa: E731
        (value, slope), (_, second) = jvp(inner, (NUMBERS,), (along,))
    assert torch.allclose(value, at(0.0), rtol=1e-12, atol=1e-14)
    assert torch.allclose(slope, (at(h) - at(-h)) / (2 * h), rtol=1e-5, atol=1e-7)
    assert torch.allclose(second, (at(h) - 2 * at(0.0) + at(-h)) / h**2, rtol=1e-4, atol=1e-5)


def test_outside_nothing_is_spelled_out(monkeypatch):
    called = []
    monkeypatch.setitem(SPELLED_OUT, F.silu, lambda x, inplace=False: called.append(x) or x)
    F.silu(NUMBERS)
    assert called == []
    with differentiable():
        torch.nn.SiLU()(NUMBERS)
    assert len(called) == 1


def test_an_operation_without_derivatives_is_named(monkeypatch):
    monkeypatch.delitem(SPELLED_OUT, F.silu)
    with pytest.raises(ProbeError) as error, torch.no_grad(), differentiable():
        jvp(lambda x: jvp(F.silu, (x,), (x,))[1], (NUMBERS,), (NUMBERS,))
    assert str(error.value) == (
        "differentiable(): Trying to use forward AD with aten::silu_backward that does not support it.\n"
        "The operation must be spelled out in lerpnb/probes/differentiable.py."
    )


def test_what_cannot_be_differentiated_is_said(tiny):
    spread, fused = tiny.llama(), tiny.llama()
    spread.lm_head._hf_hook = object()
    fused.config._attn_implementation_internal = "flash_attention_2"
    told = []
    for model in (tiny.llama().bfloat16(), spread, fused):
        with pytest.raises(ProbeError) as error:
            refuse(model, "call(model)")
        told.append(str(error.value))
    assert told == [
        'call(model): computed in bfloat16, in which derivatives are mostly rounding.\nGive dtype="float32".',
        "call(model): its live model is spread by a device_map.\nGive one device.",
        "call(model): flash_attention_2 attention has no second derivative.\nLoad the model with eager or sdpa.",
    ]
    refuse(tiny.llama().double(), "call(model)")
