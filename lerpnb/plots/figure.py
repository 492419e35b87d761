"""A Plotly figure in the look of lerpnb: panels that share an x axis of alphas, an alt text, safe display."""

import json
import os
import re
import sys
import webbrowser
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lerpnb.errors import CurveError
from lerpnb.plots.theme import ALPHA, LANDMARKS, MINUS, PLUS, SHADE, TEXT, Landmarks, escaped, faint, rounded, spread
from lerpnb.utils.atomic import atomic_file, disk_errors
from lerpnb.utils.progress import is_batch

Values = Iterable[float | None]

# Not responsive: in JupyterLab a responsive figure collapses at the first step of its slider.
CONFIG = dict(showSendToCloud=False, displaylogo=False, typesetMath=False, responsive=False)


class Figure(go.Figure):
    """A plotly Figure that shows itself with CONFIG, and itself alone: no page of HTML, no script from elsewhere.

    Only in a live notebook of Colab or Kaggle is it HTML as well, which loads plotly.js from plotly's own server.
    """

    _ipython_display_ = None
    _repr_html_ = None

    @classmethod
    def blank(cls, height: int, alt: str, facts: dict | None = None, **margin: int) -> "Figure":
        """An empty figure; alt: the figure in words; facts: what a page's footer says of it; margin: t, b, l, r."""
        meta = dict(alt=alt) | (dict(facts=facts) if facts else {})
        return cls(layout=dict(template="lerpnb", height=height, meta=meta, margin=margin))

    @classmethod
    def panels(
        cls,
        heights: Sequence[int],
        alt: str,
        facts: dict | None = None,
        *,
        gap: int = 46,
        top: int = 60,
        bottom: int = 62,
        left: int = 70,
        right: int = 30,
        foot: int = 0,
        **subplots: Any,
    ) -> "Figure":
        """An empty figure of panels below each other that share their x axis; heights, gap and margins in pixels.

        foot: pixels of the paper below the last panel, for what is no panel.
        """
        inner = sum(heights) + gap * (len(heights) - 1) + foot
        fig = cls.blank(top + inner + bottom, alt, facts, t=top, b=bottom, l=left, r=right)
        spacing = gap / inner if len(heights) > 1 else 0
        layout: dict[str, Any] = dict(row_heights=list(heights), vertical_spacing=spacing, shared_xaxes=True)
        fig.set_subplots(rows=len(heights), cols=1, **layout | subplots)
        if foot:
            stop = float(inner)
            for row, height in enumerate(heights, start=1):
                fig.update_yaxes(domain=[(stop - height) / inner, min(stop / inner, 1)], row=row, col=1)
                stop -= height + gap
        return fig.update_layout(legend_y=1 + 24 / inner)

    def add_series(
        self, x: Values, y: Values, color: str, hover: Sequence[str] | None = None, **scatter: Any
    ) -> "Figure":
        """Points of one color joined by a line; hover: a text for each, None for none."""
        label: dict[str, Any] = dict(hoverinfo="skip")
        if hover is not None:
            label = dict(hovertext=hover, hoverinfo="text", hoverlabel=dict(bordercolor=color))
        line = dict(color=color, width=2) | scatter.pop("line", {})
        where = dict(row=1, col=1) | {key: scatter.pop(key) for key in ("row", "secondary_y") if key in scatter}
        look = dict(mode="lines+markers", line=line, **label) | scatter
        return self.add_scatter(x=rounded(x), y=rounded(y), **look, **where)

    def add_band(
        self, x: Values, low: Values, high: Values, color: str, opacity: float = 0.12, **scatter: Any
    ) -> "Figure":
        """An interval at each x as a shaded band, one polygon between two gaps."""
        across, down, up = rounded(x), rounded(low), rounded(high)
        band: list[tuple[float | None, float | None]] = []
        for known, group in groupby(zip(across, down, up, strict=True), lambda at: None not in at[1:]):
            if known:
                run = list(group)
                upper, lower = [(at, high) for at, _, high in run], [(at, low) for at, low, _ in run]
                band += [*upper, *lower[::-1], upper[0], (None, None)]
        look: dict[str, Any] = dict(mode="lines", fill="toself", fillcolor=faint(color, opacity), line=dict(width=0))
        return self.add_series(
            [at for at, _ in band], [y for _, y in band], color, **dict(showlegend=False, **look) | scatter
        )

    def add_note(self, text: str, side: str, y: float = 1, yref: str = "paper", **place: Any) -> None:
        """A line of text at the left or the right edge of the plot, above the height y."""
        where = dict(xref="paper", x=int(side == "right"), xanchor=side, yref=yref, y=y) | place
        self.add_annotation(text=text, **dict(yanchor="bottom") | where)

    def add_finding(self, lines: Sequence[str]) -> None:
        """Sentences as the figure's title, one a line, the words before a bracket in bold; a page wraps them."""
        parts = (re.split(r" (?=[(\[])", line[:1].upper() + line[1:], maxsplit=1) for line in lines)
        bold = [f"<b>{escaped(head)}</b>{''.join(f' {escaped(more)}' for more in rest)}" for head, *rest in parts]
        place = dict(x=0, xref="container", y=1 - 24 / self.layout.height, yref="container", xanchor="left")
        place |= dict(yanchor="top", pad=dict(l=12))
        self.update_layout(title=dict(text="<br>".join(bold), font_size=16, **place))

    def name_lines(self, row: int, ends: Sequence[tuple[float, str, str]], height: int) -> None:
        """The name of each line beside its right end, in its color, moved apart where two would overlap.

        ends: (value, name, color) of each; height: of the panel, in pixels; its y axis has a range.
        """
        axis = f"y{row if row > 1 else ''}"
        low, high = self.layout[f"yaxis{axis[1:]}"].range
        known = [end for end in ends if np.isfinite(end[0])]
        lines = max((name.count("<br>") + 1 for _, name, _ in known), default=1)
        room = (15 * lines + 6 * (lines > 1)) * (high - low) / height
        places = spread([value for value, *_ in known], room, low, high)  # plotly hides what lies off the axis
        for y, (_, name, color) in zip(places, known, strict=True):
            place = dict(xref="paper", x=1, xanchor="left", xshift=4, yref=axis, y=y, align="left")
            self.add_annotation(text=name, font_color=color, **place)

    def add_slider(self, active: int, steps: list[dict], top: float, inset: float) -> None:
        """A slider over alphas; inset, a share of the width, puts its knob under the axis's own alpha."""
        self.update_layout(sliders=[dict(active=active, steps=steps, x=inset, len=1 - 2 * inset, y=top)])

    def mark_alphas(
        self, low: float, high: float, landmarks: Landmarks = LANDMARKS, title: str = ALPHA, empty: str = ""
    ) -> None:
        """Let all x axes go over alphas from low to high: the title below the last one, a line at each checkpoint, and
        what lies beyond the first and the last of several checkpoints shaded; empty: a y axis with room to say so."""
        low, high = float(low), float(high)
        pad = 0.04 * (high - low) or 0.5
        start, stop = low - pad, high + pad
        axes = list(self.update_xaxes(range=[start, stop]).select_xaxes())
        axes[-1].title.text = title
        above = dict(yref="paper", y=1, yanchor="bottom")
        colors = {landmarks[-1][0]: PLUS, landmarks[0][0]: MINUS} if len(landmarks) > 1 else {}
        for alpha, name in landmarks:
            if low <= alpha <= high:
                color = colors.get(alpha, TEXT)
                self._span("vline", len(axes), x=alpha, line=dict(color=color, dash="dot", width=2))
                self.add_annotation(x=alpha, text=f"<b>{name}</b>", font_color=color, **above)
        if len(landmarks) < 2:
            return
        first, last = landmarks[0][0], landmarks[-1][0]
        sides = [(start, min(first, stop), "left")] * (low < first)
        sides += [(max(last, start), stop, "right")] * (high > last)
        for x0, x1, side in sides:
            self._span("vrect", len(axes), x0=x0, x1=x1, fillcolor=SHADE, line_width=0, layer="below")
            if x1 - x0 > 0.25 * (stop - start):
                # At the outer edge: on a phone a word in the middle would touch the checkpoint's name.
                look = dict(text="<i>extrapolation</i>", font_size=12)
                look |= dict(yref=f"{empty} domain", y=0) if empty else {}
                self.add_annotation(x=x0 if side == "left" else x1, xanchor=side, **above | look)

    def _span(self, kind: str, rows: int, **shape: Any) -> None:
        for row in range(1, rows + 1):
            getattr(self, f"add_{kind}")(row=row, col=1, exclude_empty_subplots=False, **shape)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
        plotly = {**json.loads(self.to_json()), "config": dict(CONFIG)}
        bundle = {
            "application/vnd.plotly.v1+json": plotly,
            "text/plain": (self.layout.meta or {}).get("alt", "A figure."),
        }
        if _is_hosted() and not is_batch():
            bundle["text/html"] = self.to_html(full_html=False, include_plotlyjs="cdn")
        return bundle

    # plotly keeps no config inside a Figure: without these three, its button that shares with a vendor's cloud is back.

    def show(self, renderer: str | None = None, config: dict | None = None, **plotly: Any) -> None:
        """Show it as plotly does, with CONFIG."""
        super().show(renderer, config={**CONFIG, **(config or {})}, **plotly)

    def to_html(self, config: dict | None = None, **plotly: Any) -> str:
        """A page as plotly makes it, with CONFIG."""
        return super().to_html({**CONFIG, "responsive": True, **(config or {})}, **plotly)

    def write_html(self, file: Any, config: dict | None = None, auto_open: bool = False, **plotly: Any) -> None:
        """Write a page as plotly does, with CONFIG, whole or not at all.

        Raises:
            CurveError: the disk is full, or the file cannot be written.
        """
        config = {**CONFIG, "responsive": True, **(config or {})}
        if not isinstance(file, str | Path):  # something open to write to
            return super().write_html(file, config, auto_open=auto_open, **plotly)
        with disk_errors(CurveError, f"write_html({str(file)!r})", file), atomic_file(Path(file)) as temporary:
            super().write_html(temporary, config, auto_open=False, **plotly)
        if auto_open:
            webbrowser.open(Path(file).absolute().as_uri())


def _is_hosted() -> bool:
    """Whether this kernel is Colab's or Kaggle's, whose pages draw no figure unless it comes as HTML."""
    return "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ
