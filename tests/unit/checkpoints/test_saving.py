"""Saving: an ordinary Hugging Face folder, whole or not at all, and a live model that is not changed."""

import json
import resource
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.checkpoints.saving import read_folder, write_folder
from lerpnb.errors import CheckpointError

IDS = torch.arange(3, 33).view(2, 15)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=IDS).logits


def refusal(call) -> str:
    with pytest.raises(CheckpointError) as caught:
        call()
    return str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux shows what is mapped")
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_half_pair"])
def test_weights_stay_in_their_memory_mapped_file(request, pair):
    folder = request.getfixturevalue(pair).minus
    model = read_folder(CheckpointMetadata.read(folder), "here")
    maps = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [row[0].split("-") for row in maps if row[-1] == str(folder / "model.safetensors")]
    inside = [any(int(a, 16) <= p.data_ptr() < int(b, 16) for a, b in spans) for p in model.parameters()]
    assert len(inside) == 20 and all(inside)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "untied", "gpt2"])
def test_the_saved_folder_loads_to_the_same_logits(tiny, tmp_path, kind):
    live = {"llama": tiny.llama, "untied": lambda: tiny.llama(tied=False), "gpt2": tiny.gpt2}[kind]()
    live.generation_config.max_new_tokens = 7
    to = write_folder(live, tiny.tokenizer(), tmp_path / "deep" / "model", card="# a card — of ours\n")
    assert to == tmp_path / "deep" / "model"
    loaded = AutoModelForCausalLM.from_pretrained(to)
    assert torch.equal(logits(loaded), logits(live))
    assert loaded.dtype == torch.float32
    assert loaded.generation_config.max_new_tokens == 7
    assert (loaded.lm_head.weight is loaded.get_input_embeddings().weight) == (kind != "untied")
    assert AutoTokenizer.from_pretrained(to).get_vocab() == tiny.tokenizer().get_vocab()
    assert (to / "README.md").read_text(encoding="utf-8") == "# a card — of ours\n"
    assert sorted(file.name for file in to.iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [file.name for file in to.parent.iterdir()] == ["model"]  # nothing temporary is left


def test_a_model_that_came_untied_stays_untied(tiny_llama_pair, tmp_path):
    live = Checkpoint.load(tiny_llama_pair.minus).untied().new_model()
    with torch.no_grad():
        live.lm_head.weight += 0.1
    loaded = AutoModelForCausalLM.from_pretrained(write_folder(live, None, tmp_path / "model"))
    assert torch.equal(logits(loaded), logits(live))
    assert not torch.equal(loaded.lm_head.weight, loaded.model.embed_tokens.weight)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.float16])
def test_another_dtype_is_saved_and_the_model_not_changed(tiny, tmp_path, dtype):
    live = tiny.llama().train()
    before = {name: tensor.clone() for name, tensor in live.state_dict().items()}
    config, places = live.config.to_dict(), [p.data_ptr() for p in live.parameters()]
    to = write_folder(live, tiny.tokenizer(), tmp_path / "model", dtype=dtype)
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    stored = load_file(to / "model.safetensors")
    assert len(stored) == 20
    assert all(torch.equal(tensor, before[name].to(kind)) for name, tensor in stored.items())
    assert AutoModelForCausalLM.from_pretrained(to).dtype == kind
    assert live.training and live.config.to_dict() == config and places == [p.data_ptr() for p in live.parameters()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in live.state_dict().items())


def test_a_folder_in_the_way_is_refused(tiny, tmp_path):
    to = tmp_path / "model"
    to.mkdir()
    write_folder(tiny.llama(), None, to)  # an empty one is not in the way
    before = {file.name: file.read_bytes() for file in to.iterdir()}
    assert refusal(lambda: write_folder(tiny.llama(seed=1), None, to)) == (
        f"write_folder(to={str(to)!r}): 3 files are there already.\nTake another folder, or pass overwrite=True."
    )
    assert {file.name: file.read_bytes() for file in to.iterdir()} == before
    write_folder(tiny.llama(seed=1), tiny.tokenizer(), to, overwrite=True)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(to)), logits(tiny.llama(seed=1)))
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_file_in_the_way_is_refused_even_to_overwrite(tiny, tmp_path):
    (tmp_path / "model").touch()
    assert refusal(lambda: write_folder(tiny.llama(), None, tmp_path / "model", overwrite=True)) == (
        f"write_folder(to={str(tmp_path / 'model')!r}): a file of that name is there already.\n"
        "Take another folder, or pass overwrite=True."
    )


@pytest.mark.parametrize("dtype", ["int8", "nonsense", torch.int32])
def test_a_dtype_that_is_no_float_is_refused(tiny, tmp_path, dtype):
    assert refusal(lambda: write_folder(tiny.llama(), None, tmp_path / "model", dtype=dtype)) == (
        f"write_folder(to={str(tmp_path / 'model')!r}): dtype {dtype!r}, expected float32, bfloat16 or float16."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_the_old_folder_kept(tiny, tmp_path):
    to = write_folder(tiny.llama(), None, tmp_path / "model")
    before = {file.name: file.read_bytes() for file in to.iterdir()}
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        text = refusal(lambda: write_folder(tiny.llama(seed=1), None, to, overwrite=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    first, last = text.splitlines()
    assert first.startswith(f"write_folder(to={str(to)!r}): ") and "File too large" in first
    assert last == "Nothing was changed there. Make room, or take another folder."
    assert {file.name: file.read_bytes() for file in to.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_an_interrupt_keeps_the_old_folder(tiny, tmp_path, monkeypatch):
    to = write_folder(tiny.llama(), None, tmp_path / "model")
    before = {file.name: file.read_bytes() for file in to.iterdir()}

    def interrupted(self, folder):
        (folder / "model.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tiny.llama(seed=1), None, to, overwrite=True)
    assert {file.name: file.read_bytes() for file in to.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_no_path_of_this_machine_is_written(tiny, tiny_llama_pair, tmp_path):
    minus = Checkpoint.load(tiny_llama_pair.minus)
    to = write_folder(minus.new_model(), minus.tokenizer, tmp_path / "model")
    texts = [file.read_text(encoding="utf-8") for file in to.glob("*.json")]
    assert len(texts) == 4
    assert not any(str(tiny_llama_pair.minus) in text for text in texts)
    assert json.loads((to / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_what_is_no_model_folder_is_never_replaced(tiny, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("precious")
    assert refusal(lambda: write_folder(tiny.llama(), None, tmp_path / "notes", overwrite=True)) == (
        f"write_folder(to={str(tmp_path / 'notes')!r}): overwrite=True, but what is there is no model folder: "
        "it has no config.json.\nTake another folder, or empty this one."
    )
    assert [file.read_text() for file in (tmp_path / "notes").iterdir()] == ["precious"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tiny, tmp_path):
    target = write_folder(tiny.llama(), None, tmp_path / "target")
    (tmp_path / "link").symlink_to(target, target_is_directory=True)
    assert write_folder(tiny.llama(seed=1), None, tmp_path / "link", overwrite=True) == tmp_path / "link"
    assert (tmp_path / "link").is_symlink() and not target.is_symlink()
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(target)), logits(tiny.llama(seed=1)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "target"]


def test_a_tilde_is_the_home_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_folder(tiny.llama(), None, "~/model") == tmp_path / "model"
    assert (tmp_path / "model" / "config.json").is_file()
