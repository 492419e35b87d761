"""The recipe for mergekit: its sum by numpy is the point, and what no linear merge says is refused."""

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import lerpnb as ln
from lerpnb.errors import AlphaError, CheckpointError
from lerpnb.paths.trajectory import Trajectory


def merged(recipe: str) -> dict[str, np.ndarray]:
    """sum_i weight_i tensor_i from the files that a recipe names, as mergekit's linear merge is defined."""
    recipe = yaml.safe_load(recipe)
    assert (recipe["merge_method"], recipe["parameters"], recipe["dtype"]) == (
        "linear",
        {"normalize": False},
        "float32",
    )
    total: dict[str, np.ndarray] = {}
    for model in recipe["models"]:
        for name, tensor in weights(model["model"]).items():
            total[name] = total.get(name, 0.0) + model["parameters"]["weight"] * tensor.astype(np.float64)
    return total


def weights(reference: str) -> dict[str, np.ndarray]:
    base, _, adapter = reference.partition("+")
    if not adapter:
        return load_file(f"{base}/model.safetensors")
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).merge_and_unload()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-0.5, 0.0, 1 / 3, 2.0])
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_gpt2_pair", "tiny_adapter_pair"])
def test_its_sum_is_the_point(pair, alpha, request):
    trio = request.getfixturevalue(pair)
    line = ln.Line(trio.minus, trio.plus, device="cpu")
    found = merged(line.recipe_yaml(alpha))
    live = dict(line.at(alpha).named_parameters())
    assert live.keys() <= found.keys()
    for name, tensor in live.items():
        assert np.abs(tensor.numpy() - found[name]).max() <= 1e-6 * max(1.0, np.abs(found[name]).max())


@pytest.mark.slow
def test_of_many_checkpoints_it_names_those_that_are_used(tiny_llama_pair):
    run = Trajectory(list(tiny_llama_pair), device="cpu")
    recipe = run.recipe_yaml(1.25)
    assert [model["model"] for model in yaml.safe_load(recipe)["models"]] == [
        str(tiny_llama_pair.minus),
        str(tiny_llama_pair.plus),
    ]
    live = run.at(1.25).model.norm.weight.numpy()
    assert np.abs(merged(recipe)["model.norm.weight"] - live).max() < 1e-6


@pytest.mark.slow
def test_a_name_on_the_hub_stays_a_name(tiny_llama_pair, monkeypatch):
    line = ln.Line(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    object.__setattr__(line.minus.metadata, "name", "org/minus")
    assert yaml.safe_load(line.recipe_yaml(0.5))["models"][0]["model"] == "org/minus"
    object.__setattr__(line.minus.metadata, "name", "smollm2-135m-instruct")
    assert yaml.safe_load(line.recipe_yaml(0.5))["models"][0]["model"] == str(line.minus.folder)


@pytest.mark.slow
def test_what_is_no_such_sum_is_refused(tiny_llama_pair, tiny, tmp_path):
    base, minus, plus = tiny_llama_pair
    no_sum = [
        ln.merging.RandomMask(minus, plus, device="cpu"),
        ln.paths.LayerwiseLine(minus, plus, kinds="MLP", device="cpu"),
    ]
    no_sum += [ln.merging.Ties(base, {"one": plus}, device="cpu")]
    for path in no_sum:
        with pytest.raises(AlphaError, match="no sum of the checkpoints"):
            path.recipe_yaml(0.5)
    with pytest.raises(CheckpointError, match="is a live model"):
        ln.Line(tiny.llama(1), tiny.llama(2), device="cpu").recipe_yaml(0.5)
    odd = tiny.save(tiny.llama(1), tmp_path / "a+b", tiny.tokenizer())
    with pytest.raises(CheckpointError, match=r"takes the \+ or @"):
        ln.Line(odd, minus, device="cpu").recipe_yaml(0.5)
