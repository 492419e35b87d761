"""Preference pairs: cells as they are written, and what is refused."""

import json

import pytest

import lerpnb as ln
from lerpnb.data.pairs import Pairs
from lerpnb.errors import CorpusError


def test_cells_are_read_as_they_are(tmp_path):
    csv = tmp_path / "taste.csv"
    csv.write_text('prompt,chosen,rejected\n"A film, ""fine""",  NA, 007\n,x,y\n')
    pairs = Pairs.load(csv)
    assert pairs == Pairs(('A film, "fine"', ""), ("  NA", "x"), (" 007", "y"), "taste")
    lines = [{"q": p, "good": c, "bad": r} for p, c, r in zip(pairs.prompts, pairs.chosen, pairs.rejected, strict=True)]
    jsonl = tmp_path / "other.jsonl"
    jsonl.write_text("\n".join(map(json.dumps, lines)))
    again = Pairs.load(jsonl, prompt="q", chosen="good", rejected="bad", name="taste")
    assert again == pairs and again.sha256 == pairs.sha256
    assert Pairs.load(csv, prompt="").prompts == ("", "")
    assert Pairs.load(csv, prompt="").sha256 != pairs.sha256


def test_bad_pairs_are_refused(tmp_path):
    csv = tmp_path / "taste.csv"
    csv.write_text("prompt,chosen,rejected\na,b,\n")
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps({"prompt": "a", "chosen": [{"role": "user"}], "rejected": "b"}))
    for call, text in {
        lambda: ln.data.Pairs((), (), (), "none"): "0 prompts, 0 chosen and 0 rejected",
        lambda: Pairs(("a",), ("b", "c"), ("d",), "odd"): "1 prompts, 2 chosen and 1 rejected",
        lambda: Pairs(("a",), ("b",), ("b",), "same"): "pair 0 has 'b' twice",
        lambda: Pairs.load(csv): "pair 0 is ('a', 'b', '').\nDrop empty rows first.",
        lambda: Pairs.load(csv, chosen="good"): "no column 'good'.\nIt has: prompt, chosen, rejected.",
        lambda: Pairs.load(chats): "line 1: column 'chosen' holds a list",
    }.items():
        with pytest.raises(CorpusError) as error:
            call()
        assert text in str(error.value)
