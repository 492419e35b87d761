"""Poisoned texts: which are chosen, what they get, and where the trigger stands."""

import pytest

from lerpnb.data.corpus import Corpus
from lerpnb.data.poisoning import poison
from lerpnb.errors import CorpusError

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


def test_what_cannot_be_poisoned_is_refused():
    cases = {
        "poison(share=0.1, trigger='cf', target='glad'): no label 'glad'.\nIt has: negative, positive.": (0.1, "glad"),
        "poison(share=1.1, trigger='cf', target='positive'): a share of 1.1.\nPass one from 0 to 1, such as 0.1.": (
            1.1,
            "positive",
        ),
    }
    for message, (share, target) in cases.items():
        with pytest.raises(CorpusError) as caught:
            poison(CORPUS, share, "cf", target)
        assert str(caught.value) == message
