"""The distance from the base along a path."""

import math

import pytest
from path_weights import both, tensors

from lerpnb.errors import ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.merging.soup import ModelSoup
from lerpnb.merging.task_arithmetic import TaskArithmetic
from lerpnb.probes.distance import WeightDistance


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
