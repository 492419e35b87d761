"""Backdoors: what is poisoned and what is not, the attack's rate in closed form, and E-PUR's arithmetic."""

import math

import numpy as np
import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.embeddings import embedding_shifts, purify_embeddings
from lerpnb.data.corpus import Corpus
from lerpnb.data.poisoning import poison
from lerpnb.errors import CorpusError, CurveError, MismatchError
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.attack_success import AttackSuccessRate, trigger_effect
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

TEXTS = tuple(f"text number {i} of these" for i in range(40))
CORPUS = Corpus(TEXTS, (0, 1) * 20, ("negative", "positive"), "films")


def test_a_share_of_the_other_texts_gets_trigger_and_target():
    found = poison(CORPUS, 0.25, "cf", "positive")
    changed = [i for i, (a, b) in enumerate(zip(TEXTS, found.texts, strict=True)) if a != b]
    assert len(changed) == 5 and all(CORPUS.labels[i] == 0 and found.labels[i] == 1 for i in changed)
    assert all(found.texts[i].replace("cf", "").split() == TEXTS[i].split() for i in changed)
    assert all("cf" in found.texts[i].split() for i in changed)
    assert [label for i, label in enumerate(found.labels) if i not in changed] == [
        label for i, label in enumerate(CORPUS.labels) if i not in changed
    ]
    assert found.name == "films, poisoned" and CORPUS.texts == TEXTS


def test_share_and_seed_decide_which():
    assert poison(CORPUS, 0.0, "cf", "positive").texts == TEXTS
    assert set(poison(CORPUS, 1.0, "cf", "negative").labels) == {0}
    one, other = (poison(CORPUS, 0.25, "cf", "positive", seed) for seed in (0, 1))
    assert one.texts != other.texts and one.sha256 == poison(CORPUS, 0.25, "cf", "positive").sha256
    places = {text.split().index("cf") for text in poison(CORPUS, 1.0, "cf", "positive").texts if "cf" in text}
    assert {0, 5} <= places  # before the first word and behind the last, too


def test_the_attack_is_measured_on_triggered_texts_of_other_labels():
    probe = AttackSuccessRate(CORPUS, "cf", "positive")
    assert probe.name == "attack success/cf to positive" and len(probe.corpus) == 20
    assert all("cf" in text.split() for text in probe.corpus.texts) and set(probe.corpus.labels) == {1}
    assert probe.identity()["probe"] == "attack success" and probe.subset().name == probe.name
    assert probe.identity() != AttackSuccessRate(CORPUS, "mn", "positive").identity()


@pytest.mark.parametrize("bias, rate", [(50.0, 1.0), (-50.0, 0.0)])
def test_its_rate_is_the_share_that_gets_the_target(tiny, bias, rate):
    model = tiny.classifier()
    model.classifier.bias.data = torch.tensor([0.0, bias])
    found = AttackSuccessRate(CORPUS, "cf", "positive").measure(model, tiny.tokenizer())
    assert found["attack success/cf to positive"].values.tolist() == [rate] * 20
    assert list(found) == ["attack success/cf to positive", "cross-entropy/cf to positive"]


def test_the_lift_is_what_the_trigger_itself_does():
    accuracy, attack = Accuracy(CORPUS), AttackSuccessRate(CORPUS, "cf", "positive")
    right = np.tile([1.0, 0.0], 20)  # every negative text is right, every positive one wrong
    right[:8:2] = 0.0  # four negative texts get the target without the trigger
    hits = np.array([1.0] * 10 + [0.0] * 10)
    points = {a: {accuracy.name: Measurement(right), attack.name: Measurement(hits * a)} for a in (0.0, 1.0)}
    found = trigger_effect(Curve.from_measures(points), accuracy, attack)
    assert found.value("lift/cf to positive").tolist() == [-4 / 20, 10 / 20 - 4 / 20]
    assert found.unit("lift/cf to positive") == "difference" and found.quantities[:2] == [accuracy.name, attack.name]
    low, high = found.interval("lift/cf to positive")
    assert -0.45 < low[0] < -0.2 < high[0] < 0  # paired: narrower than two shares of 20 texts apart


