"""Slopes: central differences in float64, a closed form, the caller's model as it was, every text its own."""

import copy

import numpy as np
import pytest
import torch
from float64 import Double

import lerpnb as ln
from lerpnb.data.batching import pad
from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.paths.base import BasePath
from lerpnb.probes import differentiable
from lerpnb.probes.loss import sequence_nll
from lerpnb.probes.slopes import LossSlope, derivatives, direction

PAIRS = ["tiny_llama_pair", "tiny_gpt2_pair"]
PAIRS += [pytest.param(f"tiny_{kind}_pair", marks=pytest.mark.slow) for kind in ("untied", "adapter", "gpt2_adapter")]


@pytest.fixture
def corpus(tiny) -> Corpus:
    return Corpus(tuple(tiny.TEXTS[:4]), (0,) * 4, ("film",), "film")


@pytest.fixture
def line(request, tiny_llama_pair) -> ln.Line:
    base, minus, plus = request.getfixturevalue(getattr(request, "param", "tiny_llama_pair"))
    return ln.Line(minus, plus, base, device="cpu")


def in_float64(line: ln.Line, alpha: float) -> torch.nn.Module:
    """theta(alpha), mixed in float64 from both ends."""
    model = copy.deepcopy(line.model).double()
    for name, parameter in model.named_parameters():
        minus, plus = (end.tensors[name].double() for end in (line.minus, line.plus))
        parameter.data.copy_((1 - alpha) * minus + alpha * plus)
    return model


