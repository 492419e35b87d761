"""Task-vector paths: memory, and one curve for each setting."""

import pytest
from path_weights import both

from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.merging.ties import Ties
from lerpnb.probes.base import FunctionProbe
from lerpnb.results.curve import Curve


@pytest.mark.slow
def test_what_no_fine_tune_changed_takes_no_memory(tiny_adapter_pair):
    trio = tiny_adapter_pair
    path = Ties(trio.base, both(trio), device="cpu")
    still = {name: tau for name, tau in path.tau.items() if "q_proj" not in name and "v_proj" not in name}
    assert still and all(tau.untyped_storage().nbytes() == 4 and not tau.any() for tau in still.values())
    assert not any(path.tau[name].any() == 0 for name in path.tau if "q_proj" in name)


def head_norm(model, tokenizer):
    return model.lm_head.weight.norm()


HEAD_NORM = FunctionProbe("head_norm", head_norm, cache_key="norm of the head")


@pytest.mark.slow
def test_evaluate_serves_them_as_it_serves_a_line(tiny_llama_pair, tmp_path):
    trio, store = tiny_llama_pair, Cache(tmp_path)
    made = {
        density: evaluate(Ties(trio.base, both(trio), density=density, device="cpu"), [0, 1], [HEAD_NORM], store=store)
        for density in (0.1, 0.5)
    }
    assert all(isinstance(curve, Curve) for curve in made.values())
    values = [curve.value("head_norm")[1] for curve in made.values()]
    assert values[0] != values[1] and all(curve.provenance["from_store"] == 0 for curve in made.values())
    again = evaluate(Ties(trio.base, both(trio), density=0.5, device="cpu"), [0, 1], [HEAD_NORM], store=store)
    assert again.provenance["from_store"] == 2 and again.value("head_norm")[1] == values[1]
    assert again.provenance["named"] == [[0.0, "base"]] and again.provenance["coordinate"] == "lambda"
