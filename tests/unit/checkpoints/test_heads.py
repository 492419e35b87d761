"""Classifiers and encoders: loaded as what they are, an encoder under a borrowed head, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification, BertModel

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError, MismatchError
from lerpnb.paths.line import Line
from lerpnb.probes.classifier import Classifier
from lerpnb.training import FineTuneConfig, fine_tune

ONE_BASE = "A line needs two fine-tunes of one base model."


@pytest.fixture(scope="module")
def encoder(tiny, tmp_path_factory) -> Path:
    """The bare encoder inside tiny's classifier, as a pre-trained model lies on disk."""
    return tiny.save(tiny.classifier().bert, tmp_path_factory.mktemp("bert") / "encoder", tiny.tokenizer())


@pytest.fixture(scope="module")
def pair(tiny, tmp_path_factory) -> list[Path]:
    """Two fine-tunes of one classifier."""
    to = tmp_path_factory.mktemp("classifiers")
    return [tiny.save(tiny.moved(tiny.classifier(), seed), to / str(seed), tiny.tokenizer()) for seed in (11, 12)]


def refusal(call) -> str:
    with pytest.raises(MismatchError) as caught:
        call()
    return str(caught.value)


def test_a_folder_is_loaded_as_what_its_configuration_names(encoder, pair, tiny_llama_pair):
    assert Checkpoint.load(encoder).architecture == "BertModel"
    found = Checkpoint.load(pair[0])
    assert (found.architecture, found.body) == ("BertForSequenceClassification", "BertModel")
    assert found.labels == ("negative", "positive")
    assert torch.equal(found.tensors["classifier.weight"], found.model.classifier.weight)
    causal = Checkpoint.load(tiny_llama_pair.base)
    assert (causal.architecture, causal.body, causal.labels) == ("LlamaForCausalLM", "LlamaModel", ())