def losses(line: ln.Line, corpus: Corpus, alpha: float) -> np.ndarray:
    """Each text's loss in float64."""
    ids, lengths = pad([line.tokenizer(text)["input_ids"] for text in corpus.texts])
    model = in_float64(line, alpha)
    with Double():
        return sequence_nll(model, ids, lengths, torch.ones_like(lengths)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("line", PAIRS, indirect=True)
def test_they_agree_with_central_differences_in_float64(line, corpus):
    alpha, h = 0.3, 1e-4
    low, here, high = (losses(line, corpus, alpha + step) for step in (-h, 0.0, h))
    found = LossSlope(line, corpus).measure(line.at(alpha), line.tokenizer)
    # The least of them decides how many digits a relative error has: it is set against the largest.
    for measure, expected in zip(found.values(), ((high - low) / (2 * h), (high - 2 * here + low) / h**2), strict=True):
        assert np.abs(measure.values - expected).max() <= 1e-4 * np.abs(expected).max()
        assert measure.value() == pytest.approx(np.average(expected, weights=measure.weights), rel=1e-4)
        assert np.abs(expected).max() > 1e-3
    assert [measure.unit for measure in found.values()] == ["nats/token per alpha", "nats/token per alpha²"]


@pytest.mark.slow
def test_in_float64_the_value_is_the_loss_and_nothing_but_the_differences_is_rounded(line, corpus):
    ids, lengths = pad([line.tokenizer(text)["input_ids"] for text in corpus.texts])
    along = {name: tensor.double() for name, tensor in direction(line).items()}
    with Double():
        value, slope, second = derivatives(in_float64(line, 0.7), along, ids, lengths)
    h = 1e-4
    low, here, high = (losses(line, corpus, 0.7 + step) for step in (-h, 0.0, h))
    assert np.allclose(value, here, rtol=1e-12)
    assert np.allclose(slope, (high - low) / (2 * h), rtol=1e-6, atol=1e-8)
    assert np.allclose(second, (high - 2 * here + low) / h**2, rtol=1e-4, atol=1e-6)


def test_where_the_ends_differ_in_the_head_alone_they_have_a_closed_form(tiny):
    """logits = (W + alpha D) h: the slope is E_p[D h] - (D h)_target, the second derivative Var_p[D h]."""
    minus = tiny.llama(tied=False)
    plus = copy.deepcopy(minus)
    plus.lm_head.weight.data += 0.3 * torch.randn(plus.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    words = tiny.tokenizer()
    line = ln.Line(*(ln.Checkpoint.from_model(model, words) for model in (minus, plus)), device="cpu")
    assert list(direction(line)) == ["lm_head.weight"]
    corpus = Corpus((tiny.TEXTS[0],), (0,), ("x",), "x")
    model, ids = line.at(0.5), torch.tensor(words(tiny.TEXTS[0])["input_ids"])
    with torch.no_grad():
        hidden = model.model(ids[None]).last_hidden_state[0, :-1].double()
        p = (hidden @ model.lm_head.weight.double().T).softmax(-1)
        d = hidden @ (plus.lm_head.weight - minus.lm_head.weight).double().T
    mean = (p * d).sum(-1)
    slope = (mean - d.gather(1, ids[1:, None])[:, 0]).mean().item()
    second = ((p * d**2).sum(-1) - mean**2).mean().item()
    found = LossSlope(line, corpus).measure(model, words)
    assert found["slope/x"].value() == pytest.approx(slope, rel=1e-5)
    assert found["curvature/x"].value() == pytest.approx(second, rel=1e-5)


@pytest.mark.slow
def test_a_walk_measures_them_beside_the_loss_and_changes_no_model(line, corpus, tmp_path):
    attention = line.model.config._attn_implementation
    alphas = [-1.0, 0.0, 0.5, 1.0]
    curve = ln.evaluate(line, alphas, [ln.Loss(corpus), LossSlope(line, corpus)], store=tmp_path)
    assert curve.quantities == ["loss/film", "perplexity/film", "slope/film", "curvature/film"]
    rows = curve.frame[curve.frame["quantity"] != "perplexity/film"]
    assert (rows["n"] == 4).all() and np.isfinite(rows[["low", "high"]]).all(axis=None)
    weights = rows.groupby("quantity", sort=False)["item_weights"].first()
    assert all(np.array_equal(weight, weights.iloc[0]) for weight in weights)
    assert line.model.config._attn_implementation == attention
    assert all(torch.equal(p, line.plus.tensors[n]) for n, p in line.at(1.0).named_parameters())
    again = ln.evaluate(line, alphas, [LossSlope(line, corpus)], store=tmp_path)
    assert again.provenance["measured"] == 0 and np.array_equal(again.value("slope/film"), curve.value("slope/film"))
    assert curve.provenance["item_names"]["slope/film"] == list(corpus.texts)


@pytest.mark.slow
@pytest.mark.parametrize("batch_tokens", [2, 30])
def test_batches_change_nothing(line, corpus, batch_tokens):
    whole, parts = (
        LossSlope(line, corpus, batch_tokens=tokens).measure(line.at(0.5), line.tokenizer)
        for tokens in (4096, batch_tokens)
    )
    assert all(np.allclose(whole[name].values, parts[name].values, rtol=1e-4, atol=1e-5) for name in whole)


def test_a_line_from_a_model_to_itself_is_level(tiny_llama_pair, corpus):
    line = ln.Line(*[tiny_llama_pair[0]] * 2, device="cpu")
    found = LossSlope(line, corpus).measure(line.at(0.5), line.tokenizer)
    assert direction(line) == {} and all((measure.values == 0).all() for measure in found.values())


@pytest.mark.slow
def test_a_nan_stays_one(line, corpus):
    model = line.at(0.5)
    with torch.no_grad():
        model.get_output_embeddings().weight[5] = torch.nan
    assert all(np.isnan(measure.value()) for measure in LossSlope(line, corpus).measure(model, line.tokenizer).values())


def test_a_straight_path_may_have_coefficients_a_tensor(tiny_llama_pair, corpus):
    class OnlyMlp(BasePath):
        def coefficients(self, at):
            return lambda name: (1 - at, at) if "mlp" in name else (1.0, 0.0)

    base, minus, plus = tiny_llama_pair
    path = OnlyMlp({"minus": minus, "plus": plus}, device="cpu")
    along = direction(path)
    assert along and all("mlp" in name for name in along)
    name = next(iter(along))
    ends = [end.tensors[name] for end in path.checkpoints.values()]
    assert torch.equal(along[name], ends[1] - ends[0])


@pytest.mark.slow
def test_what_has_no_slope_is_said(line, corpus, tiny_llama_pair):
    class Bent(BasePath):
        def coefficients(self, at):
            return (1 - at * at, at * at)

    base, minus, plus = tiny_llama_pair
    other, told = ln.Line(minus, plus, device="cpu"), []
    for call in (
        lambda: LossSlope(Bent({"minus": minus, "plus": plus}, device="cpu"), corpus),
        lambda: LossSlope(ln.Line(minus, plus, device="cpu", dtype="bfloat16"), corpus),
        lambda: LossSlope(line, corpus).measure(other.at(0.0), line.tokenizer),
    ):
        with pytest.raises(ProbeError) as error:
            call()
        told.append(str(error.value))
    assert told == [
        "LossSlope(path): Bent bends: its coefficients do not change evenly (model.embed_tokens.weight).\n"
        "A slope is measured along a straight path, such as a Line.",
        'LossSlope(path): computed in bfloat16, in which derivatives are mostly rounding.\nGive dtype="float32".',
        "slope/film: measured on another path than its own.\nEvaluate LossSlope(path)'s path.",
    ]


@pytest.mark.slow
def test_a_network_whose_second_derivative_torch_gets_wrong_is_refused(tiny_gpt2_pair, corpus, monkeypatch):
    base, minus, plus = tiny_gpt2_pair
    line = ln.Line(minus, plus, base, device="cpu")
    monkeypatch.delitem(differentiable.SPELLED_OUT, torch.nn.functional.layer_norm)  # the fused one
    with pytest.raises(ProbeError) as error:
        LossSlope(line, corpus).measure(line.at(0.5), line.tokenizer)
    first, last = str(error.value).split("\n")
    assert first.startswith("slope/film: GPT2LMHeadModel has no trustworthy second derivative: ")
    assert last == "An operation of it must be spelled out in lerpnb/probes/differentiable.py."


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text gpt2 opt gpt_neox phi phi3 falcon".split(),
)
def test_networks_of_other_kinds_have_them_too(kind, tiny, corpus):
    words, model = tiny.tokenizer(), tiny.network(kind)
    ends = [ln.Checkpoint.from_model(tiny.moved(model, seed), words) for seed in (1, 2)]
    line = ln.Line(*ends, device="cpu")
    h = 1e-4  # OPT's ReLU has kinks: a wider step meets one
    low, here, high = (losses(line, corpus, 0.5 + step) for step in (-h, 0.0, h))
    found = list(LossSlope(line, corpus).measure(line.at(0.5), words).values())
    for measure, expected in zip(found, ((high - low) / (2 * h), (high - 2 * here + low) / h**2), strict=True):
        assert np.abs(measure.values - expected).max() <= 1e-4 * np.abs(expected).max()
