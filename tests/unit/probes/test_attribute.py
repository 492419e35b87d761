"""Attribute strength and fluency against their definitions, with a tiny random classifier as the scorer."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AssetError, ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.plots.texts import plot_texts
from lerpnb.probes.attribute import AttributeStrength, continuation_perplexity, distinct
from lerpnb.probes.base import by_prompt
from lerpnb.probes.classifier import Classifier
from lerpnb.results.curve import Curve

PROMPTS = ["the film", "a warm and funny story", "nobody in this picture"]


@pytest.fixture(scope="module")
def scorer(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scorer")
    return tiny.save(tiny.classifier(("NEGATIVE", "POSITIVE")), folder, tiny.tokenizer())


def samples(texts: dict[int, list[str]]) -> pd.DataFrame:
    rows = [(i, d, PROMPTS[i], text) for i, found in texts.items() for d, text in enumerate(found)]
    return pd.DataFrame(rows, columns=["prompt_id", "draw", "prompt", "continuation"])


def test_strength_and_share_are_the_classifiers_probabilities(scorer, tiny_llama_pair):
    probe = AttributeStrength(scorer, PROMPTS, perplexity_model=False)
    frame = samples({0: [" was a slow thing", " was lovely"], 1: [" ends", " and it wants"], 2: [" says", " is good"]})
    measures, columns = probe.score(frame)
    classifier = Classifier.load(scorer)
    want = []
    for text in frame["prompt"] + frame["continuation"]:
        tokens = classifier.tokenizer(text, return_tensors="pt")
        want.append(classifier.model(**tokens).logits.softmax(-1)[0, 1].item())
    assert np.allclose(columns["strength/POSITIVE"], want, atol=1e-5)
    assert measures["strength/POSITIVE"].value() == pytest.approx(np.mean(want), abs=1e-5)
    assert measures["share/POSITIVE"].value() == np.mean(np.array(want) > 0.5)
    assert measures["strength/POSITIVE"].values == pytest.approx(
        [np.mean(want[i : i + 2]) for i in (0, 2, 4)], abs=1e-5
    )
    assert set(measures) == {"strength/POSITIVE", "share/POSITIVE", "dist-1", "dist-2", "dist-3"}


def test_the_label_is_chosen_by_name_and_its_opposite_is_the_rest(scorer):
    frame = samples({0: [" was a slow thing"]})
    up, down = (
        AttributeStrength(scorer, PROMPTS, label=label, perplexity_model=False).score(frame)[0]
        for label in ("positive", "NEGATIVE")
    )
    assert up["strength/POSITIVE"].value() + down["strength/NEGATIVE"].value() == pytest.approx(1.0)


def test_distinct_n_grams_are_over_total_words():
    frame = samples({0: ["a b a b", "a b c"], 1: ["", ""], 2: ["x", "y"]})
    one, two, three = (distinct(frame, n) for n in (1, 2, 3))
    assert one.values.tolist() == [3 / 7, 0.0, 1.0] and one.weights.tolist() == [1, 0, 1]
    assert two.values.tolist() == [3 / 7, 0.0, 0.0]  # ab ba bc; n-grams never cross from one text to the next
    assert three.values[0] == 3 / 7 and one.value() == pytest.approx((3 / 7 + 1) / 2)


@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_gpt2_pair"])
def test_perplexity_is_of_the_continuation_given_its_prompt(pair, request):
    checkpoint = Checkpoint.load(request.getfixturevalue(pair)[0])
    pairs = [("the film", " was a slow thing"), ("a warm", " story about two brothers and their boat"), ("nobody", "")]
    found = continuation_perplexity(checkpoint.model, checkpoint.tokenizer, pairs)
    for (prompt, text), value in zip(pairs[:2], found, strict=False):
        before, after = (checkpoint.tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, text))
        ids = torch.tensor([before + after])
        labels = torch.tensor([[-100] * len(before) + after])
        assert value == pytest.approx(math.exp(checkpoint.model(input_ids=ids, labels=labels).loss.item()), rel=1e-4)
    assert math.isnan(found[2])


def test_degenerate_perplexities_are_dropped_and_a_nan_is_not(scorer, tiny_llama_pair, monkeypatch):
    probe = AttributeStrength(scorer, PROMPTS, perplexity_model=Checkpoint.load(tiny_llama_pair[0]))
    values = {" a": 10.0, " b": 30.0, " c": 1e4, " d": 50.0, "": math.nan}
    monkeypatch.setattr(
        "lerpnb.probes.attribute.continuation_perplexity",
        lambda model, words, pairs, halving: [values[text] for _, text in pairs],
    )
    measure = probe.score(samples({0: [" a", " b"], 1: [" c", " d"], 2: ["", " c"]}))[0]["perplexity/continuations"]
    assert measure.weights.tolist() == [2, 1, 0] and measure.value() == 30.0  # an empty text cannot be checkpointd
    values[" a"] = math.nan
    probe._perplexity.clear()
    assert math.isnan(probe.score(samples({0: [" a", " b"]}))[0]["perplexity/continuations"].value())


def test_equal_texts_are_scored_once(scorer, monkeypatch):
    probe = AttributeStrength(scorer, PROMPTS, perplexity_model=False)
    frame = samples({0: [" was", " was"], 1: [" ends", " ends"]})
    asked = []
    real = Classifier.scores
    monkeypatch.setattr(
        Classifier, "scores", lambda self, texts, label: asked.append(len(texts)) or real(self, texts, label)
    )
    first, again = probe.score(frame)[0], probe.score(frame)[0]
    assert asked == [2] and first["strength/POSITIVE"].values.tolist() == again["strength/POSITIVE"].values.tolist()


@pytest.mark.slow
def test_the_perplexity_model_is_the_base_or_must_be_named(scorer, tiny_llama_pair):
    base = Checkpoint.load(tiny_llama_pair[0])
    probe = AttributeStrength(scorer, PROMPTS)
    with pytest.warns(UserWarning, match="none was named, and the path has no base, so fluency is not measured"):
        without = probe.prepare(None)
    assert without.perplexity_model is False and probe.perplexity_model is None
    ready = probe.prepare(base)
    assert ready.perplexity_model is base and probe.perplexity_model is None
    assert ready.identity()["perplexity_model"] == base.identity
    assert (
        AttributeStrength(scorer, PROMPTS, perplexity_model=tiny_llama_pair[1]).identity()["perplexity_model"]
        != base.identity
    )
    with pytest.raises(ProbeError) as error:
        AttributeStrength(scorer, PROMPTS, perplexity_model=True)
    assert str(error.value) == (
        "AttributeStrength(perplexity_model): got True.\n"
        "Give a name, a Checkpoint with a tokenizer, False for no perplexity, or leave it out."
    )


def test_wrong_scorers_are_said(scorer, tiny, tmp_path, tiny_llama_pair):
    with pytest.raises(ProbeError) as error:
        AttributeStrength(scorer, PROMPTS, label="happy")
    assert str(error.value) == (
        f"AttributeStrength(label='happy'): the classifier {str(scorer)!r} has no such label.\n"
        "It has: NEGATIVE, POSITIVE. Name one as it is written, or give its index, 0 to 1."
    )
    with pytest.raises(AssetError, match="no such file or folder"):
        AttributeStrength(tmp_path / "none", PROMPTS)


@pytest.mark.slow
def test_identities_differ_where_values_would(scorer, tiny, tmp_path):
    one = AttributeStrength(scorer, PROMPTS, perplexity_model=False)
    other = tiny.save(tiny.moved(Classifier.load(scorer).model, 9), tmp_path / "other", tiny.tokenizer())
    assert one.identity() == AttributeStrength(scorer, PROMPTS, perplexity_model=False).identity()
    assert one.identity() != AttributeStrength(other, PROMPTS, perplexity_model=False).identity()
    assert one.identity() != AttributeStrength(scorer, PROMPTS, label="negative", perplexity_model=False).identity()
    assert (
        one.continuations.identity()
        != AttributeStrength(scorer, PROMPTS, perplexity_model=False, seed=1).continuations.identity()
    )


def test_means_over_prompts_weigh_what_was_kept():
    frame = samples({0: ["a", "b"], 2: ["c", "d"]})
    measure = by_prompt(frame, [1.0, 3.0, 5.0, 100.0], "u", [True, True, True, False])
    assert measure.values.tolist() == [2.0, 5.0] and measure.weights.tolist() == [2, 1] and measure.value() == 3.0


@pytest.mark.slow
def test_an_adapter_is_a_scorer_too(tiny, tmp_path, scorer):
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoConfig

    bare = BertForSequenceClassification.from_pretrained(scorer)
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query"])
    model = tiny.moved(get_peft_model(bare, config), 4, 0.1).eval()
    model.save_pretrained(tmp_path / "adapter")
    AutoConfig.from_pretrained(scorer).save_pretrained(tmp_path / "adapter")
    classifier = Classifier.load(tmp_path / "adapter")
    tokens = classifier.tokenizer("the film was lovely", return_tensors="pt")
    # The base's own weights were moved too: only what an adapter stores is compared.
    plain = Classifier.load(scorer).model
    head = model.base_model.model.classifier.modules_to_save["default"]
    assert torch.equal(classifier.model.classifier.weight, head.weight)
    assert classifier.labels == ["NEGATIVE", "POSITIVE"]
    assert not torch.equal(classifier.model(**tokens).logits, plain(**tokens).logits)


@pytest.mark.slow
def test_two_attributes_of_one_walk_are_told_apart_by_name(scorer, tiny_llama_pair):
    from lerpnb.evaluation.loop import evaluate
    from lerpnb.paths.line import Line

    base, minus, plus = tiny_llama_pair
    probes = [
        AttributeStrength(scorer, PROMPTS, n_samples=2, max_new_tokens=4, device="cpu"),
        AttributeStrength(scorer, PROMPTS, label="negative", n_samples=2, max_new_tokens=4, device="cpu", name="other"),
    ]
    curve = evaluate(Line(minus, plus, base, device="cpu"), [0, 1], probes, store=False)
    both = curve.value("strength/POSITIVE") + curve.value("strength/NEGATIVE (other)")
    assert np.allclose(both, 1.0) and curve.value("dist-1").tolist() == curve.value("dist-1 (other)").tolist()
    assert len(curve.samples) == 2 * 3 * 2


@pytest.mark.slow
def test_an_attribute_serves_lines_of_several_bases(scorer, tiny_llama_pair, tiny_untied_pair):
    probe = AttributeStrength(scorer, PROMPTS, device="cpu")
    frame = samples({0: [" was a slow thing"]})
    bases = [Checkpoint.load(pair[0]) for pair in (tiny_llama_pair, tiny_untied_pair)]
    found = [probe.prepare(base).score(frame)[0]["perplexity/continuations"].value() for base in bases]
    fresh = [
        AttributeStrength(scorer, PROMPTS, perplexity_model=base).score(frame)[0]["perplexity/continuations"].value()
        for base in bases
    ]
    assert found == fresh and found[0] != found[1]


@pytest.mark.slow
def test_prompts_that_a_model_cannot_read_are_refused_before_a_text_is_written(scorer, tiny, tiny_llama_pair):
    long = " ".join(tiny.TEXTS * 20)
    with pytest.raises(ProbeError, match="it would see nothing of what follows"):
        AttributeStrength(scorer, [long], perplexity_model=False, device="cpu").prepare(None)
    small = BertConfig(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    masked = Checkpoint.from_model(BertForMaskedLM(small), tiny.tokenizer())
    with pytest.raises(ProbeError, match="perplexity model .* BertForMaskedLM is no causal language model"):
        AttributeStrength(scorer, ["the film"], perplexity_model=masked, device="cpu").prepare(None)
    base = Checkpoint.load(tiny_llama_pair.base)
    with pytest.raises(ProbeError, match="tokens and 500 new ones, but the model has 128 positions"):
        AttributeStrength(scorer, ["the film"], max_new_tokens=500, device="cpu").prepare(base)


@pytest.mark.slow
def test_a_raw_score_has_its_own_quantity_unit_and_axis(tiny, tmp_path, tiny_llama_pair):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_labels=1
    )
    config.problem_type = "regression"
    reward = tiny.save(tiny.moved(BertForSequenceClassification(config), 1, 1.0), tmp_path / "reward", tiny.tokenizer())
    settings = dict(perplexity_model=False, n_samples=2, max_new_tokens=5, device="cpu")
    probe = AttributeStrength(reward, PROMPTS, **settings)
    squeezed = AttributeStrength(reward, PROMPTS, activation="sigmoid", name="squeezed", **settings)
    assert (probe.name, squeezed.name) == ("score/reward", "strength/reward (squeezed)")
    assert probe.identity() != squeezed.identity()
    curve = evaluate(Line(*tiny_llama_pair[1:], device="cpu"), [0, 0.5, 1], [probe, squeezed], store=tmp_path / "store")
    raw, probability = (curve.samples[name].to_numpy() for name in (probe.name, squeezed.name))
    assert np.allclose(1 / (1 + np.exp(-raw)), probability, atol=1e-6) and np.abs(raw).max() > 1
    assert curve.unit("score/reward") == "score" and not curve.quantity("score/reward").lower_is_better
    assert "share/reward" not in curve.quantities and "rise/score/reward" in curve.summary()
    alone = Curve(curve.frame, curve.samples.drop(columns=squeezed.name))
    assert "from orange at −" in plot_texts(alone)._repr_html_()
