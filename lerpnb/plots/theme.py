"""The look of every figure: the Plotly template "lerpnb", one palette, a Figure with an alt text, texts made safe.

Colors are Okabe and Ito's, safe for color-blind eyes. Paper is transparent and text mid-gray, 4.4 to 1 against a white
page and 4.3 to 1 against JupyterLab's dark one, so that one figure serves both.
"""

import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io

from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import plain

# Not responsive: in JupyterLab a responsive figure collapses at the first step of its slider.
CONFIG = dict(showSendToCloud=False, displaylogo=False, typesetMath=False, responsive=False)
BLUE, GREEN, SKY, PURPLE, VERMILION, ORANGE = "#0072B2", "#009E73", "#56B4E9", "#CC79A7", "#D55E00", "#E69F00"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
COOL, WARM = (BLUE, GREEN, SKY, PURPLE), (VERMILION, ORANGE)  # of a left and a right axis
SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dot", "dash", "dashdot")

TEXT, FAINT, SHADE, CLEAR, INK = (
    "#787878",
    "rgba(128,128,128,0.25)",
    "rgba(128,128,128,0.12)",
    "rgba(0,0,0,0)",
    "#222222",
)

# From little to much, and from apart to alike: both keep their order for color-blind eyes, and in print.
SEQUENTIAL = [[0, "#FDE9B8"], [0.25, "#F3B05A"], [0.5, "#D9702F"], [0.75, "#A03A3F"], [1, "#5B1A53"]]
DIVERGING = [[0, "#B5470B"], [0.25, "#E9A06B"], [0.5, "#EFEDE8"], [0.75, "#79B3DD"], [1, "#0F5A94"]]
COLORBAR = dict(thickness=12, outlinewidth=0)

UNITS = {
    "nats/token": "nats per token",
    "nats/text": "nats per text",
    "probability": "probability 0 to 1",
    "share": "share 0 to 1",
    "errors": "share of errors",
    "difference": "−1 to 1",
}

ALPHA = "alpha (no unit)"


_AXIS = dict(gridcolor=FAINT, zeroline=False, ticks="outside", tickcolor=FAINT, linecolor=FAINT, showline=True)

template = go.layout.Template(
    layout=dict(
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        colorway=COLORS,
        font=dict(color=TEXT, size=13),
        hovermode="closest",
        hoverlabel=dict(bgcolor="white", font=dict(color=INK, size=13), align="left"),
        modebar=dict(bgcolor=CLEAR, color=FAINT, activecolor=TEXT, remove=["select2d", "lasso2d", "autoscale"]),
        legend=dict(orientation="h", x=0, xanchor="left", yanchor="bottom", itemwidth=40),
        xaxis=dict(title=dict(standoff=6, font=dict(size=14)), **_AXIS),
        yaxis=dict(title=dict(font=dict(size=14)), **_AXIS),
        annotationdefaults=dict(showarrow=False),
    )
)

plotly.io.templates["lerpnb"] = template
Landmarks = Sequence[tuple[float, str]]
LANDMARKS: Landmarks = ((0, "minus"), (1, "plus"))  # of a line: the checkpoints and their alphas


