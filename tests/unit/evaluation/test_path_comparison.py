"""Many paths: each walked under the same probes, from one base; what comes back as a table, a curve and a figure."""

import pytest

from lerpnb.errors import AlphaError, ProbeError
from lerpnb.evaluation.path_comparison import compare_paths
from lerpnb.generation.continuations import Continuations
from lerpnb.merging.soup import ModelSoup
from lerpnb.merging.task_arithmetic import TaskArithmetic
from lerpnb.paths.line import Line
from lerpnb.probes.base import TextFunctionProbe
from lerpnb.results.curve import Curve

WORDS = TextFunctionProbe(
    "words", lambda text: len(text.split()), Continuations(("the film", "nobody"), n_samples=1, max_new_tokens=4)
)


def head_norm(model, tokenizer):
    return model.lm_head.weight.norm()


@pytest.mark.slow
def test_each_is_walked_over_its_own_coordinates(tiny_llama_pair, tmp_path, capsys):
    trio = tiny_llama_pair
    paths = {
        "line": Line(trio.minus, trio.plus, trio.base, device="cpu"),
        "taken away": lambda: TaskArithmetic(trio.base, {"plus": trio.plus}, weights={"plus": -1}, device="cpu"),
    }
    found = compare_paths(paths, [head_norm, WORDS], points={"taken away": [0, 2]}, store=str(tmp_path))
    assert {name: curve.alphas.tolist() for name, curve in found.curves.items()} == {
        "line": [0, 0.25, 0.5, 0.75, 1],
        "taken away": [0, 2],
    }
    assert found.recipes["taken away"] == {0: "1 x base + 0 x plus", 2: "3 x base + -2 x plus"}
    assert "taken away at 2: 3 x base + -2 x plus\n" in capsys.readouterr().out
    table = found.to_frame()
    assert table.loc[("taken away", 0.0), "distance/base"] == 0 < table.loc[("line", 0.0), "distance/base"]
    joined = found.to_curve().save(tmp_path / "joined")
    again = Curve.load(joined)
    assert again["head_norm (line)"]["alpha"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert again["head_norm (taken away)"]["alpha"].tolist() == [0, 2]
    assert len(again.samples) == 14 and set(again.samples["curve"]) == {"line", "taken away"}
    assert list(again.provenance["paths"]) == ["line", "taken away"]


@pytest.mark.slow
def test_what_cannot_be_compared_is_told_before_anything_is_measured(tiny_llama_pair):
    trio = tiny_llama_pair
    line = Line(trio.minus, trio.plus, trio.base, device="cpu")
    lone, other = Line(trio.minus, trio.plus, device="cpu"), Line(trio.minus, trio.plus, trio.plus, device="cpu")
    way_out = "Distances and perplexities are compared from one: pass the same base=... to each path."
    for paths, at, kind, text in (
        ({}, [0], ProbeError, "compare_paths(paths): no paths.\nPass {name: path}."),
        ({"a": line}, {"b": [0]}, ProbeError, "compare_paths(points): no path 'b'.\nThey are: a."),
        ({"a": line, "b": lone}, [0], ProbeError, f"compare_paths(paths): 'b' has no base.\n{way_out}"),
        ({"a": line, "b": other}, [0], ProbeError, f"compare_paths(paths): 'b' has another base.\n{way_out}"),
        (
            {"a": line, "b": ModelSoup({"one": trio.plus}, trio.base, device="cpu")},
            [0, 1],
            AlphaError,
            "compare_paths(points['b']): 0, expected a number of ingredients from 1 to 1.",
        ),
    ):
        with pytest.raises(kind) as error:
            compare_paths(paths, [lambda model, tokenizer: pytest.fail("measured")], at)
        assert str(error.value) == text
