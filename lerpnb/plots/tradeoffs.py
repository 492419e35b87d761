"""Several paths in one trade-off: strength, fluency and distance from the base, a colour a path. No torch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.theme import Figure, escaped, number, rounded
from lerpnb.plots.tradeoff import axes, quantities, reach
from lerpnb.results.comparisons import PathComparison
from lerpnb.results.curve import Curve

DISTANCE = "distance/base"


COLOURS = (theme.BLUE, theme.VERMILION, theme.GREEN, theme.PURPLE, theme.ORANGE, theme.SKY)


SYMBOLS = ("circle", "square", "triangle-up", "star", "hexagon", "cross")


DASHES = ("solid", "dash", "dot", "dashdot")


UPPER, GAP, LOWER, BOTTOM, ROW = 360, 34, 150, 62, 22  # pixels


ACROSS = 84  # letters of the legend that a page of 900 pixels has room for


def plot_tradeoffs(curves: Mapping[str, Curve]) -> Figure:
    """Attribute strength (up) against perplexity of the continuations (across) of several paths, a colour each.

    Up and left is more of the attribute in more fluent text. Markers grow along a path, from its lowest coordinate to
    its highest. Below, under the same perplexities, how far from the base each point is: |theta - theta_base|, without
    unit; a path that is no point of weight space has none there. Intervals are in the hover texts.

    Args:
        curves: name -> a walk with an `AttributeStrength` probe that has a judge, and a `WeightDistance`.

    Raises:
        CurveError: no curves, or one without strength and perplexity, or nowhere a finite number.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> def point(a, far):
        ...     return {"strength/joy": Measurement([a / 2]),
        ...             "perplexity/continuations": Measurement([40 + 30 * a * a]),
        ...             "distance/base": Measurement([far * a])}
        >>> curves = {f: Curve.from_measures({a: point(a, f == "far") for a in (0.0, 1.0)}) for f in ("near", "far")}
        >>> fig = plot_tradeoffs(curves)
        >>> [(trace.name, trace.yaxis, trace.y) for trace in fig.data][2:]
        [('far', 'y', (0.0, 0.5)), ('far', 'y2', (0.0, 1.0))]
    """
    if not curves:
        raise CurveError("trade_offs_figure(curves): no curves. Pass {name: curve}.")
    rows = {name: _rows(name, curve) for name, curve in curves.items()}
    strength = quantities(next(iter(curves.values())))[0]
    lines = -(-sum(len(name) + 8 for name in rows) // ACROSS)
    top, paper = 34 + ROW * lines, UPPER + GAP + LOWER
    facts = theme.facts(next(iter(curves.values())).provenance)
    fig = Figure.blank(top + paper + BOTTOM, _alt(rows), {k: facts[k] for k in facts if k not in ("ends", "hashes")})
    for i, (name, found) in enumerate(rows.items()):
        _add_path(fig, name, found, i)
    xaxis, yaxis = axes(
        *(reach([found[what][["value"]] for found in rows.values()]) for what in ("fluency", "strength")), strength
    )
    far = max((np.nanmax(found["distance"]["value"]) for found in rows.values() if _known(found)), default=1.0)
    title = dict(text="distance from base", font=dict(size=14))
    corner = dict(xref="paper", x=1, xanchor="right", yref="paper", y=1, yanchor="bottom", showarrow=False)
    fig.add_annotation(text="larger markers: further along the path", **corner)
    fig.update_layout(
        margin=dict(t=top, b=BOTTOM, l=70, r=30),
        legend=dict(orientation="h", x=0, xanchor="left", y=1 + 20 / paper, yanchor="bottom", itemwidth=40),
        xaxis=xaxis | dict(anchor="y2"),
        yaxis=yaxis | dict(domain=[(LOWER + GAP) / paper, 1]),
        yaxis2=dict(
            title=title, domain=[0, LOWER / paper], range=[-0.08 * far, 1.12 * far or 1.0], nticks=5, **theme.AXIS
        ),
    )
    return fig


def _rows(name: str, curve: Curve) -> dict[str, pd.DataFrame]:
    """strength, fluency and distance over the coordinates at which the first two are finite numbers."""
    call = f"trade_offs_figure(curves[{name!r}])"
    strength, fluency = quantities(curve, call)
    told = {"strength": strength, "fluency": fluency, "distance": DISTANCE}
    found = {
        what: curve[quantity].set_index("alpha").reindex(curve.alphas).reset_index()
        if quantity in curve.quantities
        else pd.DataFrame({"alpha": curve.alphas, "value": np.nan, "low": np.nan, "high": np.nan})
        for what, quantity in told.items()
    }
    known = np.isfinite(found["strength"]["value"]) & np.isfinite(found["fluency"]["value"])
    if not known.any():
        raise CurveError(f"{call}: {strength} and {fluency} are nowhere both finite numbers.")
    coordinate = curve.provenance.get("coordinate", "alpha")
    return {what: frame[known].assign(coordinate=coordinate) for what, frame in found.items()}


def _known(found: dict[str, pd.DataFrame]) -> bool:
    return bool(np.isfinite(found["distance"]["value"]).any())


def _add_path(fig: Figure, name: str, found: dict[str, pd.DataFrame], place: int) -> None:
    colour, symbol = COLOURS[place % len(COLOURS)], SYMBOLS[(place + place // len(COLOURS)) % len(SYMBOLS)]
    n = len(found["strength"])
    told = [_sentence(name, *at) for at in zip(*(frame.itertuples() for frame in found.values()), strict=True)]
    for axis, what in (("y", "strength"), ("y2", "distance")):
        if what == "distance" and not _known(found):
            continue
        fig.add_scatter(
            x=rounded(found["fluency"]["value"]),
            y=rounded(found[what]["value"]),
            yaxis=axis,
            name=escaped(name),
            legendgroup=name,
            showlegend=axis == "y",
            mode="lines+markers",
            line=dict(color=colour, width=2, dash=DASHES[place // len(COLOURS) % len(DASHES)]),
            marker=dict(
                color=colour,
                symbol=symbol,
                opacity=1,
                size=[round(8 + 6 * i / max(1, n - 1), 1) for i in range(n)],
                line=dict(color="white", width=0.5),
            ),
            hovertext=told,
            hoverinfo="text",
            hoverlabel=dict(bordercolor=colour, **theme.HOVER),
        )


def _sentence(name: str, strength, fluency, distance) -> str:
    """ties at lambda 0.5: strength 0.57 (0.5 to 0.63), perplexity 80 (70 to 95), distance from the base 3.2."""
    told = [
        number(row.value) + (f" ({number(row.low)} to {number(row.high)})" if row.low == row.low else "")
        for row in (strength, fluency)
    ]
    far = (
        f"distance from the base {number(distance.value)}"
        if np.isfinite(distance.value)
        else "no point of weight space"
    )
    where = f"{escaped(name)} at {strength.coordinate} {number(strength.alpha)}"
    return f"{where}:<br>strength {told[0]},<br>perplexity {told[1]},<br>{far}"


def _alt(rows: Mapping[str, dict[str, pd.DataFrame]]) -> str:
    told = []
    for name, found in rows.items():
        ends = [tuple(number(found[what]["value"].iloc[i]) for what in ("strength", "fluency")) for i in (0, -1)]
        told.append(f"{name} from strength {ends[0][0]} at perplexity {ends[0][1]} to {ends[1][0]} at {ends[1][1]}")
    return f"Trade-off of {len(rows)} paths: {'; '.join(told)}."


def plot_paths(comparison: PathComparison) -> Figure:
    """Several paths' strength against fluency, of a `PathComparison`: see `plot_tradeoffs`."""
    return plot_tradeoffs(comparison.curves)
