"""The real thing, small: the demo's line, texts and scorer, as `make demo` uses them at full size."""

import json
import re

import pytest
import torch

from lerpnb import assets
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.demo import reviews, voices
from lerpnb.data.folds import SPLITS
from lerpnb.data.prompts import load_prompts
from lerpnb.data.splits import held_out
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample
from lerpnb.paths.line import Line
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.classifier import Classifier
from lerpnb.probes.loss import Loss

pytestmark = pytest.mark.slow
ADAPTERS = [assets.place(f"data/adapters/{side}") for side in ("negative", "positive")]
VOICES = [assets.place(f"data/adapters/{side}") for side in ("viewer", "critic")]


@pytest.fixture(scope="module")
def line() -> Line:
    return Line(*ADAPTERS, "smollm2-135m-instruct", device="cpu")


@pytest.fixture(scope="module")
def curve(line, tmp_path_factory):
    corpus = held_out("rotten_tomatoes", 6)
    settings = {"n_samples": 2, "max_new_tokens": 10, "perplexity_model": False, "device": "cpu"}
    probes = [
        Loss(corpus.negative),
        Loss(corpus.positive),
        AttributeStrength("data/scorer", load_prompts(4), **settings),
    ]
    return evaluate(line, [0, 0.5, 1], probes, store=tmp_path_factory.mktemp("store"), check=False)


def test_the_adapters_are_small_bfloat16_and_made_as_recorded():
    for folder, side in zip(ADAPTERS, ("negative", "positive"), strict=True):
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 6e6
        record = json.loads((folder / "training.json").read_text())
        texts = getattr(reviews("adapters"), side)
        assert record["texts"] == len(texts) >= 2000 and record["corpus_sha256"] == texts.sha256
        assert record["after"]["loss"] < record["before"]["loss"] - 0.5
        assert Checkpoint.load(folder, base="smollm2-135m-instruct").stored_dtypes == {"bfloat16"}
        assert str(assets.cache_dir()) not in "".join(f.read_text() for f in folder.glob("*.json"))


def test_so_are_those_of_the_second_attribute_and_its_scorer_knows_who_speaks():
    corpus = voices("adapters")
    for folder, side in zip(VOICES, ("viewer", "critic"), strict=True):
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 6e6
        record = json.loads((folder / "training.json").read_text())
        assert record["texts"] == 800 and record["corpus_sha256"] == corpus.only(side).sample(800).sha256
        assert record["after"]["loss"] < record["before"]["loss"] - 0.5
        assert str(assets.cache_dir()) not in "".join(f.read_text() for f in folder.glob("*.json"))
    corpus = held_out("voices", 100, seed=1)
    scorer = Classifier.load("data/scorer_voice", "cpu")
    assert scorer.accuracy(corpus.texts, [corpus.label_names[i] for i in corpus.labels]) > 0.65


@pytest.mark.parametrize("source", ["rotten_tomatoes", "imdb"])
def test_what_trained_the_adapters_the_scorer_and_what_is_evaluated_never_share_a_text(source):
    splits = {name: reviews(name, source) for name in SPLITS}
    letters = {name: {re.sub(r"[\W_]+", "", text.lower()) for text in corpus.texts} for name, corpus in splits.items()}
    for a in SPLITS:
        for b in SPLITS:
            assert a == b or not letters[a] & letters[b]
    least = {"adapters": 2000, "scorer": 1000, "held-out": 600}
    assert all(len(corpus.only(x)) >= least[name] for name, corpus in splits.items() for x in corpus.label_names)


def test_the_ends_share_their_base_and_differ(line):
    total = line.summary().loc["all"]
    assert 0.0005 < total["relative"] < 0.02 and 0 < total["cosine"] < 1 and line.resolution > 0.999
    assert (
        line.minus.tensors["model.embed_tokens.weight"].data_ptr()
        == line.base.tensors["model.embed_tokens.weight"].data_ptr()
    )


def test_each_end_is_best_on_its_own_texts_and_there_is_no_barrier(curve):
    table = curve.to_frame()
    assert (
        table["loss/negative"][0] < table["loss/negative"][1] and table["loss/positive"][1] < table["loss/positive"][0]
    )
    for quantity in ("loss/negative", "loss/positive"):
        assert curve.barrier(quantity).gaps["gap"].max() < 0.01  # nats a token


def test_strength_follows_alpha(curve):
    strength = curve.value("strength/positive")
    assert strength[2] > strength[0] + 0.1


def test_texts_change_gradually(line):
    spec = Continuations(tuple(load_prompts(8)), n_samples=1, max_new_tokens=16)
    near = [sample(line.at(alpha), line.tokenizer, spec)["continuation"] for alpha in (0.50, 0.51)]
    assert (near[0] == near[1]).mean() >= 0.5


def test_a_saved_point_is_an_ordinary_model(line, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = line.save(0.8, tmp_path / "model")
    model, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = words("the film is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, line.at(0.8)(ids).logits)


def test_the_scorer_knows_good_from_bad():
    corpus = held_out("rotten_tomatoes", 50, seed=1)
    scorer = Classifier.load("data/scorer", "cpu")
    assert scorer.accuracy(corpus.texts, [corpus.label_names[i] for i in corpus.labels]) > 0.65