@pytest.mark.slow
@pytest.mark.parametrize("named", [None, ["MyOwnModel"], ["BertForSequenceClassification"]])
def test_a_name_that_is_not_its_kinds_leaves_a_language_model(tiny, tmp_path, named):
    folder = tiny.save(tiny.llama(), tmp_path / "model", None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": named}))
    assert Checkpoint.load(folder).architecture == "LlamaForCausalLM"


def test_a_classifier_without_its_head_in_the_files_is_refused(encoder, tmp_path):
    config = json.loads((encoder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertForSequenceClassification"]}))
    (tmp_path / "model.safetensors").write_bytes((encoder / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(tmp_path)
    assert str(caught.value) == (
        f"Checkpoint.load({str(tmp_path)!r}): its tensors are not those of a BertForSequenceClassification.\n"
        "  classifier.bias: not in the files\n  classifier.weight: not in the files\n"
        "Missing ones would be made up at random: copy or download the folder again, or save the whole model."
    )


def test_two_classifiers_mix_head_and_all(pair):
    line = Line(*pair, device="cpu")
    a, b = line.minus.tensors, line.plus.tensors
    for name, live in line.at(0.25).named_parameters():
        assert (live - (0.75 * a[name] + 0.25 * b[name])).abs().max() <= 1e-6
    assert not torch.equal(a["classifier.weight"], b["classifier.weight"])
    for alpha, end in ((0, line.minus), (1, line.plus)):
        assert all(torch.equal(p, end.tensors[name]) for name, p in line.at(alpha).named_parameters())


def test_a_mixed_classifier_is_saved_and_loads_again(pair, tmp_path):
    line = Line(*pair, device="cpu")
    saved = BertForSequenceClassification.from_pretrained(line.save(0.5, tmp_path / "half"))
    assert saved.config.id2label == {0: "negative", 1: "positive"}
    assert torch.equal(saved.classifier.weight, line.at(0.5).classifier.weight)


def test_an_encoder_under_a_borrowed_head(encoder, pair):
    bare, fine = Checkpoint.load(encoder), Checkpoint.load(pair[0])
    both = bare.with_head(fine)
    assert (both.architecture, both.labels, both.name) == (fine.architecture, fine.labels, str(encoder))
    for name, tensor in bare.tensors.items():
        assert both.tensors[f"bert.{name}"].data_ptr() == tensor.data_ptr()
    for name in ("classifier.weight", "classifier.bias"):
        assert both.tensors[name].data_ptr() == fine.tensors[name].data_ptr()
    assert Checkpoint.load(pair[0]).sha256 == fine.sha256 and bare.architecture == "BertModel"


def test_no_mixture_changes_the_head_that_was_lent(encoder, pair):
    fine = Checkpoint.load(pair[0])
    line = Line(Checkpoint.load(encoder).with_head(fine), fine, device="cpu")
    for alpha in (0.0, 0.37, 1.0, 2.5):
        assert torch.equal(line.at(alpha).classifier.weight, fine.tensors["classifier.weight"])
    word, name = "bert.embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight"
    assert torch.equal(line.at(0.0).get_parameter(word), Checkpoint.load(encoder).tensors[name])


def test_a_head_that_was_there_is_left_out(pair):
    one, other = (Checkpoint.load(folder) for folder in pair)
    both = one.with_head(other)
    assert torch.equal(both.tensors["classifier.weight"], other.tensors["classifier.weight"])
    assert torch.equal(both.tensors["bert.pooler.dense.weight"], one.tensors["bert.pooler.dense.weight"])


def test_a_language_models_body_keeps_its_ties(tiny_llama_pair):
    one, other = (Checkpoint.load(folder) for folder in (tiny_llama_pair.base, tiny_llama_pair.minus))
    assert one.with_head(other).sha256 == one.sha256  # the tied head is the body's own embedding


def test_bodies_that_differ_are_refused(tiny, encoder, pair, tiny_llama_pair):
    fine = Checkpoint.load(pair[0])
    call = f".with_head({str(pair[0])!r}): "
    assert refusal(lambda: Checkpoint.load(tiny_llama_pair.base).with_head(fine)) == (
        f"Checkpoint({str(tiny_llama_pair.base)!r}){call}other architectures.\n"
        f"  architecture: body LlamaModel, head's BertModel\n{ONE_BASE}"
    )
    shallow = BertModel(BertConfig(**(fine.config.to_dict() | {"intermediate_size": 40})))
    assert refusal(lambda: Checkpoint.from_model(shallow).with_head(fine)) == (
        f"Checkpoint('model'){call}3 of 25 tensors do not match.\n"
        "  encoder.layer.0.intermediate.dense.weight: body (40, 32), head's (48, 32)\n"
        "  encoder.layer.0.intermediate.dense.bias: body (40,), head's (48,)\n"
        f"  encoder.layer.0.output.dense.weight: body (32, 40), head's (32, 48)\n{ONE_BASE}"
    )


@pytest.mark.slow
def test_a_base_without_a_head_is_refused_with_the_way_out(encoder, pair):
    assert refusal(lambda: Line(*pair, encoder, device="cpu")) == (
        "Line(minus, plus): base has no head.\n"
        "  architecture: base BertModel, minus BertForSequenceClassification\n"
        "Give it that head: Checkpoint.load(...).with_head(minus), which no path changes; "
        "or leave the base out."
    )
    assert refusal(lambda: Line(encoder, pair[0], device="cpu")) == (
        "Line(minus, plus): minus has no head.\n"
        "  architecture: minus BertModel, plus BertForSequenceClassification\n"
        "Give it that head: Checkpoint.load(...).with_head(plus), which no path changes."
    )
    fine = Checkpoint.load(pair[0])
    assert Line(fine, pair[1], Checkpoint.load(encoder).with_head(fine), device="cpu").base.name == str(encoder)


def adapters(encoder: Path, to: Path, labels: tuple[str, ...] = ("negative", "positive")) -> list[Path]:
    """Two adapters of a classifier on the bare encoder, made by notebook 01's own function."""
    corpus = Corpus(("a lovely film", "what a waste of time"), (1, 0), labels, "reviews")
    recipes = [
        FineTuneConfig(str(encoder), "classifier", rank=4, steps=2, learning_rate=0.05, seed=seed) for seed in (1, 2)
    ]
    for recipe in recipes:
        fine_tune(recipe, corpus, to / str(recipe.seed))
    return [to / str(recipe.seed) for recipe in recipes]


@pytest.mark.slow
def test_two_adapters_of_classifiers_mix_on_a_bare_encoder(encoder, tmp_path):
    folders = adapters(encoder, tmp_path)
    line = Line(*folders, device="cpu")
    for alpha, folder in enumerate(folders):  # as the scorer reads it: transformers, and peft's own merge
        want = Classifier.load(folder, "cpu").model.state_dict()
        for name, live in line.at(alpha).named_parameters():
            assert torch.allclose(live, want[name], atol=1e-6), name
    assert line.minus.labels == line.base.labels == ("negative", "positive")
    assert not line.base.tensors["classifier.weight"].any()  # an empty head: all labels equally likely
    pooler = [end.tensors["bert.embeddings.word_embeddings.weight"].data_ptr() for end in (line.minus, line.plus)]
    assert pooler[0] == pooler[1]  # what the adapters leave alone is loaded once


@pytest.mark.slow
def test_an_adapter_without_a_configuration_tells_its_labels_by_its_heads_shape(encoder, tmp_path):
    folder = adapters(encoder, tmp_path, ("negative", "positive", "mixed"))[0]
    (folder / "config.json").unlink()
    found = Checkpoint.load(folder)
    assert found.labels == ("LABEL_0", "LABEL_1", "LABEL_2") and found.tensors["classifier.weight"].any()


def test_labels_in_another_order_are_refused(tiny, pair):
    swapped = tiny.classifier(("positive", "negative"))
    assert refusal(lambda: Line(pair[0], swapped, device="cpu")) == (
        "Line(minus, plus): their labels differ.\n"
        "  labels: minus negative, positive, plus positive, negative\n"
        "Train both with the same labels in the same order."
    )


def test_labels_are_part_of_what_a_value_depends_on(tiny):
    one, other = (Checkpoint.from_model(tiny.classifier(labels)) for labels in (("a", "b"), ("b", "a")))
    assert one.sha256 == other.sha256 and one.identity != other.identity


def test_what_transformers_refuses_is_called_by_its_name(tiny, tmp_path):
    folder = tiny.save(tiny.classifier(), tmp_path / "model", None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 33}))
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    assert str(caught.value).splitlines()[0] == (
        f"Checkpoint.load({str(folder)!r}): transformers cannot load it as a BertForSequenceClassification."
    )


def test_a_causal_bert_is_still_one(tiny, tmp_path):
    folder = tiny.save(tiny.network("llama"), tmp_path / "model", None)
    assert Checkpoint.load(folder).architecture == type(AutoModelForCausalLM.from_pretrained(folder)).__name__
