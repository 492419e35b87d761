"""Ensembles: logits against hand-computed ones, texts against a single model's, and what they cost."""

import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.corpus import Corpus
from lerpnb.errors import AlphaError, CheckpointError, ProbeError
from lerpnb.evaluation.cost import held, inference_cost
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.noise import draw_tokens
from lerpnb.generation.sampling import sample
from lerpnb.merging.dexperts import DExperts, nucleus
from lerpnb.merging.probability_ensemble import ProbabilityEnsemble
from lerpnb.paths.line import Line
from lerpnb.probes.distance import WeightDistance
from lerpnb.probes.loss import Loss

IDS = torch.tensor([[5, 9, 20, 33], [7, 8, 40, 41]])
SPEC = Continuations(("the film", "a good cast"), n_samples=3, max_new_tokens=6)


def logits(checkpoint: Checkpoint) -> torch.Tensor:
    with torch.no_grad():
        return checkpoint.model(IDS).logits


@pytest.mark.slow
def test_dexperts_is_its_formula(tiny_llama_pair):
    path = DExperts(tiny_llama_pair.minus, tiny_llama_pair.plus, tiny_llama_pair.base, device="cpu")
    base, minus, plus = (logits(end) for end in path.checkpoints.values())
    want = base + 3.2 * (plus - minus)
    assert torch.allclose(path.at(3.2)(IDS).logits, want, atol=1e-5)
    whole = path.at(3.2)(IDS, use_cache=True).logits  # a text is being written: the base's nucleus of the last token
    assert whole.shape == (2, 1, base.shape[-1])
    for row in range(2):
        order = base[row, -1].softmax(-1).sort(descending=True)
        kept = order.indices[: int((order.values.cumsum(-1) < 0.9).sum()) + 1]
        assert set(kept.tolist()) == set(whole[row, 0].isfinite().nonzero().flatten().tolist())
        assert torch.allclose(whole[row, 0, kept], want[row, -1, kept], atol=1e-5)
    assert path.coefficients(3.2) == (1.0, -3.2, 3.2) and path.identity()["settings"] == {"top_p": 0.9}


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair"])
def test_both_ends_probabilities_are_averaged(request, pair):
    trio = request.getfixturevalue(pair)
    path = ProbabilityEnsemble(trio.minus, trio.plus, trio.base, device="cpu")
    minus, plus = (logits(end).softmax(-1) for end in path.checkpoints.values())
    for at in (0, 0.3, 1):
        assert torch.allclose(path.at(at)(IDS).logits.exp(), (1 - at) * minus + at * plus, atol=1e-6)
    with pytest.raises(AlphaError) as error:
        path.at(1.5)
    assert str(error.value) == (
        "ProbabilityEnsemble.at(alpha): 1.5, expected 0 to 1.\n"
        "Outside, a probability would be negative. A Line takes any finite alpha."
    )


@pytest.mark.slow
def test_the_caches_are_kept_in_step(tiny_llama_pair):
    model = DExperts(*tiny_llama_pair[1:], tiny_llama_pair.base, top_p=1, device="cpu").at(2.0)
    with torch.no_grad():
        start = model(IDS[:, :3], use_cache=True)
        start.past_key_values.reorder_cache(torch.tensor([1, 0, 1]))
        step = model(IDS[[1, 0, 1], 3:], past_key_values=start.past_key_values, use_cache=True)
        assert torch.allclose(step.logits[:, 0], model(IDS).logits[[1, 0, 1], -1], atol=1e-4)


