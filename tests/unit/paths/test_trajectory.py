"""The trajectory: each segment's interpolation by numpy, extrapolation at both ends, and every use of a path."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import lerpnb as ln
from lerpnb.errors import AlphaError, ArgumentError
from lerpnb.paths.trajectory import Trajectory

CORPUS = ln.Corpus(("the film was slow", "it wants to be clever"), (0, 0), ("any",), "film")


@pytest.fixture(scope="module", params=["tiny_llama_pair", "tiny_gpt2_pair", "tiny_adapter_pair"])
def run(request) -> Trajectory:
    trio = request.getfixturevalue(request.param)
    return Trajectory([trio.base, trio.minus, trio.plus], device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-0.7, 0.25, 0.999, 1.5, 2.4])
def test_a_point_is_numpys_interpolation_of_two_checkpoints(run, alpha):
    i = 0 if alpha < 1 else 1
    ends = [checkpoint.tensors for checkpoint in run.checkpoints.values()][i : i + 2]
    for name, live in run.at(alpha).named_parameters():
        a, b = (end[name].numpy().astype(np.float64) for end in ends)
        want = a + (alpha - i) * (b - a)
        assert np.abs(live.numpy() - want).max() <= 1e-6 * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("i", [0, 1, 2])
def test_a_whole_alpha_is_a_checkpoint_bit_for_bit(run, i):
    checkpoint = list(run.checkpoints.values())[i]
    assert all(torch.equal(live, checkpoint.tensors[name]) for name, live in run.at(i).named_parameters())


@pytest.mark.slow
def test_it_is_measured_saved_and_told_apart(tiny_llama_pair, tmp_path):
    steps = {"step 0": tiny_llama_pair.base, "step 100": tiny_llama_pair.minus, "step 200": tiny_llama_pair.plus}
    run = Trajectory(steps, device="cpu")
    curve = ln.evaluate(run, [0, 0.5, 1, 1.5, 2, 2.5], [ln.Loss(CORPUS)], store=tmp_path / "store")
    model = AutoModelForCausalLM.from_pretrained(run.save(1.5, tmp_path / "saved")).eval()
    saved = ln.Loss(CORPUS).measure(model, run.tokenizer)["loss/film"].value()
    assert curve.value("loss/film")[3] == pytest.approx(saved, abs=1e-6)
    assert curve.provenance["named"] == [[0.0, "step 0"], [1.0, "step 100"], [2.0, "step 200"]]
    marks = [note.text for note in curve.plot().layout.annotations]
    assert marks[:3] == ["<b>step 0</b>", "<b>step 100</b>", "<b>step 200</b>"]
    assert {(shade.x0, shade.x1 > 2.5) for shade in curve.plot().layout.shapes if shade.type == "rect"} == {(2, True)}
    other = Trajectory(dict(reversed(steps.items())), device="cpu")
    assert other.identity()["settings"] != run.identity()["settings"]


def test_fewer_than_two_are_refused():
    for checkpoints in ([], ["one"]):
        with pytest.raises(AlphaError, match="expected two or more"):
            Trajectory(checkpoints, device="cpu")
    for wrong in ("one", None):
        with pytest.raises(ArgumentError, match=r"Trajectory\(checkpoints\): got .*\nIt takes a list or a mapping\."):
            ln.paths.Trajectory(wrong, device="cpu")


def test_no_number_is_refused(run):
    for alpha in (float("nan"), "1", True):
        with pytest.raises(AlphaError):
            run.at(alpha)
