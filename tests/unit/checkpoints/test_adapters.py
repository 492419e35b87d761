"""An adapter is its base and low-rank factors; the base is not touched, and what is left alone is shared with it."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import DenseView, LowRank
from lerpnb.errors import CheckpointError
from lerpnb.paths.line import Line

IDS = torch.arange(3, 33).view(2, 15)


@pytest.fixture(scope="module")
def llama(tiny, tmp_path_factory) -> Path:
    """A Llama with a tied head and biases on its attention."""
    return tiny.save(tiny.llama(biases=True), tmp_path_factory.mktemp("biased"), tiny.tokenizer())


def changed(checkpoint: Checkpoint) -> set[str]:
    """The tensors that are not the base's own storage."""
    base = checkpoint.base.tensors
    return {name for name, t in checkpoint.tensors.items() if name not in base or t.data_ptr() != base[name].data_ptr()}


@torch.no_grad()
def largest_gap(a, b) -> float:
    return (a(input_ids=IDS).logits - b(input_ids=IDS).logits).abs().max().item()


def test_the_delta_of_a_linear_layer_in_closed_form(tiny_adapter_pair):
    plus = Checkpoint.load(tiny_adapter_pair.plus)
    factors = load_file(tiny_adapter_pair.plus / "adapter_model.safetensors")
    name = "model.layers.1.self_attn.q_proj"
    a, b = (factors[f"base_model.model.{name}.lora_{factor}.weight"] for factor in "AB")
    assert (a.shape, b.shape) == ((4, 32), (32, 4))
    expected = plus.base.tensors[f"{name}.weight"] + (b @ a) * (6 / 4)
    assert torch.equal(plus.tensors[f"{name}.weight"], expected)
    assert (expected - plus.base.tensors[f"{name}.weight"]).abs().max() > 0.01


def test_the_delta_of_a_conv1d_layer_is_transposed(tiny_gpt2_adapter_pair):
    plus = Checkpoint.load(tiny_gpt2_adapter_pair.plus)
    factors = load_file(tiny_gpt2_adapter_pair.plus / "adapter_model.safetensors")
    name = "transformer.h.0.attn.c_attn"
    a, b = (factors[f"base_model.model.{name}.lora_{factor}.weight"] for factor in "AB")
    expected = plus.base.tensors[f"{name}.weight"] + (b @ a).T * (6 / 4)
    assert expected.shape == (32, 96)
    assert torch.equal(plus.tensors[f"{name}.weight"], expected)


SETTINGS = {
    "rank-stabilised": {"use_rslora": True},
    "a rank and an alpha a layer": {
        "rank_pattern": {"layers.0.self_attn.q_proj": 2},
        "alpha_pattern": {"layers.1.self_attn.v_proj": 32},
    },
    "every linear layer": {"target_modules": "all-linear"},
    "weight-decomposed": {"use_dora": True},
    "biases of all layers": {"bias": "all"},
    "biases of the adapted layers": {"bias": "lora_only"},
    "a bias inside the adapter": {"lora_bias": True},
    "a layer trained whole": {"modules_to_save": ["layers.0.mlp.up_proj"]},
    "a head trained whole": {"modules_to_save": ["lm_head"]},
    "an embedding trained whole": {"modules_to_save": ["embed_tokens"]},
    "an adapter on the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "an adapter on the head": {"target_modules": ["q_proj", "lm_head"]},
    "an adapter on the embedding, which is not saved whole": {"target_modules": ["q_proj", "embed_tokens"]},
    "an adapter on the head, which is not saved whole": {"target_modules": ["q_proj", "lm_head"]},
    "an adapter on the embedding and its tied head": {
        "target_modules": ["q_proj", "embed_tokens"],
        "ensure_weight_tying": True,
    },
    "some trained tokens": {"trainable_token_indices": [5, 7]},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize("name", SETTINGS)
def test_the_dense_model_does_what_peft_does_unmerged(tiny, llama, tmp_path, name):
    # peft saves adapted embeddings whole beside the factors unless it is told not to
    with_embeddings = False if name.endswith("not saved whole") else "auto"
    folder = tiny.adapter(llama, tmp_path / "adapter", 3, SETTINGS[name], with_embeddings)
    dense = Checkpoint.load(folder)
    unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), folder).eval()
    assert largest_gap(dense.model, unmerged) < 2e-5
    assert largest_gap(dense.base.model, unmerged) > 1e-2
    assert dense.base.sha256 == Checkpoint.load(llama).sha256  # the base was not touched
    assert Checkpoint.from_model(dense.new_model()).tied == dense.tied


