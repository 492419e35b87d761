"""The layerwise line: kinds of tensor and layers, each with its share of alpha."""

import pytest
import torch
from path_weights import close, tensors

from lerpnb.errors import AlphaError
from lerpnb.paths.layerwise import LayerwiseLine


@pytest.mark.slow
def test_a_layerwise_line_moves_its_kinds_alone(tiny_llama_pair):
    trio = tiny_llama_pair
    path = LayerwiseLine(
        trio.minus, trio.plus, kinds={"attention": 1, "attention v": 0, "MLP": 0.5}, rest=0.2, device="cpu"
    )
    path.at(0.8)
    for name, live, a, b in tensors(path, "minus", "plus"):
        share = {"q_proj": 1, "k_proj": 1, "v_proj": 0, "o_proj": 1, "up_proj": 0.5}.get(name.split(".")[-2])
        if share is not None:
            alpha = 0.2 + share * 0.6
            assert close(live, (1 - alpha) * a + alpha * b)
    assert path.coefficients(0.8)("model.norm.weight") == (0.8, 0.2)
    assert path.recipe(0.8) == "alpha 0.8 in attention x 1, attention v x 0, MLP x 0.5; what does not move at alpha 0.2"
    assert path.identity()["settings"]["kinds"] == {"attention": 1.0, "attention v": 0.0, "MLP": 0.5}


@pytest.mark.slow
def test_a_gradient_runs_over_the_layers(tiny):
    minus, plus = (tiny.network("llama", seed, num_hidden_layers=3) for seed in (1, 2))
    path = LayerwiseLine(minus, plus, depth=(0.0, 1.0), device="cpu")
    shares = {path.shares[f"model.layers.{i}.mlp.up_proj.weight"]: i for i in range(3)}
    assert shares == {0.0: 0, 0.5: 1, 1.0: 2}
    assert path.shares["model.embed_tokens.weight"] == 0.0 and path.shares["model.norm.weight"] == 1.0
    each = LayerwiseLine(minus, plus, kinds="MLP", depth=(0.1, 0.7, 0.4), device="cpu").shares
    assert [each[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(3)] == [0.1, 0.7, 0.4]
    assert each["model.layers.0.self_attn.q_proj.weight"] == 0.0


@pytest.mark.slow
def test_all_of_a_layerwise_line_is_the_line(tiny_llama_pair):
    path = LayerwiseLine(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    path.at(1)
    assert all(torch.equal(live, plus) for _, live, plus in tensors(path, "plus"))


@pytest.mark.slow
def test_a_kind_that_the_model_lacks_is_named(tiny_llama_pair):
    with pytest.raises(AlphaError) as error:
        LayerwiseLine(tiny_llama_pair.minus, tiny_llama_pair.plus, kinds="head", device="cpu")  # it is the embedding
    assert str(error.value) == (
        "LayerwiseLine(kinds): this model has no tensor of kind 'head'.\n"
        "It has: embeddings, attention q, attention k, attention v, attention out, MLP, norms, other."
    )


def test_settings_out_of_range_are_refused_before_anything_is_loaded():
    for call, text in {
        lambda: LayerwiseLine("x", "y", kinds="brain"): (
            "LayerwiseLine(kinds): 'brain', expected kinds of tensor.\n"
            "They are: embeddings, attention, MLP, norms, head, other, and those "
            "that ln.paths.weight_deltas(line) names."
        ),
        lambda: LayerwiseLine("x", "y", depth=()): (
            "LayerwiseLine(depth): no shares.\nPass (0, 1) for more of alpha from layer to layer, say."
        ),
    }.items():
        with pytest.raises(AlphaError) as error:
            call()
        assert str(error.value) == text
