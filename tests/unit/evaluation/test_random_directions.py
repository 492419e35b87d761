"""A line beside random directions: length, start, store, Ctrl-C, and what is refused."""

import numpy as np
import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.errors import AlphaError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.random_directions import compare_random_directions
from lerpnb.paths.directions import random_direction
from lerpnb.paths.line import Line


def bend(model, tokenizer):
    """A bowl on any plane: a sum of squared weights."""
    return model.lm_head.weight.double().square().sum()


bend.cache_key = "bend"


@pytest.mark.slow
def test_random_directions_have_the_lines_length_and_start(tiny_adapter_pair, tmp_path):
    line = Line(*tiny_adapter_pair[1:], device="cpu")
    before = {name: tensor.clone() for name, tensor in line.minus.tensors.items()}

    def apart(model, tokenizer):
        """Squared distance from minus."""
        live = dict(model.named_parameters())
        return sum((live[name].double() - tensor).square().sum() for name, tensor in before.items() if name in live)

    fan = compare_random_directions(line, [apart], [-1, 0, 0.5, 1], n=3, store=False)
    length = line.summary().loc["all", "distance"]
    assert fan.provenance["length"] == pytest.approx(length, rel=1e-6) and fan.provenance["seeds"] == [0, 1, 2]
    for curve in (fan.line, *fan.others):
        assert curve.value("apart") == pytest.approx(length**2 * np.array([1, 0, 0.25, 1]), rel=1e-5, abs=1e-12)
    assert len(fan.others) == 3
    assert all(torch.equal(tensor, before[name]) for name, tensor in line.minus.tensors.items())


@pytest.mark.slow
def test_random_directions_come_from_the_store_again(tiny_llama_pair, tmp_path):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    first = compare_random_directions(line, [bend], [0, 1], n=2, store=tmp_path)
    again = compare_random_directions(line, [bend], [0, 1], n=3, store=Cache(tmp_path))
    assert [curve.provenance["measured"] for curve in (first.line, *first.others)] == [2, 2, 2]
    assert [curve.provenance["measured"] for curve in (again.line, *again.others)] == [0, 0, 0, 2]
    values = [curve.value("bend")[1] for curve in again.others]
    assert values[:2] == [curve.value("bend")[1] for curve in first.others] and len(set(values)) == 3


@pytest.mark.slow
def test_ctrl_c_returns_the_directions_that_are_done(tiny_llama_pair, capsys):
    line, seen = Line(*tiny_llama_pair[1:], device="cpu"), []

    def stops(model, tokenizer):
        seen.append(1)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return 1.0

    fan = compare_random_directions(line, [stops], [0, 1], n=5, store=False, check=False)
    assert len(fan.others) == 1 and fan.provenance["seeds"] == [0]
    assert "Interrupted" in capsys.readouterr().out


def test_no_directions_are_refused(tiny_llama_pair):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    for n in (0, 2.5, True):
        with pytest.raises(AlphaError) as error:
            compare_random_directions(line, [bend], n=n)
        assert str(error.value) == (
            f"compare_random_directions(n): got {n!r}.\nIt takes a whole number of directions, 1 or more."
        )


def test_a_direction_leads_a_checkpoint_to_a_mixable_one(tiny):
    minus = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    from lerpnb.paths.directions import moved

    line = Line(minus, moved(minus, random_direction(minus), 1.0, "there"), device="cpu")
    assert line.summary().loc["all", "distance"] == pytest.approx(1.0, rel=1e-5)
