"""KL: numpy's value from transformers' logits, a closed form, zero for one model, and what is refused."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import lerpnb as ln
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import ArgumentError, MismatchError, ProbeError
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample
from lerpnb.probes import kl as kl_module
from lerpnb.probes.kl import KL

TEXTS = ("the film was a slow and lovely thing", "it wants to be clever", "what a waste of two good hours")
CORPUS = ln.Corpus(TEXTS, (0, 0, 0), ("any",), "film")
SPEC = Continuations(("the film", "it was"), n_samples=2, max_new_tokens=4, top_p=1.0)


@pytest.fixture(params=["tiny_llama_pair", "tiny_gpt2_pair"])
def trio(request):
    return request.getfixturevalue(request.param)


def log_probabilities(model, ids: list[int]) -> np.ndarray:
    """(places, vocabulary) float64, by transformers and numpy: of the token after each place."""
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].numpy().astype(np.float64)
    return (
        logits
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        - logits.max(1, keepdims=True)
    )


def by_numpy(p_model, q_model, ids: list[int], places: slice) -> np.ndarray:
    p, q = (log_probabilities(model, ids)[places] for model in (p_model, q_model))
    return np.stack([(np.exp(a) * (a - b)).sum(1) for a, b in ((p, q), (q, p))])


@pytest.mark.slow
@pytest.mark.parametrize("batch_tokens", [2, 4096])
def test_it_is_the_divergence_of_transformers_logits(trio, batch_tokens, monkeypatch):
    monkeypatch.setattr(kl_module, "LOGITS", 1200)  # three tokens a chunk
    base, model = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (trio[0], trio[2]))
    words = AutoTokenizer.from_pretrained(trio[0])
    probe = KL(CORPUS, trio[0], reverse=True, name="films", batch_tokens=batch_tokens, device="cpu")
    found = probe.measure(model, words)
    want = [by_numpy(model, base, words(text)["input_ids"], slice(None, -1)) for text in TEXTS]
    for row, name in enumerate(("kl/base (films)", "reverse-kl/base (films)")):
        assert np.allclose(found[name].values, [each[row].mean() for each in want], rtol=1e-4)
        assert found[name].value() == pytest.approx(np.concatenate([each[row] for each in want]).mean(), rel=1e-4)
        assert (found[name].unit, found[name].items) == ("nats/token", "texts")


def test_a_head_that_does_more_than_multiply(tiny):
    base, words = tiny.network("gemma2"), tiny.tokenizer()  # it caps its logits
    model = tiny.moved(base, 3, 0.1)
    found = KL(CORPUS, Checkpoint.from_model(base, words, "base")).measure(model, words)["kl/base"]
    want = [by_numpy(model, base, words(text)["input_ids"], slice(None, -1))[0].mean() for text in TEXTS]
    assert np.allclose(found.values, want, rtol=1e-4)


def test_two_tokens_have_a_closed_form():
    """One vector for all tokens, so that each place has the same hidden state h; logits c, 0, and -1000 for a third."""
    sizes = dict(vocab_size=3, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1)

    def coin(c: float) -> LlamaForCausalLM:
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
        with torch.no_grad():
            model.model.embed_tokens.weight[1:] = model.model.embed_tokens.weight[0]
            h = model.model(torch.tensor([[0, 1]])).last_hidden_state[0, 0]
            model.lm_head.weight[:] = torch.outer(torch.tensor([c, 0.0, -1000.0]), h / h.square().sum())
        return model

    class Words:
        def __call__(self, texts, **settings):
            return {"input_ids": [[0, 1, 1, 0] for _ in texts]}

    s, u = 1 / (1 + math.exp(-1.5)), 1 / (1 + math.exp(0.25))
    probe = KL(ln.Corpus(("x",), (0,), ("x",), "x"), Checkpoint.from_model(coin(-0.25), None, "coin"))
    found = probe.measure(coin(1.5), Words())["kl/coin"]
    assert found.value() == pytest.approx(s * math.log(s / u) + (1 - s) * math.log((1 - s) / (1 - u)), rel=1e-6)
    assert found.weights.tolist() == [3]


@pytest.mark.slow
def test_a_line_is_measured_against_its_own_checkpoints(tiny_llama_pair):
    line = ln.Line(tiny_llama_pair.minus, tiny_llama_pair.plus, tiny_llama_pair.base, device="cpu")
    probes = [KL(CORPUS), KL(CORPUS, "minus", reverse=True), KL(SPEC, "plus")]
    curve = ln.evaluate(line, [0, 0.5, 1], probes, store=False)
    assert curve.quantities == ["kl/base", "kl/minus", "reverse-kl/minus", "kl/plus"]
    assert curve.value("kl/minus")[0] == curve.value("reverse-kl/minus")[0] == curve.value("kl/plus")[2] == 0
    assert (curve.value("kl/minus")[1:] > 1e-4).all() and (curve.value("kl/base") > 1e-4).all()
    assert set(curve.frame.loc[curve.frame["quantity"] == "kl/plus", "items"]) == {"prompts"}


def test_a_model_almost_equal_has_no_negative_divergence(tiny_llama_pair, tiny):
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[0]).eval()
    near = Checkpoint.from_model(tiny.moved(model, 3, 1e-6), None, "near")
    found = KL(CORPUS, near, reverse=True).measure(model, AutoTokenizer.from_pretrained(tiny_llama_pair[0]))
    assert all(-1e-14 < v < 1e-7 for m in found.values() for v in m.values)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [False, True])
def test_of_its_own_texts_it_is_the_divergence_at_each_token_that_was_written(tiny_llama_pair, stops):
    words = AutoTokenizer.from_pretrained(tiny_llama_pair[0])
    base, model = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in tiny_llama_pair[:2])
    if stops:
        with torch.no_grad():
            model.lm_head.weight[words.eos_token_id] *= 4  # some texts end before four tokens
    frame = sample(model, words, SPEC)
    assert (frame["n_tokens"] < 4).any() == stops
    sums, tokens = np.zeros(2), np.zeros(2)
    for row in frame.itertuples():
        before = len(words(row.prompt)["input_ids"])
        ids = words(row.prompt + row.continuation)["input_ids"]
        if len(ids) != before + row.n_tokens:
            pytest.skip("a text that is tokenized in another way than it was written")
        ended = row.n_tokens < 4
        found = by_numpy(model, base, ids, slice(before - 1, None if ended else -1))[0]
        sums[row.prompt_id] += found.sum()
        tokens[row.prompt_id] += len(found)
    found = KL(SPEC, Checkpoint.from_model(base, words, "base")).measure(model, words)["kl/base"]
    assert np.allclose(found.values, sums / tokens, rtol=1e-4) and found.weights.tolist() == tokens.tolist()


def test_a_model_that_cannot_be_used_is_nan(tiny_llama_pair):
    words = AutoTokenizer.from_pretrained(tiny_llama_pair[0])
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[1]).eval()
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    base = Checkpoint.load(tiny_llama_pair[0])
    assert math.isnan(KL(CORPUS, base).measure(model, words)["kl/base"].value())
    with pytest.warns(UserWarning, match="kl/base"):
        assert math.isnan(KL(SPEC, base).measure(model, words)["kl/base"].value())


@pytest.mark.slow
def test_bad_input_is_refused(tiny_llama_pair, tiny):
    minus, plus = tiny_llama_pair[1:]
    words, model = AutoTokenizer.from_pretrained(minus), AutoModelForCausalLM.from_pretrained(minus).eval()
    for call, text in {
        lambda: KL(CORPUS, max_length=1): "KL(max_length): got 1.\nIt takes 2 or more.",
        lambda: ln.evaluate(ln.Line(minus, plus, device="cpu"), [0], [KL(CORPUS)], store=False): (
            "KL(reference='base'): the path has none.\nName a model, or pass a Checkpoint, or base=... to the path."
        ),
        lambda: KL(CORPUS).measure(model, words): (
            "KL(reference='base'): not prepared.\n"
            "ln.evaluate takes it from the path; elsewhere call prepare(checkpoint), or pass a Checkpoint."
        ),
        lambda: KL(CORPUS, Checkpoint.from_model(tiny.llama(vocabulary=90), None, "small")).measure(model, words): (
            "kl/small: a vocabulary of 100 against the reference's 90.\n"
            "A divergence needs one vocabulary: take a reference with the same tokenizer."
        ),
        lambda: KL(ln.Corpus(("the",), (0,), ("x",), "x"), Checkpoint.load(plus)).measure(model, words): (
            "kl/plus: 'the' has 1 token.\nA divergence needs two or more."
        ),
    }.items():
        with pytest.raises(ProbeError) as error:
            call()
        assert str(error.value) == text
    with pytest.raises(ArgumentError, match=r"KL\(reference\): got 3 .*\nIt takes a text, a Path or a Checkpoint\."):
        ln.probes.KL(CORPUS, 3)
    other = Checkpoint.from_model(tiny.llama(seed=3), tiny.tokenizer(["other words", *tiny.TEXTS]), "other")
    with pytest.raises(MismatchError, match="tokenizers differ"):
        KL(CORPUS, other).measure(model, words)
