"""curve.py, cursor.py, theme.py, text_table.py: the figure by its traces, data and slider steps."""

import json
import math
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

from lerpnb.plots.curve import LOSS, plot_curve
from lerpnb.plots.figure import CONFIG
from lerpnb.plots.text_table import LETTERS, TextTable
from lerpnb.plots.theme import MINUS, PLUS, TEXT, escaped, faint, template
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

GRID = (-1.0, 0.0, 0.5, 1.0, 2.0)
PLOTLY = "application/vnd.plotly.v1+json"


def measures(alpha: float) -> dict[str, Measurement]:
    return {
        "loss/negative": Measurement([4 + alpha, 4 + alpha], unit="nats/token"),
        "loss/positive": Measurement([5 - alpha, 5 - alpha], unit="nats/token"),
        "strength/positive": Measurement([0.2 + alpha / 10, 0.4 + alpha / 10], unit="probability", items="prompts"),
        "dist-1": Measurement([0.5, 0.5], unit="share", items="prompts"),
    }


def samples(alphas=GRID, text: str = "text {prompt} at {alpha}", prompts: int = 6) -> pd.DataFrame:
    rows = [
        {
            "alpha": alpha,
            "prompt_id": i,
            "draw": draw,
            "prompt": f"prompt {i}",
            "continuation": text.replace("{prompt}", str(i)).replace("{alpha}", f"{alpha:g}") + " again" * draw,
            "n_tokens": 5,
            "strength/positive": 0.123 + i / 10,
        }
        for alpha in alphas
        for i in range(prompts)
        for draw in range(2)
    ]
    return pd.DataFrame(rows)


def curve_of(keep: str = "", alphas=GRID, texts: pd.DataFrame | None = None) -> Curve:
    points = {a: {q: m for q, m in measures(a).items() if q.startswith(keep)} for a in alphas}
    return Curve.from_measures(points, texts)


def named(fig: go.Figure) -> dict[str, go.Scatter]:
    return {trace.name: trace for trace in fig.data if trace.name != "here"}


@pytest.fixture(scope="module")
def fig() -> go.Figure:
    return plot_curve(curve_of(texts=samples()))


def test_a_panel_for_each_idea(fig):
    names = [trace.name for trace in fig.data]
    beyond = [f"loss/{x}{part}" for x in ("negative", "positive") for part in (", to the chord", ", chord")]
    assert set(beyond) < set(names) and names.count("here") == 5 and names[-6:] == [None] * 6
    traces = named(fig)
    assert traces["loss/negative"].x == (0, 0.5, 1) and traces["loss/negative"].y == (4, 4.5, 5)
    assert traces["loss/negative, extrapolation"].y == (3, 4, None, 5, 6)  # muted, and joined at the ends
    assert (traces["loss/negative, chord"].x, traces["loss/negative, chord"].y) == ((0, 1), (4, 5))
    axes = [traces[x].yaxis for x in ("loss/positive", "gap of loss/positive", "strength/positive")]
    assert axes == ["y", "y2", "y3"]
    assert len({traces[x].line.color for x in ("loss/negative", "loss/positive", "strength/positive")}) == 3
    # two prompts: the bootstrap's interval is the two values themselves
    band = traces["strength/positive, 95 % interval"]
    assert band.fill == "toself" and band.y[:6] == pytest.approx(
        (0.4, 0.45, 0.5, 0.3, 0.25, 0.2)[:3] + (0.3, 0.25, 0.2)
    )
    assert not any("loss" in name and "interval" in name and "gap" not in name for name in traces if name)
    assert not fig.layout.showlegend


def test_minus_and_plus_have_one_color_each(fig):
    for name in ("loss/negative", "gap of loss/negative", "strength/positive"):
        first, *_, last = named(fig)[name].marker.color
        assert (first, last) == (MINUS, PLUS)
    colors = {note.text: note.font.color for note in fig.layout.annotations}
    assert (
        (colors["<b>minus</b>"], colors["<b>plus</b>"]) == (colors["<b>0.3</b>"], colors["<b>0.4</b>"]) == (MINUS, PLUS)
    )
    assert not {MINUS, PLUS} & {trace.line.color for trace in fig.data if trace.type == "scatter"}