PLAIN = {
    "rank-stabilised": 4,
    "a rank and an alpha a layer": 4,
    "every linear layer": 14,
    "biases of all layers": 4,
    "an adapter on the embedding": 3,
    "an adapter on the head": 3,
    "a head trained whole": 4,
    "weight-decomposed": 0,
    "a bias inside the adapter": 0,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize("name", [*PLAIN, "conv1d", "conv1d and embedding"])
def test_low_rank_weights_are_what_peft_merges_bit_for_bit(tiny, llama, tiny_gpt2_pair, tmp_path, name):
    base = tiny_gpt2_pair.base if "conv1d" in name else llama
    settings = SETTINGS[name] if name in SETTINGS else {"target_modules": ["c_attn", "c_fc"]}
    if name == "conv1d and embedding":
        settings = {"target_modules": ["c_attn", "wte"]}
    loaded = Checkpoint.load(tiny.adapter(base, tmp_path / "adapter", 3, settings, False))
    low = {n: weight for n, weight in loaded.weights.items() if isinstance(weight, LowRank)}
    assert len(low) == PLAIN.get(name, 4 if name == "conv1d" else 3)
    # Untied, as an adapter on one of two tied layers parts them.
    plain = (
        Checkpoint.load(base).untied().new_model() if loaded.tied == {} else AutoModelForCausalLM.from_pretrained(base)
    )
    merged = dict(PeftModel.from_pretrained(plain, loaded.folder).merge_and_unload().named_parameters())
    assert set(merged) <= set(loaded.weights)
    for parameter, weight in loaded.tensors.items():
        if parameter in merged:
            assert torch.equal(weight.view(torch.int32), merged[parameter].view(torch.int32)), parameter
    for parameter, weight in low.items():
        assert (
            weight.base.data_ptr() == loaded.base.tensors[parameter.replace("lm_head", "model.embed_tokens")].data_ptr()
        )
        out, scratch = torch.full(weight.shape, torch.nan), torch.empty(weight.numel() + 5)
        assert weight.tensor(out, scratch) is out and torch.equal(out, loaded.tensors[parameter])


def test_low_rank_weights_move_and_are_made_dense_when_asked_for():
    low = LowRank(torch.ones(3, 2), torch.ones(2, 1), torch.tensor([[1.0, 2.0, 3.0]]), 0.5, transposed=True)
    assert low.tensor().tolist() == [[1.5, 1.5], [2.0, 2.0], [2.5, 2.5]]
    assert (low.shape, low.numel(), low.device.type) == ((3, 2), 6, "cpu")
    assert low.to(torch.device("meta")).tensor().is_meta
    dense = DenseView({"a": low, "b": low.base})
    assert list(dense) == ["a", "b"] and len(dense) == 2 and dense["b"] is low.base
    assert dense["a"] is not dense["a"] and torch.equal(dense["a"], low.tensor())


def test_a_checkpoint_of_an_adapter_keeps_no_dense_copy(tiny_adapter_pair):
    plus = Checkpoint.load(tiny_adapter_pair.plus)
    assert plus.sha256 and plus.identity and repr(plus) and plus.n_parameters and plus.untied().tied == {}
    fresh = plus.new_model()
    assert all(torch.equal(p, plus.tensors[n]) for n, p in fresh.named_parameters())
    assert "model" not in vars(plus)  # it was never built
    assert Checkpoint.from_model(fresh).sha256 == plus.sha256
    assert all(torch.equal(p, plus.tensors[n]) for n, p in plus.model.named_parameters())
    assert (
        plus.model is plus.model
        and plus.model.model.norm.weight.data_ptr() == plus.base.model.model.norm.weight.data_ptr()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {f"model.layers.{n}.self_attn.{m}_proj.weight" for n in (0, 1) for m in "qv"}),
        (
            {"target_modules": ["o_proj"], "bias": "lora_only"},
            {f"model.layers.{n}.self_attn.o_proj.{part}" for n in (0, 1) for part in ("weight", "bias")},
        ),
        (
            {"target_modules": ["layers.0.self_attn.q_proj"], "modules_to_save": ["lm_head"]},
            {"model.layers.0.self_attn.q_proj.weight", "lm_head.weight"},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_what_the_adapter_leaves_alone_is_the_bases_own_storage(tiny, llama, tmp_path, settings, expected):
    assert changed(Checkpoint.load(tiny.adapter(llama, tmp_path / "adapter", 3, settings))) == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_a_tie_is_kept_unless_the_adapter_parts_it(tiny, tiny_adapter_pair, tmp_path):
    kept = Checkpoint.load(tiny_adapter_pair.plus)
    assert kept.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert kept.config.tie_word_embeddings
    head = Checkpoint.load(tiny.adapter(tiny_adapter_pair.base, tmp_path / "head", 3, {"target_modules": ["lm_head"]}))
    assert head.tied == {}
    assert head.config.tie_word_embeddings is False
    assert head.base.config.tie_word_embeddings is True
    assert not torch.equal(head.tensors["lm_head.weight"], head.tensors["model.embed_tokens.weight"])
    assert torch.equal(head.tensors["model.embed_tokens.weight"], head.base.tensors["model.embed_tokens.weight"])


def test_factors_stored_in_bfloat16_give_a_float32_delta(tiny_adapter_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_adapter_pair.plus, tmp_path / "bf16"))
    file = folder / "adapter_model.safetensors"
    factors = {name: factor.bfloat16() for name, factor in load_file(file).items()}
    save_file(factors, file, {"format": "pt"})
    plus = Checkpoint.load(folder)
    name = "model.layers.0.self_attn.v_proj"
    a, b = (factors[f"base_model.model.{name}.lora_{factor}.weight"].float() for factor in "AB")
    delta = plus.tensors[f"{name}.weight"] - plus.base.tensors[f"{name}.weight"]
    assert (delta - 1.5 * b @ a).abs().max() < 1e-7
    assert (delta.bfloat16().float() - delta).abs().max() > 1e-5  # more than bfloat16 can hold
    assert plus.stored_dtypes == {"bfloat16"}


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_whole_layers_and_biases_stored_in_bfloat16_become_float32(tiny, llama, tmp_path):
    folder = tiny.adapter(llama, tmp_path / "adapter", 3, {"bias": "all", "modules_to_save": ["lm_head"]})
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    plus = Checkpoint.load(folder)
    assert {tensor.dtype for tensor in plus.tensors.values()} == {torch.float32}
    bias = "layers.1.self_attn.o_proj.bias"
    assert torch.equal(plus.tensors[f"model.{bias}"], load_file(file)[f"base_model.model.model.{bias}"].float())


def test_two_adapters_share_a_base_that_is_given(tiny_adapter_pair):
    minus = Checkpoint.load(tiny_adapter_pair.minus)
    before = minus.base.sha256
    plus = Checkpoint.load(tiny_adapter_pair.plus, base=minus.base)
    assert plus.base is minus.base
    fresh = Checkpoint.load(tiny_adapter_pair.base)
    assert fresh.sha256 == before
    assert all(torch.equal(fresh.tensors[name], tensor) for name, tensor in plus.base.tensors.items())


def test_loading_an_adapter_draws_no_random_number(tiny_adapter_pair):
    before = torch.get_rng_state()
    Checkpoint.load(tiny_adapter_pair.minus)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_bases_tokenizer_is_an_adapters_unless_it_has_one(tiny, tiny_adapter_pair, tmp_path):
    assert Checkpoint.load(tiny_adapter_pair.minus).tokenizer.get_vocab() == tiny.tokenizer().get_vocab()
    folder = Path(shutil.copytree(tiny_adapter_pair.minus, tmp_path / "own"))
    tiny.tokenizer(size=90).save_pretrained(folder)
    assert len(Checkpoint.load(folder).tokenizer) == 90


def test_an_adapter_of_another_base_is_refused(tiny_adapter_pair, tiny_gpt2_pair):
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(tiny_adapter_pair.minus, base=tiny_gpt2_pair.base)
    assert str(caught.value) == (
        f"Checkpoint.load({str(tiny_adapter_pair.minus)!r}): the adapter does not fit its base.\n"
        "  q_proj: no such layer in the base\n  v_proj: no such layer in the base\n"
        "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."
    )


def test_factors_of_another_size_are_refused(tiny, tiny_adapter_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_adapter_pair.minus, tmp_path / "wide"))
    file = folder / "adapter_model.safetensors"
    factors = load_file(file)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    factors[name] = torch.zeros(4, 40)
    save_file(factors, file)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == (
        f"Checkpoint.load({str(folder)!r}): the adapter does not fit its base.\n"
        f"  size mismatch for {name}: copying a param with shape "
        "torch.Size([4, 40]) from checkpoint, the shape in current model is torch.Size([4, 32]).\n"
        "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."
    )


