"""trade_off.py: strength against perplexity by traces and labels."""

import math

import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.theme import Figure
from lerpnb.plots.tradeoff import DOWN, NARROW, PLACES, WIDE, plot_tradeoff
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def point(alpha: float, steep: float = 10, called: str = "") -> dict[str, Measurement]:
    strength, perplexity = 0.4 + alpha / 10, 50 + steep * abs(alpha - 0.5)
    return {
        f"strength/joy{called}": Measurement([strength - 0.1, strength + 0.1], unit="probability", items="prompts"),
        f"perplexity/continuations{called}": Measurement([perplexity - 5, perplexity + 5], items="prompts"),
    }


def curve(alphas=GRID, **told) -> Curve:
    return Curve.from_measures({alpha: point(alpha, **told) for alpha in alphas})


def test_a_point_an_alpha_with_its_intervals_in_order():
    path = plot_tradeoff(curve()).data[0]
    assert path.x == (65, 60, 55, 50, 55, 60, 65)
    assert path.y == pytest.approx((0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6))
    assert path.marker.color == GRID and path.marker.cmid == 0.5
    assert path.marker.line.width == (1, 1, 3, 1, 3, 1, 1)  # both ends ringed
    assert path.error_x.array == path.error_x.arrayminus == (5,) * 7  # two prompts: the two values themselves
    assert path.hovertext[3] == "At alpha 0.5: strength 0.45 (0.35 to 0.55),<br>perplexity 50 (45 to 55)"


def test_axes_have_units_and_the_log_one_round_ticks():
    fig = plot_tradeoff(curve())
    assert fig.layout.xaxis.title.text == "perplexity of the continuations, ← more fluent"
    assert fig.layout.yaxis.title.text == "strength of joy, probability 0 to 1"
    assert fig.layout.xaxis.type is None
    log = plot_tradeoff(curve(steep=1000)).layout.xaxis  # 50 to 1550, and 5 more or less
    assert log.title.text == "perplexity of the continuations (log scale), ← more fluent"
    assert log.tickvals == (50, 100, 200, 500, 1000) and log.ticktext == ("50", "100", "200", "500", "1,000")
    assert log.range[0] < math.log10(45) and log.range[1] > math.log10(1555)


def test_the_base_is_marked_where_it_was_measured():
    plain, marked = plot_tradeoff(curve()), plot_tradeoff(curve(), curve(alphas=(0.0,), steep=20))
    assert [trace.name for trace in plain.data] == ["alpha", "labels", "more labels"]
    star = marked.data[1]
    assert (star.name, star.x, star.y, star.marker.symbol) == ("base", (60,), (0.4,), "star")
    assert star.hovertext == ("The base: strength 0.4 (0.3 to 0.5),<br>perplexity 60 (55 to 65)",)
    assert "<b>base</b>" in marked.data[2].text
    assert marked.layout.meta["alt"].endswith("base 0.4 at 60.")


@pytest.mark.parametrize("steep", [10, 1000, 0])
def test_labels_overlap_neither_one_another_nor_a_point(steep):
    fig = plot_tradeoff(curve(steep=steep))
    labels, more = fig.data[-2:]
    assert more.meta == "wide" and labels.meta is None
    assert {"<b>minus 0</b>", "<b>plus 1</b>"} <= {*labels.text, *more.text}
    for width, traces in ((NARROW, [labels]), (WIDE, [labels, more])):
        boxes = [box for trace in traces for box in boxes_of(fig, trace, width)]
        points = [(*place(fig, x, y, width), 6, 6) for x, y in zip(fig.data[0].x, fig.data[0].y, strict=True)]
        for i, one in enumerate(boxes):
            assert not any(meet(one, other) for other in boxes[:i] + points)


def test_an_end_without_room_beside_it_is_named_from_further_off():
    def folded(alpha: float) -> dict[str, Measurement]:
        perplexity = 38 + 400 * (alpha / 2) ** 4 if alpha > 0 else 38 + 30 * alpha**2
        return {"strength/joy": Measurement([0.4 + alpha / 10]), "perplexity/continuations": Measurement([perplexity])}

    fig = plot_tradeoff(Curve.from_measures({i / 16: folded(i / 16) for i in range(-16, 33)}))
    labels, more = fig.data[-2:]
    named = {far.text: far for far in fig.layout.annotations}
    assert named and set(named) <= {"<b>minus 0</b>", "<b>plus 1</b>"}
    assert {"<b>minus 0</b>", "<b>plus 1</b>"} <= {*named, *labels.text, *more.text}
    for width, traces in ((NARROW, [labels]), (WIDE, [labels, more])):
        boxes = [other for trace in traces for other in boxes_of(fig, trace, width)]
        boxes += [(*place(fig, x, y, width), 6, 6) for x, y in zip(fig.data[0].x, fig.data[0].y, strict=True)]
        for text, far in named.items():
            x, y = place(fig, 10**far.x, far.y, width)
            assert not any(meet((x + far.ax, y - far.ay, 7 * len(text) / 2 - 24, 7), other) for other in boxes)


def place(fig: Figure, x: float, y: float, width: int) -> tuple[float, float]:
    (x0, x1), (y0, y1) = fig.layout.xaxis.range, fig.layout.yaxis.range
    x = math.log10(x) if fig.layout.xaxis.type == "log" else x
    return (x - x0) / (x1 - x0) * width, (y - y0) / (y1 - y0) * DOWN


def boxes_of(fig: Figure, trace, width: int) -> list[tuple]:
    """Middle and half sizes of each label in pixels, at 7 a letter."""
    found = []
    for x, y, text, where in zip(trace.x, trace.y, trace.text, trace.textposition, strict=True):
        half, (right, up) = 3.5 * len(text.replace("<b>", "").replace("</b>", "")), PLACES[where]
        (a, b) = place(fig, x, y, width)
        found.append((a + right * (half + 9), b + up * (17 if right == 0 else 12), half, 7))
    return found


def meet(one: tuple, other: tuple) -> bool:
    return abs(one[0] - other[0]) < one[2] + other[2] and abs(one[1] - other[1]) < one[3] + other[3]


def test_a_nan_is_left_out_and_a_second_attribute_finds_its_own_perplexity():
    points = {alpha: point(alpha) for alpha in GRID}
    points[2.0]["strength/joy"] = Measurement([math.nan, 1.0], unit="probability", items="prompts")
    assert plot_tradeoff(Curve.from_measures(points)).data[0].x == (65, 60, 55, 50, 55, 60)
    named = Curve.from_measures({0.0: point(0.0, called=" (b)") | {"strength/other": Measurement([1.0])}})
    assert plot_tradeoff(named).data[0].y == (0.4,)


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(CurveError) as error:
        plot_tradeoff(Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}}))
    assert str(error.value) == (
        "trade_off_figure(curve): no strength/… with its perplexity/continuations.\n"
        "Walk with an Attribute probe, whose judge is the line's base or one that you name."
    )
    with pytest.raises(CurveError) as error:
        plot_tradeoff(curve(), curve())
    assert str(error.value) == (
        "trade_off_figure(base): a curve of 7 alphas, expected one.\n"
        "Pass evaluate(Line(o, o), [0], [attribute]) with o the base."
    )
    nowhere = {name: Measurement([math.nan]) for name in point(0.0)}
    with pytest.raises(CurveError) as error:
        plot_tradeoff(Curve.from_measures({0.0: nowhere}))
    assert str(error.value) == (
        "trade_off_figure(curve): strength/joy and perplexity/continuations are nowhere both finite numbers."
    )
