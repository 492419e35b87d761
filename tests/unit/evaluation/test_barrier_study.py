"""study.py: conditions whose barrier is known in closed form, the table, the words, and what is recorded."""

import numpy as np
import pytest

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import CurveError, ProbeError
from lerpnb.evaluation.barrier_study import BarrierStudy, with_errors
from lerpnb.paths.line import Line
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = [0.0, 0.25, 0.5, 0.75, 1.0]


class Bump:
    """A loss that rises above a flat chord by 4 height a (1 - a), a read from the mixed weights themselves."""

    def __init__(self, height: float, spread: float = 0.0, name: str = "loss/x", unit: str = "nats/token"):
        self.height, self.spread, self.name, self.unit = height, spread, name, unit

    def identity(self):
        return None

    def measure(self, model, tokenizer):
        a = float(model.lm_head.weight[0, 0])
        if not np.isfinite(self.height):
            return {self.name: Measurement([np.nan] * 8, unit=self.unit)}
        bumps = self.height + self.spread * np.linspace(-1, 1, 8)
        start = 0.5 if self.name.startswith("accuracy") else 4.0
        return {self.name: Measurement(start + bumps * 4 * a * (1 - a), unit=self.unit)}


@pytest.fixture(scope="module")
def line(tiny) -> Line:
    import torch

    ends = [tiny.llama(tied=False) for _ in range(2)]
    with torch.no_grad():
        ends[0].lm_head.weight[0, 0], ends[1].lm_head.weight[0, 0] = 0.0, 1.0
    return Line(*(Checkpoint.from_model(end, tiny.tokenizer()) for end in ends), device="cpu")


@pytest.fixture(scope="module")
def study(line) -> BarrierStudy:
    study = BarrierStudy(GRID, tolerance=0.1, store=False)
    study.add("high", line, Bump(1.0, 0.1))
    study.add("low", line, Bump(-0.5))
    study.add("who knows", line, Bump(0.1, 0.5))
    study.add("classifier", line, Bump(-0.2, name="accuracy/x", unit="share"))
    return study


def test_barriers_gaps_and_verdicts_are_those_of_the_closed_form(study):
    numbers = study.to_frame()
    assert numbers["barrier"].tolist() == pytest.approx([1.0, 0.0, 0.1, 0.2])
    assert numbers["gap"].tolist() == pytest.approx([1.0, -0.375, 0.1, 0.2])
    assert numbers["line"].tolist() == ["breaks", "holds", "open", "breaks"]
    assert numbers["at_alpha"].tolist()[0] == 0.5 and numbers["minus"].tolist() == pytest.approx([4, 4, 4, 0.5])
    assert numbers["unit"].tolist() == ["nats/token"] * 3 + ["errors"]
    assert numbers["distance"].tolist() == pytest.approx([1.0] * 4) and numbers["cosine"].isna().all()
    high = numbers.loc["high"]
    assert 0.9 <= high["gap_low"] < 1.0 < high["gap_high"] <= 1.1


def test_the_table_reads_as_numbers_with_intervals(study):
    table = study.to_frame(text=True)
    assert table.loc["low", "largest gap"] == "−0.375 [−0.375, −0.375]"
    assert table.loc["low", "barrier"] == "0 [0, 0]"
    assert table.loc["high", "at minus, plus"] == "4.000, 4.000" and table.loc["high", "cosine of deltas"] == ""
    assert table["line"].tolist() == study.to_frame()["line"].tolist()


def test_the_words_say_what_the_numbers_say(study):
    lines = study.report().splitlines()
    assert lines[0] == ("The line breaks: at some alpha the whole interval lies more than 0.1 above the chord.")
    assert lines[1].startswith("  high: 1.000 [0.9") and lines[1].endswith("] nats/token")
    assert lines[2:5] == [
        "  classifier: 0.2 [0.2, 0.2] errors",
        "It holds: at every alpha the interval ends below 0.1 above the chord.",
        "  low: −0.375 [−0.375, −0.375] nats/token",
    ]
    assert lines[5] == "These texts do not tell: an interval lies on both sides of 0.1 above the chord."
    assert lines[6].startswith("  who knows: 0.10 [−0.") and len(lines) == 7
    assert study.report() in repr(study)


