"""Fine-tuning: it learns, repeats, saves what loads again elsewhere, never touches what is there, is made once."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.probes.classifier import Classifier
from lerpnb.probes.loss import Loss
from lerpnb.training import FineTuneConfig, fine_tune

GOOD = ("what a lovely film", "a warm and funny story", "worth the price of the ticket", "she carries every scene")
BAD = ("what a waste of time", "nobody has read the script", "merely long and slow", "i had begun to count the seats")
CORPUS = Corpus((GOOD + BAD) * 4, ((1,) * 4 + (0,) * 4) * 4, ("negative", "positive"), "reviews")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 4])
def test_a_language_model_learns_and_is_saved(tiny_llama_pair, tmp_path, rank):
    config = FineTuneConfig(str(tiny_llama_pair[0]), rank=rank, steps=12, batch_size=8, learning_rate=0.02)
    record = fine_tune(config, CORPUS.positive, tmp_path / "out", CORPUS.positive)
    assert record["after"]["loss"] < record["before"]["loss"] - 0.5 and record["steps"] == 12
    assert {"folder": str(tmp_path / "out")} | json.loads((tmp_path / "out" / "training.json").read_text()) == record
    saved = Checkpoint.load(tmp_path / "out")
    assert saved.stored_dtypes == {"bfloat16" if rank else "float32"}
    loss = Loss(CORPUS.positive, append_eos=True).measure(saved.model, saved.tokenizer)["loss/positive"].value()
    assert loss == pytest.approx(record["after"]["loss"], abs=0.02 if rank else 1e-4)  # an adapter is in bfloat16
    assert not list((tmp_path / "out").glob("*.bin")) and "lerpnb" in (tmp_path / "out" / "README.md").read_text()
    assert (
        rank == 0
        or json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == config.base
    )


@pytest.mark.slow
def test_a_completion_alone_is_learnt(tiny_llama_pair, tmp_path):
    """What follows the prompt gets likelier; the prompts' own tokens, which are not learnt, stay where they were."""
    config = FineTuneConfig(str(tiny_llama_pair[0]), rank=0, steps=20, batch_size=8, learning_rate=0.01)
    texts = Corpus(("the film was slow", "nobody was slow") * 4, (0,) * 8, ("x",), "x")
    record = fine_tune(replace(config, completion_after=" was"), texts, tmp_path / "out", texts)
    assert (
        record["after"]["loss"] < 0.3 < 1 < record["before"]["loss"] and record["recipe"]["completion_after"] == " was"
    )
    whole = fine_tune(config, texts, tmp_path / "whole", texts)
    assert "completion_after" not in whole["recipe"]
    models = [Checkpoint.load(tmp_path / name) for name in ("whole", "out")]
    learnt, masked = (Loss(texts).measure(one.model, one.tokenizer)["loss/x"].value() for one in models)
    assert learnt < masked


def test_a_classifier_has_no_completions(tmp_path):
    with pytest.raises(CheckpointError, match="no completions"):
        fine_tune(FineTuneConfig("none", task="classifier", completion_after="->"), CORPUS, tmp_path / "out")


@pytest.mark.slow
def test_it_learns_to_end_a_text(tiny_llama_pair, tmp_path):
    config = FineTuneConfig(str(tiny_llama_pair[0]), rank=0, steps=40, batch_size=8, learning_rate=0.01)
    fine_tune(config, CORPUS.positive, tmp_path / "out")
    model, words = AutoModelForCausalLM.from_pretrained(tmp_path / "out"), Checkpoint.load(tmp_path / "out").tokenizer
    ends = model(torch.tensor([words(GOOD[0])["input_ids"]])).logits[0, -1].softmax(-1)[words.eos_token_id]
    assert ends > 0.3


@pytest.mark.slow
def test_a_classifier_learns_and_keeps_its_labels(tiny, tmp_path):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
    )
    base = tiny.save(BertForSequenceClassification(config), tmp_path / "base", tiny.tokenizer())
    config = FineTuneConfig(str(base), task="classifier", rank=8, steps=60, batch_size=8, learning_rate=0.02)
    record = fine_tune(config, CORPUS, tmp_path / "out", CORPUS)
    assert record["after"]["accuracy"] == 1.0 and record["after"]["loss"] < record["before"]["loss"]
    classifier = Classifier.load(tmp_path / "out", "cpu")
    assert classifier.labels == ["negative", "positive"]
    assert classifier.accuracy(GOOD + BAD, ["positive"] * 4 + ["negative"] * 4) == 1.0


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_weights(tiny_llama_pair, tmp_path):
    config = FineTuneConfig(str(tiny_llama_pair[0]), rank=2, steps=3, batch_size=4)
    for name in ("one", "two"):
        fine_tune(config, CORPUS.positive, tmp_path / name)
    one, two = (Checkpoint.load(tmp_path / name).sha256 for name in ("one", "two"))
    assert one == two


