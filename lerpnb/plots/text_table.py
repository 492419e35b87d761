"""A table of sample texts under a figure: a few prompts, each with its first continuation."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lerpnb.plots.theme import CLEAR, FAINT, SHADE, TEXT, escape, number
from lerpnb.utils.text import plain

PROMPTS = 4
LETTERS = 90  # of a line: so many fit a page 900 pixels wide, and the table is as high on a wider one


@dataclass(frozen=True)
class TextTable:
    """columns: alpha -> the cells of one or two columns: prompt and continuation, and the score of that text."""

    columns: dict[float, list[list[str]]]

    @classmethod
    def of(cls, samples: pd.DataFrame, alphas: np.ndarray, score: str | None = None) -> "TextTable":
        """The texts of the first few prompts at every alpha; score names the samples' column to show beside them."""
        if not len(samples):
            return cls({})
        prompts = sorted(samples["prompt_id"].unique())[:PROMPTS]
        first = samples[samples["prompt_id"].isin(prompts)].drop_duplicates(["alpha", "prompt_id"])
        columns = {}
        for alpha in alphas:
            rows = first[np.isclose(first["alpha"], alpha, rtol=0, atol=1e-9)]
            texts = [_cell(prompt, text) for prompt, text in zip(rows["prompt"], rows["continuation"], strict=True)]
            columns[float(alpha)] = [texts or ["no text was sampled at this alpha"]]
            if score:  # bold, since plotly sets a cell without any tag 2 pixels higher than its neighbors
                scores = ["NaN" if np.isnan(value) else f"{value:.2f}" for value in rows[score]]
                columns[float(alpha)].append([f"<b>{value}</b>" for value in scores] or [""])
        return cls(columns)

    def header(self, alpha: float) -> list[str]:
        texts = f"what the model at alpha {number(alpha)} writes after <b>a prompt</b>"
        return [texts, "<b>score</b>"][: len(self.columns[alpha])]

    def height(self) -> int:
        """Pixels that hold the header and the longest texts; 0 without texts."""
        heights = [sum(15 + 17 * (1 + cell.count("<br>")) for cell in cells[0]) for cells in self.columns.values()]
        return 48 + max(heights) if heights else 0

    def trace(self, alpha: float) -> go.Table:
        """The table at one alpha."""
        cells = self.columns[alpha]
        look = dict(align=["left", "right"], line=dict(color=FAINT), font=dict(color=TEXT, size=13))
        return go.Table(
            columnwidth=[8, 1][: len(cells)],
            header=dict(values=self.header(alpha), fill=dict(color=SHADE), height=28, **look),
            cells=dict(values=cells, fill=dict(color=CLEAR), height=26, **look),
        )


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


def _cell(prompt: str, text: str) -> str:
    """The prompt in bold and its continuation."""
    return folded([(word, "b") for word in plain(prompt, 150).split()] + [(word, "") for word in plain(text).split()])
