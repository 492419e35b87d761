"""Crosswalks: every pair of alphas measured once, stored, and what is refused before any work."""

from pathlib import Path

import numpy as np
import pytest

from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.crosswalks import cross
from lerpnb.paths.multiline import MultiLine
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.base import TextFunctionProbe
from lerpnb.runs.recording import record


@pytest.fixture(scope="module")
def product(tiny_adapter_pair) -> MultiLine:
    base, minus, plus = tiny_adapter_pair
    return MultiLine({"mood": (minus, plus), "style": (plus, minus)}, base, weights=(1, 1), device="cpu")


def size(model, tokenizer):
    return model.model.layers[0].self_attn.q_proj.weight.norm()


def test_every_pair_is_measured_and_kept(product, tmp_path):
    found = cross(product, ([0, 1], [1, 0, 0.5]), [size], store=tmp_path)
    assert found.names == ("mood", "style") and found.alphas == ((0.0, 1.0), (0.0, 0.5, 1.0))
    want = [[size(product.at((a, b)), None).item() for b in (0, 0.5, 1)] for a in (0, 1)]
    assert np.array_equal(found.surface("size"), want)
    assert (found.provenance["measured"], found.provenance["from_store"]) == (6, 0)
    again = cross(product, [0, 0.5, 1], [size], store=Cache(tmp_path))
    assert (again.provenance["measured"], again.provenance["from_store"]) == (3, 6)
    assert np.array_equal(again.surface("size")[[0, 2]], want)
    assert again.provenance["weights"] == (1.0, 1.0)


@pytest.mark.slow
def test_texts_are_shared_by_two_attributes_and_say_where_they_are_of(product, tiny, tmp_path):
    scorer = str(tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer()))
    how = dict(n_samples=2, max_new_tokens=3, device="cpu", perplexity_model=False)
    glad = AttributeStrength(scorer, ["the film", "nobody"], **how)
    sad = AttributeStrength(scorer, ["the film", "nobody"], label="negative", name="the other", **how)
    found = cross(product, [0, 1], [glad, sad, TextFunctionProbe("letters", len, glad.continuations)], store=False)
    assert {"strength/positive", "strength/negative (the other)", "letters"} <= set(found.quantities)
    total = found.surface("strength/positive") + found.surface("strength/negative (the other)")
    assert np.allclose(total, 1, atol=1e-6)
    samples = found.samples
    assert len(samples) == 4 * 2 * 2 and samples[["mood", "style"]].drop_duplicates().shape == (4, 2)
    one = samples[(samples["mood"] == 1) & (samples["style"] == 0)]
    value = found.measures["letters"][1.0, 0.0].value()
    assert one["continuation"].map(len).mean() == pytest.approx(value)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda p: cross(p, ([0, 1], []), [size]),
            AlphaError,
            "cross(alphas): a line has none.\nGive one grid for both lines, or two: ([0, 1], [0, 0.5, 1]).",
        ),
        (
            lambda p: cross(p, [0, 1, 0], [size]),
            AlphaError,
            "cross(alphas): 0 is given twice.\nGive one grid for both lines, or two: ([0, 1], [0, 0.5, 1]).",
        ),
        (
            lambda p: cross(p, [0, float("nan")], [size]),
            AlphaError,
            "cross(alphas): nan is not a finite number. Pass one, such as 0.5.",
        ),
        (
            lambda p: cross(p, [0, 1], []),
            ProbeError,
            "cross(probes): no probes.\nPass one or more, such as ln.Loss(corpus).",
        ),
    ],
)
def test_what_is_refused(product, call, kind, said):
    with pytest.raises(kind) as error:
        call(product)
    assert str(error.value) == said


def test_three_lines_are_no_pair(tiny_adapter_pair):
    ends = tiny_adapter_pair.minus, tiny_adapter_pair.plus
    with pytest.raises(AlphaError) as error:
        cross(MultiLine(dict.fromkeys("abc", ends), tiny_adapter_pair.base, device="cpu"), [0, 1], [size])
    assert str(error.value) == "cross(product): it has 3 lines, expected two."


def test_a_probe_that_does_not_repeat_is_refused(product):
    numbers = iter(range(9))

    def restless(model, tokenizer):
        return next(numbers)

    with pytest.raises(ProbeError) as error:
        cross(product, [0, 1], [restless], store=False)
    assert str(error.value) == (
        "walk(probes): 'restless' does not repeat: at alphas (0, 0) it is 0.0, then 1.0.\n"
        "Fix its seed, or pass check=False to walk through its noise."
    )


def test_live_models_without_a_tokenizer_are_refused(tiny):
    ends = [tiny.moved(tiny.llama(), seed) for seed in range(2)]
    with pytest.raises(ProbeError) as error:
        cross(MultiLine({"mood": ends, "style": ends}, device="cpu"), [0, 1], [size])
    assert str(error.value) == (
        "cross(product): the product has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
    )


def test_it_is_recorded_beside_its_notebook(product, tmp_path):
    found = cross(product, [0, 1], [size], store=False)
    found.provenance["ends"]["mood minus"] = home = str(Path.home() / "models" / "mine")
    folder = record(found, tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == ["crossing.json", "crossing.parquet"]
    assert home not in (folder / "crossing.json").read_text() and found.provenance["ends"]["mood minus"] == home
