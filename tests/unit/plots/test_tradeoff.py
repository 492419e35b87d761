"""tradeoff.py: strength against perplexity, of one path and of several, by traces and labels."""

import math

import pytest

from lerpnb.errors import CurveError
from lerpnb.plots.theme import COLORS
from lerpnb.plots.tradeoff import plot_tradeoff
from lerpnb.results.comparisons import PathComparison
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
    ends = (None, None, 5, None, 5, None, None)  # two prompts: the two values themselves
    assert path.error_x.array == path.error_x.arrayminus == ends
    assert [text for text in path.text if text] == ["<b>minus</b>", "<b>plus</b>"]
    assert path.hovertext[3] == "At alpha 0.5: strength 0.45 [0.35, 0.55],<br>perplexity 50 [45, 55]"


@pytest.mark.slow
def test_axes_have_units_and_the_log_one_round_ticks():
    fig = plot_tradeoff(curve())
    assert fig.layout.xaxis.title.text == "perplexity of the continuations, ← more fluent"
    assert fig.layout.yaxis.title.text == "strength of joy, probability 0 to 1"
    assert fig.layout.xaxis.type is None
    log = plot_tradeoff(curve(steep=1000)).layout.xaxis  # 50 to 1550, and 5 more or less
    assert log.title.text == "perplexity of the continuations (log scale), ← more fluent"
    assert (log.type, log.dtick, log.tickformat) == ("log", "D2", ",~g")  # 50, 100, 200, 500, 1,000
    assert log.range[0] < math.log10(45) and log.range[1] > math.log10(1555)


@pytest.mark.slow
def test_the_base_is_marked_where_it_was_measured():
    plain, marked = plot_tradeoff(curve()), plot_tradeoff(curve(), curve(alphas=(0.0,), steep=20))
    assert [trace.name for trace in plain.data] == ["alpha"]
    star = marked.data[1]
    assert (star.name, star.x, star.y, star.marker.symbol) == ("base", (60,), (0.4,), "star")
    assert star.hovertext == ("The base: strength 0.40 [0.30, 0.50],<br>perplexity 60 [55, 65]",)
    assert marked.layout.meta["alt"].endswith("base 0.4 at 60.")
    [judge] = [note.text for note in marked.layout.annotations]
    assert judge.startswith(
        "Perplexity 50 to 65 along the line, about 60 for the base.<br>The judge is the base where no other"
    )


def test_the_best_alpha_is_named():
    one = curve()
    fig = plot_tradeoff(one, best=one.best("strength/joy", at_most={"perplexity/continuations": 50.0}))
    assert "<b>best, alpha 0.5</b>" in fig.data[0].text


@pytest.mark.slow
def test_checkpoints_alone_are_labeled():
    path, base = plot_tradeoff(curve(), curve(alphas=(0.0,), steep=20)).data
    assert dict(zip(GRID, path.text, strict=True)) == dict.fromkeys(GRID, "") | {0: "<b>minus</b>", 1: "<b>plus</b>"}
    assert base.text == ("<b>base</b>",)
    other = Curve.from_measures({a: point(a) for a in GRID}, provenance={"named": [[0, "base"], [2, "joy"]]})
    drawn = plot_tradeoff(other).data[0]
    assert drawn.text == ("", "", "<b>base</b>", "", "", "", "<b>joy</b>")
    assert drawn.marker.line.width == (1, 1, 3, 1, 1, 1, 3)


@pytest.mark.slow
def test_a_nan_is_left_out_and_a_second_attribute_finds_its_own_perplexity():
    points = {alpha: point(alpha) for alpha in GRID}
    points[2.0]["strength/joy"] = Measurement([math.nan, 1.0], unit="probability", items="prompts")
    assert plot_tradeoff(Curve.from_measures(points)).data[0].x == (65, 60, 55, 50, 55, 60)
    named = Curve.from_measures({0.0: point(0.0, called=" (b)") | {"strength/other": Measurement([1.0])}})
    assert plot_tradeoff(named).data[0].y == (0.4,)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(CurveError) as error:
        plot_tradeoff(Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}}))
    assert str(error.value) == (
        "plot_tradeoff(curve): no strength/… with its perplexity/continuations.\n"
        "Evaluate an AttributeStrength probe, whose perplexity model is the line's base or one that you name."
    )
    with pytest.raises(CurveError) as error:
        plot_tradeoff(curve(), curve())
    assert str(error.value) == (
        "plot_tradeoff(base): a curve of 7 alphas, expected one.\n"
        "Pass evaluate(Line(o, o), [0], [attribute]) with o the base."
    )
    nowhere = {name: Measurement([math.nan]) for name in point(0.0)}
    with pytest.raises(CurveError) as error:
        plot_tradeoff(Curve.from_measures({0.0: nowhere}))
    assert str(error.value) == (
        "plot_tradeoff(curve): strength/joy and perplexity/continuations are nowhere both finite numbers."
    )


