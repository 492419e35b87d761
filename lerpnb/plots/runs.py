"""The curves of several runs on one figure, a panel for each kind of quantity."""

import numpy as np
import pandas as pd

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import escaped, number
from lerpnb.results.comparisons import RunComparison
from lerpnb.results.quantity import Quantity
from lerpnb.utils.text import listed

BANDS = 4  # runs up to which intervals are drawn as bands
PANEL = 250  # pixels


def plot_runs(comparison: RunComparison) -> Figure:
    """Losses, attribute strength and fluency of several runs over alpha: a color a run, a diamond at its best alpha.

    Args:
        comparison: what `compare_runs` returns.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from lerpnb.results.curve import Curve
        >>> from lerpnb.results.measurement import Measurement
        >>> from lerpnb.runs.compare import compare_runs
        >>> runs = Path(tempfile.mkdtemp())
        >>> for seed in (0, 1):
        ...     points = {a: {"loss/x": Measurement([a + seed]), "strength/y": Measurement([a])} for a in (0.0, 1.0)}
        ...     folder = Curve.from_measures(points).save(runs / f"seed{seed}")
        ...     _ = (folder / "run.json").write_text(json.dumps({"status": "done", "parameters": {"seed": seed}}))
        >>> fig = plot_runs(compare_runs(runs))
        >>> [trace.name for trace in fig.data if trace.showlegend is not False]
        ['seed 0', 'seed 1']
    """
    curves, table = comparison.curves, comparison.to_frame()
    attribute, fluency = comparison.attribute, comparison.fluency
    quantities = list(dict.fromkeys(curves["quantity"]))
    panels = [list(dict.fromkeys(curves.loc[curves["kind"] == "loss", "quantity"])), [attribute], [fluency]]
    panels = [kept for panel in panels if (kept := [q for q in panel if q in quantities])] or [quantities[:1]]
    top = 60 + 22 * (len(comparison.labels) // 3 + 1)
    fig = Figure.panels([PANEL] * len(panels), _alt(comparison), gap=50, top=top, left=80)
    for i, (name, label) in enumerate(comparison.labels.items()):
        curve, first = curves[curves["run"] == name], True
        for row, panel in enumerate(panels, start=1):
            for quantity, dash in _dashes(panel).items():
                rows = curve[curve["quantity"] == quantity]
                if len(rows):
                    _add(fig, rows, label, row, dash, first, len(comparison.labels) <= BANDS, i)
                    first = False
            if attribute in panel and np.isfinite(best := table.loc[name, "best alpha"]):
                _add_best(fig, best, table.loc[name, attribute], label, row, i)
    for row, panel in enumerate(panels, start=1):
        _lay_out(fig, curves, panel, row, last=row == len(panels))
    fig.mark_alphas(float(curves["alpha"].min()), float(curves["alpha"].max()), rows=len(panels))
    return fig


def _dashes(panel: list[str]) -> dict[str, str]:
    return dict(zip(panel, theme.DASHES * len(panel), strict=False))


def _add(fig: Figure, rows: pd.DataFrame, label: str, row: int, dash: str, first: bool, band: bool, place: int) -> None:
    color, symbol, _ = theme.style(place)
    where = dict(row=row, legendgroup=escaped(label))
    if band:
        fig.add_band(rows["alpha"], rows["low"], rows["high"], color, 0.1, **where)
    hover = [
        f"{escaped(label)}<br>{escaped(at.quantity)} at alpha {number(at.alpha)} is {number(at.value)}<br>"
        f"(95 % interval {number(at.low)} to {number(at.high)})"
        for at in rows.itertuples()
    ]
    look = dict(line=dict(dash=dash), marker=dict(size=6, symbol=symbol), showlegend=first)
    fig.add_series(rows["alpha"], rows["value"], color, hover, name=escaped(label), **look, **where)


def _add_best(fig: Figure, alpha: float, value: float, label: str, row: int, place: int) -> None:
    color, *_ = theme.style(place)
    fig.add_series(
        [alpha],
        [value],
        color,
        [f"{escaped(label)}<br>best alpha {number(alpha)}: {number(value)}"],
        name="best alpha",
        mode="markers",
        marker=dict(symbol="diamond", size=14, color=color, line=dict(width=1.5, color="white")),
        legendgroup=escaped(label),
        showlegend=False,
        row=row,
    )


def _lay_out(fig: Figure, curves: pd.DataFrame, panel: list[str], row: int, last: bool) -> None:
    """The title of a panel's y axis, and what its dashes mean."""
    unit = curves.loc[curves["quantity"] == panel[0], "unit"].iloc[0]
    title = panel[0] if len(panel) == 1 else Quantity.named(panel[0]).kind
    words = theme.unit_label(unit) if unit not in title else ""
    fig.update_yaxes(title_text=theme.title(escaped(title), words, between="<br>"), row=row, col=1)
    if len(panel) > 1:
        dashes = "   ".join(f"{escaped(quantity)} {dash}" for quantity, dash in _dashes(panel).items())
        corner = dict(xref="paper", x=1, xanchor="right", y=0, yanchor="top", yshift=-28 if last else -6, font_size=12)
        fig.add_annotation(text=dashes, yref=f"y{row if row > 1 else ''} domain", **corner)


def _alt(comparison: RunComparison) -> str:
    """The figure in words, for who cannot see it."""
    best = (
        f"{label}: best alpha {number(comparison.to_frame().loc[name, 'best alpha'])}"
        for name, label in comparison.labels.items()
    )
    return f"Curves of {len(comparison.labels)} runs over alpha. {listed(best)}."
