"""The command line: what it hands on, what it prints, how it fails, and that its help is quick."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lerpnb import assets, cli
from lerpnb.cli import commands
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AssetError, RunError
from lerpnb.evaluation.cache import Cache
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs import execution


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run folder with a curve, as `lerpnb run` leaves it."""
    points = {
        alpha: {
            "loss/x": Measurement([loss, loss + 1.0], unit="nats/token"),
            "strength/good": Measurement([strength, strength], unit="probability", items="prompts"),
            "dist-2": Measurement([0.5, 0.5]),
        }
        for alpha, loss, strength in [(-0.5, 4.5, 0.125), (0.0, 4.0, 0.25), (0.5, 4.25, 0.5), (1.0, 4.0, 0.75)]
    }
    folder = Curve.from_measures(points).save(tmp_path / "demo")
    facts = {"name": "demo", "status": "done", "seconds": 492.0, "peak_memory_bytes": 2**31}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder


@pytest.fixture
def asked(monkeypatch, folder) -> list:
    """What `runs.run` was asked; it answers with a finished folder."""
    calls = []
    monkeypatch.setattr(execution, "run", lambda *given, **limits: calls.append((*given, limits)) or folder)
    return calls


def fails(arguments: list[str], capsys, code: int = 1) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (code, "")
    return err


@pytest.mark.slow
def test_run_hands_on_every_parameter_and_p_goes_before_y_before_f(asked, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text("n: 1\nlo: -1\nalphas: [0, 1]\nbase: null", encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        cli.main(
            ["run", "02", "-f", str(file), "-y", "{n: 2, lo: -2}", "-p", "lo", "-3", "--name", "a", "--to", "x"]
            + ["-p", "text=a=b", "--parameter", "minus", "-p", "--time-limit", "1h30m", "--memory-limit", "7.5"]
        )
    assert stop.value.code == 0
    given = {"n": 2, "lo": "-3", "alphas": [0, 1], "base": None, "text": "a=b", "minus": "-p"}
    assert asked == [("02", given, "a", Path("x"), {"time_limit": 5400.0, "memory_limit": 7.5})]


def test_run_without_options_takes_the_notebooks_own_values(asked):
    with pytest.raises(SystemExit):
        cli.main(["run", "notebooks/02.ipynb"])
    assert asked == [("notebooks/02.ipynb", {}, None, Path("runs"), {"time_limit": None, "memory_limit": None})]


def test_run_prints_the_result_in_a_few_lines(asked, folder, capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert (
        capsys.readouterr().out
        == f"""
alpha loss/x strength/good
 -0.5  5.000         0.125
    0  4.500         0.250
  0.5  4.750         0.500
    1  4.500         0.750

barrier of loss/x: 0.2500 [0.2500, 0.2500] nats/token; gap to the chord at most +0.2500 [+0.2500, +0.2500]
rise of strength/good from alpha 0 to 1: +0.500 [+0.500, +0.500]; Spearman's rho with alpha 1.000 [1.000, 1.000]
demo: done in 8 min 12 s, peak memory 2.00 GiB
page: {folder}/report.html
"""
    )


def test_a_walk_without_its_ends_is_told_and_no_curve_is_no_error(asked, folder, capsys):
    Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}, 0.5: {"loss/x": Measurement([1.0])}}).save(folder)
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    told = "no barrier and no rise: they need alpha 0 and 1, which the curve leaves out."
    assert told in capsys.readouterr().out.splitlines()
    (folder / "curve.parquet").unlink()
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert capsys.readouterr().out == (f"demo: done in 8 min 12 s, peak memory 2.00 GiB\npage: {folder}/report.html\n")


