"""The loop over planes, several lines, a simplex: values in closed form, the store, Ctrl-C, NaN, what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest

from lerpnb.data.corpus import Corpus
from lerpnb.errors import AlphaError, CurveError, ProbeError
from lerpnb.evaluation.adaptive import Adaptive
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.multiline import MultiLine
from lerpnb.paths.plane import Plane
from lerpnb.paths.simplex import Simplex
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.base import FunctionProbe, TextFunctionProbe
from lerpnb.probes.loss import Loss
from lerpnb.results.surface import Surface
from lerpnb.runs.recording import record


@pytest.fixture(scope="module")
def plane(tiny_llama_pair) -> Plane:
    return Plane(*tiny_llama_pair, device="cpu")


def bend(model, tokenizer):
    """A bowl on any plane: a sum of squared weights."""
    return model.lm_head.weight.double().square().sum()


bend.cache_key = "1"


@pytest.mark.slow
def test_adaptive_sampling_places_its_points_and_knows_the_bowl(plane, tmp_path, capsys):
    surface = evaluate(plane, probes=[bend], adaptive=Adaptive(plane.window(), max_points=30), store=tmp_path)
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
    assert said.startswith("evaluate(adaptive): 30 points, estimated error ") and "(bend; by polyharmonic" in said


@pytest.mark.slow
def test_what_is_finished_is_not_measured_again(plane, tmp_path):
    first = evaluate(plane, probes=[bend], adaptive=Adaptive(plane.window(), max_points=29), store=tmp_path)
    more = evaluate(plane, probes=[bend], adaptive=Adaptive(plane.window(), max_points=32), store=tmp_path)
    assert first.provenance["measured"] == 29 and first.provenance["from_store"] == 0
    assert more.provenance["measured"] == 3 and more.provenance["from_store"] == 29
    again = evaluate(plane, [tuple(at) for at in more.points], [bend], store=tmp_path)
    assert again.provenance["measured"] == 0 and "placement" not in again.provenance
    assert np.array_equal(again.value("bend"), more.value("bend"))


@pytest.mark.slow
def test_losses_and_texts_are_measured_with_intervals(plane, tiny):
    from lerpnb.generation.continuations import Continuations

    corpus = Corpus(tuple(tiny.TEXTS[:3]), (0,) * 3, ("x",), "x")
    words = TextFunctionProbe(
        "words", lambda text: len(text.split()), Continuations(("the film", "nobody"), n_samples=1, max_new_tokens=3)
    )
    surface = evaluate(plane, plane.grid(2), [Loss(corpus), words], store=False)
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

    surface = evaluate(plane, plane.grid(3), [stops], store=False, check=False)
    assert len(surface.points) == 5
    assert "Interrupted: 5 of 9 points are done." in capsys.readouterr().out
    seen[:] = [1] * 5
    with pytest.raises(KeyboardInterrupt):  # nothing is done
        evaluate(plane, plane.grid(3), [stops], store=False, check=False)


@pytest.mark.slow
def test_a_nan_stays_a_nan_and_the_rest_goes_on(plane):
    right = plane.marks["plus"][0]

    def sometimes(model, tokenizer):
        return math.nan if plane.here[0] > right else plane.here[1]

    surface = evaluate(
        plane, probes=[sometimes], adaptive=Adaptive(plane.window(), max_points=40), store=False, check=False
    )
    rows = surface["sometimes"]
    assert rows["value"].isna().equals(rows["x"] > right) and rows["value"].isna().any()
    assert np.isfinite(surface.provenance["placement"]["error_believed"])


def test_a_probe_that_does_not_repeat_is_refused(plane):
    drawn = iter(range(99))

    def luck(model, tokenizer):
        return next(drawn)

    with pytest.raises(ProbeError) as error:
        evaluate(plane, plane.grid(2), [luck], store=False)
    assert str(error.value) == (
        "evaluate(probes): 'luck' does not repeat: at point (0, 0) it is 0.0, then 1.0.\n"
        "Fix its seed, or pass check=False to measure its noise."
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (
            dict(adaptive=Adaptive((0, 1, 0, 1)), points=[(0, 0)]),
            AlphaError,
            "evaluate(points, adaptive): both are given.\nadaptive places the points itself. Pass one of them.",
        ),
        (
            dict(points=[]),
            AlphaError,
            "evaluate(points): no points.\nPass some, such as ln.alpha_grid(-1, 2, 13) or plane.grid(5).",
        ),
        (
            dict(points=[(0, 1), (0.0, 1)]),
            AlphaError,
            "evaluate(points): (0, 1) is given twice.\nGive each point once.",
        ),
        (dict(points=[0.5]), AlphaError, "evaluate(points): 0.5 is no point. Pass two numbers, such as (0.5, 0.0)."),
        (dict(probes=[]), ProbeError, "evaluate(probes): no probes.\nPass one or more, such as ln.Loss(corpus)."),
    ],
)
def test_what_cannot_be_measured_is_said(plane, arguments, kind, said):
    with pytest.raises(kind) as error:
        evaluate(plane, **{"probes": [bend], "store": False, **arguments})
    assert str(error.value) == said


def test_a_plane_without_a_tokenizer_is_refused(tiny):
    plane = Plane(*(tiny.moved(tiny.llama(), seed) for seed in range(3)), device="cpu")
    with pytest.raises(ProbeError) as error:
        evaluate(plane, probes=[bend], store=False)
    assert str(error.value) == (
        "evaluate(path): the Plane has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


@pytest.mark.slow  # it imports papermill
def test_a_surface_is_recorded_beside_its_notebook(plane, tmp_path):
    surface = evaluate(plane, plane.grid(2), [FunctionProbe("bend", bend)], store=False)
    back = Surface.load(record(surface, tmp_path / "out"))
    assert np.array_equal(back.value("bend"), surface.value("bend"))


@pytest.fixture(scope="module")
def product(tiny_adapter_pair) -> MultiLine:
    base, minus, plus = tiny_adapter_pair
    return MultiLine({"mood": (minus, plus), "style": (plus, minus)}, base, weights=(1, 1), device="cpu")


def size(model, tokenizer):
    return model.model.layers[0].self_attn.q_proj.weight.norm()


size.cache_key = "1"


@pytest.mark.slow
def test_every_pair_is_measured_and_kept(product, tmp_path):
    found = evaluate(product, ([0, 1], [1, 0, 0.5]), [size], store=tmp_path)
    assert found.axes == ("mood", "style") and found.levels == ((0.0, 1.0), (0.0, 0.5, 1.0))
    want = [[size(product.at((a, b)), None).item() for b in (0, 0.5, 1)] for a in (0, 1)]
    assert np.array_equal(found.matrix("size"), want)
    assert (found.provenance["measured"], found.provenance["from_store"]) == (6, 0)
    again = evaluate(product, [0, 0.5, 1], [size], store=Cache(tmp_path))
    assert (again.provenance["measured"], again.provenance["from_store"]) == (3, 6)
    assert np.array_equal(again.matrix("size")[[0, 2]], want)
    assert again.provenance["weights"] == [1.0, 1.0]


@pytest.mark.slow
def test_texts_are_shared_by_two_attributes_and_say_where_they_are_of(product, tiny, tmp_path):
    scorer = str(tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer()))
    how = dict(n_samples=2, max_new_tokens=3, device="cpu", perplexity_model=False)
    glad = AttributeStrength(scorer, ["the film", "nobody"], **how)
    sad = AttributeStrength(scorer, ["the film", "nobody"], label="negative", name="the other", **how)
    found = evaluate(product, [0, 1], [glad, sad, TextFunctionProbe("letters", len, glad.continuations)], store=False)
    assert {"strength/positive", "strength/negative (the other)", "letters"} <= set(found.quantities)
    total = found.matrix("strength/positive") + found.matrix("strength/negative (the other)")
    assert np.allclose(total, 1, atol=1e-6)
    samples = found.samples
    assert len(samples) == 4 * 2 * 2 and samples[["mood", "style"]].drop_duplicates().shape == (4, 2)
    one = samples[(samples["mood"] == 1) & (samples["style"] == 0)]
    value = found.matrix("letters")[1, 0]
    assert one["continuation"].map(len).mean() == pytest.approx(value)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda p: evaluate(p, ([0, 1], []), [size]),
            AlphaError,
            "evaluate(points): no points.\nPass some, such as ln.alpha_grid(-1, 2, 13) or plane.grid(5).",
        ),
        (
            lambda p: evaluate(p, [0, 1, 0], [size]),
            AlphaError,
            "evaluate(points): 0 is given twice.\nGive each point once.",
        ),
        (
            lambda p: evaluate(p, [0, float("nan")], [size]),
            AlphaError,
            "evaluate(points): nan is not a finite number. Pass one, such as 0.5.",
        ),
        (
            lambda p: evaluate(p, [0, 1], []),
            ProbeError,
            "evaluate(probes): no probes.\nPass one or more, such as ln.Loss(corpus).",
        ),
    ],
)
def test_what_is_refused_of_several_lines(product, call, kind, said):
    with pytest.raises(kind) as error:
        call(product)
    assert str(error.value) == said


@pytest.mark.slow
def test_three_lines_are_a_grid_of_three_coordinates(tiny_adapter_pair):
    ends = tiny_adapter_pair.minus, tiny_adapter_pair.plus
    path = MultiLine(dict.fromkeys("abc", ends), tiny_adapter_pair.base, device="cpu")
    surface = evaluate(path, ([0, 1], [0], [0, 1, 2]), [size], store=False)
    assert surface.axes == ("a", "b", "c") and surface.matrix("size").shape == (2, 1, 3)
    assert surface.matrix("size")[1, 0, 2] == size(path.at((1, 0, 2)), None).item()


def test_ctrl_c_returns_the_pairs_that_are_done(product):
    seen = []

    def stops(model, tokenizer):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return float(len(seen))

    surface = evaluate(product, ([0, 1], [0, 0.5]), [stops], store=False, check=False)
    assert surface.matrix("stops").ravel().tolist()[:3] == [1, 2, 3] and np.isnan(surface.matrix("stops")[1, 1])
    with pytest.raises(CurveError, match="'stops' was measured at 3 of the 4 points of the grid"):
        surface.effect("stops", "mood")


@pytest.mark.slow
def test_the_weights_of_a_simplex_are_coordinates(tiny_llama_pair, tmp_path):
    simplex = Simplex(dict(zip(("o", "minus", "plus"), tiny_llama_pair, strict=True)), device="cpu")
    surface = evaluate(simplex, simplex.lattice(2), [bend], store=tmp_path)
    assert surface.axes == ("o", "minus", "plus") and len(surface.points) == 6
    rows = surface["bend"].set_index(["o", "minus", "plus"])["value"]
    assert rows[0.5, 0, 0.5] == bend(simplex.at((0.5, 0, 0.5)), None).item()
    back = Surface.load(surface.save(tmp_path / "kept"))
    assert back.axes == surface.axes and back.to_frame().equals(surface.to_frame())
    assert repr(surface).splitlines()[0] == "Surface over o, minus, plus: 6 points"
    assert surface._repr_mimebundle_() == {"text/plain": repr(surface)}
    with pytest.raises(AlphaError, match="none are given, and a Simplex has no points by default"):
        evaluate(simplex, probes=[bend], store=False)
    with pytest.raises(AlphaError, match="over one or two coordinates, not over o, minus, plus"):
        evaluate(simplex, probes=[bend], adaptive=Adaptive((0, 1, 0, 1)), store=False)


def test_a_coordinate_called_as_a_column_is_refused(tiny_adapter_pair):
    ends = tiny_adapter_pair.minus, tiny_adapter_pair.plus
    with pytest.raises(CurveError) as error:
        evaluate(MultiLine({"value": ends, "b": ends}, device="cpu"), [0, 1], [size], store=False)
    assert str(error.value) == (
        "evaluate(MultiLine): value, b cannot name coordinates: value is taken.\nGive each another name."
    )


def test_a_probe_that_does_not_repeat_over_two_lines_is_refused(product):
    numbers = iter(range(9))

    def restless(model, tokenizer):
        return next(numbers)

    with pytest.raises(ProbeError) as error:
        evaluate(product, [0, 1], [restless], store=False)
    assert str(error.value) == (
        "evaluate(probes): 'restless' does not repeat: at alphas (0, 0) it is 0.0, then 1.0.\n"
        "Fix its seed, or pass check=False to measure its noise."
    )


def test_live_models_without_a_tokenizer_are_refused(tiny):
    ends = [tiny.moved(tiny.llama(), seed) for seed in range(2)]
    with pytest.raises(ProbeError) as error:
        evaluate(MultiLine({"mood": ends, "style": ends}, device="cpu"), [0, 1], [size])
    assert str(error.value) == (
        "evaluate(path): the MultiLine has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


def test_it_is_recorded_beside_its_notebook(product, tmp_path):
    found = evaluate(product, [0, 1], [size], store=False)
    found.provenance["ends"]["mood minus"] = home = str(Path.home() / "models" / "mine")
    folder = record(found, tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == ["surface.parquet", "surface_samples.parquet"]
    assert (
        Surface.load(folder).provenance["ends"]["mood minus"] == "~/models/mine"
        and found.provenance["ends"]["mood minus"] == home
    )
