"""The mixer: exact ends, float32 mixing, nothing renormalized, no memory a point."""

import pytest
import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import CheckpointError, MismatchError
from lerpnb.paths.mixer import Mixer


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


def low_rank(base: torch.Tensor, seed: int, transposed: bool, rank: int = 3) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = base.T.shape if transposed else base.shape
    up, down = (torch.randn(shape, generator=generator) for shape in ((rows, rank), (rank, columns)))
    return LowRank(base, up, down, 0.7 + seed, transposed)


def sizes(end: torch.Tensor | LowRank) -> torch.Tensor:
    """The size of what is added up to make it: roundings are a share of that."""
    if not isinstance(end, LowRank):
        return end.abs()
    return LowRank(end.base.abs(), end.up.abs(), end.down.abs(), end.scaling, end.transposed).tensor()


ENDS = {
    "dense": lambda base, other, t: [base, other, base + 1],
    "low-rank on one base": lambda base, other, t: [low_rank(base, seed, t, seed + 1) for seed in (1, 2, 3)],
    "low-rank and the base": lambda base, other, t: [low_rank(base, 1, t), base, base],
    "low-rank and dense": lambda base, other, t: [low_rank(base, 1, t), other, other],
    "low-rank on several bases": lambda base, other, t: [low_rank(base, 1, t), low_rank(other, 2, t), base + 1],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kind", ENDS)
def test_every_kind_of_end_agrees_with_float64_and_is_met_bit_for_bit(kind, transposed, dtype):
    base, other = torch.randn(2, 24, 40, generator=torch.Generator().manual_seed(0))
    ends = ENDS[kind](base, other, transposed)
    dense = [end.tensor() if isinstance(end, LowRank) else end for end in ends]
    model = nn.Linear(40, 24, bias=False).to(dtype)
    mixer = Mixer(model, [{"weight": end} for end in ends])
    for coefficients in ((0.25, 0.75, 0.0), (2.0, -1.0, 0.0), (0.5, 0.3, 0.2), (1.0, 0.4, -0.7), (0.3, 0.0, 0.0)):
        mixer.put(coefficients)
        expected = sum(c * end.double() for c, end in zip(coefficients, dense, strict=True))
        if dtype == torch.float32:
            size = sum(abs(c) * sizes(end) for c, end in zip(coefficients, ends, strict=True))
            assert ((model.weight - expected).abs() <= 1e-6 * size).all()
        else:  # rounded once: half of bfloat16's last of 8 bits
            assert ((model.weight - expected).abs() <= 2**-8 * expected.abs() + 1e-5).all()
    for i, end in enumerate(dense):
        mixer.put([float(i == place) for place in range(3)])
        assert torch.equal(model.weight, end.to(dtype))


def test_a_low_rank_weight_that_all_ends_share_is_put_once_and_scaled():
    shared = low_rank(torch.ones(2, 2), 1, False)
    model = nn.Linear(2, 2, bias=False)
    mixer = Mixer(model, [{"weight": shared}] * 2)
    mixer.put((0.25, 0.75))
    assert torch.equal(model.weight, shared.tensor())
    model.weight.data.zero_()
    mixer.put((0.5, 0.5))
    assert not model.weight.any()  # put once
    mixer.put((1.0, 1.0))
    assert torch.allclose(model.weight, 2 * shared.tensor())


def test_blocks_of_rows_change_nothing(monkeypatch):
    ends = [{"weight": torch.randn(9, 5)}, {"weight": torch.randn(9, 5)}]
    models = [nn.Linear(5, 9, bias=False).bfloat16() for _ in range(2)]
    Mixer(models[0], ends).put((0.3, 0.7))
    monkeypatch.setattr("lerpnb.paths.mixer.BLOCK", 12)  # two rows a block, and one left over
    mixer = Mixer(models[1], ends)
    assert [len(row.live) for row in mixer._rows] == [2, 2, 2, 2, 1]
    mixer.put((0.3, 0.7))
    assert torch.equal(models[0].weight, models[1].weight)


def test_ends_in_host_memory_stream_to_a_model_elsewhere():
    """On the meta device, which has no values: what is to be seen is that nothing is mixed there, and no error."""
    base = torch.randn(4, 6)
    for ends in ([base, base + 1], [low_rank(base, 1, True), low_rank(base, 2, True)]):
        for dtype in (torch.float32, torch.bfloat16):
            mixer = Mixer(nn.Linear(6, 4, bias=False, device="meta", dtype=dtype), [{"weight": end} for end in ends])
            mixer.put((0.5, 0.5))
            mixer.put((1.0, 0.0))
            assert {device.type for _, device, _, _ in mixer._rows[0].scratch.held} == {"cpu"}


def test_what_accelerate_offloaded_is_mixed_where_it_lies(tiny):
    from accelerate import cpu_offload

    minus, plus = (Checkpoint.from_model(tiny.llama(seed)) for seed in (1, 2))
    ids = torch.arange(3, 19).view(2, 8)
    live, plain = minus.new_model(), minus.new_model()
    cpu_offload(live, "cpu")
    assert {p.device.type for p in live.parameters()} == {"meta"}
    for model in (live, plain):
        Mixer(model, [minus.weights, plus.weights]).put((0.25, 0.75))
    assert torch.equal(live(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert not torch.equal(plain(input_ids=ids).logits, minus.model(input_ids=ids).logits)


def test_what_lies_on_disk_is_refused(tiny, tmp_path):
    from accelerate import disk_offload

    live = tiny.llama()
    disk_offload(live, tmp_path, "cpu")
    with pytest.raises(CheckpointError) as error:
        Mixer(live, [])
    assert str(error.value) == (
        "writable_tensors(model): 21 of 23 tensors are offloaded to disk.\n"
        "They cannot be mixed in place: lm_head.weight, model.embed_tokens.weight, "
        "model.layers.0.input_layernorm.weight.\n"
        'Leave "disk" out of the device_map: a path needs the live model in memory.'
    )


KINDS = ["dense", "low-rank on one base", "low-rank on several bases"]


@pytest.mark.slow
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_memory_is_taken_a_point(kind, transposed, dtype):
    from torch.profiler import ProfilerActivity, profile

    model = nn.Linear(256, 256, bias=False).to(dtype)
    ends = [{"weight": end} for end in ENDS[kind](torch.randn(256, 256), torch.randn(256, 256), transposed)]
    mixer = Mixer(model, ends)
    mixer.put((0.5, 0.5, 0.0))
    mixer.put((1.0, 0.0, 0.0))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        for alpha in (0.0, 0.3, 1.0, 1.7):
            mixer.put((1 - alpha, alpha, 0.0))
    taken = sum(max(0, event.self_cpu_memory_usage) for event in record.events())
    assert taken < 256 * 256  # bytes: not even a quarter of one tensor
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        torch.lerp(torch.zeros(256, 256), torch.ones(256, 256), 0.5)  # so that the record is seen to see
    assert sum(max(0, event.self_cpu_memory_usage) for event in record.events()) >= 4 * 256 * 256


def test_a_missing_tensor_is_named():
    with pytest.raises(MismatchError) as error:
        Mixer(linear(0.0), [weights(1.0, 2.0), {}])
    assert str(error.value) == "Mixer(model, ends): 1 of 1 tensors are missing at an end: weight."
