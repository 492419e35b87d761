"""Reading run folders: frames of runs and curves, what is unreadable, and the commands ls, show and rm."""

import io
import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import make

from lerpnb import cli
from lerpnb.errors import RunError
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.table import differing, read_curves, read_runs


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Three runs: two with a curve, one that failed."""
    monkeypatch.chdir(tmp_path)
    make("a", 0.25, seed=0, lo=-1.0, status="mine")
    make("b", 0.5, seed=1, lo=-1.0, status="mine")
    failed = make("c.failed", seed=2, lo=-1.0)
    facts = json.loads((failed / "run.json").read_text())
    facts |= {"status": "failed", "error": {"cell": 3, "why": "ValueError: boom\nmore"}}
    (failed / "run.json").write_text(json.dumps(facts))
    return tmp_path / "runs"


def test_a_row_a_run_with_facts_parameters_and_summary_numbers(runs):
    frame = read_runs("runs")
    assert list(frame.index) == ["a", "b", "c.failed"] and frame.index.name == "run"
    assert frame["status"].tolist() == ["done", "done", "failed"]
    assert frame["error"].tolist() == ["", "", "ValueError: boom"]
    assert frame["seed"].tolist() == [0, 1, 2] and frame["lo"].tolist() == [-1.0] * 3
    assert frame["parameter status"].tolist()[:2] == ["mine", "mine"]  # no parameter hides a fact
    assert frame["started"].iloc[0] == pd.Timestamp("2026-11-23T00:19:21Z")
    np.testing.assert_allclose(frame["rise/strength/good"], [0.25, 0.5, np.nan])
    np.testing.assert_allclose(frame["barrier/loss/x"], [0, 0, np.nan])
    np.testing.assert_allclose(frame["gap/loss/x"], [-0.25, -0.25, np.nan])
    np.testing.assert_allclose(frame["spearman/strength/good"], [1, 1, np.nan])
    assert frame.loc["a", ["rise/strength/good low", "rise/strength/good high"]].tolist() == [0.25, 0.25]
    assert frame.attrs["unreadable"] == {}
    assert differing(frame) == ["seed", "parameter status"]


def test_a_run_of_0_1_is_read_in_the_names_of_today(runs):
    folder = runs / "old"
    folder.mkdir()
    old = {"status": "done", "name": "old", "notebook": {"name": "02_walk_the_line.ipynb"}, "parameters": {"draws": 4}}
    old |= {"chief": {"rise/strength/good": {"value": 0.5, "low": 0.25, "high": 0.75, "unit": "probability"}}}
    (folder / "run.json").write_text(json.dumps(old))
    frame = read_runs("runs", "notebook == '02_walk_the_line.ipynb'")
    assert frame.loc["old", ["draws", "rise/strength/good", "rise/strength/good low"]].tolist() == [4, 0.5, 0.25]
    assert RunDirectory("runs").facts("old")["summary"] == old["chief"]


def test_where_is_pandas_query(runs):
    assert list(read_runs("runs", "seed > 0 and status == 'done'").index) == ["b"]
    assert list(read_runs("runs", "`rise/strength/good` < 0.3").index) == ["a"]
    with pytest.raises(RunError) as error:
        read_runs("runs", "sed == 0")
    assert str(error.value) == (
        "read_runs(where='sed == 0'): name 'sed' is not defined.\nColumns: status, notebook, started and 18 more."
    )


def test_unreadable_folders_are_listed_and_cost_nothing_else(runs):
    damaged = {
        "d1": '{"status": "do',
        "d2": "[1]",
        "d3": '{"parameters": {}}',
        "d4": '{"status": "done", "summary": {"x": 1}}',
    }
    for name, text in damaged.items():
        (runs / name).mkdir()
        (runs / name / "run.json").write_text(text)
    (runs / "d5").mkdir()
    (runs / ".hidden").mkdir()
    (runs / "a file").touch()
    with pytest.warns(UserWarning) as warned:
        frame = read_runs("runs")
    assert list(frame.index) == ["a", "b", "c.failed"]
    assert frame.attrs["unreadable"] == {
        "d1": "run.json is damaged: Unterminated string starting at: line 1 column 12 (char 11)",
        "d2": "run.json is damaged: it holds no mapping.",
        "d3": "run.json is not what lerpnb writes",
        "d4": "run.json is not what lerpnb writes",
        "d5": "no run.json",
    }
    assert str(warned[0].message).startswith(
        "read_runs(runs): 5 of 8 folders are no whole run: d1 (run.json is damaged"
    )


def test_curves_in_long_form(runs):
    frame = read_curves("runs")
    assert list(frame) == ["run", "alpha", "quantity", "kind", "value", "low", "high", "n", "unit"]
    assert len(frame) == 2 * 4 * 3
    strength = read_curves("runs", "seed == 1", ["strength/good"])
    assert strength["run"].unique().tolist() == ["b"]
    assert strength["value"].tolist() == [-0.5, 0.0, 0.25, 0.5] and strength["n"].tolist() == [2] * 4
    data = bytearray((runs / "b" / "curve.parquet").read_bytes())
    data[len(data) // 3] ^= 255
    (runs / "b" / "curve.parquet").write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=r"^read_curves\(runs\): b: curve.parquet is damaged\.$"):
        frame = read_curves("runs")
    assert frame["run"].unique().tolist() == ["a"] and frame.attrs["unreadable"] == {"b": "curve.parquet is damaged"}


def test_runs_may_be_listed_or_lie_far_away(runs):
    assert list(read_runs([runs / "b", "runs/a"]).index) == ["b", "a"]
    far = RunDirectory("memory://far")
    for name in ("a", "b"):
        far.put(runs / name, name)
    assert read_runs("memory://far")["seed"].tolist() == [0, 1]
    assert len(read_curves(["memory://far/a"])) == 12
    far.remove("a")
    assert far.names() == ["b"]
    with pytest.raises(RunError) as error:
        read_runs(["runs/a", "other/a"])
    assert str(error.value) == "read_runs(runs): two runs are called 'a'.\nRead them one folder at a time."
    with pytest.raises(RunError) as error:
        read_runs("nowhere")
    assert str(error.value) == (
        "read_runs(runs): no folder nowhere.\nPass the folder of runs; `lerpnb run 02` makes one."
    )


def test_the_benchmark_runs(capsys):
    runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "read_runs.py"))["main"](20)
    assert capsys.readouterr().out.startswith("read_runs: 20 folders of a run.json of ")


def test_summary_numbers_without_the_ends_are_left_out_and_nan_stays():
    points = {a: {"loss/x": Measurement([a]), "strength/y": Measurement([np.nan])} for a in (0.0, 0.5)}
    assert Curve.from_measures(points).summary() == {}
    points[1.0] = points[0.5]
    told = Curve.from_measures(points).summary()
    assert set(told) == {"barrier/loss/x", "gap/loss/x", "rise/strength/y", "spearman/strength/y"}
    assert np.isnan(told["rise/strength/y"]["value"]) and told["barrier/loss/x"]["value"] == 0.25


# ---------------------------------------------------------------- commands


def done(arguments: list[str], capsys, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == code
    return capsys.readouterr()


def test_ls_lists_runs_with_what_they_differ_in(runs, capsys):
    (runs / "d5").mkdir()
    out, _ = done(["ls", "--where", "status == 'done'"], capsys)
    lines = out.splitlines()
    assert lines[0].split() == ["run", "status", "notebook", "started", "time", "seed"]
    assert lines[1].split() == ["a", "done", "02", "2026-11-23", "00:19", "7.5", "s", "0"]
    assert lines[3:] == ["2 runs in runs", "no whole run: d5 (no run.json)"]


def test_show_prints_what_is_recorded(runs, capsys):
    out, _ = done(["show", "a"], capsys)
    assert out.startswith("status: done\nname: a\nnotebook:\n  name: 02.ipynb\nparameters:\n  seed: 0\n")
    _, err = done(["show", "../a"], capsys, 1)
    assert err == "error: lerpnb show ../a: no such run in runs.\n`lerpnb ls --to runs` lists them.\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "/etc", "..\\x", "a/"])
def test_rm_never_leaves_the_folder_of_runs(runs, capsys, name):
    _, err = done(["rm", name, "--yes"], capsys, 1)
    assert err == f"error: rm({name!r}): a run's name has no slash and is not '..'.\nName a run of {runs}.\n"
    assert sorted(p.name for p in runs.iterdir()) == ["a", "b", "c.failed"]


def test_rm_refuses_what_is_no_run_and_asks(runs, capsys, tmp_path, monkeypatch):
    (runs / "mine").mkdir()
    (runs / "link").symlink_to(tmp_path)
    told = {
        "none": f"rm('none'): no such run in {runs}.",
        "mine": "rm('mine'): it holds no run.json, so it is no run.\nRemove it yourself.",
        "link": "rm('link'): it is a link to elsewhere.\nRemove the link yourself.",
    }
    for name, message in told.items():
        assert done(["rm", name, "--yes"], capsys, 1)[1] == f"error: {message}\n"
    monkeypatch.setattr("typer.confirm", lambda text, abort: asked.append(text))
    asked: list[str] = []
    assert done(["rm", "a"], capsys)[0] == "deleted a\n" and asked == ["Delete the run a in runs?"]
    assert not (runs / "a").exists() and (runs / "b").exists()


def test_rm_without_an_answer_deletes_nothing(runs, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    done(["rm", "a"], capsys, 1)
    assert (runs / "a").exists()