def far_point(strength: float, perplexity: float, far: float = math.nan) -> dict[str, Measurement]:
    return {
        "strength/joy": Measurement([strength - 0.1, strength + 0.1], unit="probability", items="prompts"),
        "perplexity/continuations": Measurement([perplexity - 5, perplexity + 5], items="prompts"),
        "distance/base": Measurement([far], items="values"),
    }


def paths() -> dict[str, Curve]:
    near = {a: far_point(0.4 + a / 5, 50 + 10 * a, 3 * a) for a in (0.0, 1.0, 2.0)}
    steered = {a: far_point(0.4 + a / 4, 50 + 40 * a) for a in (0.0, 1.0)}
    return {
        "near": Curve.from_measures(near, provenance={"coordinate": "lambda"}),
        "<b>steered": Curve.from_measures(steered),
    }


@pytest.mark.slow
def test_a_color_a_path_and_a_panel_of_distances():
    fig = plot_tradeoff(paths())
    assert [(t.name, t.yaxis) for t in fig.data] == [
        ("near", "y"),
        ("near", "y2"),
        ("&lt;b&gt;steered", "y"),  # no point of weight space: no distance
    ]
    assert fig.layout.showlegend is False
    names = [note for note in fig.layout.annotations if note.name == "path"]
    assert [(note.text, note.x, note.font.color) for note in names] == [
        ("<b>near</b>", 70, COLORS[0]),
        ("<b>&lt;b&gt;steered</b>", 90, COLORS[1]),
    ]
    assert fig.layout.title.text == (
        "<b>Highest strength: near at lambda 2, 0.80</b> [0.70, 0.90]<br>"
        "<b>Lowest perplexity: near at lambda 0, 50</b> [45, 55]"
    )
    assert [t.line.color for t in fig.data] == [COLORS[0], COLORS[0], COLORS[1]]
    assert fig.data[0].x == fig.data[1].x == (50, 60, 70) and fig.data[1].y == (0, 3, 6)
    assert fig.data[0].y == pytest.approx((0.4, 0.6, 0.8)) and fig.data[0].marker.size == (8, 11, 14)
    assert fig.data[0].hovertext[1] == (
        "near at lambda 1:<br>strength 0.60 [0.50, 0.70],<br>perplexity 60 [55, 65],<br>distance from the base 3"
    )
    assert fig.data[2].hovertext[1].endswith("<br>no point of weight space")
    assert fig.layout.xaxis2.title.text == "perplexity of the continuations, ← more fluent"
    assert fig.layout.yaxis.title.text == "strength of joy, probability 0 to 1"
    assert fig.layout.yaxis2.title.text == "distance from base" and fig.layout.yaxis2.range[1] > 6
    assert fig.layout.meta["alt"] == (
        "Highest strength: near at lambda 2, 0.80 [0.70, 0.90]. Lowest perplexity: near at lambda 0, 50 [45, 55]. "
        "Trade-off of 2 paths: near from strength 0.4 at perplexity 50 to 0.8 at 70; "
        "<b>steered from strength 0.4 at perplexity 50 to 0.65 at 90."
    )


@pytest.mark.slow
def test_names_of_paths_that_end_at_one_place_stand_above_each_other():
    fig = plot_tradeoff({f"a path {i}": paths()["near"] for i in range(4)})
    shifts = [note.yshift for note in fig.layout.annotations if note.name == "path"]
    assert min(abs(a - b) for i, a in enumerate(shifts) for b in shifts[:i]) >= 16


