"""TIES: trim, election of signs, disjoint mean."""

import pytest
import torch
from path_weights import both, close, tensors

from lerpnb.errors import AlphaError
from lerpnb.merging.ties import Ties, disjoint_mean, trimmed


def test_a_tensor_is_trimmed_to_its_largest():
    tensor = torch.tensor([[1.0, -5.0, 2.0], [0.0, 4.0, -3.0]])
    assert trimmed(tensor, 0.5).tolist() == [[0, -5, 0], [0, 4, -3]]
    assert trimmed(tensor, 0.01).tolist() == [[0, -5, 0], [0, 0, 0]]  # one at least
    assert trimmed(tensor, 1.0).equal(tensor)


def test_signs_are_elected_by_sum_and_only_the_agreeing_are_averaged():
    three = [torch.tensor(row) for row in ([4.0, -1.0, 0.0, 1.0], [2.0, -1.0, 0.0, -1.0], [-3.0, 5.0, 0.0, 0.0])]
    assert disjoint_mean(three).tolist() == [3.0, 5.0, 0.0, 1.0]  # 1 - 1 = 0 counts as positive


@pytest.mark.slow
def test_ties_is_base_and_lambda_times_what_was_made_once(tiny_llama_pair, tmp_path, monkeypatch):
    trio = tiny_llama_pair
    path = Ties(trio.base, both(trio), density=0.3, device="cpu")
    for at in (0.7, -0.4):
        path.at(at)
        for _, live, base, *tuned in tensors(path, "base", "one", "two"):
            tau = disjoint_mean([trimmed((end - base).float(), 0.3) for end in tuned]).double()
            assert close(live, base + at * tau)
    path.at(0)
    assert all(torch.equal(live, base) for _, live, base in tensors(path, "base"))
    assert (
        path.identity()["settings"]["density"] == 0.3
        and path.identity() != Ties(trio.base, both(trio), device="cpu").identity()
    )
    card = (path.save(0.5, tmp_path / "model") / "README.md").read_text()
    assert "1 x base + 0.5 x tau, tau of one, two by Ties(density=0.3), mixed in float32" in card


def test_settings_out_of_range_are_refused_before_anything_is_loaded():
    nowhere = {"one": "no such model"}
    for call, text in {
        lambda: Ties("x", nowhere, density=0): "Ties(density): 0, expected a share above 0 and at most 1, such as 0.2.",
        lambda: Ties("x", {}): (
            "Ties(tuned): none, expected fine-tunes by role.\nPass {'positive': model, 'polite': another}, say."
        ),
    }.items():
        with pytest.raises(AlphaError) as error:
            call()
        assert str(error.value) == text
