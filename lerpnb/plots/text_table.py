"""A table of texts under a figure: what one slider step shows, in lines that plotly need not wrap."""

import difflib
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lerpnb.plots.theme import CLEAR, FAINT, MINUS, PLUS, SHADE, TEXT, alpha_text, escape, escaped, faint
from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import number, plain

PROMPTS = 6  # to choose from
LETTERS = 90  # of a line: so many fit a page 900 pixels wide, and the table is as high on a wider one


@dataclass(frozen=True)
class TextTable:
    """columns: alpha -> the cells of the table's columns there; headers, fills: alpha -> its header, a cell's color."""

    columns: dict[float, list[list[str]]]
    headers: dict[float, list[str]] = field(default_factory=dict)
    fills: dict[float, str] = field(default_factory=dict)

    @classmethod
    def by_prompt(cls, samples: pd.DataFrame, alphas: np.ndarray, score: str | None = None) -> "dict[str, TextTable]":
        """The first text of each of the first few prompts at every alpha: a table a prompt.

        Bold are the words that differ from the text at the alpha before. Color is the text's score, a column of the
        samples, from minus's at its least to plus's at its most; a middling text has none.
        """
        if not len(samples):
            return {}
        first = samples.drop_duplicates(["alpha", "prompt_id"])
        low, high = 0.0, 1.0
        if score and Quantity.named(score).kind != "strength":  # a raw score's range is what was measured
            low, high = float(first[score].min()), float(first[score].max())
        tables: dict[str, TextTable] = {}
        for prompt_id in sorted(first["prompt_id"].unique())[:PROMPTS]:
            rows = first[first["prompt_id"] == prompt_id]
            prompt, before, table = plain(rows["prompt"].iloc[0], 150), None, cls({})
            for alpha in map(float, alphas):
                here = rows[np.isclose(rows["alpha"], alpha, rtol=0, atol=1e-9)]
                start, value = [(word, "i") for word in prompt.split()], float("nan")
                if not len(here):
                    words = [("no text was sampled at this alpha", "")]
                else:
                    text, value = plain(here["continuation"].iloc[0]).split(), here[score].iloc[0] if score else value
                    marks = changed(text, before)
                    words = [*start, *((word, "b" if new else "") for word, new in zip(text, marks, strict=True))]
                    before = text
                head = f"<b>alpha {alpha_text(alpha)}</b>"
                if score and len(here):
                    head += f", {escaped(score.replace('/', ' of ', 1), 40)} of this text {number(float(value), 2)}"
                table.columns[alpha], table.headers[alpha] = [[folded(words)]], [head]
                table.fills[alpha] = tint(float(value), low, high)
            tables[f"{len(tables) + 1}. {escape(plain(prompt, 44))}"] = table
        return tables

    def height(self) -> int:
        """Pixels that hold the header and the longest texts; 0 without texts."""
        heights = [sum(15 + 17 * (1 + cell.count("<br>")) for cell in cells[0]) for cells in self.columns.values()]
        return 48 + max(heights) if heights else 0

    def trace(self, alpha: float, **place) -> go.Table:
        """The table at one alpha."""
        look = dict(align="left", line=dict(color=FAINT), font=dict(color=TEXT, size=13))
        return go.Table(
            header=dict(values=self.headers.get(alpha), fill=dict(color=SHADE), height=28, **look),
            cells=dict(values=self.columns[alpha], fill=dict(color=self.fills.get(alpha, CLEAR)), height=26, **look),
            **place,
        )


def changed(words: Sequence[str], before: Sequence[str] | None) -> list[bool]:
    """Whether each word differs from a text before, as difflib aligns the two; none does without one.

    >>> changed("it was very fine".split(), "it was dull".split())
    [False, False, True, True]
    """
    marks = [before is not None] * len(words)
    for _, start, size in difflib.SequenceMatcher(None, before or [], words, autojunk=False).get_matching_blocks():
        marks[start : start + size] = [False] * size
    return marks


def tint(score: float, low: float, high: float) -> str:
    """The color behind a text: minus's below the middle, plus's above it, none there."""
    if np.isnan(score) or not low < high:
        return CLEAR
    away = 2 * (min(max(score, low), high) - low) / (high - low) - 1
    return faint(PLUS if away > 0 else MINUS, round(0.4 * abs(away), 3))


def folded(words: Sequence[tuple[str, str]]) -> str:
    """Words, each with the tag that it stands in ("b", "i" or ""), in lines that plotly need not wrap.

    >>> folded([("The", "b"), ("film", "b"), ("was", "")])
    '<b>The film</b> was'
    """
    rest, lines = list(words), []
    text = " ".join(word for word, _ in words)
    for line in textwrap.wrap(text, LETTERS, break_long_words=False, break_on_hyphens=False):
        now, rest = rest[: len(line.split())], rest[len(line.split()) :]
        parts = [(tag, escape(" ".join(word for word, _ in run))) for tag, run in groupby(now, lambda word: word[1])]
        lines.append(" ".join(f"<{tag}>{part}</{tag}>" if tag else part for tag, part in parts))
    return "<br>".join(lines)
