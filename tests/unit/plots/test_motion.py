"""plot_motion: each alpha's trajectories at its step of the slider, references that stay."""

import numpy as np
import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.motion import plot_motion

PATHS = np.arange(2 * 4 * 3, dtype=float).reshape(2, 4, 3)


def test_the_slider_moves_the_one_and_leaves_the_others():
    fig = plot_motion({1.0: PATHS, 0.0: -PATHS, 0.5: PATHS / 2}, {"expert <b>": PATHS, "other": PATHS})
    assert [trace.name for trace in fig.data] == ["expert &lt;b&gt;", "other", "alpha", "starts"]
    slider = fig.layout.sliders[0]
    assert [step.label for step in slider.steps] == ["0", "0.5", "1"] and slider.active == 1
    for step, factor in zip(slider.steps, (-1, 0.5, 1), strict=True):
        (moved, which) = step.args
        assert list(which) == [2] and fig.data[2].name == "alpha"
        assert list(moved["y"][0]) == [factor * y for y in (1, 4, 7, 10)] + [None] + [
            factor * y for y in (13, 16, 19, 22)
        ] + [None]
    assert fig.data[2].x == tuple(slider.steps[1].args[0]["x"][0])
    assert fig.layout.scene.xaxis.range == (-23, 23) and "2 trajectories" in fig.layout.meta["alt"]


@pytest.mark.parametrize("motions", [{}, {0.0: PATHS[0]}, {0.0: PATHS[..., :2]}])
def test_other_shapes_are_refused(motions):
    with pytest.raises(CurveError, match="Pass"):
        plot_motion(motions)
