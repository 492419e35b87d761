"""The command line: what it hands on, what it prints, how it fails, and that its help is quick."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch

import lerpnb
from lerpnb import assets, cli
from lerpnb.cli import commands, doctor
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AssetError, LerpError, RunError
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
    options = {"time_limit": 5400.0, "memory_limit": 7.5, "force": False}
    assert asked == [("02", given, "a", Path("x"), options)]


def test_run_without_options_takes_the_notebooks_own_values(asked):
    with pytest.raises(SystemExit):
        cli.main(["run", "02", "--force"])
    (notebook, given, name, to, options), *_ = asked
    assert (notebook, given, to) == ("02", {}, Path("runs")) and re.fullmatch(r"02_interpolate-\d{8}-\d{6}", name)
    assert options == {"time_limit": None, "memory_limit": None, "force": True}


def test_run_ends_with_what_it_found_and_where_the_page_is(asked, folder, capsys):
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    ended = [
        "demo: done in 8 min 12 s, peak memory 2.00 GiB",
        f"page: file://{folder}/report.html (opens in any browser)",
    ]
    found = [
        "Loss rises above the chord (largest gap 0.25 [0.25, 0.25] nats/token at alpha 0.5)",
        "Strength of “good” rises by 0.5 [0.5, 0.5]",
    ]
    assert capsys.readouterr().out.splitlines() == [*found, *ended]
    figure = {
        "application/vnd.plotly.v1+json": {"layout": {"title": {"text": "<b>Loss stays</b><br>below &amp; so on"}}}
    }
    cell = nbformat.v4.new_code_cell("curve", metadata={"tags": ["headline"]})
    cell.outputs = [nbformat.v4.new_output("display_data", figure)]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "executed.ipynb")
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert capsys.readouterr().out.splitlines() == ["Loss stays below & so on", *ended]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ([3.0, 3.0], "Loss stays below the chord (by 1 "),
        ([3.0, 9.0], "Undecided whether loss leaves the chord (largest gap "),
        (None, "Loss: nothing was measured between the ends"),
        ([float("nan")] * 2, "Loss is no finite number at alpha 0.5"),
    ],
)
def test_a_loss_is_judged_by_its_intervals(asked, folder, capsys, inner, said):
    points = {0.0: [4.0, 4.0], 0.5: inner, 1.0: [4.0, 4.0]}
    measured = {alpha: {"loss/x": Measurement(values)} for alpha, values in points.items() if values}
    Curve.from_measures(measured).save(folder)
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert said in capsys.readouterr().out.splitlines()[0]


def test_a_walk_without_its_ends_is_told_and_no_curve_is_no_error(asked, folder, capsys):
    Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}, 0.5: {"loss/x": Measurement([1.0])}}).save(folder)
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    told = "No finding: it needs alpha 0 and 1, which the curve leaves out."
    assert told in capsys.readouterr().out.splitlines()
    (folder / "curve.parquet").unlink()
    with pytest.raises(SystemExit):
        cli.main(["run", "02"])
    assert capsys.readouterr().out.startswith("demo: done in 8 min 12 s, peak memory 2.00 GiB\npage: file://")


@pytest.mark.parametrize(
    ("typed", "meant"), [("rum", "run"), ("lss", "ls"), ("remov", None), ("rmm", None), ("swep", "sweep")]
)
def test_a_mistyped_command_is_never_answered_with_one_that_deletes(capsys, typed, meant):
    err = fails([typed], capsys, code=2)
    assert (f"Did you mean `lerpnb {meant}`?" in err) if meant else ("Did you mean" not in err)


def test_alone_it_shows_what_to_do_first_and_its_version(capsys):
    for arguments, said in ([], "lerpnb run 02_interpolate"), (["--version"], f"lerpnb {lerpnb.__version__}"):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0 and said in capsys.readouterr().out


@pytest.mark.slow
def test_doctor_says_all_in_15_lines(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(assets, "hub_answers", lambda: False)
    with pytest.raises(SystemExit):
        cli.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines)
    assert len(lines) <= 15 and "does not answer" in facts["hub"] and torch.__version__ in facts["torch"]
    pins = tmp_path / "constraints.txt"
    pins.write_text(f"# all\ntorch=={torch.__version__.partition('+')[0]}\npandas==1.0\nnot-there==3\n")
    assert doctor.against(pins) == f"3 pins; pandas {pd.__version__}, not 1.0"


def test_ls_fits_100_columns_and_names_what_has_no_room(tmp_path, capsys):
    for i in range(3):
        folder = tmp_path / f"{'a-very-long-name-of-a-run' * 2}-{i}"
        folder.mkdir()
        parameters = {f"parameter_{j}": f"models/some/long/path/{'x' * 300}{i}" for j in range(6)}
        facts = {"status": "done", "notebook": {"name": "02_interpolate.ipynb"}, "parameters": parameters}
        facts |= {"started": "2026-11-27T20:00:00+00:00", "seconds": 61.0}
        (folder / "run.json").write_text(json.dumps(facts))
    with pytest.raises(SystemExit):
        cli.main(["ls", "--to", str(tmp_path)])
    *table, more, count = capsys.readouterr().out.splitlines()
    assert max(map(len, table)) <= 100 and count == f"3 runs in {tmp_path}"
    assert more.startswith("also different: parameter_") and "1 min 1 s" in table[1] and "…" in table[1]


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


def test_escape_codes_of_a_stranger_do_not_reach_the_terminal(tmp_path, monkeypatch, capsys):
    """In a run's name, status, parameters and errors, in an error of ours, and in a notebook's title."""
    evil = "\x1b]8;;https://evil.example\x07press\x1b[2J\x9b31m"
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    facts = {"name": evil, "status": evil, "parameters": {"seed": evil, evil: 1}, "notebook": {"name": evil}}
    (folder / "run.json").write_text(json.dumps(facts | {"started": "2026-01-01T00:00:00+00:00", "seconds": 1.0}))
    monkeypatch.chdir(tmp_path)
    for command in (
        ["ls"],
        ["show", "one"],
        ["run", evil],
        ["report", evil],
        ["show", evil],
        ["run", "x", "-p", evil, "1"],
    ):
        with suppress(SystemExit, LerpError):
            cli.main(command)
    said = capsys.readouterr()
    assert "press" in said.out + said.err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said.out + said.err)
