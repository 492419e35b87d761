"""Surveys: values in closed form, the store, Ctrl-C, NaN, what is told and refused; a line beside random directions."""

import math

import numpy as np
import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.random_directions import compare_random_directions
from lerpnb.evaluation.surveys import survey
from lerpnb.paths.directions import random_direction
from lerpnb.paths.line import Line
from lerpnb.paths.plane import Plane
from lerpnb.probes.base import FunctionProbe, TextFunctionProbe
from lerpnb.probes.loss import Loss
from lerpnb.results.surface import Surface


@pytest.fixture(scope="module")
def plane(tiny_llama_pair) -> Plane:
    return Plane(*tiny_llama_pair, device="cpu")


def bend(model, tokenizer):
    """A bowl on any plane: a sum of squared weights."""
    return model.lm_head.weight.double().square().sum()


def test_a_survey_places_its_points_and_knows_the_bowl(plane, tmp_path, capsys):
    surface = survey(plane, [bend], most=30, store=tmp_path)
    assert len(surface.points) == 30 and surface.marks == plane.marks
    x, y = plane.on_line(0.3)[0], 0.4
    want = bend(plane.at((x, y)), None).item()
    assert surface.spline("bend").at([[x, y]])[0] == pytest.approx(want, rel=1e-6)
    told = surface.provenance["placement"]
    assert told["points"] == 30 and told["quantities"] == ["bend"] and told["most"] == 30
    assert told["error_believed"] < 1e-4 * want and told["window"] == list(plane.window())
    assert told["interpolation"] == [
        f"polyharmonic spline r^{surface.spline('bend').power} with a polynomial of degree 2"
    ]
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("survey(window, most): 30 points, error believed ") and "(bend; by polyharmonic" in said


def test_what_is_finished_is_not_measured_again(plane, tmp_path):
    first = survey(plane, [bend], most=29, store=tmp_path)
    more = survey(plane, [bend], most=32, store=tmp_path)
    assert first.provenance["measured"] == 29 and first.provenance["from_store"] == 0
    assert more.provenance["measured"] == 3 and more.provenance["from_store"] == 29
    again = survey(plane, [bend], points=[tuple(at) for at in more.points], store=tmp_path)
    assert again.provenance["measured"] == 0 and "placement" not in again.provenance
    assert np.array_equal(again.value("bend"), more.value("bend"))


def test_losses_and_texts_are_measured_with_intervals(plane, tiny):
    from lerpnb.generation.continuations import Continuations

    corpus = Corpus(tuple(tiny.TEXTS[:3]), (0,) * 3, ("x",), "x")
    words = TextFunctionProbe(
        "words", lambda text: len(text.split()), Continuations(("the film", "nobody"), n_samples=1, max_new_tokens=3)
    )
    surface = survey(plane, [Loss(corpus), words], points=plane.grid(2), store=False)
    assert surface.quantities == ["loss/x", "perplexity/x", "words"] and len(surface.points) == 4
    direct = Loss(corpus).measure(plane.at(tuple(surface.points[2].tolist())), plane.tokenizer)["loss/x"].value()
    assert surface.value("loss/x")[2] == direct
    low, high = surface["loss/x"]["low"], surface["loss/x"]["high"]
    assert (low < surface.value("loss/x")).all() and (surface.value("loss/x") < high).all()


def test_ctrl_c_returns_what_is_done(plane, capsys):
    seen = []

    def stops(model, tokenizer):
        seen.append(1)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return 1.0

    surface = survey(plane, [stops], points=plane.grid(3), store=False, check=False)
    assert len(surface.points) == 5
    assert "Interrupted: 5 of 9 points are done." in capsys.readouterr().out
    seen[:] = [1] * 5
    with pytest.raises(KeyboardInterrupt):  # nothing is done
        survey(plane, [stops], points=plane.grid(3), store=False, check=False)


def test_a_nan_stays_a_nan_and_the_rest_goes_on(plane):
    right = plane.marks["plus"][0]

    def sometimes(model, tokenizer):
        return math.nan if plane.here[0] > right else plane.here[1]

    surface = survey(plane, [sometimes], most=40, store=False, check=False)
    rows = surface["sometimes"]
    assert rows["value"].isna().equals(rows["x"] > right) and rows["value"].isna().any()
    assert np.isfinite(surface.provenance["placement"]["error_believed"])