def bent(height: float, noise: float = 0.0, kind: str = "loss") -> Curve:
    """A quantity that is above a sloped chord by height at alpha 0.5, and its texts by noise more or less."""
    spread = noise * np.array([-1, -1, 1, 1])
    points = {
        a: {f"{kind}/x": Measurement(4 + a + 4 * a * (1 - a) * (height + spread), unit="nats/token")}
        for a in (0.0, 0.25, 0.5, 0.75, 1.0)
    }
    return Curve.from_measures(points)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("curve", "title"),
    [
        (bent(-0.1), "<b>Loss stays below the chord</b> (by 0.075 [0.075, 0.075] nats/token or more)"),
        (bent(0.1), "<b>Loss rises above the chord</b> (largest gap 0.1 [0.1, 0.1] nats/token at alpha 0.5)"),
        (bent(0.1, 0.5), "<b>Undecided whether loss leaves the chord</b> (largest gap 0.1 [−0.4, 0.6] nats/token)"),
        (bent(-0.1, 0.0, "accuracy"), "<b>Accuracy falls below the chord</b> (least gap −0.1 [−0.1, −0.1] nats/token"),
        (
            bent(0.1, 0.0, "accuracy"),
            "<b>Accuracy stays above the chord</b> (by 0.075 [0.075, 0.075]",
        ),
    ],
)
def test_the_title_is_what_the_intervals_bear_out(curve, title):
    fig = plot_curve(curve)
    assert fig.layout.title.text.startswith(title)
    alt = re.sub("</?b>", "", fig.layout.title.text)
    assert fig.layout.meta["alt"].startswith(alt)
    words = {note.text: note.yshift for note in fig.layout.annotations if "barrier" in note.text}
    above = "no barrier" if "ccuracy" in title else "barrier"
    assert max(words, key=words.get) == f"<b>{above}</b>"


@pytest.mark.slow
def test_a_rise_is_claimed_only_where_its_interval_lies_on_one_side():
    def title(rise: list[float]) -> str:
        points = {a: {"strength/x": Measurement([0.3 + a * r for r in rise], unit="probability")} for a in (0.0, 1.0)}
        return re.sub("</?b>", "", plot_curve(Curve.from_measures(points)).layout.title.text)

    assert title([0.2, 0.4]) == "Strength of “x” rises by 0.30 [0.20, 0.40]"
    assert title([-0.2, -0.1]) == "Strength of “x” falls by 0.15 [0.10, 0.20]"
    assert title([-0.2, 0.4]) == "Undecided whether strength of “x” changes (+0.10 [−0.20, 0.40])"
    assert title([0.2]) == "Strength of “x” changes by 0.2, without an interval"


@pytest.mark.slow
def test_nothing_between_the_ends_says_so():
    title = plot_curve(curve_of("loss/", alphas=(0.0, 1.0))).layout.title.text
    assert "nothing was measured between the ends: cannot tell" in title
    assert "yaxis2" not in plot_curve(curve_of("loss/", alphas=(0.0, 1.0))).to_dict()["layout"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "values", "least"), [("probability", (0.50001, 0.50002), 1.0), ("score", (3.0, 3.00001), 0.05)]
)
def test_a_flat_line_looks_flat(unit, values, least):
    kind = "strength/x" if unit == "probability" else "score/x"
    points = {a: {kind: Measurement([v, v], unit=unit)} for a, v in zip((0.0, 1.0), values, strict=True)}
    low, high = plot_curve(Curve.from_measures(points)).layout.yaxis.range
    assert high - low > least


@pytest.mark.slow
def test_strengths_of_two_units_have_a_panel_each():
    points = {
        a: {"strength/x": Measurement([a, a], unit="probability"), "score/y": Measurement([7 * a, 7 * a], unit="score")}
        for a in (0.0, 0.5, 1.0)
    }
    fig = plot_curve(Curve.from_measures(points))
    assert [named(fig)[x].yaxis for x in ("strength/x", "score/y")] == ["y", "y2"]
    assert fig.layout.yaxis2.range[1] > 7


