"""A comparison: many runs' curves on one figure and in one table. It reads run folders only, and knows no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import picture as look
from .alpha import listed, show
from .errors import RunError
from .picture import Picture, escaped, faint, number, rounded
from .results import differing, read_curves, read_runs

COLOURS = (look.BLUE, look.VERMILION, look.GREEN, look.PURPLE, look.ORANGE, look.SKY)
SYMBOLS = ("circle", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
FLUENCY = "perplexity/continuations"
RULES = {
    "fluent": "the highest {attribute} where {fluency} is at most {slack:g} times the larger of its values at alpha "
    "0 and 1",
    "strongest": "the highest {attribute}",
    "loss": "the lowest mean of the losses",
}
BANDS = 4  # runs up to which intervals are drawn as bands
PANEL, BETWEEN = 250, 50  # pixels


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side. `table` and `figure()` are what a notebook shows.

    runs: a row a run, as `read_runs` gives them; curves: all values in long form, as `read_curves` gives them.
    labels: run -> what tells it from the others: the parameters in which the runs differ.
    table: a row a run: those parameters, barriers and rise, the best alpha by the rule, strength and fluency there.
    rule: how the best alpha was chosen, in words. without: the runs that recorded no curve.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    labels: dict[str, str]
    table: pd.DataFrame
    rule: str
    without: tuple[str, ...] = ()

    def figure(self) -> go.Figure:
        """Losses, strength and fluency over alpha, a panel each and a colour a run; diamonds at the best alphas."""
        return _figure(self)

    def __repr__(self) -> str:
        told = f"Comparison of {len(self.labels)} runs; best alpha: {self.rule}."
        told += f"\nWithout a curve: {listed(self.without)}." if self.without else ""
        return f"{told}\n{self.table.to_string()}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {**self.figure()._repr_mimebundle_(), "text/plain": repr(self)}


def compare(
    runs: str | Path | Iterable[str | Path] = "runs",
    where: str | None = None,
    *,
    rule: str = "fluent",
    slack: float = 1.1,
    attribute: str | None = None,
    fluency: str = FLUENCY,
) -> Comparison:
    """Compare the curves of many runs: barriers, the best alpha by a stated rule, strength and fluency there.

    Args:
        runs, where: as `read_runs` takes them; runs without a curve are left out and named.
        rule: "fluent": the highest strength where fluency is at most `slack` times the larger of its values at alpha 0
            and 1; "strongest": the highest strength, wherever; "loss": the lowest mean of the losses. Of equals the one
            nearest to alpha 0.5.
        slack: no unit, 1 or more.
        attribute: a quantity such as "strength/positive"; by default the first strength that was measured.
        fluency: a quantity that is better when lower.

    Raises:
        RunError: no run has a curve, no such rule, slack below 1, a quantity that no run has.

    >>> import tempfile
    >>> compare(tempfile.mkdtemp())
    Traceback (most recent call last):
    lerpnb.errors.RunError: compare(runs): none of 0 runs has a curve.
    Pass a folder of runs of 02_walk_the_line, or a wider `where`.
    """
    if rule not in RULES:
        raise RunError(f"compare(rule={rule!r}): no such rule.\nIt is one of: {', '.join(RULES)}.")
    if not slack >= 1:
        raise RunError(f"compare(slack={slack!r}): expected 1 or more, such as 1.1.")
    addresses = None if isinstance(runs, str | Path) else list(runs)
    found = read_runs(addresses or runs, where)
    curves = read_curves(list(found.attrs["addresses"].values()))
    names = [name for name in found.index if name in set(curves["run"])]
    if not names:
        raise RunError(
            f"compare(runs): none of {len(found)} runs has a curve.\n"
            "Pass a folder of runs of 02_walk_the_line, or a wider `where`."
        )
    kept, measured = found.loc[names], list(dict.fromkeys(curves["quantity"]))
    for key, quantity in {"attribute": attribute, "fluency": fluency}.items():
        if quantity and quantity not in {FLUENCY, *measured}:  # the default need not have been measured
            raise RunError(f"compare({key}={quantity!r}): no run has it.\nMeasured were: {', '.join(measured)}.")
    attribute = attribute or next((q for q in curves["quantity"] if q.startswith("strength/")), "strength")
    rows = {}
    for name, curve in curves.groupby("run", sort=False):
        best = _best(curve, rule, slack, attribute, fluency)
        rows[name] = {"best alpha": best, attribute: _at(curve, attribute, best), fluency: _at(curve, fluency, best)}
    differ, chief = differing(kept), [c for c in kept if c.startswith(("barrier/", "rise/")) and " " not in c]
    table = kept[[*differ, *chief]].join(pd.DataFrame.from_dict(rows, orient="index"))
    said = RULES[rule].format(attribute=attribute, fluency=fluency, slack=slack)
    without = tuple(name for name in found.index if name not in names)
    return Comparison(kept, curves, _labels(kept, differ), table, said, without)


def _labels(runs: pd.DataFrame, differ: list[str]) -> dict[str, str]:
    """seed 0, n_prompts 8; the run's name where nothing differs, and beside it where two would be called the same."""
    labels = {}
    for name, row in runs.iterrows():
        told = ", ".join(f"{key} {show(row[key]) if isinstance(row[key], float) else row[key]}" for key in differ)
        labels[name] = told or str(name)
    twice = [label for label in labels.values() if list(labels.values()).count(label) > 1]
    return {name: f"{name}: {label}" if label in twice else label for name, label in labels.items()}