@pytest.mark.slow
def test_where_one_model_speaks_its_own_texts_are_written(tiny_llama_pair):
    trio = tiny_llama_pair
    line = Line(trio.minus, trio.plus, trio.base, device="cpu")
    own = {"minus": sample(line.at(0), line.tokenizer, SPEC), "plus": sample(line.at(1), line.tokenizer, SPEC)}
    own["base"] = sample(Line(trio.base, trio.base, device="cpu").at(0), line.tokenizer, SPEC)
    steered, mixed = DExperts(*trio[1:], trio.base, device="cpu"), ProbabilityEnsemble(*trio[1:], device="cpu")
    for name, (path, at) in {"base": (steered, 0), "minus": (mixed, 0), "plus": (mixed, 1)}.items():
        assert sample(path.at(at), line.tokenizer, SPEC).equals(own[name])
    assert not sample(steered.at(5), line.tokenizer, SPEC).equals(own["base"])


@pytest.mark.slow
def test_a_walk_serves_it(tiny, tiny_llama_pair, tmp_path):
    trio = tiny_llama_pair
    probes = [Loss(Corpus(tuple(tiny.TEXTS), (0,) * 8, ("x",), "x")), WeightDistance()]
    path = DExperts(*trio[1:], trio.base, device="cpu")
    curve = evaluate(path, [0, 1], probes, store=str(tmp_path))
    at_base = evaluate(Line(trio.base, trio.base, trio.base, device="cpu"), [0], probes, store=False)
    assert curve.value("loss/x")[0] == pytest.approx(at_base.value("loss/x")[0], abs=1e-5)
    assert [alpha for alpha, _ in curve.nan_points()] == [0.0, 1.0]  # the distance: no point of weight space
    with pytest.raises(CheckpointError) as error:
        path.save(1, tmp_path / "model")
    assert str(error.value) == (
        "DExperts.save(alpha): an ensemble is 3 models, not one.\nA Line between the same checkpoints can be saved."
    )
    with pytest.raises(AlphaError) as error:
        DExperts(*trio[1:], trio.base, top_p=0)
    assert str(error.value) == "DExperts(top_p): 0, expected a mass above 0 and at most 1, such as 0.9."


def test_a_nucleus_is_the_fewest_likeliest_that_hold_its_mass():
    found = nucleus(torch.tensor([[0.5, 0.1, 0.4], [0.2, 0.7, 0.1]]).log(), 0.6)
    assert found.isfinite().tolist() == [[True, False, True], [False, True, False]]
    flat = torch.zeros(1, 6000)  # wider than the first look, and the second
    assert nucleus(flat, 0.9).isfinite().sum().item() == 5400 and nucleus(flat, 1.0).isfinite().all()


@pytest.mark.parametrize("sharpness", [4.0, 1.0])  # a nucleus within the first look, and one that is wider
def test_a_nucleus_cut_before_draws_what_the_sampler_would(sharpness):
    generator = torch.Generator().manual_seed(1)
    logits = sharpness * torch.randn(40, 2000, generator=generator)
    keys, steps = torch.arange(40), torch.zeros(40, dtype=torch.int64)
    cut = draw_tokens(nucleus(logits, 0.9), keys, steps, 1.0, 1.0)
    assert torch.equal(cut, draw_tokens(logits, keys, steps, 0.9, 1.0))


@pytest.mark.slow
def test_what_inference_costs(tiny_untied_pair):
    trio = tiny_untied_pair
    line = Line(trio.minus, trio.plus, trio.base, device="cpu")
    points = {"line": (line, 0.5), "steered": (DExperts(*trio[1:], trio.base, device="cpu"), 1.0)}
    found = inference_cost(points, SPEC, rounds=2)
    assert list(found.index) == ["line", "steered"] and found["time a token"]["line"] == 1
    assert found["weights held"].tolist() == pytest.approx([1, 3]) and (found["tokens/s"] > 0).all()
    parameters = sum(p.numel() for p in line.model.parameters())
    assert found["weights"]["line"] * 2**20 == held(line.model) >= 4 * parameters
    with pytest.raises(ProbeError) as error:
        inference_cost({}, SPEC)
    assert str(error.value) == "inference_cost(points): no points.\nPass {name: (path, coordinate)}."