def test_a_probe_that_does_not_repeat_is_refused(plane):
    drawn = iter(range(99))

    def luck(model, tokenizer):
        return next(drawn)

    with pytest.raises(ProbeError) as error:
        survey(plane, [luck], points=plane.grid(2), store=False)
    assert str(error.value) == (
        "walk(probes): 'luck' does not repeat: at point (0, 0) it is 0.0, then 1.0.\n"
        "Fix its seed, or pass check=False to walk through its noise."
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (
            dict(window=(0, 1, 0, 1), points=[(0, 0)]),
            AlphaError,
            "survey(window, points): both are given.\nA window is for points that are placed. Pass one.",
        ),
        (dict(points=[]), AlphaError, "survey(points): no points.\nPass plane.grid(5), say."),
        (
            dict(points=[(0, 1), (0.0, 1)]),
            AlphaError,
            "survey(points): (0, 1) is given twice.\nGive each point once.",
        ),
        (
            dict(points=[0.5]),
            AlphaError,
            "survey(points): 0.5 is no point. Pass two numbers, such as (0.5, 0.0).",
        ),
        (
            dict(probes=[]),
            ProbeError,
            "survey(probes): no probes.\nPass one or more, such as ln.Loss(corpus).",
        ),
    ],
)
def test_what_cannot_be_surveyed_is_said(plane, arguments, kind, said):
    with pytest.raises(kind) as error:
        survey(plane, **{"probes": [bend], "store": False, **arguments})
    assert str(error.value) == said


def test_a_plane_without_a_tokenizer_is_refused(tiny):
    plane = Plane(*(tiny.moved(tiny.llama(), seed) for seed in range(3)), device="cpu")
    with pytest.raises(ProbeError) as error:
        survey(plane, [bend], store=False)
    assert str(error.value) == (
        "survey(plane): the plane has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


@pytest.mark.slow  # it imports papermill
def test_a_surface_is_recorded_beside_its_notebook(plane, tmp_path):
    from lerpnb.runs.recording import record

    surface = survey(plane, [FunctionProbe("bend", bend)], points=plane.grid(2), store=False)
    back = Surface.load(record(surface, tmp_path / "out"))
    assert np.array_equal(back.value("bend"), surface.value("bend"))


def test_random_directions_have_the_lines_length_and_start(tiny_adapter_pair, tmp_path):
    line = Line(*tiny_adapter_pair[1:], device="cpu")
    before = {name: tensor.clone() for name, tensor in line.minus.tensors.items()}

    def apart(model, tokenizer):
        """Squared distance from minus."""
        live = dict(model.named_parameters())
        return sum((live[name].double() - tensor).square().sum() for name, tensor in before.items() if name in live)

    fan = compare_random_directions(line, [apart], [-1, 0, 0.5, 1], n=3, store=False)
    length = line.summary().loc["all", "distance"]
    assert fan.provenance["length"] == pytest.approx(length, rel=1e-6) and fan.provenance["seeds"] == [0, 1, 2]
    for curve in (fan.line, *fan.others):
        assert curve.value("apart") == pytest.approx(length**2 * np.array([1, 0, 0.25, 1]), rel=1e-5, abs=1e-12)
    assert len(fan.others) == 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in line.minus.tensors.items())


def test_random_directions_come_from_the_store_again(tiny_llama_pair, tmp_path):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    first = compare_random_directions(line, [bend], [0, 1], n=2, store=tmp_path)
    again = compare_random_directions(line, [bend], [0, 1], n=3, store=Cache(tmp_path))
    assert [curve.provenance["measured"] for curve in (first.line, *first.others)] == [2, 2, 2]
    assert [curve.provenance["measured"] for curve in (again.line, *again.others)] == [0, 0, 0, 2]
    values = [curve.value("bend")[1] for curve in again.others]
    assert values[:2] == [curve.value("bend")[1] for curve in first.others] and len(set(values)) == 3


def test_ctrl_c_returns_the_directions_that_are_done(tiny_llama_pair, capsys):
    line, seen = Line(*tiny_llama_pair[1:], device="cpu"), []

    def stops(model, tokenizer):
        seen.append(1)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return 1.0

    fan = compare_random_directions(line, [stops], [0, 1], n=5, store=False, check=False)
    assert len(fan.others) == 1 and fan.provenance["seeds"] == [0]
    assert "Interrupted" in capsys.readouterr().out


def test_no_directions_are_refused(tiny_llama_pair):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    for n in (0, 2.5, True):
        with pytest.raises(AlphaError) as error:
            compare_random_directions(line, [bend], n=n)
        assert str(error.value) == (
            f"compare_directions(n): got {n!r}.\nIt takes a whole number of directions, 1 or more."
        )


def test_a_direction_leads_a_checkpoint_to_a_mixable_one(tiny):
    minus = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    from lerpnb.paths.directions import moved

    line = Line(minus, moved(minus, random_direction(minus), 1.0, "there"), device="cpu")
    assert line.summary().loc["all", "distance"] == pytest.approx(1.0, rel=1e-5)
