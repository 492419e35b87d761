"""Folders as the hub and trainers have them, against transformers: old masks, other heads, names, absurd sizes."""

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedModel,
)

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.saving import write_folder
from lerpnb.errors import CheckpointError

IDS = torch.arange(3, 33).view(2, 15)
Tensors = dict[str, torch.Tensor]


@torch.no_grad()
def output(model) -> torch.Tensor:
    return model(input_ids=IDS)[0]


def rewritten(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in change(load_file(file)).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def edited(folder: Path, file: str = "config.json", **fields) -> Path:
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **fields}))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    return str(caught.value).removeprefix(f"Checkpoint.load({str(folder)!r}): ")


def gpt_neo(tiny) -> PreTrainedModel:
    sizes = dict(hidden_size=32, num_layers=2, num_heads=4, max_position_embeddings=64, window_size=8)
    config = GPTNeoConfig(vocab_size=100, attention_types=[[["global", "local"], 1]], **sizes)
    return tiny.moved(GPTNeoForCausalLM(config).eval(), 1, 0.1)


MODELS = {
    "transformer.h.{}.attn": lambda tiny: tiny.gpt2(),
    "transformer.h.{}.attn.attention": gpt_neo,
    "gpt_neox.layers.{}.attention": lambda tiny: tiny.network("gpt_neox"),
    "model.layers.{}.self_attn": lambda tiny: tiny.llama(),
}


@pytest.mark.slow
@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
@pytest.mark.parametrize("place", MODELS)
def test_old_masks_and_frequencies_are_passed_over(tiny, tmp_path, place, dtype, prefixed):
    model = MODELS[place](tiny)

    def old(tensors: Tensors) -> Tensors:
        for layer in map(place.format, (0, 1)):
            tensors[f"{layer}.bias"] = torch.ones(1, 1, 64, 64).tril().to(dtype)
            tensors[f"{layer}.masked_bias"] = torch.tensor(-1e4)
            tensors[f"{layer}.rotary_emb.inv_freq"] = torch.ones(4)
        return tensors if prefixed else {name.removeprefix(place.split(".")[0] + "."): t for name, t in tensors.items()}

    loaded = Checkpoint.load(rewritten(tiny.save(model, tmp_path / "model", None), old))
    assert torch.equal(output(loaded.model), output(model))
    assert loaded.stored_dtypes == {"float32"}


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wraps_the_names_is_taken_off(tiny, tmp_path, prefix):
    model = tiny.llama(tied=False)
    folder = tiny.save(model, tmp_path / "model", None)
    loaded = Checkpoint.load(rewritten(folder, lambda tensors: {prefix + name: t for name, t in tensors.items()}))
    assert torch.equal(output(loaded.model), output(model))
    stored = load_file(write_folder(loaded.new_model(), None, tmp_path / "saved") / "model.safetensors")
    assert stored.keys() == dict(model.named_parameters()).keys()


def test_a_value_head_is_named_and_left_out(tiny, tmp_path, capsys):
    model = tiny.llama()
    head = {"v_head.summary.weight": torch.ones(1, 32), "v_head.summary.bias": torch.ones(1)}
    loaded = Checkpoint.load(rewritten(tiny.save(model, tmp_path / "model", None), lambda tensors: tensors | head))
    assert torch.equal(output(loaded.model), output(model))
    assert capsys.readouterr().out == (
        f"Checkpoint.load({str(tmp_path / 'model')!r}): v_head.summary.bias, v_head.summary.weight left out, "
        "which a LlamaForCausalLM does not have.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BertForMaskedLM, BertModel])
def test_a_pre_trained_berts_other_heads_are_left_out(tiny, tmp_path, kind):
    sizes = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    folder = tiny.save(tiny.moved(BertForPreTraining(BertConfig(vocab_size=100, **sizes)), 1), tmp_path / "model", None)
    expected = kind.from_pretrained(folder)
    assert torch.equal(output(Checkpoint.load(edited(folder, architectures=[kind.__name__])).model), output(expected))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (
            "num_hidden_layers",
            10**6,
            "config.json declares num_hidden_layers 1,000,000, and the files hold 20 tensors.",
        ),
        ("num_hidden_layers", 10**9, "config.json declares num_hidden_layers 1,000,000,000, and"),
        ("text_config", {"num_hidden_layers": 10**9}, "config.json declares num_hidden_layers 1,000,000,000, and"),
        ("vocab_size", 10**9, "config.json declares a model of 32,000,015,528 numbers, and the files hold 18,720."),
        ("intermediate_size", 10**9, "config.json declares a model of 192,000,009,512 numbers, and"),
    ],
)
def test_sizes_that_the_files_do_not_have_are_refused_at_once(tiny, tmp_path, field, value, said):
    folder = edited(tiny.save(tiny.llama(), tmp_path / "model", None), **{field: value})
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(folder).startswith(said)
    assert time.monotonic() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # in units of 1024 bytes


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": "two"},
        {"hidden_size": [32]},
        {"num_attention_heads": 0},
        {"eos_token_id": ["end"]},
        {"rope_parameters": [1]},
        {"id2label": [1]},
        {"quantization_config": "some"},
        {"model_type": ["llama"]},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_an_error_of_ours(tiny, tmp_path, fields):
    folder = edited(tiny.save(tiny.llama(), tmp_path / "model", None), **fields)
    assert refusal(folder).startswith("its config.json cannot be read: ")


