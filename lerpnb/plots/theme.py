"""A picture: a plotly Figure that shows itself as lerpnb wants. Colours, axes, config, and texts made safe; no torch.

Colours are Okabe and Ito's, safe for colour-blind eyes. Paper is transparent and text mid-grey, 4.4 to 1 against a
white page and 4.3 to 1 against JupyterLab's dark one, so that one figure serves both.
"""

import html
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lerpnb.utils.text import plain

# Not responsive: in JupyterLab a responsive figure collapses at the first step of its slider.
CONFIG = dict(showSendToCloud=False, displaylogo=False, typesetMath=False, responsive=False)


BLUE, GREEN, SKY, PURPLE, VERMILION, ORANGE = "#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#E69F00"


TEXT, FAINT, SHADE, CLEAR = "#787878", "rgba(128,128,128,0.25)", "rgba(128,128,128,0.12)", "rgba(0,0,0,0)"


AXIS = dict(gridcolor=FAINT, zeroline=False, ticks="outside", tickcolor=FAINT, linecolor=FAINT, showline=True)


# From little to much, and from apart to alike: both keep their order for colour-blind eyes, and in print.
MUCH = [[0, "#FDE9B8"], [0.25, "#F3B05A"], [0.5, "#D9702F"], [0.75, "#A03A3F"], [1, "#5B1A53"]]


ALIKE = [[0, "#B5470B"], [0.25, "#E9A06B"], [0.5, "#EFEDE8"], [0.75, "#79B3DD"], [1, "#0F5A94"]]


HOVER = dict(bgcolor="white", font=dict(color="#222222", size=13), align="left")


Marks = Sequence[tuple[float, str]]


ENDS: Marks = ((0, "minus"), (1, "plus"))  # what stands where on a line


class Figure(go.Figure):
    """A plotly Figure that shows itself with CONFIG, and itself alone: no page of HTML, no script from elsewhere."""

    _ipython_display_ = None
    _repr_html_ = None

    @classmethod
    def blank(cls, height: int, alt: str, facts: dict | None = None) -> "Figure":
        """An empty picture in lerpnb's dress; alt: the figure in words; facts: what a page's footer tells of it."""
        fig = cls(
            layout=dict(template="none", height=height, meta=dict(alt=alt, **(dict(facts=facts) if facts else {})))
        )
        tools = ["select2d", "lasso2d", "autoscale"]
        return fig.update_layout(
            paper_bgcolor=CLEAR,
            plot_bgcolor=CLEAR,
            font=dict(color=TEXT, size=13),
            hovermode="closest",
            modebar=dict(bgcolor=CLEAR, color=FAINT, activecolor=TEXT, remove=tools),
        )

    def mark_ends(self, low: float, high: float, marks: Marks = ENDS) -> tuple[float, float]:
        """On an x axis of alphas from low to high: its marks, and what lies beyond 0 and 1 shaded where both are named;
        returns its range."""
        pad = 0.04 * (high - low) or 0.5
        start, stop = low - pad, high + pad
        label, whole = dict(yref="paper", y=1, yanchor="bottom", showarrow=False), dict(y0=0, y1=1, yref="y domain")
        for end, name in marks:
            if low <= end <= high:
                self.add_shape(type="line", x0=end, x1=end, line=dict(color=TEXT, dash="dot"), **whole)
                self.add_annotation(x=end, text=f"<b>{name}</b>", **label)
        whole_line = {0, 1} <= {end for end, _ in marks}
        beyond = [(start, min(0, stop), "left")] if low < 0 and whole_line else []
        beyond += [(max(1, start), stop, "right")] if high > 1 and whole_line else []
        for x0, x1, side in beyond:
            self.add_shape(type="rect", x0=x0, x1=x1, fillcolor=SHADE, line_width=0, layer="below", **whole)
            if x1 - x0 > 0.25 * (stop - start):
                # At the outer edge: on a phone a word in the middle would touch the end's name.
                self.add_annotation(x=x0 if side == "left" else x1, xanchor=side, text="beyond", **label)
        return start, stop

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**mimebundle(self), "text/plain": (self.layout.meta or {}).get("alt", "A figure.")}

    # plotly keeps no config inside a Figure: without these three, its button that shares with a vendor's cloud is back.

    def show(self, renderer: str | None = None, config: dict | None = None, **plotly: Any) -> None:
        """Show it as plotly does, with CONFIG."""
        super().show(renderer, config={**CONFIG, **(config or {})}, **plotly)

    def to_html(self, config: dict | None = None, **plotly: Any) -> str:
        """A page as plotly makes it, with CONFIG."""
        return super().to_html({**CONFIG, "responsive": True, **(config or {})}, **plotly)

    def write_html(self, file: str | Path, config: dict | None = None, **plotly: Any) -> None:
        """Write a page as plotly does, with CONFIG."""
        super().write_html(file, {**CONFIG, "responsive": True, **(config or {})}, **plotly)


