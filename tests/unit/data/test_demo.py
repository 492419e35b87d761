"""The demo's data: splits that never share a text, and sentences that differ in nothing but who speaks."""

import pandas as pd
import pytest

from lerpnb.data.demo import first_sentence, voices
from lerpnb.data.folds import SPLITS, fold
from lerpnb.data.splits import held_out, train_held_out

SOURCES = ["imdb", "rotten_tomatoes"]


@pytest.fixture
def a_wheel(tmp_path, monkeypatch):
    """Reviews by two kinds of people, most of them of one sentence that is long enough."""
    rows = []
    for i in range(600):
        for source, word in zip(SOURCES, ("i", "the"), strict=True):
            text = f"Oh my. {word} {'saw ' * (9 + i % 4)}number {i} , by {source}!<br /><br />It was long."
            rows.append({"text": text, "label": i % 3 == 0, "source": source})
    for text in ("A sentence of ten words that both of them wrote down.", "Too short."):
        rows += [{"text": text, "label": 0, "source": source} for source in SOURCES]
    pd.DataFrame(rows).to_csv(tmp_path / "reviews.csv")
    monkeypatch.setattr("lerpnb.data.demo.assets.resolve", lambda name: tmp_path / "reviews.csv")


def test_voices_differ_in_nothing_but_who_speaks(a_wheel):
    found = {split: voices(split) for split in SPLITS}
    assert all(corpus.label_names == ("viewer", "critic") and corpus.name == "voices" for corpus in found.values())
    everything = [text for corpus in found.values() for text in corpus.texts]
    assert len(everything) == len(set(everything)) > 800  # no sentence twice, in one split or in two
    for corpus in found.values():
        viewer, critic = ([len(text.split()) for text in part.texts] for part in (corpus.viewer, corpus.critic))
        assert sorted(viewer) == sorted(critic)
        sentiments = [
            sum(int(text.split("number ")[1].split(",")[0]) % 3 == 0 for text in part.texts if "number" in text)
            for part in (corpus.viewer, corpus.critic)
        ]
        assert sentiments[0] == sentiments[1]
        assert all(text.startswith("i saw") for text in corpus.viewer.texts if "number" in text)
    assert not any("both of them" in text for text in everything)  # one voice's alone: nothing to set against it


def test_a_voices_split_is_its_whole_reviews(a_wheel):
    for split, (low, high) in SPLITS.items():
        for text in voices(split).viewer.texts:
            review = f"oh my. {text} it was long."
            assert low <= fold(review) < high


@pytest.mark.slow
def test_voices_are_data_as_the_reviews_are(a_wheel):
    train, checks = train_held_out("voices", split="scorer", label="critic", max_texts=20, held_out=10)
    assert (len(train), len(checks), set(train.texts) & set(checks.texts)) == (20, 10, set())
    assert set(checks.texts) <= set(voices("held-out").critic.texts)
    assert len(held_out("voices", 7)) == 14


def test_a_sentence_is_the_first_of_a_length():
    text = "No. This one has just six words! this has six words as well?"
    assert first_sentence(text, 5, 6) == "this one has just six words!"
    assert first_sentence(text, 7, 9) == "" and first_sentence("", 0, 3) == ""
