"""Checkpoints stay in the dtype of their files; what is mixed from them is what float32 copies of them give."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
)

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.generation.batched_line import prefer_batched
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.line import Line

SMALL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0)
CONFIGS = {
    "llama": LlamaConfig(**SMALL, intermediate_size=48),
    "gpt2": GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1),
    "gemma3": Gemma3TextConfig(**SMALL, intermediate_size=48, num_key_value_heads=2, head_dim=8),
    "opt": OPTConfig(**SMALL, ffn_dim=48, word_embed_proj_dim=32),
    "bloom with alibi": BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4),
    "falcon": FalconConfig(**SMALL, new_decoder_architecture=False),
}


def saved(config, folder, seed: int, dtype: torch.dtype):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    model.to(dtype).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CONFIGS)
def test_ends_stay_in_16_bits_and_are_met_as_transformers_reads_them(name, dtype, tmp_path):
    ends = [saved(CONFIGS[name], tmp_path / str(seed), seed, dtype) for seed in (1, 2)]
    line, ids = Line(*ends, device="cpu"), torch.arange(5, 17)[None]
    assert {p.dtype for n, p in line.minus.weights.items() if n in dict(line.model.named_parameters())} == {dtype}
    for alpha, end in zip((0.0, 1.0), ends, strict=True):
        whole = AutoModelForCausalLM.from_pretrained(end, dtype=torch.float32).eval()
        live = line.at(alpha)
        for (name_, want), got in zip(whole.named_parameters(), live.parameters(), strict=True):
            assert torch.equal(got, want), name_
        for (name_, want), got in zip(whole.named_buffers(), live.buffers(), strict=True):
            assert torch.equal(got, want) and got.dtype == want.dtype, name_
        assert torch.equal(live(input_ids=ids).logits, whole(input_ids=ids).logits)
        assert torch.equal(line.checkpoints["minus" if alpha == 0 else "plus"].model(ids).logits, whole(ids).logits)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-0.7, 0.3, 0.5, 1.9])
def test_between_them_it_is_float64_to_one_rounding(alpha, tmp_path):
    ends = [saved(CONFIGS["llama"], tmp_path / str(seed), seed, torch.bfloat16) for seed in (1, 2)]
    lines = {dtype: Line(*ends, device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")}
    a, b = (AutoModelForCausalLM.from_pretrained(end, dtype=torch.float64).state_dict() for end in ends)
    for name, parameter in lines["float32"].at(alpha).named_parameters():
        want = (1 - alpha) * a[name] + alpha * b[name]
        assert (parameter - want).abs().max() <= 1e-6 * want.abs().max()
        assert torch.equal(lines["bfloat16"].at(alpha).get_parameter(name), parameter.bfloat16())


@pytest.mark.slow
def test_large_tensors_are_widened_in_blocks_to_the_same_numbers(monkeypatch, tmp_path):
    from lerpnb.paths import mixer

    ends = [saved(CONFIGS["llama"], tmp_path / str(seed), seed, torch.bfloat16) for seed in (1, 2)]
    whole = {name: p.clone() for name, p in Line(*ends, device="cpu").at(0.3).named_parameters()}
    monkeypatch.setattr(mixer, "BLOCK", 100)
    assert all(torch.equal(p, whole[name]) for name, p in Line(*ends, device="cpu").at(0.3).named_parameters())


@pytest.fixture(scope="module")
def half_and_whole(tiny, tmp_path_factory):
    """A base in bfloat16, and the same numbers in float32."""
    folder, model = tmp_path_factory.mktemp("bases"), tiny.llama().bfloat16()
    return tiny.save(model, folder / "half", tiny.tokenizer()), tiny.save(
        model.float(), folder / "whole", tiny.tokenizer()
    )


ADAPTERS = {
    "plain": {},
    "every linear layer": {"target_modules": "all-linear"},
    "weight-decomposed": {"use_dora": True},
    "biases": {"target_modules": ["o_proj"], "bias": "all"},
    "embedding and head": {"target_modules": ["embed_tokens", "lm_head"]},
    "a head trained whole": {"modules_to_save": ["lm_head"]},
    "some trained tokens": {"trainable_token_indices": {"embed_tokens": [3, 5]}},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_on_a_16_bit_base_give_what_they_give_on_a_float32_one(tiny, half_and_whole, tmp_path, name):
    half, whole = half_and_whole
    adapters = [tiny.adapter(whole, tmp_path / str(seed), seed, ADAPTERS[name]) for seed in (1, 2)]
    line, wide = (Line(*adapters, base=base, device="cpu") for base in (half, whole))
    low = [weight for weight in line.minus.weights.values() if isinstance(weight, LowRank)]
    assert name == "embedding and head" or all(weight.base.dtype == torch.bfloat16 for weight in low)  # saved whole
    assert len(low) == sum(isinstance(weight, LowRank) for weight in wide.minus.weights.values())
    for alpha in (0.0, 0.25, 1.0, 1.5):
        for (tensor, want), got in zip(wide.at(alpha).named_parameters(), line.at(alpha).parameters(), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6, msg=tensor)


def test_texts_are_sampled_one_alpha_at_a_time_where_each_pass_would_widen_the_ends(tiny, half_and_whole):
    spec = Continuations(("the film",), n_samples=1, max_new_tokens=2)
    whys = [prefer_batched(Line(end, end, device="cpu"), spec, 5)[1] for end in half_and_whole]
    assert "stored in 16 bits" in whys[0] and whys[1].startswith("all 5 alphas in one pass")


def test_a_folder_of_several_dtypes_is_read_in_float32(tiny_llama_pair, tmp_path):
    from safetensors.torch import load_file, save_file

    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[0])
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {n: t.bfloat16() if "norm" not in n else t for n, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    weights = Checkpoint.load(tmp_path).weights
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(torch.equal(weights[name], tensor.float()) for name, tensor in tensors.items())


def test_the_live_model_is_never_without_weights(tiny_llama_pair):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    minus = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[1])
    assert all(torch.equal(a, b) for a, b in zip(line.model.parameters(), minus.parameters(), strict=True))


def test_a_line_to_its_first_point_reads_each_tensor_twice_and_hashes_none(tiny_llama_pair, monkeypatch):
    """Once to see that it is finite and once to mix it; the live model is written to by the first point alone."""
    from lerpnb.checkpoints import checkpoint
    from lerpnb.paths.mixer import Mixer

    puts, checked = [], []
    put, check = Mixer.put, checkpoint.refuse_not_finite
    monkeypatch.setattr(Mixer, "put", lambda self, c: (puts.append(c), put(self, c)))
    monkeypatch.setattr(checkpoint, "refuse_not_finite", lambda of, call: (checked.extend(of), check(of, call)))
    monkeypatch.setattr(checkpoint, "tensors_sha256", never)
    line = Line(*tiny_llama_pair[1:], device="cpu")
    line.at(0.25)
    assert puts == [(0.75, 0.25)]
    assert sorted(checked) == sorted([*line.minus.weights, *line.plus.weights])


def test_two_adapters_check_their_base_once_and_hash_nothing(tiny_adapter_pair, monkeypatch):
    from lerpnb.checkpoints import adapters, checkpoint

    checked, check = [], checkpoint.refuse_not_finite
    for module in (checkpoint, adapters):
        monkeypatch.setattr(
            module,
            "refuse_not_finite",
            lambda of, call: (checked.extend(t.data_ptr() for t in of.values()), check(of, call)),
        )
    monkeypatch.setattr(checkpoint, "tensors_sha256", never)
    line = Line(*tiny_adapter_pair[1:], device="cpu")
    line.at(0.25)
    assert line.base is not None
    own = [line.base.weights[name].data_ptr() for name, _ in line.model.named_parameters()]
    assert [checked.count(address) for address in own] == [1] * len(own)


def never(*_):
    raise AssertionError("weights were hashed")