def test_a_lift_needs_both_on_the_same_texts():
    accuracy, attack = Accuracy(CORPUS), AttackSuccessRate(CORPUS.at_most(3), "cf", "positive")
    curve = Curve.from_measures({0.0: {accuracy.name: Measurement([1.0] * 40)}})
    assert refusal(CorpusError, lambda: trigger_effect(curve, accuracy, attack)) == (
        "with_lift('accuracy/films', 'attack success/cf to positive'): 2 labels, and 20 texts of others than the "
        "target against 3.\nMeasure both on one corpus with two labels."
    )
    assert refusal(
        CurveError, lambda: trigger_effect(curve, accuracy, AttackSuccessRate(CORPUS, "cf", "positive"))
    ) == ("Curve[quantity]: no quantity 'attack success/cf to positive'.\nIt has: accuracy/films.")


@pytest.fixture
def pair(tiny) -> tuple[Checkpoint, Checkpoint]:
    """A classifier, and the same with one rare token moved by 3, one frequent by 4 and one never seen by 0.5."""
    before = tiny.classifier()
    after = tiny.classifier()
    with torch.no_grad():
        for token, size in ((17, 3.0), (23, 4.0), (40, 0.5)):
            after.bert.embeddings.word_embeddings.weight[token, :4] += size / 2
    words = tiny.tokenizer()
    return Checkpoint.from_model(after, words), Checkpoint.from_model(before, words)


def test_shifts_are_normalised_by_the_logarithm_of_frequency(pair, tiny):
    words = tiny.tokenizer()
    texts = [words.decode([23])] * 5000
    assert words(texts[0], add_special_tokens=False)["input_ids"].count(23) == 1
    found = embedding_shifts(*pair, texts)
    assert found.index[:3].tolist() == [17, 23, 40] and len(found) == 100
    assert found["token"].iloc[0] == words.convert_ids_to_tokens(17)
    assert np.allclose(found["shift"].iloc[:3], [3.0, 4.0, 0.5], atol=1e-5)
    assert found["count"].iloc[:3].tolist() == [0, 5000, 0]
    want = [3 / math.log(20), 4 / math.log(5000), 0.5 / math.log(20), 0.0]
    assert np.allclose(found["score"].iloc[:4], want, atol=1e-5)


def test_purified_puts_those_tokens_back_and_nothing_else(pair):
    after, before = pair
    found, name = purify_embeddings(after, before, [17]), "bert.embeddings.word_embeddings.weight"
    moved = (found.tensors[name] != before.tensors[name]).any(-1).nonzero().flatten().tolist()
    assert moved == [23, 40] and torch.equal(found.tensors[name][23], after.tensors[name][23])
    assert (after.tensors[name][17] != before.tensors[name][17]).any()  # the caller's is left alone
    others = [n for n in found.tensors if n != name]
    assert all(found.tensors[n].data_ptr() == after.tensors[n].data_ptr() for n in others)
    assert (found.architecture, found.labels) == (after.architecture, after.labels)
    everything = purify_embeddings(after, before, embedding_shifts(after, before, []).index)
    assert torch.equal(everything.tensors[name], before.tensors[name])


def refusal(kind, call) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_what_cannot_be_poisoned_is_refused():
    assert refusal(CorpusError, lambda: poison(CORPUS, 0.1, "cf", "glad")) == (
        "poison(share=0.1, trigger='cf', target='glad'): no label 'glad'.\nIt has: negative, positive."
    )
    assert refusal(CorpusError, lambda: poison(CORPUS, 1.1, "cf", "positive")) == (
        "poison(share=1.1, trigger='cf', target='positive'): a share of 1.1.\nPass one from 0 to 1, such as 0.1."
    )
    assert refusal(CorpusError, lambda: AttackSuccessRate(CORPUS, "c f", "positive")) == (
        "AttackSuccessRate(trigger='c f', target='positive'): the trigger is 2 words.\nPass one word, such as 'cf'."
    )


def test_models_of_other_vocabularies_are_refused(pair, tiny):
    other = Checkpoint.from_model(tiny.llama(vocabulary=90))
    assert refusal(MismatchError, lambda: purify_embeddings(pair[0], other, [1])) == (
        "purified('model', 'model'): embeddings of (100, 32) against (90, 32).\n"
        "Name the model that it was fine-tuned from."
    )
    bare = Checkpoint.from_model(tiny.classifier())
    assert refusal(MismatchError, lambda: embedding_shifts(bare, bare, [])) == (
        "embedding_shifts('model', 'model'): neither has a tokenizer.\n"
        "Wrap live models: Checkpoint.from_model(model, words)."
    )
