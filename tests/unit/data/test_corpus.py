"""Corpora: reading, labels, taking some of the texts."""

import codecs

import pandas as pd
import pytest

import lerpnb as ln
from lerpnb.data.corpus import Corpus
from lerpnb.data.demo import reviews
from lerpnb.data.splits import held_out
from lerpnb.errors import ArgumentError, AssetError, CorpusError

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


@pytest.mark.filterwarnings("ignore:.*without a text, left out")
def test_files_are_read_and_empty_texts_dropped(file):
    with pytest.warns(UserWarning, match=r"without a text, left out: (line 4|line 3|row 3)\.$"):
        corpus = Corpus.load(file)
    assert corpus.texts == ("dull", "a joy", "fine") and corpus.label_names == ("bad", "good")
    assert corpus.good.texts == ("a joy", "fine") and corpus.good.name == "good" and corpus.name == "texts"
    assert Corpus.load(file, label="").label_names == ("texts",)
    assert Corpus.load(file, label_names=("good", "bad")).labels == (1, 0, 0)
    assert held_out(str(file), 1, whole=True).labels == (0, 1)


@pytest.mark.filterwarnings("ignore:.*without a text, left out")
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
        ("a.csv", b"", "it is empty"),
        ("a.csv", b'text,label\nc,1\n\n"a,b\nd,e\n', "line 4: unexpected end of data"),
        ("a.csv", b'text,label\n"a" b,1\n', "line 2: ',' expected after '\"'"),
        ("a.csv", b'text,label\na,1\n"b\nb",1\nc, d,1\n', "line 5: 3 cells under 2 columns; a text with commas is in "),
        ("a.csv", b"text,label\r\nd\xe9j\xe0,1\r\n", "line 2: byte 0xe9 is no UTF-8"),
        ("a.csv", "text,label\na,1\n".encode("utf-16-le"), "line 1: a null character, as UTF-16 without a byte-order"),
        ("a.csv", codecs.BOM_UTF16_LE + b"t\0\n\0e", "line 2: byte 0x65 is no UTF-16"),
        ("a.jsonl", b"", "it is empty"),
        ("a.jsonl", b'{"text": "a"}\n\n{"text": \n', "line 3: Expecting value"),
        ("a.jsonl", b'{"text": "a"}\n["b"]\n', "line 2: list, expected an object"),
        ("a.jsonl", b'{"text": "a \\ud83d b"}\n', "line 1: 'utf-8' codec can't encode character '\\ud83d'"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "b", "text": "c"}\n', "line 2: a key is given twice: text, text"),
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
        "Corpus.load('someone/some-data'): no .csv, .tsv, .parquet, .jsonl, .json file, and the hub does not answer.\n"
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
        "Corpus + Corpus: labels ('x', 'y') against ('x',).": lambda: one + Corpus(("a",), (0,), ("x",), "b"),
    }
    for said, call in cases.items():
        with pytest.raises(CorpusError) as error:
            call()
        assert str(error.value).replace("'y'): no", "'one'): no") == said or "no texts" in said
    with pytest.raises(AttributeError, match="no attribute or label 'z'"):
        one.z  # noqa: B018


def test_a_corpus_takes_lists_and_refuses_labels_that_fit_no_text():
    assert Corpus(["a"], [0], ["x"], "one") == Corpus(("a",), (0,), ("x",), "one")
    for texts, labels, names, said in (
        ("film", (0,) * 4, ("x",), "texts is one text, 'film'"),
        (("a", "b"), (0,), ("x",), "1 labels of 2 texts"),
        (("a",), (1,), ("x",), "label 1, label names"),
        (("a",), ("x",), ("x",), "label 'x', label names"),
    ):
        with pytest.raises(CorpusError, match=said):
            Corpus(texts, labels, names, "one")


def test_samples_are_drawn_without_replacement_and_repeat():
    corpus = Corpus(tuple(f"t{i}" for i in range(50)), (0, 1) * 25, ("a", "b"), "c")
    first = corpus.sample(10, seed=3)
    assert first == corpus.sample(10, seed=3) and first != corpus.sample(10, seed=4)
    assert len(set(first.texts)) == 20 and len(first.a) == len(first.b) == 10
    assert len(corpus.at_most(40)) == 50


def test_cells_stay_as_they_are_written(tmp_path):
    (file := tmp_path / "a.csv").write_text("text,label\nNone,01\nNA,1\n007,1\n1e3,10\n 1.50,9\nnan,null\n")
    corpus = Corpus.load(file)
    assert corpus.texts == ("None", "NA", "007", "1e3", " 1.50", "nan")
    assert corpus.label_names == ("01", "1", "10", "9", "null") and corpus.labels == (0, 1, 1, 2, 3, 4)
    (file := tmp_path / "a.jsonl").write_text('{"text":"007","label":"01"}\n{"text":"1.50","label":"1"}\n')
    corpus = Corpus.load(file)
    assert (corpus.texts, corpus.label_names) == (("007", "1.50"), ("01", "1"))


def test_labels_are_sorted_by_size_where_all_are_numbers(tmp_path):
    (file := tmp_path / "a.csv").write_text("text,label\na,10\nb,9\nc,-1\nd,2.5\n")
    corpus = Corpus.load(file)
    assert (corpus.label_names, corpus.labels) == (("-1", "2.5", "9", "10"), (3, 2, 0, 1))


