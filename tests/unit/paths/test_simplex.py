"""The simplex: sums of any number of checkpoints in closed form, and what it refuses."""

import pytest
import torch

from lerpnb.errors import AlphaError
from lerpnb.paths.simplex import Simplex


@pytest.fixture(scope="module", params=["tiny_llama_pair", "tiny_adapter_pair"])
def simplex(request) -> Simplex:
    trio = request.getfixturevalue(request.param)
    return Simplex({"sad": trio.minus, "glad": trio.plus, "plain": trio.base}, device="cpu")


@pytest.mark.parametrize("weights", [(0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3), (1.5, -0.25, -0.25)])
def test_the_live_model_is_the_weighted_sum(simplex, weights):
    model = simplex.at(weights)
    ends = [end.tensors for end in simplex.checkpoints.values()]
    for name, live in model.named_parameters():
        want = sum(w * end[name].double() for w, end in zip(weights, ends, strict=True))
        assert (live.double() - want).abs().max() <= 1e-6 * max(1.0, want.abs().max())


def test_a_corner_is_a_checkpoint_bit_for_bit(simplex):
    for i, end in enumerate(simplex.checkpoints.values()):
        model = simplex.at([float(i == j) for j in range(3)])
        assert all(torch.equal(live, end.tensors[name]) for name, live in model.named_parameters())


@pytest.mark.slow
def test_what_it_says_of_itself(simplex):
    assert repr(simplex) == "Simplex: sad, glad, plain; weights add up to 1"
    assert list(simplex.identity()["ends"]) == ["sad", "glad", "plain"] and simplex.identity()["path"] == "simplex"
    assert simplex.coefficients([0, 0.5, 0.5]) == (0.0, 0.5, 0.5)
    assert "0.5 x sad + 0 x glad + 0.5 x plain" in simplex._card((0.5, 0.0, 0.5))


def test_a_lattice_holds_every_share_once(simplex):
    assert simplex.lattice(1) == [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    found = simplex.lattice(4)
    assert len(found) == len(set(found)) == 15  # 6 choose 2
    assert all(sum(w) == 1 and min(w) >= 0 for w in found)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            (0.5, 0.5, 0.5),
            "Simplex.at(weights): 0.5, 0.5, 0.5 add up to 1.5, expected 1.\n"
            "They are never renormalized: change them, or allow any sum with Simplex(affine=False).",
        ),
        ((0.5, 0.5), "Simplex.at(weights): got 2 numbers, expected 3, in this order: sad, glad, plain."),
        (0.5, "Simplex.at(weights): got 0.5, expected 3, in this order: sad, glad, plain."),
        ("abc", "Simplex.at(weights): got 'abc', expected 3, in this order: sad, glad, plain."),
        ((1.0, float("nan"), 0.0), "Simplex.at(weights): nan is not a finite number. Pass one, such as 0.5."),
    ],
)
def test_what_is_no_point_of_it_is_refused(simplex, weights, said):
    with pytest.raises(AlphaError) as error:
        simplex.at(weights)
    assert str(error.value) == said


def test_a_lattice_takes_a_whole_number(simplex):
    with pytest.raises(AlphaError) as error:
        simplex.lattice(0)
    assert str(error.value) == "Simplex.lattice(steps): got 0, expected a whole number above 0."


def test_one_checkpoint_is_no_simplex(tiny_llama_pair):
    with pytest.raises(AlphaError) as error:
        Simplex({"sad": tiny_llama_pair.minus})
    assert str(error.value) == (
        "Simplex(checkpoints): 1, expected two or more.\n"
        'Pass a dict of them, such as {"kind": "my/kind", "short": "my/short"}.'
    )


def test_any_sum_is_taken_when_told(tiny_llama_pair):
    loose = Simplex({"sad": tiny_llama_pair.minus, "glad": tiny_llama_pair.plus}, affine=False, device="cpu")
    sad, glad = (end.tensors["model.norm.weight"] for end in loose.checkpoints.values())
    assert torch.allclose(loose.at((1.0, 1.0)).model.norm.weight, sad + glad, atol=1e-6)
    assert repr(loose) == "Simplex: sad, glad; weights of any sum"
