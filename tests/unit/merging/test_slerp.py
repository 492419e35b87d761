"""SLERP: the formula on wide angles, the line on small ones."""

import math

import pytest
import torch
from path_weights import close, tensors

from lerpnb.errors import MismatchError
from lerpnb.merging.slerp import Slerp, angle


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