class Figure(go.Figure):
    """A plotly Figure that shows itself with CONFIG, and itself alone: no page of HTML, no script from elsewhere."""

    _ipython_display_ = None
    _repr_html_ = None

    @classmethod
    def blank(cls, height: int, alt: str, facts: dict | None = None, **margin: int) -> "Figure":
        """An empty figure; alt: the figure in words; facts: what a page's footer says of it; margin: t, b, l, r."""
        meta = dict(alt=alt, **(dict(facts=facts) if facts else {}))
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
        left: int = 76,
        right: int = 30,
        **subplots: Any,
    ) -> "Figure":
        """An empty figure of panels below each other that share their x axis; heights, gap and margins in pixels."""
        inner = sum(heights) + gap * (len(heights) - 1)
        fig = cls.blank(top + inner + bottom, alt, facts, t=top, b=bottom, l=left, r=right)
        spacing = gap / inner if len(heights) > 1 else 0
        layout = dict(row_heights=list(heights), vertical_spacing=spacing, shared_xaxes=True)
        fig.set_subplots(rows=len(heights), cols=1, **layout, **subplots)
        return fig.update_layout(legend_y=1 + 24 / inner)

    def add_series(
        self,
        x: Iterable[float | None],
        y: Iterable[float | None],
        color: str,
        hover: Sequence[str] | None = None,
        **scatter: Any,
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
        self,
        x: Iterable[float],
        low: Iterable[float],
        high: Iterable[float],
        color: str,
        opacity: float = 0.12,
        **scatter: Any,
    ) -> "Figure":
        """An interval at each x as a shaded band, one polygon between two gaps."""
        across, down, up = rounded(x), rounded(low), rounded(high)
        known = [None not in ends for ends in zip(down, up, strict=True)]
        band_x: list[float | None] = []
        band_y: list[float | None] = []
        for start in [i for i, ok in enumerate(known) if ok and not (i and known[i - 1])]:
            stop = next((i for i in range(start, len(known)) if not known[i]), len(known))
            band_x += across[start:stop] + across[start:stop][::-1] + [across[start], None]
            band_y += up[start:stop] + down[start:stop][::-1] + [up[start], None]
        look: dict[str, Any] = dict(
            mode="lines", fill="toself", fillcolor=faint(color, opacity), line=dict(width=0), showlegend=False
        )
        return self.add_series(band_x, band_y, color, **(look | scatter))

    def mark_alphas(
        self,
        low: float,
        high: float,
        landmarks: Landmarks = LANDMARKS,
        rows: int = 1,
        title: str = ALPHA,
    ) -> None:
        """Let the x axis of all rows go over alphas from low to high: its title below the last row, a line at each
        checkpoint, and what lies beyond 0 and 1 shaded where both are checkpoints."""
        pad = 0.04 * (high - low) or 0.5
        start, stop = low - pad, high + pad
        self.update_xaxes(range=[start, stop]).update_xaxes(title_text=title, row=rows, col=1)
        above = dict(yref="paper", y=1, yanchor="bottom")
        for alpha, name in landmarks:
            if low <= alpha <= high:
                self._span("vline", rows, x=alpha, line=dict(color=TEXT, dash="dot", width=2))
                self.add_annotation(x=alpha, text=f"<b>{name}</b>", **above)
        whole_line = {0, 1} <= {alpha for alpha, _ in landmarks}
        beyond = [(start, min(0, stop), "left")] if low < 0 and whole_line else []
        beyond += [(max(1, start), stop, "right")] if high > 1 and whole_line else []
        for x0, x1, side in beyond:
            self._span("vrect", rows, x0=x0, x1=x1, fillcolor=SHADE, line_width=0, layer="below")
            if x1 - x0 > 0.25 * (stop - start):
                # At the outer edge: on a phone a word in the middle would touch the checkpoint's name.
                self.add_annotation(x=x0 if side == "left" else x1, xanchor=side, text="beyond", **above)

    def _span(self, kind: str, rows: int, **shape: Any) -> None:
        for row in range(1, rows + 1):
            getattr(self, f"add_{kind}")(row=row, col=1, exclude_empty_subplots=False, **shape)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict:
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


def style(i: int) -> tuple[str, str, str]:
    """Color, symbol and dash of the i-th of many lines; no two of the first 24 share all three.

    >>> style(0), style(6)
    (('#0072B2', 'circle', 'solid'), ('#0072B2', 'square', 'dot'))
    """
    turn, n = divmod(i, len(COLORS))
    return COLORS[n], SYMBOLS[(i + turn) % len(SYMBOLS)], DASHES[turn % len(DASHES)]


def cool(i: int) -> tuple[str, str]:
    """Color and symbol of the i-th line on a left axis."""
    return COOL[i % 4], SYMBOLS[(i + i // 4) % 4]


def unit_label(unit: str) -> str:
    """A unit in words, as plotly may show it.

    >>> unit_label("nats/token"), unit_label("<i>")
    ('nats per token', '&lt;i&gt;')
    """
    return escaped(UNITS.get(unit, unit))


def title(*parts: str, between: str = ", ") -> str:
    """The title of an axis: the parts that are not empty.

    >>> title("loss", ""), title("loss", "nats per token")
    ('loss', 'loss, nats per token')
    """
    return between.join(filter(None, parts))


def quantity_title(quantity: str, unit: str) -> str:
    """The title of an axis of one quantity.

    >>> quantity_title("loss/negative", "nats/token")
    'loss (negative), nats per token'
    """
    of = Quantity.named(quantity)
    return title(escaped(of.kind) + (f" ({escaped(of.label)})" if of.label else ""), unit_label(unit))


def landmarks(provenance: dict) -> Landmarks:
    """The checkpoints on a curve's path and their alphas, from its provenance; a line's where that has none."""
    return [(float(alpha), name) for alpha, name in provenance.get("named", LANDMARKS)]


def facts(provenance: dict) -> dict:
    """What a page's footer says of a curve, from its provenance."""
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


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Five significant digits, None where not finite; a plain list, since plotly writes numpy as base64.

    >>> rounded(np.array([1.2345678, np.nan]))
    [1.2346, None]
    """
    return [None if value is None or not np.isfinite(value) else float(f"{value:.5g}") for value in values]


def number(value: float) -> str:
    """A value in four significant digits, with a true minus sign as on plotly's axes; NaN is "NaN".

    >>> number(-0.123456), number(float("nan"))
    ('−0.1235', 'NaN')
    """
    return "NaN" if np.isnan(value) else f"{value:.4g}".replace("-", "−")


def faint(color: str, opacity: float) -> str:
    """A #rrggbb color as rgba.

    >>> faint("#0072B2", 0.1)
    'rgba(0,114,178,0.1)'
    """
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
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
