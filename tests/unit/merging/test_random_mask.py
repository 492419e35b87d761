"""Random masks: each number from one end, by lot that repeats, grows, and is the same in blocks and on every device."""

import hashlib

import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AlphaError
from lerpnb.generation.noise import noise_key, random_bits
from lerpnb.merging import random_mask
from lerpnb.merging.random_mask import RandomMask, mask


def masked(trio, **how) -> RandomMask:
    return RandomMask(trio.base, trio.plus, device="cpu", **how)


def chosen(path: RandomMask, ratio: float) -> dict[str, torch.Tensor]:
    """Where the live model has the fine-tuned number; what is neither end's fails."""
    a, b = (end.tensors for end in path.checkpoints.values())
    found = {}
    for name, live in path.at(ratio).named_parameters():
        assert ((live == a[name]) | (live == b[name])).all()
        found[name] = (live == b[name]).flatten()
    return found


def test_each_number_is_one_ends_and_the_ratio_holds(tiny_llama_pair):
    path = masked(tiny_llama_pair)
    for ratio in (0.1, 0.5, 0.85):
        found = torch.cat(list(chosen(path, ratio).values())).double()
        assert abs(found.mean() - ratio) < 4 * (ratio * (1 - ratio) / len(found)) ** 0.5  # four standard errors


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair", "tiny_half_pair", "tiny_gpt2_pair"])
def test_both_ends_are_met_bit_for_bit_and_again_after_a_mask(request, pair):
    path = masked(request.getfixturevalue(pair))
    for ratio, end in ((0.0, "pretrained"), (0.5, None), (1.0, "fine_tuned"), (0.5, None), (0.0, "pretrained")):
        model = path.at(ratio)
        if end:
            assert all(torch.equal(p, path.checkpoints[end].tensors[n]) for n, p in model.named_parameters())


@pytest.mark.slow
def test_masks_grow_with_the_ratio(tiny_llama_pair):
    path, before = masked(tiny_llama_pair), None
    for ratio in (0.05, 0.3, 0.31, 0.9):
        found = chosen(path, ratio)
        assert before is None or all((before[name] <= found[name]).all() for name in found)
        before = found


@pytest.mark.slow
def test_the_mask_depends_on_seed_name_and_place_alone(tiny_llama_pair, tiny_gpt2_pair):
    path = masked(tiny_llama_pair, seed=3)
    for name, found in chosen(path, 0.4).items():
        assert torch.equal(found, mask(noise_key(3, name), 0, len(found), 0.4))
    one, other = (mask(noise_key(seed, "w"), 0, 10_000, 0.5) for seed in (0, 1))
    assert abs((one == other).double().mean() - 0.5) < 0.02
    assert not torch.equal(one, mask(noise_key(0, "v"), 0, 10_000, 0.5))


@pytest.mark.slow
def test_blocks_do_not_change_it(tiny_llama_pair, monkeypatch):
    whole = {name: p.clone() for name, p in masked(tiny_llama_pair).at(0.5).named_parameters()}
    monkeypatch.setattr(random_mask, "BLOCK", 50)
    assert all(torch.equal(p, whole[name]) for name, p in masked(tiny_llama_pair).at(0.5).named_parameters())


def test_the_bits_are_splitmix64s():
    """Against the mixer in plain Python integers, so that no device's arithmetic can drift from it unseen."""

    def splitmix(key: int, counter: int) -> int:
        x = (key + (counter + 1) * 0x9E3779B97F4A7C15) % 2**64
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
        return (x ^ (x >> 31)) >> 12

    key = noise_key(5, "layer.weight")
    assert key == int.from_bytes(hashlib.sha256(b"5\x000\x00layer.weight").digest()[:8], "little", signed=True)
    counters = [0, 1, 2, 1000, 2**31, 2**40]
    assert random_bits(key, torch.tensor(counters)).tolist() == [splitmix(key, c) for c in counters]


@pytest.mark.slow
def test_a_live_model_of_another_dtype_is_rounded_once(tiny_llama_pair):
    exact, rounded = masked(tiny_llama_pair), masked(tiny_llama_pair, dtype="bfloat16")
    pairs = zip(exact.at(0.5).parameters(), rounded.at(0.5).parameters(), strict=True)
    assert all(torch.equal(a.bfloat16(), b) for a, b in pairs)


def test_the_head_that_was_lent_stays(tiny):
    fine = Checkpoint.from_model(tiny.classifier(), tiny.tokenizer())
    bare = Checkpoint.from_model(tiny.moved(tiny.classifier().bert, 5))
    path = RandomMask(bare.with_head(fine), fine, device="cpu")
    for ratio in (0.0, 0.4, 1.0):
        assert torch.equal(path.at(ratio).classifier.weight, fine.tensors["classifier.weight"])


@pytest.mark.slow
def test_what_a_value_depends_on_and_what_is_said(tiny_llama_pair, tmp_path):
    one, other = (masked(tiny_llama_pair, seed=seed) for seed in (0, 1))
    assert one.identity() != other.identity() and one.identity()["path"] == "random mask"
    assert one.coefficients(0.25) == (0.75, 0.25)
    card = (one.save(0.25, tmp_path / "model") / "README.md").read_text()
    drawn = "0.25 of fine_tuned and the rest of pretrained, number by number at random (seed 0)"
    assert f"{drawn}, mixed in float32" in card


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [-0.1, 1.5])
def test_a_ratio_is_a_probability(tiny_llama_pair, ratio):
    with pytest.raises(AlphaError) as error:
        masked(tiny_llama_pair).at(ratio)
    assert str(error.value) == (
        f"RandomMask.at(ratio): {ratio}, expected a probability.\nPass a ratio from 0 to 1, such as 0.3."
    )
