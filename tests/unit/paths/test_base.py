"""The base of all paths: many checkpoints, coefficients that a tensor may have of its own, and their description."""

import pytest
import torch

from lerpnb.errors import MismatchError
from lerpnb.paths.base import BasePath


class Sum(BasePath):
    kind = "sum"

    def coefficients(self, point):
        return point


class HeadOnly(BasePath):
    """b's embedding, which is the head too, and a's rest."""

    def coefficients(self, point):
        return lambda name: (0.0, 1.0) if "embed" in name else (1.0, 0.0)


def three(trio, **how) -> Sum:
    return Sum({"a": trio.minus, "b": trio.plus, "c": trio.base}, device="cpu", **how)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_adapter_pair"])
def test_three_checkpoints_add_up(request, pair):
    path = three(request.getfixturevalue(pair))
    model = path.at((2.0, -0.5, 0.25))
    a, b, c = (end.tensors for end in path.checkpoints.values())
    for name, live in model.named_parameters():
        want = 2.0 * a[name].double() - 0.5 * b[name].double() + 0.25 * c[name].double()
        assert (live.double() - want).abs().max() <= 1e-6 * max(1.0, want.abs().max())
    assert path.here == (2.0, -0.5, 0.25)


def test_a_tensor_may_have_coefficients_of_its_own(tiny_llama_pair):
    path = HeadOnly({"a": tiny_llama_pair.minus, "b": tiny_llama_pair.plus}, device="cpu")
    a, b = (end.tensors for end in path.checkpoints.values())
    for name, live in path.at("anywhere").named_parameters():
        assert torch.equal(live, (b if "embed" in name else a)[name])
    card = path._card("anywhere")
    assert "a, b, each tensor at coefficients of its own (HeadOnly), mixed in float32" in card


@pytest.mark.slow
def test_what_it_is_said_to_be(tiny_llama_pair, tmp_path):
    path = three(tiny_llama_pair)
    found = path.identity()
    assert list(found) == ["path", "ends", "live", "device", "dtype"] and list(found["ends"]) == ["a", "b", "c"]
    card = (path.save((0.5, 0.75, -0.25), tmp_path / "model") / "README.md").read_text()
    assert "# theta([0.5, 0.75, -0.25])\n\n0.5 x a + 0.75 x b + -0.25 x c, mixed in float32" in card


@pytest.mark.slow
def test_the_base_of_all_adapters_is_theirs(tiny_adapter_pair, tiny_llama_pair):
    ends = {"a": tiny_adapter_pair.minus, "b": tiny_adapter_pair.plus}
    assert Sum(ends, device="cpu").base.folder == tiny_adapter_pair.base
    assert three(tiny_llama_pair).base is None


def test_an_error_calls_a_checkpoint_by_its_role(tiny_llama_pair, tiny_gpt2_pair):
    with pytest.raises(MismatchError) as error:
        Sum({"one": tiny_llama_pair.minus, "two": tiny_llama_pair.plus, "three": tiny_gpt2_pair.plus}, device="cpu")
    assert str(error.value).splitlines()[:2] == [
        "Sum(one, two, three): other architectures.",
        "  architecture: one llama, three gpt2",
    ]
