"""The line's kin: each method's values in closed form, its settings in its identity, its errors in full."""

import math

import pytest
import torch

from lerpnb.errors import AlphaError, MismatchError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.noise import noise_key
from lerpnb.merging.dare import Dare, dropped_and_rescaled
from lerpnb.merging.slerp import Slerp, angle
from lerpnb.merging.soup import ModelSoup, greedy_soup
from lerpnb.merging.task_arithmetic import TaskArithmetic
from lerpnb.merging.ties import Ties, disjoint_mean, trimmed
from lerpnb.merging.wise import wise_ft
from lerpnb.paths.layerwise import LayerwiseLine
from lerpnb.probes.base import FunctionProbe
from lerpnb.probes.distance import WeightDistance
from lerpnb.results.curve import Curve


def tensors(path, *roles: str):
    """(name, the live tensor, each role's, all float64) of every parameter."""
    for name, live in path.model.named_parameters():
        yield name, live.double(), *(path.checkpoints[role].tensors[name].double() for role in roles)


def close(live: torch.Tensor, want: torch.Tensor) -> bool:
    return (live - want).abs().max().item() <= 1e-6 * max(1.0, want.abs().max().item())


def both(trio) -> dict:
    return {"one": trio.minus, "two": trio.plus}


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair"])
def test_task_arithmetic_adds_and_takes_away(request, pair):
    trio = request.getfixturevalue(pair)
    path = TaskArithmetic(trio.base, both(trio), weights={"two": -0.5}, device="cpu")
    for at in (0.8, -1.0):
        path.at(at)
        for _, live, base, one, two in tensors(path, "base", "one", "two"):
            assert close(live, base + at * ((one - base) - 0.5 * (two - base)))
    path.at(0)
    assert all(torch.equal(live, base) for _, live, base in tensors(path, "base"))
    assert path.coefficients(0.5) == (0.75, 0.5, -0.25) and path.base.sha256 == path.checkpoints["base"].sha256
    assert path.identity()["settings"]["weights"] == {"one": 1.0, "two": -0.5}


def test_task_arithmetic_of_one_meets_it(tiny_llama_pair):
    path = TaskArithmetic(tiny_llama_pair.base, {"one": tiny_llama_pair.plus}, device="cpu")
    path.at(1.0)
    assert all(torch.equal(live, one) for _, live, one in tensors(path, "one"))


@pytest.mark.slow
def test_wise_ft_is_the_line_from_the_base(tiny_llama_pair):
    line = wise_ft(tiny_llama_pair.base, tiny_llama_pair.plus, device="cpu")
    line.at(0.25)
    for _, live, minus, plus in tensors(line, "minus", "plus"):
        assert close(live, 0.75 * minus + 0.25 * plus)
    assert line.base.sha256 == line.minus.sha256


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
    probe = FunctionProbe("miss", lambda model, tokenizer: (model.model.norm.weight.mean() - 1).abs())
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


def test_slerp_is_the_formula_on_wide_angles_and_the_line_on_small_ones(tiny):
    minus, plus = tiny.llama(1, tied=False), tiny.llama(2, tied=False)
    path = Slerp(minus, plus, device="cpu")
    path.at(0.3)
    wide = [name for name, found in path.angles.items() if found is not None]
    assert "lm_head.weight" in wide
    for name, live, a, b in tensors(path, "minus", "plus"):
        w = math.acos((a.flatten() @ b.flatten() / (a.norm() * b.norm())).item())
        if name in wide:
            assert close(live, (math.sin(0.7 * w) * a + math.sin(0.3 * w) * b) / math.sin(w))
        else:
            assert math.cos(w) > 0.9995 and close(live, 0.7 * a + 0.3 * b)
    for at, end in ((0, "minus"), (1, "plus")):
        path.at(at)
        assert all(torch.equal(live, want) for _, live, want in tensors(path, end))
    assert path.identity()["settings"]["deltas"] is False