def test_missing_and_unknown_factors_are_refused(tiny_adapter_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_adapter_pair.minus, tmp_path / "odd"))
    file = folder / "adapter_model.safetensors"
    factors = load_file(file)
    prefix = "base_model.model.model.layers"
    del factors[f"{prefix}.0.self_attn.q_proj.lora_B.weight"]
    factors[f"{prefix}.7.self_attn.q_proj.lora_B.weight"] = torch.zeros(32, 4)
    save_file(factors, file)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == (
        f"Checkpoint.load({str(folder)!r}): the adapter does not fit its base.\n"
        "  model.layers.0.self_attn.q_proj.lora_B.weight: not in the adapter\n"
        "  model.layers.7.self_attn.q_proj.lora_B.weight: not in the base\n"
        "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."
    )


def test_nan_factors_are_refused(tiny_adapter_pair, tmp_path):
    folder = Path(shutil.copytree(tiny_adapter_pair.minus, tmp_path / "nan"))
    file = folder / "adapter_model.safetensors"
    factors = load_file(file)
    factors["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"][0, 0] = float("nan")
    save_file(factors, file)
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value) == (
        f"Checkpoint.load({str(folder)!r}): 1 of 8 tensors holds NaN or infinite values.\n"
        "  model.layers.0.self_attn.q_proj.lora_B.weight: 1 NaN and 0 infinite of 128\n"
        "A line through them is NaN everywhere: take an earlier checkpoint, or train again."
    )


