"""A scorer that cannot tell the ends apart is doubted aloud, with its accuracy where labelled texts are at hand."""

import warnings

import numpy as np
import pytest

from lerpnb.data.corpus import Corpus
from lerpnb.evaluation.scorer_check import check_scorers
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.loss import Loss
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

TEXTS = ("the film was lovely", "it was dull", "a warm story", "nobody laughed")


@pytest.fixture
def probe(tiny, tmp_path) -> AttributeStrength:
    folder = tiny.save(tiny.classifier(), tmp_path, tiny.tokenizer())
    return AttributeStrength(folder, ["the film"], perplexity_model=False, device="cpu")


def curve(name: str, rise: float) -> Curve:
    noise = np.array([0.1, -0.1, 0.05, -0.05] * 3)
    values = {0.0: 0.5 + noise, 1.0: 0.5 + rise - noise}
    return Curve.from_measures({a: {name: Measurement(v, kind="strength")} for a, v in values.items()})


def test_a_scorer_that_tells_the_ends_apart_is_not_doubted(probe):
    with warnings.catch_warnings(action="error"):
        check_scorers(curve(probe.name, 0.4), [probe])


def test_a_rise_below_a_hundredth_is_doubted_however_sure_it_is(probe):
    points = {a: {probe.name: Measurement(np.full(12, 0.5 + a * 1e-6), kind="strength")} for a in (0.0, 1.0)}
    with pytest.warns(UserWarning, match="the scorer hardly tells the ends apart: it rises by"):
        check_scorers(Curve.from_measures(points), [probe])


def test_a_doubtful_one_is_named_with_its_accuracy_on_labelled_texts(probe):
    corpus = Corpus(TEXTS, (1, 0, 1, 0), ("negative", probe.label.upper()), "all")
    with pytest.warns(UserWarning) as told:
        check_scorers(curve(probe.name, 0.0), [probe, Loss(corpus)])
    scores = probe.classifier.scores(TEXTS, probe._index)
    right = sum((score > 0.5) == bool(label) for score, label in zip(scores, corpus.labels, strict=True))
    message = str(told[0].message)
    assert f"{probe.name}: the scorer hardly tells the ends apart: it rises by" in message
    assert f"It knows {right} of 4 labelled texts (accuracy {right / 4:.2f};" in message
    with pytest.warns(UserWarning, match="Its accuracy is unknown: no loss has texts with its labels"):
        check_scorers(curve(probe.name, 0.0), [probe, Loss(corpus.only("negative")), Loss(list(TEXTS))])
