"""The base of all paths: many checkpoints, coefficients that a tensor may have of its own, and their description."""

import pytest
import torch

from lerpnb.errors import MismatchError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator
from lerpnb.merging.task_arithmetic import TaskArithmetic
from lerpnb.merging.wise import wise_ft
from lerpnb.paths.base import BasePath
from lerpnb.paths.line import Line
from lerpnb.probes.base import FunctionProbe


class Sum(BasePath):
    def coefficients(self, point):
        return point


class HeadOnly(BasePath):
    """b's embedding, which is the head too, and a's rest."""

    def coefficients(self, point):
        return lambda name: (0.0, 1.0) if "embed" in name else (1.0, 0.0)


def three(trio, **how) -> Sum:
    return Sum({"a": trio.minus, "b": trio.plus, "c": trio.base}, device="cpu", **how)


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


def test_what_it_is_said_to_be(tiny_llama_pair, tmp_path):
    path = three(tiny_llama_pair)
    found = path.identity()
    assert list(found) == ["path", "a", "b", "c", "device", "dtype"] and found["path"] == "sum"
    card = (path.save((0.5, 0.75, -0.25), tmp_path / "model") / "README.md").read_text()
    assert "# theta([0.5, 0.75, -0.25])\n\n0.5 x a + 0.75 x b + -0.25 x c, mixed in float32" in card


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


def test_no_checkpoint_takes_the_name_of_what_identity_tells_besides():
    with pytest.raises(MismatchError) as error:
        Sum({"a": "x", "dtype": "y"}, device="cpu")
    assert str(error.value) == (
        "Sum(dtype): no checkpoint can have this name.\nGive it another than path, device, dtype, settings."
    )


def head_norm(model, tokenizer):
    return model.lm_head.weight.norm()


def test_points_serve_any_coordinate_and_are_stored(tiny_llama_pair, tmp_path):
    path, probe = three(tiny_llama_pair), FunctionProbe("norm", head_norm)
    points = Evaluator(path, [probe], Cache(tmp_path))
    found = [points.point(at)[0]["norm"].value() for at in ((1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0))]
    assert found[0] == found[2] == path.at((1.0, 0.0, 0.0)).lm_head.weight.norm().item() != found[1]
    assert (points.measured, points.cached) == (2, 1)
    assert list(points.provenance()["hashes"]) == ["a", "b", "c"]


def test_an_option_that_there_is_not_is_refused_with_those_that_there_are(tiny_llama_pair):
    makers = (
        lambda: Line(*tiny_llama_pair[1:], devise="cpu"),
        lambda: TaskArithmetic(tiny_llama_pair.base, {"plus": tiny_llama_pair.plus}, devise="cpu"),
        lambda: wise_ft(*tiny_llama_pair[:2], devise="cpu"),
    )
    for make, name in zip(makers, ("Line", "TaskArithmetic", "Line"), strict=True):
        with pytest.raises(TypeError) as error:
            make()
        assert str(error.value) == (
            f"{name}(devise): no such argument.\nBesides its own it takes: device, dtype, ends_device, device_map."
        )
