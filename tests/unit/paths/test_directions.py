"""Directions: filter norms, what is left out, true orthogonality, and a checkpoint moved by an exact length."""

import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.loading import load_checkpoints
from lerpnb.checkpoints.vectors import cosine, norm
from lerpnb.errors import MismatchError
from lerpnb.paths.directions import Delta, moved, random_direction


@pytest.fixture(params=["llama", "gpt2"])
def checkpoint(tiny, request) -> Checkpoint:
    return Checkpoint.from_model(getattr(tiny, request.param)(), tiny.tokenizer())


def test_every_filter_has_the_norm_of_its_weights(checkpoint):
    found = random_direction(checkpoint, 3)
    for name, tensor in found.items():
        inputs = 0 if checkpoint.filters[name] else 1
        assert torch.allclose(tensor.norm(dim=inputs), checkpoint.tensors[name].norm(dim=inputs), rtol=1e-5)
    turned = [name for name, counted in checkpoint.filters.items() if counted]
    assert bool(turned) == ("transformer.h.0.attn.c_attn.weight" in found)  # GPT-2's lie the other way round


def test_biases_and_norms_are_left_out(checkpoint):
    found = random_direction(checkpoint)
    matrices = {name for name, tensor in checkpoint.tensors.items() if tensor.dim() > 1}
    assert found.keys() == matrices and not any("norm" in name or "bias" in name for name in found)


def test_the_same_seed_is_the_same_direction(checkpoint):
    one, again, other = (random_direction(checkpoint, seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one) and abs(cosine(one, other)) < 0.1
    assert cosine(one, again) == pytest.approx(1)


@pytest.mark.parametrize(
    "kind", ["tiny_llama_pair", "tiny_adapter_pair", pytest.param("tiny_gpt2_adapter_pair", marks=pytest.mark.slow)]
)
def test_orthogonal_is_orthogonal_after_normalisation_too(request, kind):
    base, minus, plus = request.getfixturevalue(kind)
    minus, plus = load_checkpoints({"minus": minus, "plus": plus}, base)[0].values()
    line, first = Delta(minus, plus), random_direction(minus, 1)
    second = random_direction(minus, 2, orthogonal_to=[line, first])
    third = random_direction(minus, 3, orthogonal_to=[line, first, second])
    for one, other in ((second, line), (second, first), (third, line), (third, first), (third, second)):
        assert abs(cosine(one, other)) < 1e-6
    for name, counted in minus.filters.items():
        sizes = third[name].norm(dim=1 - counted), minus.tensors[name].norm(dim=1 - counted)
        assert torch.allclose(*sizes, rtol=1e-4)
    assert abs(cosine(random_direction(minus, 2), first)) > 1e-5  # by chance alone they are not


def test_others_that_are_alike_or_empty_do_no_harm(tiny):
    checkpoint = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    first = random_direction(checkpoint, 1)
    nothing = {name: torch.zeros_like(tensor) for name, tensor in first.items()}
    found = random_direction(checkpoint, 2, orthogonal_to=[first, first, nothing, {}])
    assert abs(cosine(found, first)) < 1e-6 and all(torch.isfinite(tensor).all() for tensor in found.values())


@pytest.mark.slow
def test_a_filter_with_no_room_is_left_out(tiny):
    checkpoint = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    others = [random_direction(checkpoint, seed) for seed in range(32)]  # a hidden size of 32: nothing is left
    found = random_direction(checkpoint, 99, orthogonal_to=others)
    sizes = {name: tensor.norm().item() for name, tensor in found.items()}
    assert sizes["model.layers.0.self_attn.q_proj.weight"] == 0 < sizes["model.layers.0.mlp.down_proj.weight"]


def test_moved_goes_the_length_and_leaves_its_start_alone(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    minus, plus = load_checkpoints({"minus": minus, "plus": plus}, base)[0].values()
    before = {name: tensor.clone() for name, tensor in minus.tensors.items()}
    direction = random_direction(minus, 0)
    there = moved(minus, direction, 1.5, "there")
    apart = {name: there.tensors[name] - before[name] for name in before}
    assert norm(apart) == pytest.approx(1.5, rel=1e-5) and cosine(apart, direction) == pytest.approx(1, abs=1e-5)
    assert all(torch.equal(minus.tensors[name], before[name]) for name in before)
    assert there.name == "there" and there.tokenizer is minus.tokenizer and there.sha256 != minus.sha256
    assert norm(Delta(minus, plus)) == pytest.approx(norm({n: plus.tensors[n] - minus.tensors[n] for n in before}))


def test_another_network_is_refused(tiny):
    checkpoint = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(MismatchError) as error:
        random_direction(checkpoint, orthogonal_to=[{name: torch.zeros(2, 2)}])
    assert str(error.value) == (
        f"random_direction(orthogonal_to): {name} has shape (2, 2) against (48, 32).\n"
        "Pass directions of the same network."
    )
