"""Every causal architecture of transformers: what lerpnb gives is what transformers gives, or it is refused."""

import pytest
import tiny_architectures as architectures

QUICK = ("bamba", "bart", "gemma2", "gpt2", "mamba", "xlnet")
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in architectures.NAMES]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_an_architecture_is_right_or_refused(name, tmp_path):
    row = architectures.examine(name, tmp_path)
    if "not built" in row:
        assert name in architectures.NOT_BUILT, row
        return
    assert len(row) == len(architectures.CHECKS), row
    refused = {"batched_alphas"} | ({"loss", "greedy_texts"} if name in architectures.NOT_CAUSAL else set())
    assert {check: said for check, said in row.items() if said != "right" and check not in refused} == {}
    assert all(said == "right" or said.startswith("refused: ") for said in row.values()), row