def test_a_live_peft_model_becomes_dense_and_stays_as_it_was(tiny, llama):
    live = get_peft_model(
        AutoModelForCausalLM.from_pretrained(llama),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, lora_dropout=0.1),
    )
    before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
    live.train()
    dense = Checkpoint.from_model(live, tiny.tokenizer())
    assert live.training
    after = live.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert type(dense.model).__name__ == "LlamaForCausalLM"
    assert dense.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert largest_gap(dense.model, live.eval()) < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["HiraConfig", "IA3Config", "OFTConfig"])
def test_a_live_model_of_another_type_stays_as_it_was(llama, kind):
    """HiRA merges into the very tensor that it finds."""
    more = (
        {"feedforward_modules": []} if kind == "IA3Config" else {"r": 0, "oft_block_size": 4} if "OFT" in kind else {}
    )
    config = getattr(peft, kind)(target_modules=["q_proj", "v_proj"], **more)
    live = get_peft_model(AutoModelForCausalLM.from_pretrained(llama), config).eval()
    with torch.no_grad():
        for parameter in live.parameters():
            parameter += 0.1 * torch.randn_like(parameter) * parameter.requires_grad
    before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
    dense = Checkpoint.from_model(live)
    assert all(torch.equal(tensor, before[name]) for name, tensor in live.state_dict().items())
    assert largest_gap(dense.model, live) < 2e-5


