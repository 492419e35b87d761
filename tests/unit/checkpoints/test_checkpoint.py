"""Checkpoint: loading, ties, dtypes, hashes, live models, and the twin that borrows their tensors."""

import json
import shutil
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.memory import retie, shared_copy, ties, untie
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError

IDS = torch.arange(3, 33).view(2, 15)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=IDS).logits


def state(model) -> dict:
    """All that a caller could see change."""
    return {
        "bytes": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "places": [tensor.data_ptr() for tensor in model.state_dict().values()],
        "trained": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad is not None for parameter in model.parameters()],
        "training": model.training,
        "config": model.config.to_dict(),
        "tied": ties(model),
    }


def assert_same_state(a: dict, b: dict) -> None:
    a, b = dict(a), dict(b)
    before, after = a.pop("bytes"), b.pop("bytes")
    assert a == b
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_a_folder_loads_as_transformers_loads_it(tiny, tiny_llama_pair):
    loaded = Checkpoint.load(tiny_llama_pair.minus)
    expected = AutoModelForCausalLM.from_pretrained(tiny_llama_pair.minus)
    assert torch.equal(logits(loaded.model), logits(expected))
    assert loaded.name == str(tiny_llama_pair.minus) and loaded.folder == tiny_llama_pair.minus
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.tokenizer.get_vocab() == tiny.tokenizer().get_vocab()
    assert loaded.base is None
    assert repr(loaded) == f"Checkpoint({str(tiny_llama_pair.minus)!r}: LlamaForCausalLM, 18,720 parameters, float32)"


def test_tied_parameters_are_one_tensor_under_their_first_name(tiny_llama_pair, tiny_gpt2_pair, tiny_untied_pair):
    llama, gpt2, untied = (Checkpoint.load(pair.minus) for pair in (tiny_llama_pair, tiny_gpt2_pair, tiny_untied_pair))
    assert llama.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert gpt2.tied == {"lm_head.weight": "transformer.wte.weight"}
    assert untied.tied == {}
    assert "lm_head.weight" not in llama.tensors and "lm_head.weight" in untied.tensors
    assert untied.n_parameters - llama.n_parameters == 100 * 32


def test_tensors_are_every_parameter_and_float_buffer_of_the_model(tiny_llama_pair):
    loaded = Checkpoint.load(tiny_llama_pair.minus)
    live = dict(loaded.model.named_parameters()) | dict(loaded.model.named_buffers())
    assert set(live) - set(loaded.tensors) == set()
    assert all(loaded.tensors[name].data_ptr() == tensor.data_ptr() for name, tensor in live.items())
    assert "model.rotary_emb.inv_freq" in loaded.tensors
    assert loaded.buffers == {}


def test_half_precision_is_upcast_exactly_and_said(tiny_half_pair):
    minus, plus = Checkpoint.load(tiny_half_pair.minus), Checkpoint.load(tiny_half_pair.plus)
    assert (minus.stored_dtypes, plus.stored_dtypes) == ({"bfloat16"}, {"float16"})
    for loaded in (minus, plus):
        stored = load_file(loaded.folder / "model.safetensors")
        assert len(stored) == 20
        for name, tensor in stored.items():
            assert loaded.tensors[name].dtype == torch.float32
            assert torch.equal(loaded.tensors[name], tensor.float())


def test_shards_load_as_one_file_does(tiny, tmp_path):
    whole, parts = (
        Checkpoint.load(tiny.save(tiny.llama(), tmp_path / size, tiny.tokenizer(), max_shard_size=size))
        for size in ("5GB", "15KB")
    )
    assert len(list(parts.folder.glob("*.safetensors"))) == 6
    assert whole.sha256 == parts.sha256


def test_loading_is_silent_and_leaves_the_settings(tiny_llama_pair, capfd):
    logging.enable_progress_bar()
    level = logging.get_verbosity()
    Checkpoint.load(tiny_llama_pair.minus)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() and logging.get_verbosity() == level
    logging.disable_progress_bar()
    with quiet():
        pass
    assert not logging.is_progress_bar_enabled()