@pytest.mark.parametrize("labels", ["0,1,0", "0.0,1.0,0.0", "False,True,False", "sad,glad,sad"])
def test_label_names_are_of_integers_bools_or_themselves(tmp_path, labels):
    (file := tmp_path / "a.csv").write_text("text,label\n" + "\n".join(f"t,{x}" for x in labels.split(",")) + "\n")
    assert Corpus.load(file, label_names=("sad", "glad")).labels == (0, 1, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_way_to_write_a_text_file_gives_the_same_texts(tmp_path, encoding, end):
    lines = ["text,label", "caf\u00e9\u2028noir\x85\x0b,1", "# no comment,1", '"a, b ""c""",2', "", "end,2"]
    (tmp_path / "a.csv").write_bytes(end.join(lines).encode(encoding))
    corpus = Corpus.load(tmp_path / "a.csv")
    assert corpus.texts == ("caf\u00e9\u2028noir\x85\x0b", "# no comment", 'a, b "c"', "end")
    lines = ['{"text": "caf\u00e9\u2028noir", "label": 1}', "", '{"text": "end", "label": 2}', ""]
    (tmp_path / "a.jsonl").write_bytes(end.join(lines).encode(encoding))
    assert Corpus.load(tmp_path / "a.jsonl").texts == ("caf\u00e9\u2028noir", "end")


def test_a_comma_too_many_at_the_ends_of_lines_changes_nothing(tmp_path):
    (file := tmp_path / "a.csv").write_text("text,label\nfirst text,sad,\nsecond text,glad,\n")
    corpus = Corpus.load(file)
    assert (corpus.texts, corpus.label_names, corpus.labels) == (("first text", "second text"), ("glad", "sad"), (1, 0))


def test_a_text_that_is_left_out_is_named_by_its_line(tmp_path):
    (file := tmp_path / "A.CSV").write_text('label,text\nsad,a\n,\nsad\nglad," "\nglad,b\n')
    with pytest.warns(UserWarning, match=r"A\.CSV'\): without a text, left out: line 4, 5\.$"):  # not the empty line 3
        assert Corpus.load(file).texts == ("a", "b")
    (file := tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"txt": "b", "label": 1}\n')
    with pytest.warns(UserWarning, match=r"left out: line 2\.$"):
        assert Corpus.load(file).texts == ("a",)


def test_a_long_text_is_read_whole(tmp_path):
    (file := tmp_path / "a.csv").write_text(f"text,label\n{'w ' * 200_000}end,1\n")
    assert Corpus.load(file).texts[0].endswith("w end")


def test_cells_that_are_lists_are_refused(tmp_path):
    chat = [{"role": "user", "content": "hi"}]
    pd.DataFrame({"text": ["a", chat], "label": [0, 1]}).tail(1).to_parquet(tmp_path / "chat.parquet")
    pd.DataFrame({"text": ["a", "b"], "label": [[0], [0, 1]]}).to_parquet(tmp_path / "several.parquet")
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n{"text": ["b"], "label": 1}\n')
    (tmp_path / "a.csv").write_text("text,text,label\na,b,1\n")
    (tmp_path / "number.jsonl").write_text('{"text": 7, "label": 1.0}\n{"text": 1.50, "label": 1}\n')
    cases = {
        "chat.parquet": "row 1: column 'text' holds a ndarray, expected one text or one label.",
        "several.parquet": "row 1: column 'label' holds a ndarray, expected one text or one label.",
        "a.jsonl": "line 2: column 'text' holds a list, expected one text or one label.",
        "number.jsonl": "line 2: column 'text' holds a float, expected one text or one label.",
        "a.csv": "2 columns are called 'text'.",
    }
    for name, message in cases.items():
        with pytest.raises(CorpusError) as error:
            Corpus.load(tmp_path / name)
        assert str(error.value).startswith(f"Corpus.load({str(tmp_path / name)!r}): {message}\n")


def test_swapped_columns_are_refused_with_that_guess(tmp_path):
    file = tmp_path / "swapped.csv"
    rows = "".join(f"{'sad' if i % 2 else 'glad'},a film of {i} minutes\n" for i in range(60))
    file.write_text("text,label\n" + rows)
    with pytest.raises(CorpusError, match=r"60 different labels, .* 2 diff.*\nThey look swapped: give text='label', "):
        Corpus.load(file)
    assert Corpus.load(file, text="label", label="text").label_names == ("glad", "sad")


def test_a_list_of_texts_is_a_corpus_and_other_things_are_named():
    assert ln.Loss(["a film"]).corpus.texts == ("a film",)
    for wrong in ("a film", 3, [1, 2], {"a": 1}):
        with pytest.raises(ArgumentError, match=r"Loss\(corpus\): got .*\nIt takes a Corpus or a list of texts\."):
            ln.Loss(wrong)
    with pytest.raises(CorpusError, match=r"Loss\(corpus\): got a"):
        ln.Loss([])


def test_a_file_of_another_kind_is_refused_by_name(tmp_path):
    (file := tmp_path / "a.tab").write_text("text\tlabel\na\t1\n")
    with pytest.raises(CorpusError, match=r"a file, but none of \.csv, \.tsv, \.parquet, \.jsonl, \.json\."):
        Corpus.load(file)


def test_a_list_of_objects_is_read_as_lines_of_them(tmp_path):
    (tmp_path / "a.json").write_text('[{"text": "None", "label": "01"},\n {"text": "7", "label": "1"}]')
    corpus = Corpus.load(tmp_path / "a.json")
    assert corpus.texts == ("None", "7") and corpus.label_names == ("01", "1")
    (tmp_path / "b.json").write_text('[{"text": "a"}, 3]')
    with pytest.raises(CorpusError, match="row 2: int, expected an object"):
        Corpus.load(tmp_path / "b.json", label="")