@pytest.mark.parametrize("kind", ["prompt", "inside"])
def test_a_live_model_with_an_adapter_that_is_not_merged_is_refused(llama, kind):
    """A prompt lengthens the logits; factors inside a model would be mixed one by one, not their product."""
    live = AutoModelForCausalLM.from_pretrained(llama)
    if kind == "prompt":
        live = get_peft_model(live, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3))
    else:
        live.add_adapter(LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    with pytest.raises(CheckpointError, match="an adapter on it that is no change of its weights"):
        Checkpoint.from_model(live)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_from_the_weight_itself_stays_low_rank_on_the_bases_own_tensor(tiny, llama, tmp_path, start):
    settings = {"init_lora_weights": start, "rank_pattern": {"layers.1.self_attn.q_proj": 2}}
    loaded = Checkpoint.load(tiny.adapter(llama, tmp_path / "adapter", 3, settings))
    low = {name: weight for name, weight in loaded.weights.items() if isinstance(weight, LowRank)}
    assert changed(loaded) == set(low)
    assert {len(weight.down) for weight in low.values()} == {4, 8}  # twice the adapter's
    assert all(weight.base.data_ptr() == loaded.base.tensors[name].data_ptr() for name, weight in low.items())
    assert loaded.base.sha256 == Checkpoint.load(llama).sha256


TIED = ("an adapter on the embedding, which is not saved whole", "an adapter on the head, which is not saved whole")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize("names", [("every linear layer",) * 2, (TIED[0],) * 2, (TIED[1],) * 2, TIED])
def test_a_saved_mixture_on_a_tied_head_is_the_mixture_when_transformers_loads_it(tiny, llama, tmp_path, names):
    minus, plus = (
        tiny.adapter(llama, tmp_path / str(seed), seed, SETTINGS[name], not name.endswith("not saved whole") and "auto")
        for seed, name in enumerate(names)
    )
    line = Line(minus, plus, llama, device="cpu")
    saved = AutoModelForCausalLM.from_pretrained(line.save(0.3, tmp_path / "mixture")).eval()
    tied = names[0] == "every linear layer"
    assert (saved.lm_head.weight is saved.model.embed_tokens.weight) == tied
    ends = [PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama), end) for end in (minus, plus)]
    for name in ("lm_head", "model.embed_tokens"):
        a, b = (weight_in(end.base_model.model.get_submodule(name)) for end in ends)
        assert (saved.get_submodule(name).weight - (0.7 * a + 0.3 * b)).abs().max() < 1e-6
    assert largest_gap(saved, line.at(0.3)) < 1e-6


def weight_in(layer: torch.nn.Module) -> torch.Tensor:
    """What peft computes with in a layer, adapted or not."""
    adapted = hasattr(layer, "get_delta_weight")
    return layer.base_layer.weight + layer.get_delta_weight("default") if adapted else layer.weight


@pytest.mark.slow
def test_an_adapter_folder_can_stand_on_an_adapter(tiny, tiny_adapter_pair, tmp_path):
    first = Checkpoint.load(tiny_adapter_pair.minus)
    second = Checkpoint.load(tiny_adapter_pair.plus, base=tiny_adapter_pair.minus)
    assert json.loads((tiny_adapter_pair.plus / "adapter_config.json").read_text())["peft_type"] == "LORA"
    name = "model.layers.0.self_attn.q_proj.weight"
    plain = Checkpoint.load(tiny_adapter_pair.plus)
    delta = plain.tensors[name] - plain.base.tensors[name]
    assert torch.allclose(second.tensors[name], first.tensors[name] + delta, atol=1e-6)