@pytest.mark.slow
def test_slerp_of_deltas_turns_about_the_base(tiny_llama_pair):
    trio = tiny_llama_pair
    path = Slerp(trio.minus, trio.plus, trio.base, deltas=True, device="cpu")
    path.at(0.5)
    for name, live, a, b, o in tensors(path, "minus", "plus", "base"):
        a, b = a - o, b - o
        w = path.angles[name]
        assert w == pytest.approx(math.acos((a.flatten() @ b.flatten() / (a.norm() * b.norm())).item()), abs=1e-6)
        assert close(live, o + (a + b) * math.sin(w / 2) / math.sin(w))
    assert all(found is None for found in Slerp(trio.minus, trio.minus, device="cpu").angles.values())
    with pytest.raises(MismatchError) as error:
        Slerp(trio.minus, trio.plus, deltas=True)
    assert str(error.value) == "Slerp(deltas=True): no base.\nA task vector starts at one: pass base=..."


def test_angles_in_closed_form():
    one = torch.tensor([2.0, 0.0])
    assert angle(one, torch.tensor([0.0, 3.0])) == pytest.approx(math.pi / 2)
    assert angle(one, torch.tensor([5.0, 0.1])) is None and angle(one, -one) is None
    assert angle(one, torch.zeros(2)) == pytest.approx(math.pi / 2) and angle(torch.zeros(2), torch.zeros(2)) is None
    assert angle(one, torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])) == pytest.approx(math.pi / 2)


def test_a_tensor_is_trimmed_to_its_largest():
    tensor = torch.tensor([[1.0, -5.0, 2.0], [0.0, 4.0, -3.0]])
    assert trimmed(tensor, 0.5).tolist() == [[0, -5, 0], [0, 4, -3]]
    assert trimmed(tensor, 0.01).tolist() == [[0, -5, 0], [0, 0, 0]]  # one at least
    assert trimmed(tensor, 1.0).equal(tensor)


def test_signs_are_elected_by_sum_and_only_the_agreeing_are_averaged():
    three = [torch.tensor(row) for row in ([4.0, -1.0, 0.0, 1.0], [2.0, -1.0, 0.0, -1.0], [-3.0, 5.0, 0.0, 0.0])]
    assert disjoint_mean(three).tolist() == [3.0, 5.0, 0.0, 1.0]  # 1 - 1 = 0 counts as positive


def test_ties_is_base_and_lambda_times_what_was_derived_once(tiny_llama_pair, tmp_path, monkeypatch):
    trio = tiny_llama_pair
    path = Ties(trio.base, both(trio), density=0.3, device="cpu")
    for at in (0.7, -0.4):
        path.at(at)
        for _, live, base, *tuned in tensors(path, "base", "one", "two"):
            tau = disjoint_mean([trimmed((end - base).float(), 0.3) for end in tuned]).double()
            assert close(live, base + at * tau)
    path.at(0)
    assert all(torch.equal(live, base) for _, live, base in tensors(path, "base"))
    assert (
        path.identity()["settings"]["density"] == 0.3
        and path.identity() != Ties(trio.base, both(trio), device="cpu").identity()
    )
    card = (path.save(0.5, tmp_path / "model") / "README.md").read_text()
    assert "1 x base + 0.5 x tau, tau of one, two by Ties(density=0.3), mixed in float32" in card


@pytest.mark.slow
def test_what_no_fine_tune_changed_takes_no_memory(tiny_adapter_pair):
    trio = tiny_adapter_pair
    path = Ties(trio.base, both(trio), device="cpu")
    still = {name: tau for name, tau in path.tau.items() if "q_proj" not in name and "v_proj" not in name}
    assert still and all(tau.untyped_storage().nbytes() == 4 and not tau.any() for tau in still.values())
    assert not any(path.tau[name].any() == 0 for name in path.tau if "q_proj" in name)