def test_panels_have_headings_with_units(fig):
    notes = [note.text for note in fig.layout.annotations]
    assert "<b>Loss</b>, nats per token (dashed: chords)" in notes
    assert "<b>Gap to the chord</b>, nats per token" in notes
    assert "<b>Strength</b>, probability 0 to 1, +0.1 [0.1, 0.1] from minus to plus" in notes
    assert fig.layout.xaxis3.title.text == "alpha (no unit)"


@pytest.mark.slow
def test_names_at_the_lines_ends_do_not_meet():
    points = {
        a: {f"loss/{x}": Measurement([4 + a + i / 1000] * 2, unit="nats/token") for i, x in enumerate("abc")}
        for a in GRID
    }
    fig = plot_curve(Curve.from_measures(points))
    ends = sorted(note.y for note in fig.layout.annotations if note.text in "abc")
    low, high = fig.layout.yaxis.range
    assert np.diff(ends).min() >= 15 * (high - low) / LOSS - 1e-9


@pytest.mark.slow
def test_extrapolation_is_shaded_and_the_ends_are_named(fig):
    rects = [shape for shape in fig.layout.shapes if shape.type == "rect" and shape.yref == "y domain"]
    assert [edge for rect in rects for edge in (rect.x0, rect.x1)] == pytest.approx([-1.12, 0, 1, 2.12])
    texts = {note.text: note.x for note in fig.layout.annotations}
    assert texts["<b>minus</b>"] == 0 and texts["<b>plus</b>"] == 1
    assert [note.text for note in fig.layout.annotations].count("<i>extrapolation</i>") == 2
    inside = plot_curve(curve_of(alphas=(0.0, 0.5, 1.0)))
    assert not [shape for shape in inside.layout.shapes if shape.type == "rect"]


def test_hover_is_a_sentence(fig):
    traces = named(fig)
    assert traces["loss/negative, extrapolation"].hovertext[0] == (
        "At alpha −1, the loss on negative<br>is 3 nats per token<br>(95 % interval [3, 3] over 2 texts)."
    )
    assert traces["strength/positive"].hovertext[1] == (
        "At alpha 0.5, the strength of positive<br>is 0.35 as a mean probability<br>"
        "(95 % interval [0.25, 0.45] over 2 prompts)."
    )
    assert traces["gap of loss/negative"].hovertext[1] == (
        "At alpha 0.5, loss/negative<br>lies 0 [0, 0] nats per token<br>from the chord (paired 95 % interval)."
    )
    lone = plot_curve(Curve.from_measures({0.0: {"length": Measurement([7.0], items="values")}}))
    assert named(lone)["length"].hovertext == ("At alpha 0, length<br>is 7<br>(no interval, from 1 values).",)


def test_every_step_moves_cursor_diamonds_note_and_texts(fig):
    [slider] = fig.layout.sliders
    assert [step.label for step in slider.steps] == ["−1", "0", "0.5", "1", "2"]
    assert {step.method for step in slider.steps} == {"update"} and not fig.frames
    assert slider.active == 2
    moving = [i for i, trace in enumerate(fig.data) if trace.name == "here" or trace.type == "table"]
    assert len(moving) == 5 + 6
    for alpha, step in zip(GRID, slider.steps, strict=True):
        data, layout, moved = step.args
        assert list(moved) == moving
        gap = [0 if 0 <= alpha <= 1 else None] * 2
        heights = [y and y[0] for y in data["y"]][:5]
        assert heights == pytest.approx([4 + alpha, 5 - alpha, *gap, 0.3 + alpha / 10])
        first = data["cells.values"][5]
        new = f"text 0 at {alpha:g}" if alpha == GRID[0] else f"text 0 at <b>{alpha:g}</b>"
        assert first == [[f"<i>prompt 0</i> {new}"]]
        sign = f"{alpha:g}".replace("-", "−")
        assert data["header.values"][5] == [f"<b>alpha {sign}</b>, strength of positive of this text 0.12"]
        cursors = {value for key, value in layout.items() if key.startswith("shapes")}
        assert cursors == {alpha}
        [(target, note)] = ((key, value) for key, value in layout.items() if "annotations" in key)
        assert fig.layout.annotations[int(target[12:-6])].name == "read-out"
        assert note.startswith(f"loss/negative {4 + alpha:#.3g}, loss/positive ")


