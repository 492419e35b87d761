"""The mixer: exact ends, float32 mixing, nothing renormalised, no memory a point."""

import pytest
import torch
from torch import nn

from lerpnb.errors import MismatchError
from lerpnb.mixer import Mixer


def linear(value: float, dtype=torch.float32) -> nn.Linear:
    layer = nn.Linear(2, 1, bias=False).to(dtype)
    nn.init.constant_(layer.weight, value)
    return layer


def weights(*values: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([values])}


def test_any_coefficients_are_taken_as_they_are():
    model = linear(0.0)
    Mixer(model, [weights(1.0, 2.0), weights(10.0, 20.0), weights(100.0, 200.0)]).put((1.0, -2.0, 0.5))
    assert model.weight.tolist() == [[31.0, 62.0]]


def test_negative_zero_and_every_bit_survive_at_the_ends():
    a, b = {"weight": torch.tensor([[-0.0, 1e-45]])}, {"weight": torch.tensor([[5.0, -0.0]])}
    model = linear(7.0)
    mixer = Mixer(model, [a, b])
    for coefficients, end in (((1.0, 0.0), a), ((0.0, 1.0), b)):
        mixer.put(coefficients)
        assert torch.equal(model.weight.view(torch.int32), end["weight"].view(torch.int32))


def test_a_bfloat16_model_is_rounded_to_once_from_float32():
    a, b = weights(1.0, 1.0), weights(1.0 + 2**-9, 1.0 + 2**-6)
    model = linear(0.0, torch.bfloat16)
    mixer = Mixer(model, [a, b])
    for alpha in (0.1, 0.9, 0.3, 1.0, 0.0):  # walking back and forth accumulates nothing
        mixer.put((1 - alpha, alpha))
        assert torch.equal(model.weight, torch.lerp(a["weight"], b["weight"], alpha).bfloat16())


def test_what_the_ends_share_is_put_once_and_scaled_only_when_the_sum_is_not_one():
    shared = torch.tensor([[3.0, 4.0]])
    model = linear(0.0)
    mixer = Mixer(model, [{"weight": shared}, {"weight": shared}])
    mixer.put((0.25, 0.75))
    assert model.weight.tolist() == [[3.0, 4.0]]
    mixer.put((1.0, 1.0))
    assert model.weight.tolist() == [[6.0, 8.0]]
    mixer.put((0.5, 0.5))
    assert model.weight.tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_memory_is_taken_a_point(dtype):
    from torch.profiler import ProfilerActivity, profile

    model = nn.Linear(256, 256, bias=False).to(dtype)
    ends = [{"weight": torch.randn(256, 256)} for _ in range(2)]
    mixer = Mixer(model, ends)
    mixer.put((0.5, 0.5))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        for alpha in (0.0, 0.3, 1.0, 1.7):
            mixer.put((1 - alpha, alpha))
    taken = sum(max(0, event.self_cpu_memory_usage) for event in record.events())
    assert taken < 256 * 256  # bytes: not even a quarter of one tensor
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        torch.lerp(ends[0]["weight"], ends[1]["weight"], 0.5)  # so that the record is seen to see
    assert sum(max(0, event.self_cpu_memory_usage) for event in record.events()) >= 4 * 256 * 256


def test_a_missing_tensor_is_named():
    with pytest.raises(MismatchError) as error:
        Mixer(linear(0.0), [weights(1.0, 2.0), {}])
    assert str(error.value) == "Mixer(model, ends): 1 of 1 tensors are missing at an end: weight."
