"""Texts side by side: prompts down, alphas across, colored by strength, with the words that changed marked."""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots.text_table import changed, tint
from lerpnb.plots.theme import FAINT, alpha_text, number
from lerpnb.results import samples as samples_
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES, Quantity
from lerpnb.utils.text import hundredths, plain

LETTERS = 400  # of a text
CELL = "text-align: left; vertical-align: top; padding: 5px 8px; min-width: 7.5em; max-width: 24em; "
CELL += f"overflow-wrap: anywhere; white-space: normal; border-bottom: 1px solid {FAINT}"


@dataclass(frozen=True, eq=False)
class Texts:
    """A table of texts as HTML, which wraps at any width and stays when a notebook is not trusted.

    texts: rows prompts, columns alphas; strength: the same shape, NaN where none was measured; score: what it is.
    """

    texts: pd.DataFrame
    strength: pd.DataFrame
    score: str | None

    def __repr__(self) -> str:
        return self.texts.to_string()

    @property
    def span(self) -> tuple[float, float]:
        """What the colors go from and to: 0 and 1 of a probability, the least and the most of a raw score."""
        if self.score is None or Quantity.named(self.score).kind == "strength":
            return 0.0, 1.0
        return float(np.nanmin(self.strength)), float(np.nanmax(self.strength))

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='{CELL}'>alpha {alpha_text(alpha)}</th>" for alpha in self.texts)
        rows = "".join(self._row(i) for i in range(len(self.texts)))
        note = "One prompt a row, one alpha a column, the same noise in all. <b>Bold</b>: not so on the left."
        if self.score:
            low, high = map(number, self.span)
            note += f" Number and color: {_safe(self.score)}, from orange at {low} to blue at {high}."
        style = "border-collapse: collapse; font-size: 13px; line-height: 1.45; width: 100%"
        head = f"<thead><tr><th style='{CELL}'>prompt</th>{head}</tr></thead>"
        table = f"<table style='{style}'>{head}<tbody>{rows}</tbody></table>"
        return f"<div style='overflow-x: auto'>{table}<p style='font-size: 13px'>{note}</p></div>"

    def _row(self, i: int) -> str:
        cells, before = [], None
        for text, strength in zip(self.texts.iloc[i], self.strength.iloc[i], strict=True):
            if not isinstance(text, str):
                cells.append(f"<td style='{CELL}'></td>")
                continue
            words = plain(text, LETTERS).split()
            body = _marked(words, before) or "<i>nothing</i>"
            value, ground = "", ""
            if not np.isnan(strength):
                value = f" <small>({hundredths(strength)})</small>"
                ground = f"; background-color: {tint(strength, *self.span)}"
            cells.append(f"<td style='{CELL}{ground}'>{body}{value}</td>")
            before = words
        return f"<tr><td style='{CELL}'><i>{_safe(plain(self.texts.index[i], 150))}</i></td>{''.join(cells)}</tr>"


def plot_texts(curve: Curve, n: int = 5, alphas: Iterable[float] | None = None) -> Texts:
    """The first continuation of the first n prompts at some alphas, colored by the strength of each text.

    A word is marked where it differs from the text at the alpha on its left, as difflib aligns the two; the noise is
    the same at every alpha, so the change comes from the model.

    Args:
        curve: of an `AttributeStrength` or another probe of texts.
        n: how many prompts.
        alphas: which columns; None takes the lowest, 0, 0.5, 1 and the highest, or the sampled ones nearest to them.

    Raises:
        CurveError: there are no samples, none at an alpha, or n below 1.

    Example:
        >>> common = dict(prompt_id=0, draw=0, prompt="The film", n_tokens=2)
        >>> rows = [dict(alpha=a, continuation=text, **common) for a, text in ((0.0, "was dull"), (1.0, "was fine"))]
        >>> from lerpnb.results.measurement import Measurement
        >>> curve = Curve.from_measures({0.0: {"x": Measurement([1])}}, pd.DataFrame(rows))
        >>> "was <b>fine</b>" in plot_texts(curve)._repr_html_()
        True
    """
    if n < 1:
        raise CurveError(f"plot_texts(n): got {n}. Pass 1 or more.")
    call = "plot_texts(alphas)"
    texts = samples_.side_by_side(curve.samples, n, alphas, call)
    score = next((name for name in curve.samples if Quantity.named(str(name)).kind in ATTRIBUTES), None)
    columns = {}
    for alpha in texts:
        first = samples_.at(curve.samples, alpha, call).drop_duplicates("prompt_id").set_index("prompt_id")
        columns[alpha] = first[score] if score else pd.Series(np.nan, index=first.index)
    strength = pd.concat(columns, axis=1).sort_index()[:n]
    return Texts(texts, strength, score)


def _marked(words: list[str], before: list[str] | None) -> str:
    """The words, with those in bold that are not where they were before."""
    runs = groupby(zip(words, changed(words, before), strict=True), lambda word: word[1])
    parts = [(new, " ".join(_safe(word) for word, _ in run)) for new, run in runs]
    return " ".join(f"<b>{part}</b>" if new else part for new, part in parts)


def _safe(text: str) -> str:
    """Escaped, each dollar sign in a tag of its own, since a notebook would take two of them for a formula."""
    return html.escape(text).replace("$", "<span>$</span>")
