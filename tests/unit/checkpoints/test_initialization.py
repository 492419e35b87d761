"""blank.py: untrained models are made once, from what their folder is called after, whole or not at all."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from lerpnb.checkpoints import initialization
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.initialization import small_model, untrained
from lerpnb.errors import CheckpointError

SMALL = dict(vocabulary=270, width=16, layers=1, heads=2)
TEXTS = ["a film that ends well", "a film that begins"] * 4


@pytest.fixture
def keep(tmp_path, tiny):
    return tmp_path / "keep"


@pytest.mark.parametrize(("task", "kind"), [("causal", AutoModelForCausalLM), ("seq2seq", AutoModelForSeq2SeqLM)])
def test_a_small_model_loads_reads_any_text_and_is_made_once(task, kind, keep, monkeypatch):
    folder = small_model(TEXTS, task, **SMALL, folder=keep)
    words = AutoTokenizer.from_pretrained(folder)
    assert words.decode(words("a film, très bien 好")["input_ids"]) == "a film, très bien 好"
    assert len(words("a film that ends")["input_ids"]) < len("a film that ends")  # it learnt to merge
    model = kind.from_pretrained(folder)
    assert model.config.vocab_size == len(words) <= 270 and model.config.eos_token_id == words.eos_token_id
    monkeypatch.setattr(initialization, "_save_untrained", None)  # it would fail
    assert small_model(TEXTS, task, **SMALL, folder=keep) == folder
    assert small_model(TEXTS, task, **SMALL, seed=0, folder=str(keep)) == folder


@pytest.mark.slow
def test_an_untrained_twin_has_the_shape_and_the_tokenizer_but_other_weights(tiny_llama_pair, keep):
    one, other, again = (untrained(tiny_llama_pair[0], seed, folder=keep) for seed in (1, 2, 1))
    assert one == again != other and one.parent == keep
    models = [Checkpoint.load(folder) for folder in (one, other, tiny_llama_pair[0])]
    assert len({model.sha256 for model in models}) == 3
    assert len({tuple((n, tuple(t.shape)) for n, t in model.tensors.items()) for model in models}) == 1
    assert models[0].tokenizer.get_vocab() == models[2].tokenizer.get_vocab()
    state = torch.random.get_rng_state()
    untrained(tiny_llama_pair[0], 3, folder=keep)
    assert torch.equal(torch.random.get_rng_state(), state)  # the caller's noise is its own


def test_what_dies_leaves_nothing_that_is_taken_for_a_model(keep, monkeypatch):
    def dies(kind, config, words, folder, seed):
        (folder / "config.json").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(initialization, "_save_untrained", dies)
    with pytest.raises(KeyboardInterrupt):
        small_model(TEXTS, **SMALL, folder=keep)
    assert list(keep.iterdir()) == []


def test_what_cannot_be_made_is_said(tiny, tmp_path):
    cases = [
        (
            lambda: small_model(["x"], "translation"),
            "small_model(task='translation'): no such task.\nIt is causal or seq2seq.",
        ),
        (
            lambda: small_model(["x"], vocabulary=200),
            "small_model(vocabulary=200): expected 258 or more, 256 of them the bytes.",
        ),
        (
            lambda: small_model(["x"], width=10, heads=4),
            "small_model(width=10, heads=4): expected a multiple of the heads.",
        ),
    ]
    model = tiny.llama()
    base = tiny.save(model, tmp_path / "base", tiny.tokenizer())
    config = (base / "config.json").read_text().replace("LlamaForCausalLM", "LlamaForNothing")
    (base / "config.json").write_text(config)
    cases.append(
        (
            lambda: untrained(base),
            f"untrained(like={str(base)!r}): its config.json names LlamaForNothing, which transformers does not have.\n"
            "Save the model anew with save_pretrained.",
        )
    )
    for call, message in cases:
        with pytest.raises(CheckpointError) as error:
            call()
        assert str(error.value) == message