def _best(curve: pd.DataFrame, rule: str, slack: float, attribute: str, fluency: str) -> float:
    """The best alpha by the rule; NaN where what it asks for was not measured."""
    if rule == "loss":
        wanted = -curve[curve["quantity"].str.startswith("loss/")].groupby("alpha")["value"].mean()
    else:
        wanted = curve[curve["quantity"] == attribute].set_index("alpha")["value"]
    if rule == "fluent":
        measured = curve[curve["quantity"] == fluency].set_index("alpha")["value"]
        if not {0.0, 1.0} <= set(measured.index):
            return np.nan
        wanted = wanted[measured.reindex(wanted.index) <= slack * measured[[0.0, 1.0]].max()]
    wanted = wanted.dropna()
    if not len(wanted):
        return np.nan
    top = wanted.index[wanted == wanted.max()].to_numpy()
    return float(top[np.abs(top - 0.5).argmin()])


def _at(curve: pd.DataFrame, quantity: str, alpha: float) -> float:
    rows = curve[(curve["quantity"] == quantity) & (curve["alpha"] == alpha)]
    return float(rows["value"].iloc[0]) if len(rows) else np.nan


def _figure(comparison: Comparison) -> go.Figure:
    curves, table = comparison.curves, comparison.table
    attribute, fluency = (name for name in table.columns[-2:])
    quantities = list(dict.fromkeys(curves["quantity"]))
    panels = [[q for q in quantities if q.startswith("loss/")], [attribute], [fluency]]
    panels = [kept for panel in panels if (kept := [q for q in panel if q in quantities])] or [quantities[:1]]
    fig = Picture(layout=dict(template="none"))
    for i, (name, label) in enumerate(comparison.labels.items()):
        look_ = dict(colour=COLOURS[i % len(COLOURS)], symbol=SYMBOLS[(i // len(COLOURS)) % len(SYMBOLS)])
        curve, first = curves[curves["run"] == name], True
        for number_, panel in enumerate(panels, start=1):
            for quantity, dash in zip(panel, DASHES * len(panel), strict=False):
                rows = curve[curve["quantity"] == quantity]
                if len(rows):
                    _add(fig, rows, label, number_, dash, first, len(comparison.labels) <= BANDS, **look_)
                    first = False
            if attribute in panel and np.isfinite(best := table.loc[name, "best alpha"]):
                _add_best(fig, best, table.loc[name, attribute], label, number_, look_["colour"])
    _lay_out(fig, curves, panels, comparison)
    return fig


def _add(
    fig: go.Figure,
    rows: pd.DataFrame,
    label: str,
    panel: int,
    dash: str,
    first: bool,
    band: bool,
    colour: str,
    symbol: str,
) -> None:
    x, y = rounded(rows["alpha"]), rounded(rows["value"])
    where = dict(xaxis="x", yaxis="y" if panel == 1 else f"y{panel}", legendgroup=escaped(label))
    if band and np.isfinite(rows[["low", "high"]]).all(axis=None):
        low, high = rounded(rows["low"]), rounded(rows["high"])
        polygon = dict(x=x + x[::-1], y=low + high[::-1], mode="lines", fill="toself", fillcolor=faint(colour, 0.1))
        fig.add_scatter(**polygon, **where, line=dict(width=0), hoverinfo="skip", showlegend=False)
    told = [
        f"{escaped(label)}<br>{escaped(row.quantity)} at alpha {number(row.alpha)} is {number(row.value)}<br>"
        f"(95 % interval {number(row.low)} to {number(row.high)})"
        for row in rows.itertuples()
    ]
    fig.add_scatter(
        x=x,
        y=y,
        name=escaped(label),
        showlegend=first,
        mode="lines+markers",
        line=dict(color=colour, width=2, dash=dash),
        marker=dict(size=6, symbol=symbol),
        hovertext=told,
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **look.HOVER),
        **where,
    )


def _add_best(fig: go.Figure, alpha: float, value: float, label: str, panel: int, colour: str) -> None:
    fig.add_scatter(
        x=rounded([alpha]),
        y=rounded([value]),
        yaxis="y" if panel == 1 else f"y{panel}",
        name="best alpha",
        legendgroup=escaped(label),
        showlegend=False,
        mode="markers",
        marker=dict(symbol="diamond", size=14, color=colour, line=dict(width=1.5, color="white")),
        hovertext=f"{escaped(label)}<br>best alpha {number(alpha)}: {number(value)}",
        hoverinfo="text",
        hoverlabel=dict(bordercolor=colour, **look.HOVER),
    )


def _lay_out(fig: go.Figure, curves: pd.DataFrame, panels: list[list[str]], comparison: Comparison) -> None:
    low, high = curves["alpha"].min(), curves["alpha"].max()
    pad = 0.04 * (high - low) or 0.5
    inner = len(panels) * PANEL + (len(panels) - 1) * BETWEEN
    axis = dict(gridcolor=look.FAINT, zeroline=False, ticks="outside", tickcolor=look.FAINT, linecolor=look.FAINT)
    legend = dict(orientation="h", x=0, xanchor="left", y=1 + 30 / inner, yanchor="bottom", itemwidth=40)
    fig.update_layout(
        meta=dict(alt=_alt(comparison)),
        height=inner + 130 + 22 * (len(comparison.labels) // 3 + 1),
        margin=dict(t=60 + 22 * (len(comparison.labels) // 3 + 1), b=60, l=80, r=30),
        paper_bgcolor=look.CLEAR,
        plot_bgcolor=look.CLEAR,
        font=dict(color=look.TEXT, size=13),
        hovermode="closest",
        modebar=dict(bgcolor=look.CLEAR, color=look.FAINT, activecolor=look.TEXT, remove=["select2d", "lasso2d"]),
        legend=legend,
        xaxis=dict(title="alpha (no unit)", range=[low - pad, high + pad], anchor="free", position=0, **axis),
    )
    for i, panel in enumerate(panels):
        bottom = inner - (i + 1) * PANEL - i * BETWEEN
        name = "yaxis" if i == 0 else f"yaxis{i + 1}"
        unit = curves.loc[curves["quantity"] == panel[0], "unit"].iloc[0]
        title = panel[0] if len(panel) == 1 else panel[0].partition("/")[0]
        text = escaped(title) if unit in title else f"{escaped(title)}<br>{escaped(unit)}"
        domain = [bottom / inner, (bottom + PANEL) / inner]
        fig.update_layout({name: dict(title=dict(text=text), domain=domain, anchor="x", **axis)})
        if len(panel) > 1:  # what the dashes mean
            told = "   ".join(f"{escaped(q)} {dash}" for q, dash in zip(panel, DASHES * len(panel), strict=False))
            corner = dict(xref="paper", x=1, xanchor="right", yref="paper", y=domain[1], yanchor="bottom")
            fig.add_annotation(text=told, showarrow=False, font=dict(size=12), **corner)
    for end in (0, 1):
        if low <= end <= high:
            line = dict(color=look.TEXT, dash="dot")
            fig.add_shape(type="line", x0=end, x1=end, y0=0, y1=1, yref="paper", line=line)
            name = f"<b>{('minus', 'plus')[end]}</b>"
            fig.add_annotation(x=end, y=1, yref="paper", yanchor="bottom", text=name, showarrow=False)
    for x0, x1 in ((low - pad, min(0, high)), (max(1, low), high + pad)):
        if (low < 0 and x1 <= 0) or (high > 1 and x0 >= 1):
            shade = dict(fillcolor=look.SHADE, line_width=0, layer="below")
            fig.add_shape(type="rect", x0=x0, x1=x1, y0=0, y1=1, yref="paper", **shade)


def _alt(comparison: Comparison) -> str:
    """The figure in words, for who cannot see it."""
    best = (
        f"{label}: best alpha {number(comparison.table.loc[name, 'best alpha'])}"
        for name, label in comparison.labels.items()
    )
    return f"Curves of {len(comparison.labels)} runs over alpha. {listed(best)}."
