"""WiSE-FT: a line from the base."""

import pytest
from path_weights import close, tensors

from lerpnb.merging.wise import wise_ft


@pytest.mark.slow
def test_wise_ft_is_the_line_from_the_base(tiny_llama_pair):
    line = wise_ft(tiny_llama_pair.base, tiny_llama_pair.plus, device="cpu")
    line.at(0.25)
    for _, live, minus, plus in tensors(line, "minus", "plus"):
        assert close(live, 0.75 * minus + 0.25 * plus)
    assert line.base.sha256 == line.minus.sha256
