"""Texts: reading, labels, splits that never share a text."""

import pandas as pd
import pytest

from lerpnb.data.batching import token_batches
from lerpnb.data.corpus import Corpus
from lerpnb.data.demo import first_sentence, reviews, voices
from lerpnb.data.folds import SPLITS, fold
from lerpnb.data.prompts import load_prompts
from lerpnb.data.splits import held_out, train_held_out
from lerpnb.errors import AssetError, CorpusError

FRAME = pd.DataFrame(
    {"text": ["dull", "a joy", None, "fine"], "label": ["bad", "good", "bad", "good"], "n": [0, 1, 0, 7]}
)


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def file(request, tmp_path):
    path = tmp_path / f"texts.{request.param}"
    if request.param == "csv":
        FRAME.to_csv(path)
    elif request.param == "jsonl":
        FRAME.to_json(path, orient="records", lines=True)
    else:
        FRAME.to_parquet(path)
    return path


def test_files_are_read_and_empty_texts_dropped(file):
    corpus = Corpus.load(file)
    assert corpus.texts == ("dull", "a joy", "fine") and corpus.label_names == ("bad", "good")
    assert corpus.good.texts == ("a joy", "fine") and corpus.good.name == "good" and corpus.name == "texts"
    assert Corpus.load(file, label="").label_names == ("texts",)
    assert Corpus.load(file, label_names=("good", "bad")).labels == (1, 0, 0)
    assert held_out(str(file), 1, whole=True).labels == (0, 1)


def test_what_is_wrong_with_a_file_is_said(file, tmp_path):
    cases = {
        "no column": (
            lambda: Corpus.load(file, text="body"),
            f"Corpus.load({str(file)!r}): no column 'body'.\nIt has: ",
        ),
        "label": (
            lambda: Corpus.load(file, label="n", label_names=("a", "b")),
            f"Corpus.load({str(file)!r}): label 7 is none of a, b.\n"
            "Give label_names in the order of the integer labels.",
        ),
    }
    for call, said in cases.values():
        with pytest.raises(CorpusError) as error:
            call()
        assert str(error.value).startswith(said)
    with pytest.raises(AssetError, match="no such file or folder"):
        Corpus.load(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "No columns to parse from file"),
        ("a.csv", b'text,label\n"a,b\n', "Error tokenizing data. C error: EOF inside string starting at row 1"),
        ("a.csv", b"text,label\nd\xe9j\xe0,1\n", "'utf-8' codec can't decode byte 0xe9 in position 1"),
        ("a.jsonl", b"", "it is empty"),
        ("a.jsonl", b'{"text": \n', "Expected object or value"),
        ("a.parquet", b"nope\n", "Could not open Parquet input source"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, name, content, reason):
    (file := tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError) as error:
        Corpus.load(file)
    first, last = str(error.value).split("\n")
    # What follows the reason is worded by each version of pandas and pyarrow.
    assert first.startswith(f"Corpus.load({str(file)!r}): {name} cannot be read as {file.suffix[1:]}: {reason}")
    assert last == "Texts are in a UTF-8 .csv with a header, a .jsonl of an object a line, or a .parquet."


def test_texts_without_a_label_are_counted(tmp_path):
    (file := tmp_path / "a.csv").write_text("text,label\na,1\nb,\nc,\n,\n")
    with pytest.raises(CorpusError) as error:
        Corpus.load(file)
    assert str(error.value) == (
        f"Corpus.load({str(file)!r}): 2 of 3 texts have no label in column 'label'.\n"
        'Label them or drop them first, or give label="" for texts without labels.'
    )