def marks(provenance: dict) -> Marks:
    """What stands where on a curve's path, from its provenance; a line's where that does not say."""
    return [(float(end), name) for end, name in provenance.get("named", ENDS)]


def facts(provenance: dict) -> dict:
    """What a page's footer tells of a curve, from its provenance."""
    kept = ("ends", "device", "dtype", "seeds", "hashes", "versions", "started", "seconds")
    return {key: provenance[key] for key in kept if key in provenance}


def mimebundle(fig: go.Figure) -> dict:
    """The figure as a notebook stores it, with CONFIG, which plotly does not keep inside a Figure.

    >>> sorted(mimebundle(go.Figure())["application/vnd.plotly.v1+json"])
    ['config', 'data', 'layout']
    """
    return {"application/vnd.plotly.v1+json": {**json.loads(fig.to_json()), "config": dict(CONFIG)}}


def escaped(text: str, letters: int = 300) -> str:
    r"""A text from a model as plotly may show it: no tag, formula, template, control character or endless word.

    A newline becomes a return sign, since plotly does not wrap a table cell that holds a <br>. Longer texts end in ….

    >>> escaped("<b>$5</b>\n%{x}")
    '&lt;b&gt;&#36;5&lt;/b&gt; ↵ &#37;{x}'
    """
    return escape(plain(text, letters))


def escape(text: str) -> str:
    """A text without a tag, formula or template that plotly would take for its own."""
    return html.escape(text).replace("$", "&#36;").replace("%{", "&#37;{")


def wrapped(text: str, letters: int) -> list[str]:
    """The lines of a plain text, none broader than so many letters, where plotly cannot be left to wrap it.

    >>> wrapped("a story told well", 10)
    ['a story', 'told well']
    """
    lines, room = [""], letters + 1.0
    for word in text.split():
        need = breadth(word) + 1
        if lines[-1] and need > room:
            lines.append("")
            room = letters + 1.0
        lines[-1] = f"{lines[-1]} {word}".strip()
        room -= need
    return lines


def breadth(text: str) -> float:
    """How broad a text is, in letters of middling breadth."""
    return sum(1.7 if c in "mwMW@" or unicodedata.east_asian_width(c) in "WF" else 1 + 0.2 * c.isupper() for c in text)


def rounded(values: np.ndarray) -> list[float | None]:
    """Five significant digits, None where not finite; a plain list, since plotly writes numpy as base64.

    >>> rounded(np.array([1.2345678, np.nan]))
    [1.2346, None]
    """
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def number(value: float) -> str:
    """A value in four significant digits, with a true minus sign as on plotly's axes; NaN is "NaN".

    >>> number(-0.123456), number(float("nan"))
    ('−0.1235', 'NaN')
    """
    return "NaN" if np.isnan(value) else f"{value:.4g}".replace("-", "−")


def faint(colour: str, opacity: float) -> str:
    """A #rrggbb colour as rgba.

    >>> faint("#0072B2", 0.1)
    'rgba(0,114,178,0.1)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def slider(active: int, steps: list[dict], top: float, inset: float) -> dict:
    """A plotly slider over alphas; `inset`, a share of the width, puts its knob under the axis's own alpha."""
    return dict(
        active=active,
        steps=steps,
        x=inset,
        len=1 - 2 * inset,
        y=top,
        yanchor="top",
        pad=dict(t=0, b=0),
        currentvalue=dict(prefix="alpha = ", font=dict(size=15), offset=12),
        font=dict(size=12),
        bgcolor=FAINT,
        activebgcolor=TEXT,
        bordercolor=TEXT,
        tickcolor=FAINT,
        minorticklen=0,
        transition=dict(duration=0),
    )