def test_an_error_is_one_message_without_a_traceback(monkeypatch, capsys):
    def refuse(*_, **__):
        raise RunError('run("02"): no such notebook.')

    monkeypatch.setattr(execution, "run", refuse)
    assert fails(["run", "02"], capsys) == 'error: run("02"): no such notebook.\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "02", "-p"], "error: lerpnb run -p: no value.\nWrite -p NAME VALUE.\n"),
        (["run", "02", "-p", "n"], "error: lerpnb run -p n: no value.\nWrite -p NAME VALUE.\n"),
        (
            ["run", "02", "-y", "5"],
            "error: lerpnb run -y: no mapping of names to values.\nWrite it as 'name: value'.\n",
        ),
        (
            ["run", "02", "--time-limit", "soon"],
            "error: lerpnb run --time-limit: 'soon' is no length of time; write it as 2h, 90m, 1h30m or as seconds.\n",
        ),
        (["run", "02", "-f", "no.yaml"], "error: lerpnb run -f no.yaml: No such file or directory.\n"),
    ],
)
def test_parameters_that_cannot_be_read_are_refused(asked, capsys, arguments, message):
    assert fails(arguments, capsys) == message
    assert asked == []


def test_yaml_that_would_run_code_is_refused(asked, capsys, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(f"n: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]", encoding="utf-8")
    assert fails(["run", "02", "-f", str(file)], capsys).startswith(
        f"error: lerpnb run -f {file}: not plain YAML: could not determine a constructor for the tag "
    )
    assert asked == [] and not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_report_writes_a_page_and_prints_where(tmp_path, capsys):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "executed.ipynb")
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(tmp_path), "-o", str(tmp_path / "a.html"), "--no-code"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path}/a.html\n"
    assert (tmp_path / "a.html").exists()
    assert fails(["report", "nowhere"], capsys) == (
        "error: write_report('nowhere'): no file nowhere.\nPass a run folder or an executed .ipynb.\n"
    )


