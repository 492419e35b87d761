"""curve.py, theme.py, text_table.py: the figure by its traces, data and slider steps."""

import json
import math
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

from lerpnb.plots.curve import plot_curve
from lerpnb.plots.figure import CONFIG
from lerpnb.plots.text_table import LETTERS, TextTable
from lerpnb.plots.theme import TEXT, escaped, template
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


@pytest.fixture
def fig() -> go.Figure:
    return plot_curve(curve_of(texts=samples()))


def test_lines_bands_diamonds_and_a_table(fig):
    assert [trace.name for trace in fig.data] == [
        "loss/negative, 95 % interval",
        "loss/positive, 95 % interval",
        "strength/positive, 95 % interval",
        "loss/negative",
        "loss/positive",
        "strength/positive (right axis)",
        "here",
        "here",
        "here",
        None,
    ]
    traces = named(fig)
    assert traces["loss/negative"].y == (3, 4, 4.5, 5, 6)
    assert traces["strength/positive (right axis)"].x == GRID
    assert [traces[name].yaxis for name in ("loss/positive", "strength/positive (right axis)")] == ["y", "y2"]
    assert len({trace.line.color for trace in list(traces.values())[3:6]}) == 3
    # two prompts: the bootstrap's interval is the two values themselves
    band = traces["strength/positive, 95 % interval"]
    assert band.y[:5] == pytest.approx((0.3, 0.4, 0.45, 0.5, 0.6))
    assert band.y[5:10] == pytest.approx((0.4, 0.3, 0.25, 0.2, 0.1))
    assert band.x[:12] == (*GRID, *GRID[::-1], -1, None)
    assert band.fill == "toself"


def test_axes_have_units_and_round_ticks(fig):
    layout = fig.layout
    titles = [axis.title.text for axis in (layout.xaxis, layout.yaxis, layout.yaxis2)]
    assert titles == ["alpha (no unit)", "loss, nats per token", "strength, probability 0 to 1"]
    assert (layout.yaxis2.tickmode, layout.yaxis2.dtick, layout.yaxis2.tick0) == ("linear", 0.2, 0)
    assert not layout.yaxis2.showgrid


def test_extrapolation_is_shaded_and_the_ends_are_named(fig):
    rects = [shape for shape in fig.layout.shapes if shape.type == "rect"]
    assert [edge for rect in rects for edge in (rect.x0, rect.x1)] == pytest.approx([-1.12, 0, 1, 2.12])
    texts = {note.text: note.x for note in fig.layout.annotations}
    assert texts["<b>minus</b>"] == 0 and texts["<b>plus</b>"] == 1
    assert [note.text for note in fig.layout.annotations].count("beyond") == 2
    inside = plot_curve(curve_of(alphas=(0.0, 0.5, 1.0)))
    assert [shape.type for shape in inside.layout.shapes] == ["line", "line"]


def test_hover_is_a_sentence(fig):
    traces = named(fig)
    assert traces["loss/negative"].hovertext[0] == (
        "At alpha −1, the loss on negative<br>is 3 nats per token<br>(95 % interval 3 to 3 over 2 texts)."
    )
    assert traces["strength/positive (right axis)"].hovertext[2] == (
        "At alpha 0.5, the strength of positive<br>is 0.35 as a mean probability<br>"
        "(95 % interval 0.25 to 0.45 over 2 prompts)."
    )
    lone = plot_curve(Curve.from_measures({0.0: {"length": Measurement([7.0], items="values")}}))
    assert named(lone)["length"].hovertext == ("At alpha 0, length<br>is 7<br>(no interval, from 1 values).",)


def test_every_step_moves_diamonds_note_and_texts(fig):
    [slider] = fig.layout.sliders
    assert [step.label for step in slider.steps] == ["−1", "0", "0.5", "1", "2"]
    assert {step.method for step in slider.steps} == {"update"} and not fig.frames
    assert slider.active == 2
    diamonds = [i for i, trace in enumerate(fig.data) if trace.name == "here"]
    table = next(i for i, trace in enumerate(fig.data) if trace.type == "table")
    for alpha, step in zip(GRID, slider.steps, strict=True):
        data, layout, moved = step.args
        assert list(moved) == [*diamonds, table]
        assert list(data["x"]) == [[alpha]] * 3 + [None]
        assert [y and y[0] for y in data["y"]] == pytest.approx([4 + alpha, 5 - alpha, 0.3 + alpha / 10, None])
        texts, scores = data["cells.values"][-1]
        assert texts == [f"<b>prompt {i}</b> text {i} at {alpha:g}" for i in range(4)]
        assert scores == ["<b>0.12</b>", "<b>0.22</b>", "<b>0.32</b>", "<b>0.42</b>"]
        [(target, note)] = layout.items()
        number = f"{4 + alpha:.4g}"
        assert fig.layout.annotations[int(target[12:-6])].text.startswith("loss/negative 4.5, ")
        assert note.startswith(f"loss/negative {number}, loss/positive ")