def test_paths_without_distances_have_one_panel_with_all_its_titles():
    fig = plot_tradeoff({"near": curve(), "far": curve(steep=20)})
    assert fig.layout.xaxis.title.text == "perplexity of the continuations, ← more fluent"
    assert "xaxis2" not in fig.layout and "weight space" not in fig.data[0].hovertext[0]


@pytest.mark.slow
def test_more_paths_than_colors_differ_in_dashes_and_symbols():
    fig = plot_tradeoff({f"path {i}": paths()["near"] for i in range(8)})
    looks = [(t.line.color, t.line.dash, t.marker.symbol) for t in fig.data if t.yaxis == "y"]
    assert len(set(looks)) == 8 and looks[0][0] == looks[6][0] and looks[0][1:] != looks[6][1:]


@pytest.mark.slow
def test_paths_show_their_figure_and_their_table():
    found = PathComparison(paths(), {})
    assert found._repr_mimebundle_()["text/plain"].startswith("2 paths\n")
    assert found.to_frame().index.names == ["path", "point"] and len(found.to_frame()) == 5
    assert found.plot().layout.meta["alt"] == plot_tradeoff(paths()).layout.meta["alt"]


def test_some_paths_or_those_of_two_comparisons():
    near, steered = paths().items()
    both = PathComparison(dict([near]), {near[0]: {}}) | PathComparison(dict([steered]), {steered[0]: {}})
    assert list(both.curves) == ["near", "<b>steered"]
    assert both.only("<b>steered").curves == {"<b>steered": steered[1]}
    with pytest.raises(CurveError) as error:
        both.only("far")
    assert str(error.value) == "PathComparison.only(names): no path 'far'. They are: near, <b>steered."


def test_several_curves_that_cannot_be_drawn_are_refused():
    with pytest.raises(CurveError) as error:
        plot_tradeoff({})
    assert str(error.value) == "plot_tradeoff(curves): no curves. Pass {name: curve}."
    with pytest.raises(CurveError) as error:
        plot_tradeoff(paths(), curve(alphas=(0.0,)))
    assert str(error.value) == "plot_tradeoff(base): several curves have no base marked.\nPass one curve with it."
    with pytest.raises(CurveError) as error:
        plot_tradeoff({"a": Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}})})
    assert str(error.value) == (
        "plot_tradeoff(curves['a']): no strength/… with its perplexity/continuations.\n"
        "Evaluate an AttributeStrength probe, whose perplexity model is the line's base or one that you name."
    )
    with pytest.raises(CurveError) as error:
        plot_tradeoff({"a": Curve.from_measures({0.0: far_point(math.nan, 50)})})
    assert str(error.value) == (
        "plot_tradeoff(curves['a']): strength/joy and perplexity/continuations are nowhere both finite numbers."
    )


@pytest.mark.slow
def test_any_quantity_against_another():
    points = {
        a: {"kl/base": Measurement([a**2], unit="nats/token"), "preference/taste": Measurement([a / 2], unit="share")}
        for a in (0.0, 0.5, 1.0)
    }
    one = Curve.from_measures(points)
    fig = plot_tradeoff(one, x="kl/base", y="preference/taste")
    assert (fig.data[0].x, fig.data[0].y) == ((0, 0.25, 1), (0, 0.25, 0.5))
    titles = [axis.title.text for axis in (fig.layout.xaxis, fig.layout.yaxis)]
    assert titles == ["KL (base), nats per token", "preference (taste), share 0 to 1"]
    assert fig.data[0].hovertext[1].startswith("At alpha 0.5: preference/taste 0.25")
    both = plot_tradeoff({"a": one, "b": one}, x="kl/base", y="preference/taste")
    assert both.data[0].hovertext[0].startswith("a at alpha 0:<br>preference/taste 0")
    assert "a from preference/taste 0 at kl/base 0 to 0.5 at 1" in both.layout.meta["alt"]
    strength = {a: point(a) | {"kl/base": Measurement([1 + a, 1 + a])} for a in (0.0, 1.0)}
    assert plot_tradeoff(Curve.from_measures(strength), x="kl/base").layout.yaxis.title.text.startswith(
        "strength of joy"
    )
    for result, names in ((one, {"y": "preference/taste"}), (Curve.from_measures(strength), {})):
        with pytest.raises(CurveError, match="no quantity 'kl/minus'"):
            plot_tradeoff(result, x="kl/minus", **names)
