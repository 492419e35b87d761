"""Task arithmetic: values in closed form, and settings that are refused."""

import pytest
import torch
from path_weights import both, close, tensors

from lerpnb.errors import AlphaError
from lerpnb.merging.task_arithmetic import TaskArithmetic


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


def test_settings_out_of_range_are_refused_before_anything_is_loaded():
    nowhere = {"one": "no such model"}
    for call, text in {
        lambda: TaskArithmetic("x", {"base": "y"}): (
            "TaskArithmetic(tuned): one is 'base', expected fine-tunes by role.\n"
            "Pass {'positive': model, 'polite': another}, say."
        ),
        lambda: TaskArithmetic("x", nowhere, weights={"two": 1}): (
            "TaskArithmetic(weights): 'two', which no fine-tune is called.\nThey are: one."
        ),
    }.items():
        with pytest.raises(AlphaError) as error:
            call()
        assert str(error.value) == text
