"""Accuracy: right and wrong in closed form, a batch's size that changes nothing, labels found by name, NaN kept."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.plots.curve import plot_curve
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.base import Probe

TEXTS = ("the film was lovely", "a slow and merely long thing to sit through", "nobody", "what a waste of a good cast")
CORPUS = Corpus(TEXTS, (1, 0, 1, 0), ("negative", "positive"), "films")


@pytest.fixture
def model(tiny):
    return tiny.classifier()


@pytest.fixture(scope="module")
def words(tiny):
    return tiny.tokenizer()


def by_hand(model, words) -> torch.Tensor:
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([words(text)["input_ids"]])).logits for text in TEXTS]).double()


def test_a_bias_decides_every_text(model, words):
    model.classifier.bias.data = torch.tensor([0.0, 50.0])
    found = Accuracy(CORPUS).measure(model, words)["accuracy/films"]
    assert found.values.tolist() == [1.0, 0.0, 1.0, 0.0] and (found.unit, found.items) == ("share", "texts")
    assert found.value() == 0.5


@pytest.mark.parametrize("batch_tokens", [2, 20, 4096])
def test_it_is_the_models_own_answer_however_texts_are_batched(model, words, batch_tokens):
    logits = by_hand(model, words)
    found = Accuracy(CORPUS, batch_tokens=batch_tokens).measure(model, words)
    assert found["accuracy/films"].values.tolist() == [
        float(a == b) for a, b in zip(logits.argmax(-1), CORPUS.labels, strict=True)
    ]
    nll = torch.nn.functional.cross_entropy(logits, torch.tensor(CORPUS.labels), reduction="none")
    assert np.allclose(found["cross-entropy/films"].values, nll, atol=1e-5)
    assert found["cross-entropy/films"].unit == "nats/text"


def test_a_decoder_that_classifies(tiny, words):
    small = dict(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    config = LlamaConfig(**small, pad_token_id=2, id2label={0: "negative", 1: "positive"})
    model = tiny.moved(LlamaForSequenceClassification(config), 0, 0.2).eval()
    logits = by_hand(model, words)
    found = Accuracy(CORPUS).measure(model, words)["cross-entropy/films"].values
    assert np.allclose(found, -logits.log_softmax(-1)[range(4), CORPUS.labels], atol=1e-5)
    model.config.pad_token_id = None
    alone = Accuracy(CORPUS).measure(model, words)["cross-entropy/films"].values  # one by one
    assert np.allclose(alone, -by_hand(model, words).log_softmax(-1)[range(4), CORPUS.labels], atol=1e-5)
    for problem in ("regression", "multi_label_classification"):
        model.config.problem_type = problem
        with pytest.raises(ProbeError, match=f"2 labels, problem_type '{problem}'"):
            Accuracy(CORPUS).measure(model, words)


def test_labels_are_found_by_name_in_any_order_and_case(tiny, words):
    other = tiny.classifier(("POSITIVE", "NEGATIVE"))
    right = Accuracy(CORPUS).measure(tiny.classifier(), words)["accuracy/films"].values
    assert np.array_equal(Accuracy(CORPUS).measure(other, words)["accuracy/films"].values, 1 - right)


def test_a_label_that_the_model_lacks_is_refused(tiny, words):
    with pytest.raises(ProbeError) as error:
        Accuracy(CORPUS).measure(tiny.classifier(("LABEL_0", "LABEL_1")), words)
    assert str(error.value) == (
        "accuracy/films: the classifier has no label 'negative'.\n"
        "It has: LABEL_0, LABEL_1. Give the corpus label_names in its labels' words."
    )


def test_a_language_model_has_no_accuracy(tiny, words):
    with pytest.raises(ProbeError) as error:
        Accuracy(CORPUS).measure(tiny.llama(), words)
    assert str(error.value) == (
        "accuracy/films: the model is a LlamaForCausalLM, expected a sequence classifier.\n"
        "Measure it with ln.Loss. A classifier is made by ln.training.fine_tune with task='classifier'."
    )


def test_a_nan_stays_a_nan(model, words):
    model.classifier.weight.data[0] = torch.nan
    found = Accuracy(CORPUS).measure(model, words)
    assert all(math.isnan(measure.value()) for measure in found.values())


def test_its_identity_is_all_that_a_value_depends_on():
    renamed = Corpus(TEXTS, (1, 0, 1, 0), ("sad", "glad"), "films")
    identities = [Accuracy(CORPUS), Accuracy(CORPUS, max_length=9), Accuracy(CORPUS, name="x"), Accuracy(renamed)]
    assert len({str(probe.identity()) for probe in identities}) == 4
    assert Accuracy(CORPUS).identity() == Accuracy(CORPUS, batch_tokens=9).identity()
    assert isinstance(Accuracy(CORPUS), Probe)


@pytest.mark.parametrize("argument", ["max_length", "batch_tokens"])
def test_numbers_below_two_are_refused(argument):
    with pytest.raises(ProbeError) as error:
        Accuracy(CORPUS, **{argument: 1})
    assert str(error.value) == f"Accuracy({argument}): got 1.\nIt takes 2 or more."


@pytest.mark.slow
def test_a_walk_between_two_classifiers(tiny, words, tmp_path):
    ends = [Checkpoint.from_model(tiny.moved(tiny.classifier(), seed, 0.3), words) for seed in (1, 2)]
    curve = evaluate(Line(*ends, device="cpu"), [0.0, 0.5, 1.0], [Accuracy(CORPUS)], store=tmp_path)
    assert curve.quantities == ["accuracy/films", "cross-entropy/films"]
    for alpha, end in ((0, ends[0]), (2, ends[1])):
        hits = (by_hand(end.model, words).argmax(-1) == torch.tensor(CORPUS.labels)).double().mean()
        assert curve.value("accuracy/films")[alpha] == hits
    assert curve.provenance["item_names"]["accuracy/films"] == list(TEXTS)
    assert "accuracy/films" in [trace.name for trace in plot_curve(curve).data]