def test_integer_labels_stay_integers_and_mixed_ones_are_sorted_as_texts(tmp_path):
    (file := tmp_path / "a.csv").write_text("text,label\na,10\nb,9\n,\n")  # the empty row makes pandas read 10.0, 9.0
    corpus = Corpus.load(file)
    assert (corpus.label_names, corpus.labels) == (("9", "10"), (1, 0))
    (file := tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": 2}\n')
    corpus = Corpus.load(file)
    assert (corpus.label_names, corpus.labels) == (("2", "x"), (1, 0))


def test_a_hub_data_set_offline_is_said():
    with pytest.raises(CorpusError) as error:
        Corpus.load("someone/some-data")
    assert str(error.value) == (
        "Corpus.load('someone/some-data'): no .csv, .parquet, .jsonl, .json file, and the hub does not answer.\n"
        "Give a file, or a data set's hub id where there is a network."
    )


def test_corpora_without_texts_or_labels_are_said():
    one = Corpus(("a",), (0,), ("x", "y"), "one")
    cases = {
        "Corpus('one'): no texts.\nCheck the label, the split and the columns.": lambda: one.y,
        "Corpus.only('z'): no such label.\nIt has: x, y.": lambda: one.only("z"),
        "Corpus.sample(2): 'x' has only 1 texts.\nAsk for fewer, or use at_most.": lambda: one.sample(2),
        "Corpus('two'): text 1 is ' '.\nDrop empty rows first.": lambda: Corpus(("a", " "), (0, 0), ("x",), "two"),
        "split 'train': no such split.\nIt is one of: adapters, scorer, held-out.": lambda: reviews("train"),
        "prompts(99): prompts.txt has 32.\nAsk for 1 to 32.": lambda: load_prompts(99),
        "Corpus + Corpus: labels ('x', 'y') against ('x',).": lambda: one + Corpus(("a",), (0,), ("x",), "b"),
    }
    for said, call in cases.items():
        with pytest.raises(CorpusError) as error:
            call()
        assert str(error.value).replace("'y'): no", "'one'): no") == said or "no texts" in said
    with pytest.raises(AttributeError, match="no attribute or label 'z'"):
        one.z  # noqa: B018


def test_samples_are_drawn_without_replacement_and_repeat():
    corpus = Corpus(tuple(f"t{i}" for i in range(50)), (0, 1) * 25, ("a", "b"), "c")
    first = corpus.sample(10, seed=3)
    assert first == corpus.sample(10, seed=3) and first != corpus.sample(10, seed=4)
    assert len(set(first.texts)) == 20 and len(first.a) == len(first.b) == 10
    assert len(corpus.at_most(40)) == 50


def test_a_fold_is_the_texts_alone():
    assert fold("A fine film.") == fold(" a FINE film !! ") != fold("a fine film x")
    folds = [fold(f"text {i}") for i in range(2_000)]
    assert 0 <= min(folds) and max(folds) < 1 and abs(sum(folds) / 2_000 - 0.5) < 0.03


def test_own_data_are_split_as_the_demos_are(tmp_path):
    frame = pd.DataFrame({"body": [f"text number {i}" for i in range(300)], "kind": ["a", "b"] * 150})
    frame.to_csv(tmp_path / "own.csv")
    columns = {"text_column": "body", "label_column": "kind"}
    train, check = train_held_out(str(tmp_path / "own.csv"), label="a", **columns)
    scorer, again = train_held_out(str(tmp_path / "own.csv"), split="scorer", label="a", **columns)
    assert check == again and len(train) + len(scorer) + len(check) == 150 and min(map(len, (train, scorer, check))) > 9
    assert not (set(train.texts) | set(scorer.texts)) & set(check.texts) and not set(train.texts) & set(scorer.texts)
    evaluated = held_out(str(tmp_path / "own.csv"), 999, **columns)
    assert set(evaluated.a.texts) == set(check.texts)
    assert len(held_out(str(tmp_path / "own.csv"), 999, whole=True, **columns)) == 300
    assert len(train_held_out(str(tmp_path / "own.csv"), most=20, **columns)[0]) == 40


def test_batches_are_sorted_and_bounded():
    texts = tuple("x" * n for n in (3, 9, 1, 7, 7))

    def words(texts, truncation, max_length):
        return {"input_ids": [list(range(min(len(t), max_length))) for t in texts]}

    found = list(token_batches(words, texts, max_tokens=16, max_length=8))
    assert [places for places, _ in found] == [[1, 3], [4, 0], [2]]
    assert sorted(i for places, _ in found for i in places) == list(range(5))
    assert all(len(ids) * max(map(len, ids)) <= 16 for _, ids in found)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["rotten_tomatoes", "imdb"])
def test_what_trained_the_adapters_the_scorer_and_what_is_evaluated_never_share_a_text(source):
    splits = {name: reviews(name, source) for name in SPLITS}
    letters = {
        name: {"".join(c for c in t.lower() if c.isalnum()) for t in corpus.texts} for name, corpus in splits.items()
    }
    for a in SPLITS:
        for b in SPLITS:
            assert a == b or not letters[a] & letters[b]
    least = {"adapters": 2000, "scorer": 1000, "held-out": 600}
    assert all(len(corpus.only(x)) >= least[name] for name, corpus in splits.items() for x in corpus.label_names)


def test_batches_hold_little_padding(tiny):
    words = tiny.tokenizer()
    texts = tuple("film " * n for n in range(2, 60))
    found = [ids for _, ids in token_batches(words, texts, max_tokens=1024, max_length=512)]
    assert sum(map(len, found)) == len(texts) and max(len(ids) * len(ids[0]) for ids in found) <= 1024
    for ids in found:
        padded, tokens = len(ids) * len(ids[0]), sum(map(len, ids))
        assert tokens >= 7 / 8 * padded or padded <= 128 + len(ids[0]) * 2


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
    monkeypatch.setattr("lerpnb.data.splits.assets.resolve", lambda name: tmp_path / "reviews.csv")


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


def test_voices_are_data_as_the_reviews_are(a_wheel):
    train, checks = train_held_out("voices", split="scorer", label="critic", most=20, held_out=10)
    assert (len(train), len(checks), set(train.texts) & set(checks.texts)) == (20, 10, set())
    assert set(checks.texts) <= set(voices("held-out").critic.texts)
    assert len(held_out("voices", 7)) == 14


def test_a_sentence_is_the_first_of_a_length():
    text = "No. This one has just six words! this has six words as well?"
    assert first_sentence(text, 5, 6) == "this one has just six words!"
    assert first_sentence(text, 7, 9) == "" and first_sentence("", 0, 3) == ""
