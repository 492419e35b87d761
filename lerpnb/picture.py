"""A picture: a plotly Figure that shows itself as lerpnb wants. Colours, config and what makes texts safe; no torch.

Colours are Okabe and Ito's, safe for colour-blind eyes. Paper is transparent and text mid-grey, 4.4 to 1 against a
white page and 4.3 to 1 against JupyterLab's dark one, so that one figure serves both.
"""

import html
import json
import re
import unicodedata

import numpy as np
import plotly.graph_objects as go

# Not responsive: in JupyterLab a responsive figure collapses at the first step of its slider.
CONFIG = dict(showSendToCloud=False, displaylogo=False, typesetMath=False, responsive=False)
BLUE, GREEN, SKY, PURPLE, VERMILION, ORANGE = "#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#E69F00"
TEXT, FAINT, SHADE, CLEAR = "#787878", "rgba(128,128,128,0.25)", "rgba(128,128,128,0.12)", "rgba(0,0,0,0)"
HOVER = dict(bgcolor="white", font=dict(color="#222222", size=13), align="left")
WORD = 40  # letters of a word before it is broken


class Picture(go.Figure):
    """A plotly Figure that shows itself with CONFIG, and itself alone: no page of HTML, no script from elsewhere."""

    _ipython_display_ = None
    _repr_html_ = None

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**mimebundle(self), "text/plain": (self.layout.meta or {}).get("alt", "A figure.")}


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
    text = re.sub(r"\s*\n\s*", " ↵ ", text.strip())
    text = "".join(c for c in re.sub(r"\s", " ", text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    text = re.sub(rf"(\S{{{WORD}}})(?=\S)", r"\1 ", text)
    text = text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
    return html.escape(text).replace("$", "&#36;").replace("%{", "&#37;{")


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