def test_before_the_slider_moves_all_stands_at_its_step(fig):
    data, layout, moved = fig.layout.sliders[0].steps[2].args
    for place, i in enumerate(moved):
        if fig.data[i].type == "table":
            assert [list(column) for column in fig.data[i].cells.values] == data["cells.values"][place]
            assert list(fig.data[i].header.values) == data["header.values"][place]
            assert fig.data[i].cells.fill.color == data["cells.fill.color"][place]
        else:
            assert (list(fig.data[i].x), list(fig.data[i].y)) == (data["x"][place], data["y"][place])
    for key, value in layout.items():
        what, place, end = re.fullmatch(r"(\w+)\[(\d+)\]\.(\w+)", key).groups()
        assert fig.layout[what][int(place)][end] == value


def test_a_menu_shows_one_prompt_at_a_time(fig):
    tables = [i for i, trace in enumerate(fig.data) if trace.type == "table"]
    assert [fig.data[i].visible for i in tables] == [True] + [False] * 5
    [menu] = fig.layout.updatemenus
    assert [button.label for button in menu.buttons] == [f"{i + 1}. prompt {i}" for i in range(6)]
    change, moved = menu.buttons[3].args
    assert list(moved) == tables and change["visible"] == [k == 3 for k in range(6)]


@pytest.mark.slow
def test_a_text_has_the_color_of_the_end_that_it_is_like():
    texts = samples(prompts=1)
    texts["strength/positive"] = [{-1.0: 0.0, 0.0: 0.25, 0.5: 0.5, 1.0: 1.0, 2.0: np.nan}[a] for a in texts["alpha"]]
    steps = plot_curve(curve_of(texts=texts)).layout.sliders[0].steps
    fills = [step.args[0]["cells.fill.color"][-1] for step in steps]
    assert fills == [faint(MINUS, 0.4), faint(MINUS, 0.2), faint(MINUS, 0.0), faint(PLUS, 0.4), "rgba(0,0,0,0)"]


@pytest.mark.slow
def test_a_nan_is_a_gap_with_a_cross_and_is_named():
    points = {a: measures(a) for a in GRID}
    points[0.5]["loss/negative"] = Measurement([4.5, math.nan], unit="nats/token")
    points[0.5]["strength/positive"] = Measurement([math.inf, 0.0], unit="probability", items="prompts")
    points[2.0]["dist-1"] = Measurement([math.nan, 1.0], unit="share", items="prompts")  # not in this figure
    fig = plot_curve(Curve.from_measures(points))
    assert named(fig)["loss/negative"].y == (4, None, 5)
    crosses = [trace for trace in fig.data if trace.name == "not a finite number"]
    assert [cross.x for cross in crosses] == [(0.5,), (0.5,)]
    assert [cross.yaxis for cross in crosses] == ["y", "y3"]
    hovers = [cross.hovertext for cross in crosses]
    assert hovers == [("loss/negative is NaN at alpha 0.5.",), ("strength/positive is inf at alpha 0.5.",)]
    named_in = "✕ loss/negative is NaN at alpha 0.5, strength/positive is inf at alpha 0.5"
    assert named_in in [note.text for note in fig.layout.annotations]
    assert "cannot tell whether there is a barrier" in fig.layout.title.text
    assert fig.layout.sliders[0].steps[2].args[0]["y"][0] == [None]
    assert "NaN" not in json.dumps(fig.layout.sliders[0].steps[2].args[0]["y"])


