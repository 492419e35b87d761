"""Splits: made by a text's letters alone, and never sharing a text."""

import pandas as pd

from lerpnb.data.folds import fold
from lerpnb.data.splits import held_out, train_held_out


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
