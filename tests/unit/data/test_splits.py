"""Splits: made by a text's letters alone, and never sharing a text."""

import pandas as pd
import pytest

from lerpnb.data.folds import fold
from lerpnb.data.splits import held_out, train_held_out
from lerpnb.errors import CorpusError


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
    assert len(train_held_out(str(tmp_path / "own.csv"), max_texts=20, **columns)[0]) == 40


def test_fewer_held_out_texts_than_asked_for_are_said(tmp_path, capsys):
    (file := tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"a {i},x\nb {i},y\n" for i in range(30)))
    corpus = held_out(str(file), 20)
    found = ", ".join(f"{len(corpus.only(label))} {label}" for label in "xy")
    assert capsys.readouterr().out == (
        f"held_out({str(file)!r}, 20): {len(corpus)} held out of its 60 texts are used: {found}; whole=True takes all, "
        "where nothing was trained on them\n"
    )
    assert len(held_out(str(file), 80, whole=True)) == 60
    assert capsys.readouterr().out == f"held_out({str(file)!r}, 80): all of its 60 texts are used: 30 x, 30 y\n"
    assert len(held_out(str(file), 2)) == 4 and not capsys.readouterr().out
    file.write_text("text,label\nb 1,x\n")
    assert not 5 / 6 <= fold("b 1")
    with pytest.raises(CorpusError, match=r"none of its 1 texts is in the held-out sixth.\nGive more texts, or whole"):
        held_out(str(file), 2)