def test_numbers_are_short_plain_lists():
    points = {
        a: {"loss/x": Measurement(np.random.default_rng(1).normal(4, 1, 9), unit="nats/token")} for a in (0.0, 1 / 3)
    }
    text = plot_curve(Curve.from_measures(points)).to_json()
    assert "bdata" not in text and "0.33333" in text
    numbers = json.loads(text)["data"][1]["y"]
    assert all(len(str(number).replace(".", "")) <= 5 for number in numbers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "heading"),
    [
        ("strength/", "<b>Strength</b>, probability 0 to 1, +0.1 [0.1, 0.1] from minus to plus"),
        ("dist", "<b>Dist-1</b>, share 0 to 1"),
    ],
)
def test_a_lone_kind_has_one_panel(keep, heading):
    fig = plot_curve(curve_of(keep))
    assert heading in [note.text for note in fig.layout.annotations]
    assert "yaxis2" not in fig.to_dict()["layout"]


@pytest.mark.slow
def test_without_samples_there_is_no_table():
    fig = plot_curve(curve_of())
    assert {trace.type for trace in fig.data} == {"scatter"} and not fig.layout.updatemenus
    data, _, moved = fig.layout.sliders[0].steps[0].args
    assert set(data) == {"x", "y"} and len(moved) == 5
    assert fig.layout.height < plot_curve(curve_of(texts=samples())).layout.height


@pytest.mark.slow
def test_an_alpha_without_samples_says_so():
    fig = plot_curve(curve_of(texts=samples(alphas=(0.0, 1.0))))
    step = fig.layout.sliders[0].steps[0].args[0]
    assert step["cells.values"][-1] == [["no text was sampled at this alpha"]]


@pytest.mark.slow
def test_one_alpha_needs_no_slider():
    fig = plot_curve(curve_of(alphas=(0.5,), texts=samples(alphas=(0.5,))))
    assert not fig.layout.sliders
    assert named(fig)["loss/negative"].y == (4.5,)
    assert fig.layout.xaxis.range == (0, 1)


# texts from models

NASTY = "<script>alert(1)</script></script><img src=x onerror=alert(1)> $5 and $x^2$ %{y} \u202eevil\n" + "w" * 10_000


def test_texts_from_models_are_only_text():
    assert escaped("a & b <b>") == "a &amp; b &lt;b&gt;"
    assert escaped("'\"") == "'\""
    assert escaped("cost $5, $6 %{x}") == "cost &#36;5, &#36;6 &#37;{x}"
    assert escaped("one\n\n two\tthree\r\n") == "one ↵ two three"
    assert escaped("left\u202eright\u2066\x00\x1b[0m") == "leftright[0m"
    assert escaped("w" * 81) == " ".join(["w" * 40, "w" * 40, "w"])
    assert escaped("ab " * 200) == "ab " * 99 + "ab…"
    assert len(escaped("w" * 10_000)) == 300


@pytest.mark.slow
def test_a_figure_of_nasty_texts_holds_no_markup():
    label = "loss/<img src=x onerror=alert(1)> $a$"
    points = {a: {**measures(a), label: Measurement([1.0, 2.0], unit="<i>nats")} for a in GRID}
    fig = plot_curve(Curve.from_measures(points, samples(text=NASTY)))
    parts = json.loads(fig.to_json())
    del parts["layout"]["meta"]  # plain text, which plotly does not draw
    for trace in parts["data"]:
        trace.pop("legendgroup", None)  # nor this
    drawn = json.dumps(parts)
    for markup in ("<script", "</script", "<img", "<i>nats", "$", "%{", "\\u202e", "w" * 41):
        assert markup not in drawn
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in drawn


# display


def test_a_mimebundle_carries_the_config(fig):
    bundle = fig._repr_mimebundle_()
    assert set(bundle) == {PLOTLY, "text/plain"}
    assert (
        bundle[PLOTLY]["config"]
        == CONFIG
        == {
            "showSendToCloud": False,
            "displaylogo": False,
            "typesetMath": False,
            "responsive": False,
        }
    )
    json.dumps(bundle, allow_nan=False)
    assert bundle[PLOTLY]["layout"]["sliders"][0]["steps"][0]["method"] == "update"