def test_missing_tensors_are_refused_rather_than_made_up(tiny_llama_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_llama_pair.minus, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    down = "model.layers.1.mlp.down_proj.weight"
    save_file({name: t for name, t in tensors.items() if name != down}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == (
        f"Checkpoint.load({str(folder)!r}): its tensors are not those of a LlamaForCausalLM.\n"
        f"  {down}: not in the files\n"
        "Missing ones would be made up at random: copy or download the folder again, or save the whole model."
    )


def test_unknown_and_mismatched_tensors_are_refused_three_at_most(tiny_llama_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_llama_pair.minus, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    tensors |= {"score.weight": torch.zeros(2, 32), "model.norm.weight": torch.zeros(31)}
    for layer in (0, 1):
        del tensors[f"model.layers.{layer}.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == (
        f"Checkpoint.load({str(folder)!r}): its tensors are not those of a LlamaForCausalLM.\n"
        "  model.layers.0.mlp.up_proj.weight: not in the files\n"
        "  model.layers.1.mlp.up_proj.weight: not in the files\n"
        "  score.weight: in the files, not in LlamaForCausalLM\n"
        "  and 1 more\n"
        "Missing ones would be made up at random: copy or download the folder again, or save the whole model."
    )


@pytest.mark.slow
def test_what_is_no_causal_language_model_is_refused(tmp_path):
    from transformers import CLIPConfig

    CLIPConfig().save_pretrained(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(tmp_path)
    first, why, way_out = str(caught.value).splitlines()
    assert first == f"Checkpoint.load({str(tmp_path)!r}): transformers cannot load it as a causal language model."
    assert why.startswith("  Unrecognized configuration class <class 'transformers.models.clip")
    assert way_out == "A checkpoint is what save_pretrained of such a model writes."


def test_nan_and_infinite_weights_are_named_and_counted(tiny, tmp_path):
    model = tiny.llama()
    with torch.no_grad():
        model.model.norm.weight[:2] = torch.inf
        model.model.norm.weight[2] = -torch.inf
        model.model.layers[0].mlp.up_proj.weight[0, :5] = torch.nan
    folder = tiny.save(model, tmp_path / "model", None)
    text = (
        "2 of 22 tensors hold NaN or infinite values.\n"
        "  model.layers.0.mlp.up_proj.weight: 5 NaN and 0 infinite of 1,536\n"
        "  model.norm.weight: 0 NaN and 3 infinite of 32\n"
        "A line through them is NaN everywhere: take an earlier checkpoint, or train again."
    )
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == f"Checkpoint.load({str(folder)!r}): {text}"
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_model(model)
    assert str(caught.value) == f"Checkpoint.from_model(model): {text}"


def test_five_nan_tensors_are_three_names(tiny):
    model = tiny.llama()
    with torch.no_grad():
        for parameter in list(model.parameters())[:5]:
            parameter.view(-1)[0] = torch.nan
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_model(model)
    assert str(caught.value).splitlines()[4:] == [
        "  and 2 more",
        "A line through them is NaN everywhere: take an earlier checkpoint, or train again.",
    ]


@pytest.mark.slow
def test_a_hash_follows_the_values_and_nothing_else(tiny, tiny_llama_pair, tiny_untied_pair, tmp_path):
    first = Checkpoint.load(tiny_llama_pair.minus)
    assert len(first.sha256) == 64
    copied = Path(shutil.copytree(tiny_llama_pair.minus, tmp_path / "elsewhere"))
    live = AutoModelForCausalLM.from_pretrained(copied)
    assert first.sha256 == Checkpoint.load(copied).sha256 == Checkpoint.from_model(live, name="x").sha256
    hashes = {first.sha256}
    for change in ("value", "sign of zero", "swap"):
        model = AutoModelForCausalLM.from_pretrained(copied)
        with torch.no_grad():
            norms = model.model.layers[0].input_layernorm.weight, model.model.layers[1].input_layernorm.weight
            if change == "value":
                norms[0][3] = torch.nextafter(norms[0][3], torch.tensor(9.0))
            elif change == "sign of zero":
                norms[0][3] = 0.0
                hashes.add(Checkpoint.from_model(model).sha256)
                norms[0][3] = -0.0
            else:
                kept = norms[0].clone()
                norms[0].copy_(norms[1])
                norms[1].copy_(kept)
        hashes.add(Checkpoint.from_model(model).sha256)
    assert len(hashes) == 5


def test_a_hash_follows_names_and_shapes(tiny):
    hashes = set()
    for name, value in (("steps", torch.arange(6)), ("other", torch.arange(6)), ("steps", torch.arange(6).view(2, 3))):
        model = tiny.llama()
        model.register_buffer(name, value)
        hashes.add(Checkpoint.from_model(model).sha256)
    assert len(hashes) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_callers_model_is_wrapped_and_not_changed(tiny, dtype):
    model = tiny.llama().to(dtype).train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    model.model.embed_tokens.weight.requires_grad_(False)
    before = state(model)
    wrapped = Checkpoint.from_model(model, tiny.tokenizer(), name="mine")
    fresh = wrapped.new_model()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    wrapped.untied()
    assert wrapped.sha256
    assert_same_state(before, state(model))
    assert wrapped.name == "mine" and wrapped.folder is None
    assert wrapped.stored_dtypes == {str(dtype).removeprefix("torch.")}
    shared = [wrapped.tensors[n].data_ptr() == p.data_ptr() for n, p in model.named_parameters()]
    assert shared == [dtype == torch.float32] * len(shared)
    assert all(torch.equal(wrapped.tensors[n], p.detach().float()) for n, p in model.named_parameters())
    assert {tensor.dtype for tensor in wrapped.tensors.values()} == {torch.float32}
    assert wrapped.tied == {"lm_head.weight": "model.embed_tokens.weight"}


def test_integer_buffers_stand_apart(tiny):
    model = tiny.llama()
    model.register_buffer("steps", torch.tensor([3, 4]))
    model.register_buffer("scale", torch.tensor(0.5, dtype=torch.bfloat16))
    wrapped = Checkpoint.from_model(model)
    assert list(wrapped.buffers) == ["steps"] and wrapped.buffers["steps"].tolist() == [3, 4]
    assert wrapped.tensors["scale"].dtype == torch.float32 and wrapped.tensors["scale"].item() == 0.5
    assert model.scale.dtype == torch.bfloat16


def test_a_wrapped_forward_does_not_lead_back_to_the_callers_weights(tiny):
    model = tiny.llama()
    expected = logits(model)
    original = model.forward
    model.forward = types.MethodType(lambda self, *args, **rest: original(*args, **rest), model)
    fresh = Checkpoint.from_model(model).new_model()
    assert torch.equal(logits(fresh), expected)
    with torch.no_grad():
        fresh.model.norm.weight.zero_()
    assert logits(fresh).abs().max() == 0  # a closure over the caller's forward would still see its norm
    assert torch.equal(logits(model), expected)


@pytest.mark.slow
def test_a_compiled_model_is_wrapped_as_the_one_inside(tiny):
    model = tiny.llama()
    wrapped = Checkpoint.from_model(torch.compile(model))
    assert type(wrapped.model).__name__ == "LlamaForCausalLM"
    assert wrapped.sha256 == Checkpoint.from_model(model).sha256


def test_what_is_no_live_model_is_refused(tiny):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_model(torch.nn.Linear(2, 2))
    assert str(caught.value) == (
        "Checkpoint.from_model(model): Linear, expected a live transformers model.\n"
        "Checkpoint.load(name) loads one from files."
    )
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.from_model(tiny.llama().to("meta"))
    assert str(caught.value) == (
        "Checkpoint.from_model(model): its weights are quantized or not in memory (float32).\n"
        "Load it dequantized, without offloading."
    )


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_gpt2_pair", "tiny_untied_pair", "tiny_adapter_pair"])
def test_a_new_model_has_memory_of_its_own_and_the_same_ties(request, pair):
    loaded = Checkpoint.load(request.getfixturevalue(pair).minus)
    before = loaded.sha256, {name: tensor.clone() for name, tensor in loaded.tensors.items()}
    fresh = loaded.new_model()
    assert torch.equal(logits(fresh), logits(loaded.model))
    assert ties(fresh) == loaded.tied
    assert not fresh.training and not any(p.requires_grad for p in fresh.parameters())
    places = {tensor.data_ptr() for tensor in loaded.tensors.values()}
    assert places.isdisjoint(p.data_ptr() for p in (*fresh.parameters(), *fresh.buffers()))
    for parameter in fresh.parameters():
        parameter.zero_()
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in before[1].items())


def test_untied_gives_the_head_a_name_on_the_embeddings_storage(tiny_llama_pair):
    tied = Checkpoint.load(tiny_llama_pair.minus)
    untied = tied.untied()
    assert untied.tied == {} and tied.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert (untied.config.tie_word_embeddings, tied.config.tie_word_embeddings) == (False, True)
    assert set(untied.tensors) - set(tied.tensors) == {"lm_head.weight"}
    embedding = tied.tensors["model.embed_tokens.weight"].data_ptr()
    assert untied.tensors["lm_head.weight"].data_ptr() == untied.tensors["model.embed_tokens.weight"].data_ptr()
    assert untied.tensors["lm_head.weight"].data_ptr() == embedding
    assert torch.equal(logits(untied.model), logits(tied.model))
    fresh = untied.new_model()
    assert fresh.lm_head.weight.data_ptr() != fresh.model.embed_tokens.weight.data_ptr()


def test_a_config_that_ties_what_the_files_hold_apart_is_corrected(tiny, tmp_path):
    folder = tiny.save(tiny.llama(tied=False), tmp_path / "model", None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    loaded = Checkpoint.load(folder)
    assert loaded.tied == {} and loaded.config.tie_word_embeddings is False
    assert torch.equal(logits(loaded.model), logits(tiny.llama(tied=False)))


def test_a_borrowed_twin_can_be_untied_and_tied_again(tiny):
    model = tiny.gpt2()
    twin = shared_copy(model)
    untie(twin)
    assert ties(twin) == {} and ties(model) == {"lm_head.weight": "transformer.wte.weight"}
    assert twin.lm_head.weight.data_ptr() == model.lm_head.weight.data_ptr()
    retie(twin)
    assert ties(twin) == ties(model)
    twin.config.n_layer = 7
    assert model.config.n_layer == 2
