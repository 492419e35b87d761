"""Comparisons: labels from what differs, the best alpha by each rule, the figure's traces."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from run_folders import make

from lerpnb.errors import RunError
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs.compare import compare_runs

ALPHAS = (-1.0, 0.0, 0.5, 1.0, 2.0)


def put(name: str, strength: list[float], perplexity: list[float] | None, **parameters) -> None:
    points = {}
    for i, alpha in enumerate(ALPHAS):
        loss = 4 + (alpha - 0.5) ** 2
        points[alpha] = {"loss/a": Measurement([loss]), "loss/b": Measurement([loss + 1])}
        points[alpha]["strength/good"] = Measurement([strength[i]] * 2, unit="probability", items="prompts")
        if perplexity:
            points[alpha]["perplexity/continuations"] = Measurement([perplexity[i]] * 2, unit="perplexity")
    make(name, **parameters)
    Curve.from_measures(points).save(Path("runs") / name)


@pytest.fixture
def two(tmp_path, monkeypatch) -> None:
    """Two runs that differ in seed and lo, and one that failed."""
    monkeypatch.chdir(tmp_path)
    put("a", [0.1, 0.2, 0.5, 0.7, 0.9], [30, 10, 10, 20, 23], seed=0, lo=-1.0, data="x")
    put("b", [0.1, 0.2, 0.8, 0.7, 0.9], [30, 10, 10, 20, 19], seed=1, lo=-1.5, data="x")
    make("c.failed", seed=2, lo=-1.0, data="x")


@pytest.mark.slow
def test_labels_are_what_the_runs_differ_in(two):
    comparison = compare_runs("runs")
    assert comparison.labels == {"a": "seed 0, lo -1", "b": "seed 1, lo -1.5"}
    assert comparison.without == ("c.failed",)
    assert compare_runs("runs", "seed == 0").labels == {"a": "a"}
    assert compare_runs(["runs/a", "runs/b"]).labels == comparison.labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "best"),
    [
        ({}, [1.0, 2.0]),  # a: at most 22, and 23 is more; b: 19 is within it
        ({"slack": 1.2}, [2.0, 2.0]),
        ({"slack": 1.0}, [1.0, 2.0]),
        ({"rule": "strongest"}, [2.0, 2.0]),
        ({"rule": "loss"}, [0.5, 0.5]),
    ],
)
def test_the_best_alpha_by_each_rule(two, options, best):
    table = compare_runs("runs", **options).to_frame()
    assert table["best alpha"].tolist() == best
    assert table["strength/good"].tolist() == [
        dict(zip(ALPHAS, [0.1, 0.2, 0.5, 0.7, 0.9], strict=True))[best[0]],
        dict(zip(ALPHAS, [0.1, 0.2, 0.8, 0.7, 0.9], strict=True))[best[1]],
    ]


def test_the_rule_is_stated_and_the_table_has_what_differs(two):
    comparison = compare_runs("runs")
    assert comparison.rule == (
        "the highest strength/good where perplexity/continuations is at most 1.1 times the larger of its values at "
        "alpha 0 and 1"
    )
    assert list(comparison.to_frame()) == ["seed", "lo", "best alpha", "strength/good", "perplexity/continuations"]
    assert repr(comparison).startswith(f"Comparison of 2 runs; best alpha: {comparison.rule}.\nWithout a curve: c.fail")


@pytest.mark.slow
def test_what_was_not_measured_leaves_the_best_alpha_unknown(two):
    put("d", [0.1, 0.2, np.nan, 0.7, 0.9], None, seed=3, lo=0.0, data="x")
    table = compare_runs("runs").to_frame()
    assert np.isnan(table.loc["d", "best alpha"]) and table.loc["a", "best alpha"] == 1.0
    assert compare_runs("runs", rule="strongest").to_frame().loc["d", "best alpha"] == 2.0


def test_a_quantity_of_some_runs_is_compared_and_without_the_default_fluency_too(two):
    put("d", [0.1, 0.2, np.nan, 0.7, 0.9], None, seed=3, lo=0.0, data="x")
    assert (
        compare_runs("runs", rule="loss", fluency="perplexity/continuations").to_frame().loc["a", "best alpha"] == 0.5
    )
    assert (
        compare_runs(["runs/d"], rule="strongest", attribute="strength/good").to_frame().loc["d", "best alpha"] == 2.0
    )


@pytest.mark.slow
def test_the_figure_has_a_color_a_run_and_a_panel_a_quantity(two):
    fig = compare_runs("runs").plot()
    drawn = [trace for trace in fig.data if trace.mode == "lines+markers"]
    assert [(t.name, t.yaxis) for t in drawn if t.name.startswith("seed 0")] == [
        ("seed 0, lo -1", axis) for axis in ("y", "y2", "y3", "y4")
    ]
    assert len({t.line.color for t in drawn}) == 2 and fig.layout.showlegend is False
    diamonds = [(t.x[0], t.y[0], t.yaxis) for t in fig.data if t.name == "best alpha"]
    assert diamonds == [(1.0, 0.7, "y3"), (2.0, 0.9, "y3")]
    named = [(note.text, note.font.color) for note in fig.layout.annotations if note.yref == "y3"]
    assert named == [(trace.name, trace.line.color) for trace in drawn if trace.yaxis == "y3"]
    titles = [fig.layout[f"yaxis{row}"].title.text for row in ("", 2, 3, 4)]
    assert titles == ["loss/a", "loss/b", "strength/good<br>probability 0 to 1", "perplexity/continuations"]
    assert fig.layout.meta["alt"] == (
        "strength/good rises in 2 of 2 runs (+0.5 from alpha 0 to 1). best alpha 1 to 2. "
        "Curves of 2 runs over alpha. seed 0, lo -1: best alpha 1, seed 1, lo -1.5: best alpha 2."
    )
    config = compare_runs("runs")._repr_mimebundle_()["application/vnd.plotly.v1+json"]["config"]
    assert config["showSendToCloud"] is False


@pytest.mark.slow
def test_a_new_column_of_the_table_leaves_the_figure_as_it_is(two):
    comparison = compare_runs("runs")
    assert (comparison.attribute, comparison.fluency) == ("strength/good", "perplexity/continuations")
    wider = replace(comparison, frame=comparison.frame.assign(note="new"))
    assert wider.plot().to_plotly_json() == comparison.plot().to_plotly_json()


@pytest.mark.slow
def test_texts_in_labels_cannot_run(two):
    put("e", [0.1] * 5, None, seed="<script>$x$", lo=0.0, data="x")
    drawn = compare_runs("runs").plot().to_plotly_json()
    del drawn["layout"]["meta"]  # the alt text, which the page escapes
    text = json.dumps(drawn, default=str)
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "compare_runs(rule='best'): no such rule.\nIt is one of: fluent, strongest, loss."),
        ({"slack": 0.9}, "compare_runs(slack=0.9): expected 1 or more, such as 1.1."),
        (
            {"where": "seed == 2"},
            "compare_runs(runs): none of 1 runs has a curve.\n"
            "Pass a folder of runs of 02_interpolate, or a wider `where`.",
        ),
        (
            {"attribute": "strength/bad"},
            "compare_runs(attribute='strength/bad'): no run has it.\n"
            "Measured were: loss/a, loss/b, strength/good, perplexity/continuations.",
        ),
        (
            {"fluency": "perplexity"},
            "compare_runs(fluency='perplexity'): no run has it.\n"
            "Measured were: loss/a, loss/b, strength/good, perplexity/continuations.",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(two, options, message):
    with pytest.raises(RunError) as error:
        compare_runs("runs", **options)
    assert str(error.value) == message