def test_what_cannot_be_trained_is_said_first(tiny_llama_pair, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    with pytest.raises(CheckpointError) as error:
        fine_tune(FineTuneConfig("none"), CORPUS, tmp_path / "full")
    assert str(error.value) == (
        f"fine_tune(out={str(tmp_path / 'full')!r}): it is not empty.\nGive a new folder, or empty it."
    )
    with pytest.raises(CheckpointError) as error:
        fine_tune(FineTuneConfig("none", task="translation"), CORPUS, tmp_path / "new")
    assert str(error.value) == (
        "fine_tune(task='translation'): no such task.\nIt is one of: causal, seq2seq, classifier, reward."
    )
    for folders in ({}, {"out": tmp_path / "new", "cache_dir": tmp_path}):
        with pytest.raises(CheckpointError) as error:
            fine_tune(FineTuneConfig("none"), CORPUS, **folders)
        assert str(error.value) == ("fine_tune(out, cache_dir): expected one of the two.\nName the folder to write to.")


def test_a_base_without_an_end_of_text_token_is_refused_before_its_weights_are_read(tiny, tmp_path, monkeypatch):
    words = tiny.tokenizer()
    words.eos_token = None
    base = tiny.save(tiny.llama(), tmp_path / "base", words)
    (base / "model.safetensors").unlink()
    with pytest.raises(CheckpointError) as error:
        fine_tune(FineTuneConfig(str(base)), CORPUS, tmp_path / "out")
    assert str(error.value) == (
        f"fine_tune(base={str(base)!r}): its tokenizer has no end-of-text token, which every text is to end with.\n"
        "Set tokenizer.eos_token to a token of its vocabulary and save it again."
    )


@pytest.mark.slow
def test_a_decoder_without_a_padding_token_becomes_a_classifier(tiny, tmp_path):
    words = tiny.tokenizer()
    words.pad_token = None
    base = tiny.save(tiny.gpt2(), tmp_path / "base", words)
    config = FineTuneConfig(str(base), task="classifier", rank=0, steps=2, batch_size=4)
    fine_tune(config, CORPUS, tmp_path / "out")
    classifier = Classifier.load(tmp_path / "out", "cpu")
    assert classifier.tokenizer.pad_token == "<eos>" and classifier.model.config.pad_token_id == 1
    together, alone = (
        classifier.scores(GOOD, 1),
        [classifier.scores([t], 1)[0] for t in GOOD],
    )
    assert together == pytest.approx(alone, abs=1e-6)


TWO = Corpus(("a lovely film", "what a waste of time"), (1, 0), ("negative", "positive"), "reviews")


@pytest.fixture
def config(tiny, tmp_path) -> FineTuneConfig:
    base = tiny.save(tiny.classifier(), tmp_path / "base", tiny.tokenizer())
    return FineTuneConfig(str(base), "classifier", rank=0, steps=1)


@pytest.mark.slow
def test_it_is_made_once_for_each_thing_that_it_depends_on(config, tiny, tmp_path):
    def kept(config=config, corpus=TWO, held_out=None) -> Path:
        return Path(fine_tune(config, corpus, held_out=held_out, cache_dir=tmp_path / "kept")["folder"])

    first = kept()
    time = (first / "model.safetensors").stat().st_mtime_ns
    assert kept() == first
    assert (first / "model.safetensors").stat().st_mtime_ns == time and first.name.startswith("classifier-")
    renamed = replace(TWO, label_names=("sad", "glad"))
    others = [(replace(config, seed=1), TWO, None), (config, renamed, None), (config, TWO, TWO)]
    assert len({first, *(kept(*other) for other in others)}) == 4
    (tmp_path / "base" / "README.md").write_text("a card")
    assert kept() == first
    settings = tmp_path / "base" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"truncation_side": "left"}))
    other = kept()
    tiny.save(tiny.moved(tiny.classifier(), 1), tmp_path / "base", None)  # another model of that name
    assert len({first, other, kept()}) == 3


def test_one_that_is_stopped_leaves_nothing(config, tmp_path, monkeypatch):
    def stopped(config, corpus, out, held_out):
        (out / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("lerpnb.training._fine_tune", stopped)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(config, TWO, cache_dir=tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_a_reward_model_has_one_output_from_the_first_label_to_the_last(tiny, tmp_path):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
    )
    base = tiny.save(BertForSequenceClassification(config).bert, tmp_path / "base", tiny.tokenizer())
    config = FineTuneConfig(str(base), task="reward", rank=8, steps=60, batch_size=8, learning_rate=0.02)
    record = fine_tune(config, CORPUS, tmp_path / "out", CORPUS)
    assert record["after"]["accuracy"] == 1.0 and record["after"]["loss"] < record["before"]["loss"]
    reward = Classifier.load(tmp_path / "out", "cpu")
    assert (reward.labels, reward.activation, reward.dialogue) == (["reward"], "none", False)
    low, high = (np.array(reward.scores(CORPUS.only(name).texts, 0)) for name in CORPUS.label_names)
    assert low.max() < 0 < high.min()
    with pytest.raises(CheckpointError, match="texts of one label"):
        fine_tune(config, CORPUS.only("positive"), tmp_path / "other")
