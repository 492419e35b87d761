"""Curvature: a quadratic with known eigenvalues, full Hessians of very small models, and the second derivative."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from float64 import Double
from torch.func import functional_call, hessian
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import lerpnb as ln
from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.probes import loss as loss_module
from lerpnb.probes.curvature import Hessian, Sharpness, dot, random_signs, top_eigenvalues, trace_estimates
from lerpnb.probes.differentiable import differentiable
from lerpnb.probes.slopes import LossSlope, direction

IDS, LENGTHS = torch.tensor([[1, 2, 3, 4, 5], [5, 3, 1, 0, 0]]), torch.tensor([5, 3])


def llama(tied: bool = True) -> LlamaForCausalLM:
    sizes = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, tie_word_embeddings=tied))


def gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=2))


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("untied llama", "gpt2")]


@pytest.fixture(params=["tied llama", *SLOW])
def model(request, tiny) -> Iterator[torch.nn.Module]:
    torch.manual_seed(0)
    made = gpt2() if request.param == "gpt2" else llama("untied" not in request.param)
    with Double():
        yield tiny.moved(made, 1, 0.3).double().eval().requires_grad_(False)


def whole_hessian(model: torch.nn.Module) -> torch.Tensor:
    """(n, n) by torch.func.hessian, of transformers' own loss of each text weighted by its tokens."""
    named = dict(model.named_parameters())
    sizes = [p.numel() for p in named.values()]

    def mean_loss(flat: torch.Tensor) -> torch.Tensor:
        weights = {n: x.view(p.shape) for (n, p), x in zip(named.items(), flat.split(sizes), strict=True)}
        total = 0.0
        for ids, length in zip(IDS, LENGTHS, strict=True):
            logits = functional_call(model, weights, (ids[None, :length],)).logits[0, :-1]
            total = total + torch.nn.functional.cross_entropy(logits, ids[1:length], reduction="sum")
        return total / (LENGTHS - 1).sum()

    with differentiable():
        return hessian(mean_loss)(torch.cat([p.flatten() for p in named.values()]))


def test_the_eigenvalues_and_trace_of_a_quadratic_are_its_own():
    generator = torch.Generator().manual_seed(0)
    known = torch.cat([torch.tensor([9.0, 7.0, 4.0, -8.0]), torch.linspace(-0.5, 0.5, 56)]).double()
    basis = torch.linalg.qr(torch.randn(60, 60, generator=generator, dtype=torch.float64))[0]
    matrix = basis * known @ basis.T
    start = random_signs(60, 0, matrix)
    assert top_eigenvalues(lambda v: matrix @ v, start, 3, tol=1e-10) == pytest.approx([9.0, 7.0, 4.0], rel=1e-9)
    assert top_eigenvalues(lambda v: matrix @ v, start, 1, vectors=2, max_products=500) == pytest.approx(
        [9.0], rel=0.01
    )
    assert top_eigenvalues(lambda v: -(matrix @ v), start, 1) == pytest.approx([8.0], rel=0.01)
    in_float32 = top_eigenvalues(lambda v: matrix.float() @ v, start.float(), 2, tol=1e-4)
    assert in_float32 == pytest.approx([9.0, 7.0], rel=1e-4)
    draws = trace_estimates(lambda v: matrix @ v, 60, 400, like=matrix)
    off = 2 * (matrix.square().sum() - matrix.diagonal().square().sum()).item()
    assert draws.mean() == pytest.approx(12.0, abs=4 * (off / 400) ** 0.5)
    assert draws.var() == pytest.approx(off, rel=0.3)


