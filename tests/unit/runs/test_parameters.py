"""Groups of settings: what is given is merged over the default, a wrong key or type is refused in words."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from lerpnb.cli.parameters import given_parameters, parameters_help
from lerpnb.errors import RunError
from lerpnb.runs.parameters import Word, checked, parameters_of
from lerpnb.runs.sweeps.config import read_sweep

CELL = """\
tuning: dict = {"steps": 60, "rate": 0.002, "name": "a", "deep": False, "labels": ["x"], "any": None}  # of a fine-tune
free: dict = {}  # whatever
typed: dict[str, int] = {"a": 1}  # a mapping of numbers
seed: int = 0  # of all
"""
DEFAULT = {"steps": 60, "rate": 0.002, "name": "a", "deep": False, "labels": ["x"], "any": None}
TAKES = parameters_of(new_notebook(cells=[new_code_cell(CELL, metadata={"tags": ["parameters"]})]))


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    nbformat.write(new_notebook(cells=[new_code_cell(CELL, metadata={"tags": ["parameters"]})]), "small.ipynb")
    return "small.ipynb"


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({"tuning": {}}, {}),
        ({"tuning": {"steps": 5}}, {"steps": 5}),
        ({"tuning": {"rate": 1}}, {"rate": 1.0}),
        ({"tuning": {"any": [1]}}, {"any": [1]}),
        ({"tuning": Word("{steps: 5, name: '7'}")}, {"steps": 5, "name": "7"}),
        ({"tuning.steps": Word("5"), "tuning.deep": Word("true")}, {"steps": 5, "deep": True}),
        ({"tuning.name": Word("7")}, {"name": "7"}),
        ({"tuning.labels": Word("[y, z]")}, {"labels": ["y", "z"]}),
        ({"tuning": {"steps": 5, "rate": 0.1}, "tuning.steps": 6}, {"steps": 6, "rate": 0.1}),
    ],
)
def test_a_group_is_merged_over_its_default_key_by_key(given, changed):
    merged = checked(given, TAKES, "run")
    assert merged == {"tuning": DEFAULT | changed}
    assert {key: type(value) for key, value in merged["tuning"].items()} == {
        key: type(changed.get(key, value)) for key, value in DEFAULT.items()
    }
    assert TAKES["tuning"].default == DEFAULT


def test_a_mapping_without_settings_of_its_own_is_no_group():
    assert checked({"free": {"b": 2}, "typed": {"b": 2}}, TAKES, "run") == {"free": {"b": 2}, "typed": {"b": 2}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"tuning": {"step": 5}},
            "parameter 'tuning': no setting 'step'. Did you mean 'steps'?\nIt takes: steps,",
        ),
        (
            {"tuning.step": 5},
            "no parameter 'tuning.step'. Did you mean 'tuning.steps'?\nIt takes: tuning,",
        ),
        ({"steps": 5}, "no parameter 'steps'. Did you mean 'tuning.steps'?"),
        ({"tuning": {"steps": 2.5}}, "parameter 'tuning.steps' takes int, came 2.5 (float).\nPass a whole number."),
        ({"tuning.deep": 1}, "parameter 'tuning.deep' takes bool, came 1 (int).\nPass true or false."),
        ({"tuning": 5}, "parameter 'tuning' takes dict, came 5 (int).\nPass a mapping, in YAML as {a: 1}."),
        ({"seed.x": 5}, "no parameter 'seed.x'."),
        ({"free.x": 5}, "no parameter 'free.x'."),
    ],
)
def test_what_does_not_fit_a_group_is_refused(given, message):
    with pytest.raises(RunError) as error:
        checked(given, TAKES, "run")
    assert str(error.value).startswith(f"run: {message}")


def test_the_command_line_merges_file_text_and_pairs(notebook, tmp_path):
    file = tmp_path / "given.yaml"
    file.write_text("tuning: {steps: 1, rate: 0.1, name: file}\nseed: 1\nfree: {a: 1}")
    given = given_parameters(["tuning.name=typed"], "tuning: {steps: 2}\nseed: 2", file)
    values = checked(given, TAKES, "run")
    assert values["tuning"] == DEFAULT | {"steps": 2, "rate": 0.1, "name": "typed"}
    assert (values["seed"], values["free"]) == (2, {"a": 1})


def test_the_help_of_a_notebook_lists_the_settings(notebook):
    lines = [line.split() for line in parameters_help(notebook).splitlines()]
    assert ["-p", "tuning", "dict", "of", "a", "fine-tune"] in lines
    assert ["-p", "tuning.rate", "float", "0.002"] in lines
    assert ["-p", "seed", "int", "0", "of", "all"] in lines


def test_a_sweep_goes_over_a_setting_and_names_its_runs_by_it(notebook):
    Path("s.yaml").write_text(
        "notebook: small.ipynb\nparameters: {tuning: {rate: 0.5}}\ngrid: {tuning.steps: [1, 2]}\n"
    )
    specs = read_sweep("s.yaml").specs
    assert [spec.name for spec in specs] == ["tuning.steps=1", "tuning.steps=2"]
    assert [spec.values["tuning"] for spec in specs] == [DEFAULT | {"rate": 0.5, "steps": n} for n in (1, 2)]
    Path("s.yaml").write_text("notebook: small.ipynb\ngrid: {tuning.step: [1, 2]}\n")
    with pytest.raises(RunError, match=r"no parameter 'tuning.step'. Did you mean 'tuning.steps'\?"):
        read_sweep("s.yaml")