def test_assets_fetches(monkeypatch, capsys):
    monkeypatch.setattr(assets, "fetch", lambda: print("fetched"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["assets"])
    assert stop.value.code == 0 and capsys.readouterr().out == "fetched\n"

    def offline():
        raise AssetError("fetch(): pip could not install.")

    monkeypatch.setattr(assets, "fetch", offline)
    assert fails(["assets"], capsys) == "error: fetch(): pip could not install.\n"


def test_store_shows_what_is_kept_and_clear_empties_it(monkeypatch, tmp_path, capsys):
    kept = tmp_path / "kept"
    monkeypatch.setenv("LERPNB_STORE", str(kept))
    Cache().put({"alpha": 0.5}, {"loss/x": Measurement([1.0])})
    told = {"store": "1 records", "store --clear": "0 records"}
    for command, records in told.items():
        with pytest.raises(SystemExit) as stop:
            cli.main(command.split())
        assert stop.value.code == 0
        assert capsys.readouterr().out == f"{kept}: Cache(kept: {records}, 0.0 MB)\n"
    assert len(Cache()) == 0


def test_accuracy_is_told_by_source(monkeypatch, capsys):
    asked = []
    found = {"rotten_tomatoes": 0.8125, "imdb": 0.9}
    monkeypatch.setattr("lerpnb.cli.commands.held_out_accuracy", lambda *given: asked.append(given) or found)
    with pytest.raises(SystemExit) as stop:
        cli.main(["accuracy", "data/scorer", "--n", "600"])
    assert stop.value.code == 0 and asked == [("data/scorer", 600)]
    assert capsys.readouterr().out == (
        "rotten_tomatoes: 0.812 of 1,200 held-out texts\nimdb: 0.900 of 1,200 held-out texts\n"
    )


@pytest.mark.parametrize(
    ("labels", "sources"), [(("negative", "positive"), ["rotten_tomatoes", "imdb"]), (("VIEWER", "critic"), ["voices"])]
)
def test_accuracy_is_of_the_held_out_texts_that_have_the_scorers_labels(tiny, tmp_path, monkeypatch, labels, sources):
    asked = []

    def some(source, n):
        asked.append((source, n))
        return Corpus(tuple(tiny.TEXTS[:4]), (0, 1, 0, 1), tuple(label.lower() for label in labels), source)

    monkeypatch.setattr("lerpnb.data.splits.held_out", some)
    found = commands.held_out_accuracy(tiny.save(tiny.classifier(labels), tmp_path, tiny.tokenizer()), 7)
    assert asked == [(source, 7) for source in sources] and list(found) == sources
    assert all(value in (0, 0.25, 0.5, 0.75, 1) for value in found.values())


def test_picture_draws_the_runs_curve(monkeypatch, folder, capsys):
    drawn = []
    monkeypatch.setattr(
        "lerpnb.plots.image.save_image", lambda curve, path: drawn.append((curve.quantities, path)) or path
    )
    for arguments in ([], ["-o", "a.svg"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["picture", str(folder), *arguments])
        assert stop.value.code == 0
    quantities = ["loss/x", "strength/good", "dist-2"]
    assert drawn == [(quantities, Path("curve.png")), (quantities, Path("a.svg"))]
    assert capsys.readouterr().out == "curve.png\na.svg\n"


def test_the_help_of_a_notebook_lists_its_parameters(tmp_path, capsys):
    cell = nbformat.v4.new_code_cell(
        "n: int = 3  # points\nbase: str | None = None\nfree = None  # any thing", metadata={"tags": ["parameters"]}
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "mine.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "bare.ipynb")
    for before in ([], ["--to", "x", "-p", "n", "3", "--time-limit", "2h"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["run", *before, str(tmp_path / "mine.ipynb"), "--help"])
        out = capsys.readouterr().out
        assert stop.value.code == 0 and "--memory-limit" in out
        assert out.rstrip().splitlines()[-4:] == [
            "Parameters of mine: name, type, default, meaning",
            "  -p n     int         3     points",
            "  -p base  str | None  None",
            "  -p free  any         None  any thing",
        ]
    with pytest.raises(SystemExit):
        cli.main(["run", str(tmp_path / "bare.ipynb"), "--help"])
    assert capsys.readouterr().out.rstrip().endswith("bare takes no parameters: no cell is tagged 'parameters'.")
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", "nowhere", "--help"])
    assert stop.value.code == 1 and 'error: run("nowhere"): no such notebook.' in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["report", "--help"]])
def test_help_brings_in_nothing_heavy(arguments):
    code = f"""
import sys
from lerpnb.cli import main
try:
    main({arguments})
except SystemExit as stop:
    assert stop.code == 0
print([name for name in ("torch", "transformers", "papermill", "nbconvert", "pandas", "plotly") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: lerpnb" in done.stdout and done.stdout.endswith("[]\n")


def test_of_a_long_walk_some_rows_are_shown_both_ends_among_them(asked, folder, capsys):
    Curve.from_measures({i / 40: {"loss/x": Measurement([1.0, 2.0])} for i in range(-1, 42)}).save(folder)
    with pd.option_context("display.max_rows", 5), pytest.raises(SystemExit):
        cli.main(["run", "02"])
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:18]]
    assert rows[:3] == ["-0.025", "0", "0.05"] and rows[-2:] == ["0.95", "1"] and len(rows) == 16


def test_a_walk_without_an_end_says_so_once_and_many_quantities_are_not_all_told(asked, folder, capsys):
    measures = {f"own/{i}": Measurement([1.0, 2.0]) for i in range(9)}
    Curve.from_measures({0.5: measures, 1.0: measures}).save(folder)
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    told = capsys.readouterr().out
    assert told.count("no barrier and no rise: they need alpha 0 and 1, which the curve leaves out.") == 1
    assert "own/5" in told and "own/6" not in told


def test_a_nan_stays_a_nan_in_the_terminal(asked, folder, capsys):
    nan = float("nan")
    points = {
        a: {"loss/x": Measurement([v]), "strength/y": Measurement([v])} for a, v in [(0.0, 1.0), (0.5, nan), (1.0, nan)]
    }
    Curve.from_measures(points).save(folder)
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert capsys.readouterr().out.splitlines()[1:8] == [
        "alpha loss/x strength/y",
        "    0  1.000      1.000",
        "  0.5    NaN        NaN",
        "    1    NaN        NaN",
        "",
        "barrier of loss/x: unknown, NaN at alpha 0.5, 1",
        "rise of strength/y from alpha 0 to 1: NaN [NaN, NaN]; Spearman's rho with alpha NaN [NaN, NaN]",
    ]