@pytest.mark.slow
def test_a_curve_shows_its_figure_and_its_summary():
    curve = curve_of()
    bundle = curve._repr_mimebundle_()
    assert set(bundle) == {PLOTLY, "text/plain"}
    assert bundle["text/plain"] == repr(curve)
    assert curve.plot().to_dict() == plot_curve(curve).to_dict()


@pytest.mark.slow
def test_a_shown_figure_is_its_bundle_and_words_alone(fig):
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(plot_curve(curve_of("loss/")))
    assert set(shown) == {PLOTLY, "text/plain"}  # text/html would be a page that asks a CDN for plotly.js
    assert shown["text/plain"] == (
        "Loss does not leave the chord (largest gap 0 [0, 0] nats/token). "
        "Over 5 alphas: loss/negative from 3 at alpha −1 to 6 at alpha 2; "
        "loss/positive from 6 at alpha −1 to 3 at alpha 2."
    )


def test_pages_that_plotly_writes_have_no_share_button(fig, tmp_path):
    fig.write_html(tmp_path / "a.html", include_plotlyjs=False)
    fig.write_html(tmp_path / "b.html", config={"scrollZoom": True}, include_plotlyjs=False)
    for page in (fig.to_html(include_plotlyjs=False), *((tmp_path / f"{x}.html").read_text() for x in "ab")):
        config = json.loads(re.search(r'\{[^{}]*"showSendToCloud"[^{}]*\}', page)[0])
        assert config["showSendToCloud"] is config["displaylogo"] is config["typesetMath"] is False
        assert config["responsive"] is True
    assert config["scrollZoom"] is True


@pytest.mark.slow
def test_a_figure_tells_what_its_curve_knows_of_its_making():
    provenance = {"device": "cpu, 2 threads", "seeds": {"sampling": [0]}, "settings": {"long": "list"}}
    told = plot_curve(Curve.from_measures({0.0: measures(0.0)}, provenance=provenance)).layout.meta
    assert told["facts"] == {"device": "cpu, 2 threads", "seeds": {"sampling": [0]}}
    assert "facts" not in plot_curve(curve_of()).layout.meta


@pytest.mark.slow
def test_a_table_breaks_its_lines_itself():
    told = {"prompt": "The " + "long " * 20, "continuation": " and".join(["m" * 30] * 4) + " 電影" * 60}
    texts = samples(prompts=1).assign(**told)
    [[cell]] = plot_curve(curve_of(texts=texts)).data[-1].cells.values
    lines = cell.split("<br>")
    assert lines[0] == "<i>The " + " ".join(["long"] * 17) + "</i>" and lines[1].startswith("<i>long long long</i> mmm")
    assert all(len(re.sub("</?i>", "", line)) <= LETTERS for line in lines)
    low, high = (TextTable({0.0: [[text]]}).height() for text in ("one", "one<br>two<br>three"))
    assert high - low == 34


def test_text_and_lines_stand_out_from_the_paper(fig):
    assert plotly.io.templates["lerpnb"] == template and fig.layout.template == template
    assert template.layout.paper_bgcolor == template.layout.plot_bgcolor == "white"
    assert template.layout.font.color == TEXT
    assert contrast(TEXT, "#FFFFFF") > 7
    for name in ("loss/negative", "loss/positive", "strength/positive"):
        assert contrast(named(fig)[name].line.color, "#FFFFFF") > 2.9  # WCAG 2.1 asks 3 of graphics


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio."""

    def luminance(color: str) -> float:
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.slow
def test_the_best_alpha_is_a_star_on_its_line():
    points = {
        a: {"loss/x": Measurement([a, a]), "strength/y": Measurement([s, s])} for a, s in ((0.0, 0.2), (1.0, 0.7))
    }
    curve = Curve.from_measures(points)
    (star,) = [trace for trace in curve.plot(curve.best("strength/y")).data if trace.name == "best alpha"]
    assert (star.x, star.y, star.yaxis) == ((1.0,), (0.7,), "y2")
    nowhere = curve.best("strength/y", {"loss/x": -1.0})
    assert not [trace for trace in curve.plot(nowhere).data if trace.name == "best alpha"]
