"""The plane: its frame in closed form, distances true to scale, the three met bit for bit, what it refuses."""

import math

import numpy as np
import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import AlphaError, MismatchError
from lerpnb.paths.line import Line
from lerpnb.paths.plane import Plane

TRIOS = ["tiny_llama_pair", "tiny_adapter_pair"]
TRIOS += [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("tiny_gpt2_pair", "tiny_half_pair", "tiny_gpt2_adapter_pair")
]


@pytest.fixture(params=TRIOS)
def plane(request) -> Plane:
    base, minus, plus = request.getfixturevalue(request.param)
    return Plane(base, minus, plus, device="cpu")


def flat(model) -> torch.Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()])


def test_the_three_are_met_bit_for_bit_and_their_coefficients_are_one_hot(plane):
    for i, (role, at) in enumerate(plane.marks.items()):
        plane.at((0.3, -0.2))
        assert plane.coefficients(at) == tuple(float(i == j) for j in range(3))
        live, end = dict(plane.at(at).named_parameters()), plane.checkpoints[role].tensors
        assert all(torch.equal(live[n].view(torch.int32), end[n].view(torch.int32)) for n in live)


def test_distances_are_the_weights_own(plane):
    across, up = plane.marks["plus"][0], plane.marks["base"][1]
    places = [(0.0, 0.0), (1.7 * across, 0.2 * up), (-0.4 * across, -0.8 * up), plane.marks["base"], (across, up)]
    weights = [flat(plane.at(at)) for at in places]
    for i in range(len(places)):
        for j in range(i):
            true = (weights[i] - weights[j]).norm().item()
            assert math.dist(places[i], places[j]) == pytest.approx(true, rel=1e-5)


@pytest.mark.slow
def test_the_x_axis_is_the_line(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    plane, line = Plane(base, minus, plus, device="cpu"), Line(minus, plus, device="cpu")
    assert plane.marks["minus"] == (0.0, 0.0) and plane.marks["plus"][1] == 0 and plane.marks["base"][1] > 0
    assert plane.marks["plus"][0] == pytest.approx(line.summary().loc["all", "distance"], rel=1e-5)
    for alpha in (-0.5, 0.0, 0.25, 1.0, 2.0):
        assert (flat(plane.at(plane.on_line(alpha))) - flat(line.at(alpha))).abs().max() < 1e-6


def test_the_frame_in_closed_form(tiny):
    """minus; plus three away along one weight; base two along it and four along another."""
    minus, words = tiny.llama(), tiny.tokenizer()
    plus, base = (tiny.moved(minus, 0, 0.0) for _ in range(2))
    with torch.no_grad():
        plus.model.norm.weight[3] += 3.0
        base.model.norm.weight[3] += 2.0
        base.model.layers[0].mlp.up_proj.weight[5, 7] += 4.0
    plane = Plane(*(Checkpoint.from_model(end, words) for end in (base, minus, plus)), device="cpu")
    found = [coordinate for at in plane.marks.values() for coordinate in at]
    assert found == pytest.approx([0, 0, 3, 0, 2, 4], abs=1e-5)
    assert plane.coefficients((1.0, 2.0)) == pytest.approx((1 / 2, 0, 1 / 2), abs=1e-5)
    assert plane.window(0.5) == pytest.approx((-2, 5, -2, 6), abs=1e-4)
    grid = plane.grid(3, 0.5)
    assert np.allclose(grid[:4], [(-2, -2), (1.5, -2), (5, -2), (-2, 2)], atol=1e-4) and len(grid) == 9
    assert repr(plane) == (
        "Plane: minus model at (0, 0), plus model at (3, 0), base model at (2, 4); computed in float32 on cpu"
    )


@pytest.mark.slow
def test_adapters_stay_low_rank_and_share_their_base(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    plane = Plane(base, minus, plus, device="cpu")
    low = [name for name, weight in plane.checkpoints["minus"].weights.items() if isinstance(weight, LowRank)]
    assert low and all(isinstance(plane.checkpoints["plus"].weights[name], LowRank) for name in low)
    for name in low:
        bases = [plane.checkpoints[role].weights[name].base.data_ptr() for role in ("minus", "plus")]
        assert bases == [plane.base.weights[name].data_ptr()] * 2
    assert plane.base is plane.checkpoints["base"]
    assert sum(1 for _ in plane._blocks()) == len(low)  # what all three share is not read


def test_live_models_can_span_it_and_never_change(tiny):
    base, minus, plus = tiny.llama(), tiny.moved(tiny.llama(), 1), tiny.moved(tiny.llama(), 2)
    before = flat(base)
    plane = Plane(base, minus, plus, device="cpu")
    assert torch.equal(flat(plane.at(plane.marks["base"])), before)
    plane.at((1.0, 1.0))
    assert torch.equal(flat(base), before)


@pytest.mark.slow
def test_what_it_is_said_to_be(tiny_llama_pair, tmp_path):
    base, minus, plus = tiny_llama_pair
    plane = Plane(base, minus, plus, device="cpu")
    assert list(plane.identity()) == ["path", "ends", "live", "device", "dtype"]
    assert plane.identity()["path"] == "plane" and plane.identity() == Plane(base, minus, plus, device="cpu").identity()
    card = (plane.save(plane.marks["base"], tmp_path / "model") / "README.md").read_text()
    assert "0 x minus + 0 x plus + 1 x base, mixed in float32" in card


def test_three_on_a_line_are_no_plane(tiny):
    minus, plus = tiny.moved(tiny.llama(), 1), tiny.moved(tiny.llama(), 2)
    middle = tiny.moved(minus, 0, 0.0)
    with torch.no_grad():
        for parameter, other in zip(middle.parameters(), plus.parameters(), strict=True):
            parameter.lerp_(other, 0.3)
    with pytest.raises(MismatchError) as error:
        Plane(middle, minus, plus, device="cpu")
    first, second = str(error.value).split("\n")
    distance = (flat(plus) - flat(minus)).norm().item()
    assert first.startswith("Plane(base, minus, plus): the three lie on one line: base is ")
    assert first.endswith(f" from the line through minus and plus, which are {distance:.4g} apart.")
    assert second == (
        "A plane needs three different checkpoints that are on no line. For these, Line(minus, plus) is all there is."
    )
    for roles, named in ((("minus", "base"), (minus, minus, plus)), (("minus", "plus"), (middle, minus, minus))):
        with pytest.raises(MismatchError) as error:
            Plane(*named, device="cpu")
        assert str(error.value) == (
            f"Plane(base, minus, plus): {' and '.join(roles)} are the same weights, or nearly.\n"
            "A plane needs three different checkpoints that are on no line."
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "said"),
    [
        (0.5, "Plane.at(point): 0.5 is no point. Pass two numbers, such as (0.5, 0.0)."),
        ((1, 2, 3), "Plane.at(point): (1, 2, 3) is no point. Pass two numbers, such as (0.5, 0.0)."),
        ((1, math.nan), "Plane.at(point): nan is not a finite number. Pass one, such as 0.5."),
        ("ab", "Plane.at(point): 'a' is not a finite number. Pass one, such as 0.5."),
    ],
)
def test_a_point_is_two_finite_numbers(tiny_llama_pair, at, said):
    plane = Plane(*tiny_llama_pair, device="cpu")
    with pytest.raises(AlphaError) as error:
        plane.at(at)
    assert str(error.value) == said
