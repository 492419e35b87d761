"""Causal architectures of transformers: what lerpnb gives is what transformers gives, or it is refused."""

import pytest
import tiny_architectures as architectures

QUICK = ("gpt2",)
# One of each way to keep what was read; `make agree` examines all 149.
OTHERS = ("bamba", "bart", "blt", "cpmant", "deepseek_v3", "falcon_h1", "gemma2", "gemma3n_text", "gpt_neo", "jamba")
OTHERS += ("kimi_linear", "lfm2_moe", "mamba", "mamba2", "prophetnet", "reformer", "xlnet", "xlstm", "xmod", "zamba2")
CASES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]


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
