"""Model soups: the mean of the first few, and of those that help."""

import pytest
import torch
from path_weights import both, close, tensors

from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.merging.soup import ModelSoup, greedy_soup
from lerpnb.probes.base import FunctionProbe


@pytest.mark.slow
def test_a_soup_is_the_mean_of_the_first(tiny_llama_pair):
    soup = ModelSoup({"a": tiny_llama_pair.base, **both(tiny_llama_pair)}, device="cpu")
    assert soup.coefficients(3) == (1 / 3,) * 3 and soup.coefficients(1.5) == (2 / 3, 1 / 3, 0.0)
    soup.at(3)
    for _, live, a, one, two in tensors(soup, "a", "one", "two"):
        assert close(live, (a + one + two) / 3)
    soup.at(1)
    assert all(torch.equal(live, a) for _, live, a in tensors(soup, "a"))
    other = ModelSoup({**both(tiny_llama_pair), "a": tiny_llama_pair.base}, device="cpu")
    assert soup.identity() != other.identity()  # at x = 1 they are other models
    with pytest.raises(AlphaError) as error:
        evaluate(soup, [0, 1], [lambda model, tokenizer: 0.0], store=False)
    assert str(error.value) == "evaluate(points): 0, expected a number of ingredients from 1 to 3."
    with pytest.raises(AlphaError) as error:
        ModelSoup({})
    assert str(error.value) == (
        "ModelSoup(ingredients): expected fine-tunes by role.\nPass {'one': model, 'two': another}."
    )


@pytest.mark.slow
def test_a_greedy_soup_keeps_what_helps(tiny, tiny_llama_pair, tmp_path, capsys):
    value = dict(zip("abcd", (3.0, -1.5, 9.0, 0.5), strict=True))
    models = {}
    for role in value:
        models[role] = tiny.llama()
        models[role].model.norm.weight.data.fill_(value[role])

    def off(model, tokenizer):
        return (model.model.norm.weight.mean() - 1).abs()

    probe = FunctionProbe("miss", off, cache_key="distance of the norm from 1")
    found = greedy_soup(models, probe, device="cpu", store=Cache(tmp_path))
    # alone 2, 2.5, 8, 0.5: d 0.5; d + a 1.75 is 0.75 off; d + b -0.5 is 1.5 off; d + c 4.75 is 3.75 off
    assert (
        capsys.readouterr().out
        == "greedy_soup: d 0.5, kept; with a 0.75, left out; with b 1.5, left out; with c 3.75, left out.\n"
    )
    assert list(found.checkpoints) == ["d"] and found.steps["alone"].tolist() == [0.5, 2.0, 2.5, 8.0]
    best = FunctionProbe("fit", lambda model, tokenizer: -(model.model.norm.weight.mean() - 1).abs())
    assert list(greedy_soup(models, best, higher_is_better=True, device="cpu").checkpoints) == ["d"]
    with pytest.raises(ProbeError) as error:
        greedy_soup(models, probe, "hit", device="cpu")
    assert str(error.value) == "greedy_soup(quantity): 'hit' is not measured for a.\nThe probe measures: miss."


@pytest.mark.slow
def test_a_greedy_soup_of_one_is_that_one(tiny, capsys):
    probe = FunctionProbe("weight", lambda model, tokenizer: model.model.norm.weight.mean())
    model = tiny.llama()
    model.model.norm.weight.data.fill_(2.0)
    soup = greedy_soup({"alone": model}, probe, device="cpu")
    assert capsys.readouterr().out == "greedy_soup: alone 2, kept.\n" and list(soup.checkpoints) == ["alone"]
