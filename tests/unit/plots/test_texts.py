"""texts.py: cells, colors and marked words of texts side by side."""

import math

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lerpnb.errors import CurveError
from lerpnb.plots.texts import plot_texts
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement


def curve(texts: dict[float, list[str]], strength: dict[float, list[float]] | None = None) -> Curve:
    rows = [
        dict(alpha=a, prompt_id=i, draw=0, prompt=f"prompt {i}", continuation=text, n_tokens=3)
        | ({"strength/joy": strength[a][i]} if strength else {})
        for a, told in texts.items()
        for i, text in enumerate(told)
    ]
    return Curve.from_measures({a: {"x": Measurement([a])} for a in texts}, pd.DataFrame(rows))


def cells(shown) -> list[list]:
    soup = BeautifulSoup(shown._repr_html_(), "html.parser")
    return [row.find_all("td") for row in soup.tbody.find_all("tr")]


def test_words_that_differ_from_the_left_are_bold_and_color_is_strength():
    shown = plot_texts(curve({0.0: ["a fine day"], 1.0: ["a bad day indeed"]}, {0.0: [1.0], 1.0: [0.25]}))
    [[prompt, left, right]] = cells(shown)
    assert prompt.get_text() == "prompt 0"
    assert (left.get_text(), right.get_text()) == ("a fine day (1.00)", "a bad day indeed (0.25)")
    assert ([b.string for b in left.find_all("b")], [b.string for b in right.find_all("b")]) == ([], ["bad", "indeed"])
    assert left["style"].endswith("background-color: rgba(0,114,178,0.4)")
    assert right["style"].endswith("background-color: rgba(213,94,0,0.2)")
    assert shown.texts.columns.tolist() == [0.0, 1.0]


def test_alphas_and_prompts_are_chosen():
    made = curve({a: [f"one {a}", f"two {a}"] for a in (-1.0, 0.0, 0.4, 1.0)})
    assert plot_texts(made).texts.columns.tolist() == [-1, 0, 0.4, 1]
    some = plot_texts(made, 1, [0.4])
    assert some.texts.values.tolist() == [["one 0.4"]]
    assert [[c.get_text() for c in row] for row in cells(some)] == [["prompt 0", "one 0.4"]]
    assert "background-color" not in some._repr_html_()  # nothing scored them


def test_an_empty_text_and_an_unscored_one():
    [[_, left, right]] = cells(plot_texts(curve({0.0: [""], 1.0: ["x"]}, {0.0: [math.nan], 1.0: [0.5]})))
    assert (left.get_text(), right.get_text()) == ("nothing", "x (0.50)")


def test_hostile_texts_stay_text():
    nasty = "<script>alert(1)</script> <img src=x onerror=alert(1)> $5 or $x$ \u202eevil " + "w" * 10_000
    shown = plot_texts(curve({0.0: [nasty], 1.0: [nasty]}))._repr_html_()
    soup = BeautifulSoup(shown, "html.parser")
    assert {tag.name for tag in soup.find_all(True)} <= set("div table thead tbody tr th td b i small p span".split())
    assert "<script>alert(1)</script>" in soup.get_text() and "\u202e" not in shown and "w" * 41 not in shown
    assert "$5" not in shown and "<span>$</span>5" in shown  # two bare dollars would be a formula in a notebook


def test_what_cannot_be_shown_is_told():
    with pytest.raises(CurveError) as error:
        plot_texts(Curve.from_measures({0.0: {"x": Measurement([1.0])}}))
    assert str(error.value) == "plot_texts(alphas): the curve has no samples. Evaluate an AttributeStrength probe."
    with pytest.raises(CurveError) as error:
        plot_texts(curve({0.0: ["x"]}), n=0)
    assert str(error.value) == "plot_texts(n): got 0. Pass 1 or more."
