"""Prompts: a line each as it is written, or the first words of texts."""

import pytest

from lerpnb.data.corpus import Corpus
from lerpnb.data.prompts import load_prompts, prompts_from
from lerpnb.errors import CorpusError

LINES = ["The film", "#1 fan of this film", "# Review: the film", "My\u2028aunt"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_is_a_prompt(tmp_path, encoding, end):
    (file := tmp_path / "p.txt").write_bytes(end.join([*LINES, "", "  ", ""]).encode(encoding))
    assert load_prompts(source=file) == LINES and load_prompts(2, file) == LINES[:2]


def test_what_cannot_be_read_or_is_too_little_is_said(tmp_path):
    (latin := tmp_path / "latin.txt").write_bytes("The film\nLe caf\u00e9\n".encode("latin-1"))
    (empty := tmp_path / "empty.txt").write_text("\n")
    two = Corpus(("a film that ends well", "dull"), (0, 0), ("x",), "two")
    cases = {
        "load_prompts(0): expected 1 or more prompts.\nThere are 32 in prompts.txt.": lambda: load_prompts(0),
        "load_prompts(): no prompts in empty.txt.\nGive a file with a prompt a line, or longer texts.": (
            lambda: load_prompts(source=empty)
        ),
        f"load_prompts(source={str(latin)!r}): latin.txt cannot be read: line 2: byte 0xe9 is no UTF-8.\n"
        "Save it as UTF-8.": lambda: load_prompts(source=latin),
        "prompts_from('two', 2): no prompts in the first 9 words of its texts.\n"
        "Give a file with a prompt a line, or longer texts.": lambda: prompts_from(two, 2, words=9),
    }
    for message, call in cases.items():
        with pytest.raises(CorpusError) as error:
            call()
        assert str(error.value) == message


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_damaged_table_is_refused(tmp_path, suffix):
    (file := tmp_path / f"p{suffix}").write_bytes(b"text\n\xff")
    with pytest.raises(CorpusError, match=f"p{suffix} cannot be read"):
        load_prompts(source=file)


def test_prompts_of_texts_are_drawn_by_their_letters_each_once():
    texts = ("one two three four five", "ONE two three four six", "one two three four seven", "a b c d e f")
    corpus = Corpus(texts, (0,) * 4, ("x",), "four")
    assert sorted(prompts_from(corpus, 3)) == ["ONE two three four", "a b c d", "one two three four"]
    assert prompts_from(corpus, 3) == prompts_from(Corpus(texts[::-1], (0,) * 4, ("x",), "four"), 3)


def test_fewer_prompts_than_asked_for_are_all_taken_and_that_is_said(tmp_path, capsys):
    (file := tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    assert load_prompts(25, file) == ["a", "b", "c", "d"]
    assert capsys.readouterr().out == "load_prompts(25): four.txt has 4 prompts, all of which are taken\n"
    assert load_prompts(3, file) == ["a", "b", "c"] and not capsys.readouterr().out
