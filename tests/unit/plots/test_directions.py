"""fan.py: the line strong, the random directions thin, and what the table counts."""

import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.directions import plot_random_directions
from lerpnb.results.comparisons import DirectionComparison
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement


def curve(slope: float) -> Curve:
    return Curve.from_measures(
        {
            a: {"loss/x": Measurement([4 + slope * a], unit="nats/token"), "other": Measurement([a])}
            for a in (0.0, 1.0, 2.0)
        }
    )


@pytest.fixture
def fan() -> DirectionComparison:
    return DirectionComparison(curve(0.5), [curve(1.0), curve(0.25), curve(3.0)], {"length": 2.0})


@pytest.mark.slow
def test_the_line_lies_strong_over_thin_ones(fan):
    fig = plot_random_directions(fan)
    *thin, line = fig.data
    assert [trace.y for trace in thin] == [(4, 5, 6), (4, 4.25, 4.5), (4, 7, 10)] and line.y == (4, 4.5, 5)
    assert line.line.width > 2 * max(trace.line.width for trace in thin)
    assert [trace.showlegend for trace in thin] == [True, False, False]
    assert thin[0].name == "3 random directions of the same length"
    assert {note.text for note in fig.layout.annotations} >= {"<b>minus</b>", "<b>plus</b>"}
    assert fig.layout.yaxis.title.text == "loss (x), nats per token"
    assert fig.layout.meta["alt"] == (
        "loss/x on the line and on 3 random directions: at alpha 0 4 on the line and 4 to 4 on the random directions; "
        "at alpha 1 4.5 on the line and 4.25 to 7 on the random directions; "
        "at alpha 2 5 on the line and 4.5 to 10 on the random directions."
    )
    assert plot_random_directions(fan, "other").data[-1].y == (0, 1, 2)


@pytest.mark.slow
def test_the_table_counts_what_lies_higher(fan):
    row = fan.to_frame().loc[1.0]
    assert row.to_dict() == {"line": 4.5, "least": 4.25, "mean": pytest.approx(5.4166667), "most": 7.0, "higher": 2.0}
    assert fan.to_frame("other")["higher"].tolist() == [0, 0, 0]
    assert repr(fan) == "loss/x: at alpha 1 4.5 on the line; on 3 random directions 4.25 to 7, higher on 2"
    assert set(fan._repr_mimebundle_()) == {"application/vnd.plotly.v1+json", "text/plain"}


def test_the_line_alone_is_said_to_be():
    alone = DirectionComparison(curve(1.0), [], {})
    assert repr(alone) == "loss/x: the line alone" and len(plot_random_directions(alone).data) == 1
    with pytest.raises(CurveError) as error:
        alone.to_frame()
    assert (
        str(error.value) == "DirectionComparison.to_frame(quantity): no random direction was finished.\nRun it again."
    )