def test_before_the_slider_moves_all_stands_at_its_step(fig):
    data, layout, moved = fig.layout.sliders[0].steps[2].args
    for place, i in enumerate(moved):
        if fig.data[i].type == "table":
            assert [list(column) for column in fig.data[i].cells.values] == data["cells.values"][place]
            assert list(fig.data[i].header.values) == data["header.values"][place]
        else:
            assert (list(fig.data[i].x), list(fig.data[i].y)) == (data["x"][place], data["y"][place])
    [(target, note)] = layout.items()
    assert fig.layout.annotations[int(target[12:-6])].text == note


def test_a_read_out_whose_names_have_no_room_gives_values_by_color():
    names = "loss/imdb_test_negative_long", "loss/imdb_test_positive_long", "strength/sentiment_positive"
    points = {a: {name: Measurement([4 + a, 4 + a]) for name in names} for a in GRID}
    fig = plot_curve(Curve.from_measures(points))
    notes = [note for step in fig.layout.sliders[0].steps for note in step.args[1].values()]
    assert [re.sub("<[^>]*>", "", note) for note in notes] == [", ".join([f"◆ {4 + a:g}"] * 3) for a in GRID]
    colors = [trace.marker.color for trace in fig.data if trace.name == "here"]
    assert all(re.findall("color:(#[0-9A-F]{6})", note) == colors for note in notes)


def test_a_nan_is_a_gap_with_a_cross_and_is_named():
    points = {a: measures(a) for a in GRID}
    points[0.5]["loss/negative"] = Measurement([4.5, math.nan], unit="nats/token")
    points[0.5]["strength/positive"] = Measurement([math.inf, 0.0], unit="probability", items="prompts")
    points[2.0]["dist-1"] = Measurement([math.nan, 1.0], unit="share", items="prompts")  # not in this figure
    fig = plot_curve(Curve.from_measures(points))
    traces = named(fig)
    assert traces["loss/negative"].y == (3, 4, None, 5, 6)
    band = traces["loss/negative, 95 % interval"]
    assert band.x == (-1, 0, 0, -1, -1, None, 1, 2, 2, 1, 1, None)
    cross = traces["not a finite number"]
    assert cross.x == (0.5, 0.5) and cross.y == (0, 0.035) and cross.yaxis == "y3" and cross.marker.symbol == "x"
    assert cross.hovertext == ("loss/negative is NaN at alpha 0.5.", "strength/positive is inf at alpha 0.5.")
    named_in = "✕ loss/negative is NaN at alpha 0.5, strength/positive is inf at alpha 0.5"
    assert named_in in [note.text for note in fig.layout.annotations]
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


@pytest.mark.parametrize(
    ("keep", "names", "title"),
    [
        ("loss/", ["loss/negative", "loss/positive"], "loss, nats per token"),
        ("strength/", ["strength/positive"], "strength, probability 0 to 1"),
        ("dist", ["dist-1"], "dist-1, share 0 to 1"),
    ],
)
def test_a_lone_kind_stands_on_the_left(keep, names, title):
    fig = plot_curve(curve_of(keep))
    assert [name for name in named(fig) if "interval" not in name] == names
    assert fig.layout.yaxis.title.text == title
    assert "yaxis2" not in fig.to_dict()["layout"]


@pytest.mark.slow
def test_without_samples_there_is_no_table():
    fig = plot_curve(curve_of())
    assert {trace.type for trace in fig.data} == {"scatter"}
    data, _, moved = fig.layout.sliders[0].steps[0].args
    assert set(data) == {"x", "y"} and len(moved) == 3
    assert fig.layout.height < plot_curve(curve_of(texts=samples())).layout.height


def test_an_alpha_without_samples_says_so():
    fig = plot_curve(curve_of(texts=samples(alphas=(0.0, 1.0))))
    texts, scores = fig.layout.sliders[0].steps[0].args[0]["cells.values"][-1]
    assert (texts, scores) == (["no text was sampled at this alpha"], [""])