@pytest.mark.slow
@pytest.mark.parametrize("elect", [False, True])
def test_dare_drops_by_its_seed_and_rescales(tiny_llama_pair, elect):
    trio = tiny_llama_pair
    path = Dare(trio.base, both(trio), drop=0.6, seed=3, elect=elect, device="cpu")
    path.at(1.0)
    for name, live, base, *tuned in tensors(path, "base", "one", "two"):
        thinned = [
            dropped_and_rescaled((end - base).float(), 0.6, noise_key(3, name, i)) for i, end in enumerate(tuned)
        ]
        tau = disjoint_mean(thinned) if elect else sum(thinned)
        assert close(live, base + tau.double())
    assert [path.identity()["settings"][key] for key in ("drop", "seed", "elect")] == [0.6, 3, elect]
    other = Dare(trio.base, both(trio), drop=0.6, seed=4, elect=elect, device="cpu")
    assert not torch.equal(other.tau["model.norm.weight"], path.tau["model.norm.weight"])


def test_what_dare_keeps_is_a_share_whose_mean_stays():
    ones = dropped_and_rescaled(torch.ones(2, 3 * 2**20), 0.9, key=7)  # several blocks
    kept = (ones > 0).double().mean().item()
    assert abs(kept - 0.1) < 5 * math.sqrt(0.09 / ones.numel()) and ones.max().item() == pytest.approx(10.0)
    assert dropped_and_rescaled(torch.ones(5), 0.0, key=1).tolist() == [1.0] * 5
    first, again = (dropped_and_rescaled(torch.ones(100), 0.5, key=1) for _ in range(2))
    assert torch.equal(first, again)


def test_a_partial_line_moves_its_kinds_alone(tiny_llama_pair):
    trio = tiny_llama_pair
    path = LayerwiseLine(
        trio.minus, trio.plus, kinds={"attention": 1, "attention v": 0, "MLP": 0.5}, rest=0.2, device="cpu"
    )
    path.at(0.8)
    for name, live, a, b in tensors(path, "minus", "plus"):
        share = {"q_proj": 1, "k_proj": 1, "v_proj": 0, "o_proj": 1, "up_proj": 0.5}.get(name.split(".")[-2])
        if share is not None:
            alpha = 0.2 + share * 0.6
            assert close(live, (1 - alpha) * a + alpha * b)
    assert path.coefficients(0.8)("model.norm.weight") == (0.8, 0.2)
    assert path.recipe(0.8) == "alpha 0.8 in attention x 1, attention v x 0, MLP x 0.5; what does not move at alpha 0.2"
    assert path.identity()["settings"]["kinds"] == {"attention": 1.0, "attention v": 0.0, "MLP": 0.5}


