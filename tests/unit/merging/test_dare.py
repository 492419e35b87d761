"""DARE: what is dropped, and what is rescaled."""

import math

import pytest
import torch
from path_weights import both, close, tensors

from lerpnb.errors import AlphaError
from lerpnb.generation.noise import noise_key
from lerpnb.merging.dare import Dare, dropped_and_rescaled
from lerpnb.merging.ties import disjoint_mean


@pytest.mark.slow
@pytest.mark.parametrize("elect", [False, True])
def test_dare_drops_by_its_seed_and_rescales(tiny_llama_pair, elect):
    trio = tiny_llama_pair
    path = Dare(trio.base, both(trio), drop=0.6, seed=3, elect=elect, device="cpu")
    path.at(1.0)
    for name, live, base, *tuned in tensors(path, "base", "one", "two"):
        thinned = [
            dropped_and_rescaled((end - base).float(), 0.6, noise_key(3, name, i)) for i, end in enumerate(tuned)
        ]
        tau = disjoint_mean(thinned) if elect else sum(thinned)
        assert close(live, base + tau.double())
    assert [path.identity()["settings"][key] for key in ("drop", "seed", "elect")] == [0.6, 3, elect]
    other = Dare(trio.base, both(trio), drop=0.6, seed=4, elect=elect, device="cpu")
    assert not torch.equal(other.tau["model.norm.weight"], path.tau["model.norm.weight"])


@pytest.mark.slow
def test_what_dare_keeps_is_a_share_whose_mean_stays():
    ones = dropped_and_rescaled(torch.ones(2, 3 * 2**20), 0.9, key=7)  # several blocks
    kept = (ones > 0).double().mean().item()
    assert abs(kept - 0.1) < 5 * math.sqrt(0.09 / ones.numel()) and ones.max().item() == pytest.approx(10.0)
    assert dropped_and_rescaled(torch.ones(5), 0.0, key=1).tolist() == [1.0] * 5
    first, again = (dropped_and_rescaled(torch.ones(100), 0.5, key=1) for _ in range(2))
    assert torch.equal(first, again)


def test_settings_out_of_range_are_refused_before_anything_is_loaded():
    nowhere = {"one": "no such model"}
    for call, text in {
        lambda: Dare("x", nowhere, drop=1): ("Dare(drop): 1, expected a probability from 0 to below 1, such as 0.9."),
    }.items():
        with pytest.raises(AlphaError) as error:
            call()
        assert str(error.value) == text