@pytest.mark.slow
def test_a_product_is_that_of_the_whole_hessian(model):
    expected = whole_hessian(model)
    product = Hessian(model, [(IDS, LENGTHS)])
    v = torch.randn(product.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(product(v), expected @ v, rtol=1e-9, atol=1e-11)
    one_by_one = Hessian(model, [(IDS[:1], LENGTHS[:1]), (IDS[1:, :3], LENGTHS[1:])])
    assert torch.allclose(one_by_one(v), expected @ v, rtol=1e-9, atol=1e-11) and one_by_one.products == 1


@pytest.mark.slow
def test_its_largest_eigenvalues_and_trace_are_those_of_the_whole_hessian(model):
    whole = whole_hessian(model)
    expected = torch.linalg.eigvalsh(whole).flip(0).numpy()
    product = Hessian(model, [(IDS, LENGTHS)])
    found = top_eigenvalues(product, random_signs(product.n, 0, product.like), 2, tol=1e-4, vectors=20)
    assert found == pytest.approx(expected[:2], rel=1e-4)
    draws = trace_estimates(product, product.n, 8, like=product.like)
    assert draws == pytest.approx([dot(v, whole @ v) for v in (random_signs(product.n, i, whole) for i in range(8))])
    off = 2 * (whole.square().sum() - whole.diagonal().square().sum()).item()
    assert draws.mean() == pytest.approx(expected.sum(), abs=4 * (off / 8) ** 0.5)


@pytest.mark.slow
def test_the_pieces_of_the_logits_change_nothing(model, monkeypatch):
    product = Hessian(model, [(IDS, LENGTHS)])
    v = random_signs(product.n, 3, product.like)
    whole, seen = product(v), []
    monkeypatch.setattr(loss_module, "LOGITS", 16)  # two tokens a piece
    handle = model.get_output_embeddings().register_forward_hook(lambda module, args, out: seen.append(out.numel()))
    assert torch.allclose(product(v), whole, rtol=1e-10, atol=1e-12)
    handle.remove()
    assert seen == [16, 16, 16]


def test_a_head_that_does_more_than_multiply_has_its_hessian_too(tiny):
    """Gemma 2 caps its logits; here a product is set against central differences of the gradient."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    model = tiny.network("gemma2", **sizes, final_logit_softcapping=1.0).double()
    product = Hessian(model, [(IDS, LENGTHS)])
    assert not loss_module.head_is_last(model)
    v = torch.randn(product.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def gradient(step: float) -> torch.Tensor:
        moved = copy.deepcopy(model).requires_grad_(True)
        for parameter, part in zip(moved.parameters(), v.split(product.sizes), strict=True):
            parameter.data += step * part.view(parameter.shape)
        sums = [moved(i[None, :n], labels=i[None, :n]).loss * (n - 1) for i, n in zip(IDS, LENGTHS, strict=True)]
        return torch.cat([g.flatten() for g in torch.autograd.grad(sum(sums) / 6, list(moved.parameters()))])

    with Double():
        expected = (gradient(1e-6) - gradient(-1e-6)) / 2e-6
        assert (product(v) - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.slow
def test_along_the_line_it_is_the_second_derivative(tiny_llama_pair, tiny):
    base, minus, plus = tiny_llama_pair
    line = ln.Line(minus, plus, base, device="cpu")
    corpus = Corpus(tuple(tiny.TEXTS[:3]), (0,) * 3, ("film",), "film")
    model, slope = line.at(0.5), LossSlope(line, corpus)
    second = slope.measure(model, line.tokenizer)["curvature/film"].value()
    product = Hessian(model, [(ids, lengths) for _, ids, lengths, _ in slope._tokenized(model, line.tokenizer)])
    along = direction(line)
    d = torch.cat([along[name].flatten() for name in product.weights])
    assert dot(d, product(d)) == pytest.approx(second, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", "mistral qwen2 qwen3 gemma gemma2 gemma3_text gpt2 opt gpt_neox phi phi3 falcon".split()
)
def test_networks_of_other_kinds_have_it_too(kind, tiny):
    words, network = tiny.tokenizer(), tiny.network(kind)
    line = ln.Line(*[ln.Checkpoint.from_model(tiny.moved(network, i), words) for i in (1, 2)], device="cpu")
    slope = LossSlope(line, Corpus(tuple(tiny.TEXTS[:2]), (0,) * 2, ("film",), "film"))
    second = slope.measure(line.at(0.5), words)["curvature/film"].value()
    product = Hessian(line.model, [(ids, lengths) for _, ids, lengths, _ in slope._tokenized(line.model, words)])
    along = direction(line)
    d = torch.cat([along.get(name, torch.zeros_like(w)).flatten() for name, w in product.weights.items()])
    assert dot(d, product(d)) == pytest.approx(second, rel=1e-3)


@pytest.mark.slow
def test_a_walk_measures_it_and_keeps_it(tiny_llama_pair, tiny, tmp_path):
    base, minus, plus = tiny_llama_pair
    line = ln.Line(minus, plus, base, device="cpu")
    corpus = Corpus(tuple(tiny.TEXTS[:2]), (0,) * 2, ("film",), "film")
    probe = Sharpness(corpus, k=2, n_samples=3, tol=0.1)
    curve = ln.evaluate(line, [0.0, 1.0], [probe], store=tmp_path)
    assert curve.quantities == ["sharpness/film", "eigenvalue-2/film", "trace/film"]
    assert (curve.value("sharpness/film") >= curve.value("eigenvalue-2/film")).all()
    assert curve.frame["n"].tolist() == [1, 1, 3] * 2
    product = Hessian(line.at(1.0), [(i, n) for _, i, n, _ in probe._tokenized(line.model, line.tokenizer)])
    signs = [random_signs(product.n, seed, product.like) for seed in (1, 2, 3)]
    items = curve.frame[curve.frame["quantity"] == "trace/film"]["item_values"].iloc[1]
    assert items == pytest.approx([dot(v, product(v)) for v in signs], rel=1e-6)
    assert ln.evaluate(line, [0.0, 1.0], [probe], store=tmp_path).provenance["measured"] == 0


def test_a_model_that_is_no_model_has_nan_for_its_eigenvalues(model):
    with torch.no_grad():
        next(model.parameters())[1] = torch.nan
    product = Hessian(model, [(IDS, LENGTHS)])
    start = random_signs(product.n, 0, product.like)
    assert np.isnan(top_eigenvalues(product, start, 2)).all()
    assert np.isnan(trace_estimates(product, product.n, 2, like=product.like)).all()


def test_the_same_seed_draws_the_same_signs():
    assert random_signs(5, 0, torch.empty(0)).abs().tolist() == [1.0] * 5
    assert torch.equal(random_signs(50, 1, torch.empty(0)), random_signs(50, 1, torch.empty(0).double()).float())
    assert not torch.equal(random_signs(50, 1, torch.empty(0)), random_signs(50, 2, torch.empty(0)))


def test_what_cannot_be_measured_is_said(tiny):
    corpus, messages = Corpus(("a film",), (0,), ("x",), "x"), []
    matrix = torch.diag(torch.linspace(0, 1, 50))

    for call in (
        lambda: Sharpness(corpus, k=0, n_samples=0),
        lambda: Sharpness(corpus, k=6),
        lambda: Sharpness(corpus, k=0).measure(tiny.llama().bfloat16(), tiny.tokenizer()),
        lambda: top_eigenvalues(lambda v: v, torch.ones(3), 3),
        lambda: top_eigenvalues(lambda v: matrix @ v, torch.ones(50), 1, vectors=3, tol=1e-6, max_products=7),
    ):
        with pytest.raises(ProbeError) as error:
            call()
        messages.append(str(error.value))
    assert messages == [
        "Sharpness(k=0, n_samples=0): expected 0 or more of each, and 1 or more of one.",
        "Sharpness(vectors=6): expected more than the k = 6 eigenvalues.",
        'sharpness/x: computed in bfloat16, in which derivatives are mostly rounding.\nGive dtype="float32".',
        "top_eigenvalues(k): got 3 of a matrix with 3 rows.\nIt takes 1 to 2.",
        "top_eigenvalues(max_products): not known to 1e-06 after 7 products.\n"
        "Give more vectors, more products, or a larger tol.",
    ]