@pytest.mark.slow
def test_a_gradient_runs_over_the_layers(tiny):
    minus, plus = (tiny.network("llama", seed, num_hidden_layers=3) for seed in (1, 2))
    path = LayerwiseLine(minus, plus, depth=(0.0, 1.0), device="cpu")
    shares = {path.shares[f"model.layers.{i}.mlp.up_proj.weight"]: i for i in range(3)}
    assert shares == {0.0: 0, 0.5: 1, 1.0: 2}
    assert path.shares["model.embed_tokens.weight"] == 0.0 and path.shares["model.norm.weight"] == 1.0
    each = LayerwiseLine(minus, plus, kinds="MLP", depth=(0.1, 0.7, 0.4), device="cpu").shares
    assert [each[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(3)] == [0.1, 0.7, 0.4]
    assert each["model.layers.0.self_attn.q_proj.weight"] == 0.0


@pytest.mark.slow
def test_all_of_a_partial_line_is_the_line(tiny_llama_pair):
    path = LayerwiseLine(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    path.at(1)
    assert all(torch.equal(live, plus) for _, live, plus in tensors(path, "plus"))


def test_settings_out_of_range_are_told_before_anything_is_loaded():
    nowhere = {"one": "no such model"}
    for call, text in {
        lambda: Ties("x", nowhere, density=0): "Ties(density): 0, expected a share above 0 and at most 1, such as 0.2.",
        lambda: Dare("x", nowhere, drop=1): ("Dare(drop): 1, expected a probability from 0 to below 1, such as 0.9."),
        lambda: Ties("x", {}): (
            "Ties(tuned): none, expected fine-tunes by role.\nPass {'positive': model, 'polite': another}, say."
        ),
        lambda: TaskArithmetic("x", {"base": "y"}): (
            "TaskArithmetic(tuned): one is 'base', expected fine-tunes by role.\n"
            "Pass {'positive': model, 'polite': another}, say."
        ),
        lambda: TaskArithmetic("x", nowhere, weights={"two": 1}): (
            "TaskArithmetic(weights): 'two', which no fine-tune is called.\nThey are: one."
        ),
        lambda: LayerwiseLine("x", "y", kinds="brain"): (
            "LayerwiseLine(kinds): 'brain', expected kinds of tensor.\n"
            "They are: embeddings, attention, MLP, norms, head, other, and those "
            "that ln.paths.weight_deltas(line) names."
        ),
        lambda: LayerwiseLine("x", "y", depth=()): (
            "LayerwiseLine(depth): no shares.\nPass (0, 1) for more of alpha from layer to layer, say."
        ),
    }.items():
        with pytest.raises(AlphaError) as error:
            call()
        assert str(error.value) == text


@pytest.mark.slow
def test_a_kind_that_the_model_lacks_is_told(tiny_llama_pair):
    with pytest.raises(AlphaError) as error:
        LayerwiseLine(tiny_llama_pair.minus, tiny_llama_pair.plus, kinds="head", device="cpu")  # it is the embedding
    assert str(error.value) == (
        "LayerwiseLine(kinds): this model has no tensor of kind 'head'.\n"
        "It has: embeddings, attention q, attention k, attention v, attention out, MLP, norms, other."
    )


def head_norm(model, tokenizer):
    return model.lm_head.weight.norm()


@pytest.mark.slow
def test_a_walk_serves_them_as_it_serves_a_line(tiny_llama_pair, tmp_path):
    trio, store = tiny_llama_pair, Cache(tmp_path)
    made = {
        density: evaluate(Ties(trio.base, both(trio), density=density, device="cpu"), [0, 1], [head_norm], store=store)
        for density in (0.1, 0.5)
    }
    assert all(isinstance(curve, Curve) for curve in made.values())
    values = [curve.value("head_norm")[1] for curve in made.values()]
    assert values[0] != values[1] and all(curve.provenance["from_store"] == 0 for curve in made.values())
    again = evaluate(Ties(trio.base, both(trio), density=0.5, device="cpu"), [0, 1], [head_norm], store=store)
    assert again.provenance["from_store"] == 2 and again.value("head_norm")[1] == values[1]
    assert again.provenance["named"] == [[0.0, "base"]] and again.provenance["coordinate"] == "lambda"


@pytest.mark.slow
def test_the_distance_from_the_base(tiny_llama_pair):
    path = TaskArithmetic(tiny_llama_pair.base, {"one": tiny_llama_pair.plus}, device="cpu")
    curve = evaluate(path, [-1, 0, 2], [WeightDistance()], store=False)
    whole = math.sqrt(sum((one - base).square().sum().item() for _, _, base, one in tensors(path, "base", "one")))
    assert curve.value("distance/base") == pytest.approx([whole, 0.0, 2 * whole], rel=1e-5)
    lone = ModelSoup(both(tiny_llama_pair), device="cpu")
    with pytest.raises(ProbeError) as error:
        evaluate(lone, [1, 2], [WeightDistance()])
    assert (
        str(error.value) == "WeightDistance(base): none was named, and the path has none.\nPass base=... to the path."
    )