@pytest.mark.slow
@pytest.mark.parametrize("ends", [["end"], "end", [[1]], 1.5, [None]], ids=str)
def test_ends_of_text_that_are_no_ids_are_refused(tiny, tmp_path, ends):
    folder = edited(tiny.save(tiny.llama(), tmp_path / "model", None), "generation_config.json", eos_token_id=ends)
    assert refusal(folder).startswith(f"its generation_config.json has eos_token_id {ends!r}, expected a token's id")


@pytest.mark.parametrize("weight_map", [{"a": ["x"]}, {"a": 5}, ["a"], "a", None, {}], ids=str)
def test_an_index_of_the_wrong_kind_is_refused(tiny, tmp_path, weight_map):
    folder = tiny.save(tiny.llama(), tmp_path / "model", None)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert "model.safetensors" in refusal(folder).splitlines()[0]


def test_a_configuration_that_is_nested_too_deeply_is_refused(tiny, tmp_path):
    folder = tiny.save(tiny.llama(), tmp_path / "model", None)
    (folder / "config.json").write_text('{"a":' * 200_000 + "1" + "}" * 200_000)
    assert refusal(folder).startswith("its config.json cannot be read: it is nested too deeply\n")


def test_an_adapter_that_leads_back_to_itself_is_refused(tiny_adapter_pair, tmp_path, tiny):
    one, other = (tiny.adapter(tiny_adapter_pair.base, tmp_path / name, 1) for name in ("one", "other"))
    edited(one, "adapter_config.json", base_model_name_or_path=str(one))
    assert refusal(one).startswith(f"an adapter that is its own base: {str(one)!r}.\n")
    edited(one, "adapter_config.json", base_model_name_or_path=str(other))
    edited(other, "adapter_config.json", base_model_name_or_path=str(one))
    with pytest.raises(CheckpointError, match="an adapter that is its own base"):
        Checkpoint.load(one)


def test_a_rank_that_no_factor_has_is_refused(tiny_adapter_pair, tmp_path, tiny):
    folder = tiny.adapter(tiny_adapter_pair.base, tmp_path / "adapter", 1)
    assert refusal(edited(folder, "adapter_config.json", r=10**7)).startswith(
        "adapter_config.json declares rank 10,000,000, which none of its tensors has.\n"
    )


def test_outputs_are_read_by_name_whatever_a_configuration_says(tiny, tmp_path):
    folder = edited(tiny.save(tiny.llama(), tmp_path / "model", None), return_dict=False)
    assert torch.equal(Checkpoint.load(folder).new_model()(input_ids=IDS).logits, output(tiny.llama()))


def test_a_folder_of_several_adapters_names_them(tiny_adapter_pair, tmp_path, tiny):
    for name in ("negative", "positive"):
        tiny.adapter(tiny_adapter_pair.base, tmp_path / name, 1)
    assert refusal(tmp_path) == (
        "no config.json in the folder.\n"
        f"It holds several: negative, positive. Name one of them, such as {str(tmp_path / 'negative')!r}."
    )
