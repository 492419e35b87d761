"""Causal architectures of transformers: what lerpnb gives is what transformers gives, or it is refused."""

import pytest
import tiny_architectures as architectures

QUICK = ("bamba", "bart", "gemma2", "gpt2", "mamba", "xlnet")
# Those that need settings of their own, each unlike the others; `make agree` examines them all.
OTHERS = {*architectures.SPECIAL, *architectures.NOT_CAUSAL, *architectures.NOT_BUILT} - set(QUICK)
CASES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(OTHERS))]


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