def test_one_alpha_needs_no_slider():
    fig = plot_curve(curve_of(alphas=(0.5,), texts=samples(alphas=(0.5,))))
    assert not fig.layout.sliders
    assert named(fig)["loss/negative"].y == (4.5,)
    assert fig.layout.xaxis.range == (0, 1)


# texts from models

NASTY = "<script>alert(1)</script></script><img src=x onerror=alert(1)> $5 and $x^2$ %{y} \u202eevil\n" + "w" * 10_000


def test_texts_from_models_are_only_text():
    assert escaped("a & b <b>") == "a &amp; b &lt;b&gt;"
    assert escaped("'\"") == "&#x27;&quot;"
    assert escaped("cost $5, $6 %{x}") == "cost &#36;5, &#36;6 &#37;{x}"
    assert escaped("one\n\n two\tthree\r\n") == "one ↵ two three"
    assert escaped("left\u202eright\u2066\x00\x1b[0m") == "leftright[0m"
    assert escaped("w" * 81) == " ".join(["w" * 40, "w" * 40, "w"])
    assert escaped("ab " * 200) == "ab " * 99 + "ab…"
    assert len(escaped("w" * 10_000)) == 300


def test_a_figure_of_nasty_texts_holds_no_markup():
    label = "loss/<img src=x onerror=alert(1)> $a$"
    points = {a: {**measures(a), label: Measurement([1.0, 2.0], unit="<i>nats")} for a in GRID}
    fig = plot_curve(Curve.from_measures(points, samples(text=NASTY)))
    parts = json.loads(fig.to_json())
    del parts["layout"]["meta"]  # plain text, which plotly does not draw
    for trace in parts["data"]:
        trace.pop("legendgroup", None)  # nor this
    drawn = json.dumps(parts)
    for markup in ("<script", "</script", "<img", "<i>", "$", "%{", "\\u202e", "w" * 41):
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


def test_a_shown_figure_is_its_bundle_and_words_alone(fig):
    from IPython.core.formatters import DisplayFormatter

    shown, _ = DisplayFormatter().format(plot_curve(curve_of("loss/")))
    assert set(shown) == {PLOTLY, "text/plain"}  # text/html would be a page that asks a CDN for plotly.js
    assert shown["text/plain"] == (
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


def test_a_figure_tells_what_its_curve_knows_of_its_making():
    provenance = {"device": "cpu, 2 threads", "seeds": {"sampling": [0]}, "settings": {"long": "list"}}
    told = plot_curve(Curve.from_measures({0.0: measures(0.0)}, provenance=provenance)).layout.meta
    assert told["facts"] == {"device": "cpu, 2 threads", "seeds": {"sampling": [0]}}
    assert "facts" not in plot_curve(curve_of()).layout.meta


def test_a_table_breaks_its_lines_itself():
    told = {"prompt": "The " + "long " * 20, "continuation": " and".join(["m" * 30] * 4) + " 電影" * 60}
    texts = samples(prompts=1).assign(**told)
    [cell], _ = plot_curve(curve_of(texts=texts)).data[-1].cells.values
    lines = cell.split("<br>")
    assert lines[0] == "<b>The " + " ".join(["long"] * 17) + "</b>" and lines[1].startswith("<b>long long long</b> mmm")
    assert all(len(re.sub("</?b>", "", line)) <= LETTERS for line in lines)
    low, high = (TextTable({0.0: [[text]]}).height() for text in ("one", "one<br>two<br>three"))
    assert high - low == 34


def test_colors_serve_white_and_dark_pages(fig):
    assert plotly.io.templates["lerpnb"] == template and fig.layout.template == template
    assert template.layout.paper_bgcolor == template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert template.layout.font.color == TEXT
    for page in ("#FFFFFF", "#111111"):
        assert contrast(TEXT, page) > 4.2
        for name in ("loss/negative", "loss/positive", "strength/positive (right axis)"):
            assert contrast(named(fig)[name].line.color, page) > 3  # WCAG 2.1, graphics


def contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio."""

    def luminance(color: str) -> float:
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_best_alpha_is_a_star_on_its_line():
    points = {
        a: {"loss/x": Measurement([a, a]), "strength/y": Measurement([s, s])} for a, s in ((0.0, 0.2), (1.0, 0.7))
    }
    curve = Curve.from_measures(points)
    (star,) = [trace for trace in curve.plot(curve.best("strength/y")).data if trace.name == "best alpha"]
    assert (star.x, star.y, star.yaxis) == ((1.0,), (0.7,), "y2")
    nowhere = curve.best("strength/y", {"loss/x": -1.0})
    assert not [trace for trace in curve.plot(nowhere).data if trace.name == "best alpha"]
