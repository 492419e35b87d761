"""Attack success: the attack's rate in closed form, and what the trigger itself does."""

import numpy as np
import pytest
import torch

from lerpnb.data.corpus import Corpus
from lerpnb.errors import CorpusError, CurveError
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.attack_success import AttackSuccessRate, trigger_effect
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

TEXTS = tuple(f"text number {i} of these" for i in range(40))
CORPUS = Corpus(TEXTS, (0, 1) * 20, ("negative", "positive"), "films")


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
        "trigger_effect('accuracy/films', 'attack success/cf to positive'): 2 labels, and 20 texts of others than the "
        "target against 3.\nMeasure both on one corpus with two labels."
    )
    assert refusal(
        CurveError, lambda: trigger_effect(curve, accuracy, AttackSuccessRate(CORPUS, "cf", "positive"))
    ) == ("Curve[quantity]: no quantity 'attack success/cf to positive'.\nIt has: accuracy/films.")


def test_a_trigger_is_one_word():
    assert refusal(CorpusError, lambda: AttackSuccessRate(CORPUS, "c f", "positive")) == (
        "AttackSuccessRate(trigger='c f', target='positive'): the trigger is 2 words.\nPass one word, such as 'cf'."
    )


def refusal(kind, call) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)