def test_a_nan_is_unknown_and_said(line):
    study = BarrierStudy([0, 0.5, 1], store=False)
    study.add("broken numbers", line, Bump(np.nan))
    assert study.to_frame()["line"].tolist() == ["unknown"] and np.isnan(study.to_frame()["barrier"].iloc[0])
    assert study.report() == ("Unknown: at some alpha there is no finite number.\n  broken numbers: NaN nats/token")
    assert study.plot().data


def test_all_of_it_is_one_curve_to_be_recorded(study, tmp_path):
    curve = Curve.load(study.curve.save(tmp_path))
    assert curve.quantities == ["loss/high", "loss/low", "loss/who knows", "errors/classifier"]
    assert curve.summary()["barrier/loss/high"]["value"] == pytest.approx(1.0)
    assert set(curve.provenance["conditions"]) == set(study.conditions) and curve.provenance["tolerance"] == 0.1
    assert curve.value("errors/classifier") == pytest.approx([0.5, 0.65, 0.7, 0.65, 0.5])


@pytest.mark.slow
def test_what_the_first_texts_told_is_recorded_too(line, tiny):
    from lerpnb.generation.continuations import Continuations
    from lerpnb.probes.base import TextFunctionProbe

    study = BarrierStudy([0, 0.5, 1], store=False)
    words = TextFunctionProbe(
        "words", lambda text: len(text.split()), Continuations(("the film",), n_samples=1, max_new_tokens=3)
    )
    found = study.add("first", line, Bump(0.0), extra_probes=[words])
    study.add("second", line, Bump(0.0))
    assert study.curve.quantities == ["loss/first", "loss/second", "words"]
    assert len(study.curve.samples) == len(found.samples) == 3


def test_errors_are_what_accuracy_leaves():
    curve = Curve.from_measures({a: {"accuracy/x": Measurement([1, 0, 1, 1], unit="share")} for a in (0.0, 1.0)})
    assert with_errors(curve, "accuracy/x")[0].value("errors/x").tolist() == [0.25, 0.25]
    assert with_errors(curve, "accuracy/x")[1] == "errors/x" and curve.quantity("accuracy/x").lower_is_better is False
    other = Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}})
    assert with_errors(other, "loss/x") == (other, "loss/x")


@pytest.mark.slow
def test_the_figure_has_a_panel_for_what_is_broken(study):
    assert [(trace.yaxis, len(trace.x)) for trace in study.plot().data] == [("y", 1), ("y2", 2), ("y3", 1)]


def test_what_cannot_be_studied_is_said(line, study):
    cases = [
        (
            CurveError,
            lambda: BarrierStudy([0, 1]),
            "BarrierStudy(alphas): a barrier needs 0, 1 and an alpha between them.\nPass alpha_grid(0, 1, 9), say.",
        ),
        (
            CurveError,
            lambda: BarrierStudy(GRID, tolerance=-1),
            "BarrierStudy(tolerance=-1): expected 0 or more, such as 0.02.",
        ),
        (
            ProbeError,
            lambda: study.add("high", line, Bump(1.0)),
            "BarrierStudy.add('high'): there is a condition of that name.\nGive it another.",
        ),
        (
            ProbeError,
            lambda: study.add("other", line, Bump(1.0, name="strength/x")),
            "BarrierStudy.add(probe): 'strength/x', expected a loss/... or an accuracy/...\n"
            "Pass a Loss, Seq2SeqLoss or Accuracy, and others as extra_probes=[...].",
        ),
        (
            CurveError,
            lambda: BarrierStudy(GRID).plot(),
            "plot_barriers(barriers): none.\nAdd a condition to the study first.",
        ),
    ]
    for kind, call, message in cases:
        with pytest.raises(kind) as error:
            call()
        assert str(error.value) == message
