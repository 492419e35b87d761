"""The curves of several runs on one figure, a panel for each kind of quantity."""

import numpy as np
import pandas as pd

from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number
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
    curves, best = comparison.curves, comparison.to_frame()["best alpha"]
    quantities = list(dict.fromkeys(curves["quantity"]))
    losses = list(dict.fromkeys(curves.loc[curves["kind"] == "loss", "quantity"]))
    panels = [[q for q in panel if q in quantities] for panel in (losses, [comparison.attribute], [comparison.fluency])]
    panels = [panel for panel in panels if panel] or [quantities[:1]]
    top = 60 + 22 * (len(comparison.labels) // 3 + 1)
    alt = listed(f"{label}: best alpha {number(best[name])}" for name, label in comparison.labels.items())
    alt = f"Curves of {len(comparison.labels)} runs over alpha. {alt}."
    fig = Figure.panels([PANEL] * len(panels), alt, gap=50, top=top, left=80)
    for i, (name, label) in enumerate(comparison.labels.items()):
        curve, (color, symbol, _), label = curves[curves["run"] == name], theme.style(i), escaped(label)
        shown = [(row, q, dash) for row, panel in enumerate(panels, start=1) for q, dash in _dashes(panel).items()]
        shown = [at for at in shown if (curve["quantity"] == at[1]).any()]
        for row, quantity, dash in shown:
            rows, where = curve[curve["quantity"] == quantity], dict(row=row, legendgroup=label)
            if len(comparison.labels) <= BANDS:
                fig.add_band(rows["alpha"], rows["low"], rows["high"], color, 0.1, **where)
            hover = [
                f"{label}<br>{escaped(at.quantity)} at alpha {alpha_text(at.alpha)} is {number(at.value)}<br>"
                f"(95 % interval {theme.interval(at)})"
                for at in rows.itertuples()
            ]
            look = dict(line=dict(dash=dash), marker=dict(size=6, symbol=symbol), **where)
            look["showlegend"] = quantity == shown[0][1]
            fig.add_series(rows["alpha"], rows["value"], color, hover, name=label, **look)
            if quantity == comparison.attribute and np.isfinite(best[name]):
                value = comparison.to_frame().loc[name, quantity]
                hover = [f"{label}<br>best alpha {number(best[name])}: {number(value)}"]
                look = dict(mode="markers", marker=theme.diamond(color), showlegend=False, **where)
                fig.add_series([best[name]], [value], color, hover, name="best alpha", **look)
    for row, panel in enumerate(panels, start=1):
        _lay_out(fig, curves, panel, row, last=row == len(panels))
    fig.mark_alphas(curves["alpha"].min(), curves["alpha"].max())
    return fig


def _dashes(panel: list[str]) -> dict[str, str]:
    return dict(zip(panel, theme.DASHES * len(panel), strict=False))


def _lay_out(fig: Figure, curves: pd.DataFrame, panel: list[str], row: int, last: bool) -> None:
    """The title of a panel's y axis, and what its dashes mean."""
    unit = curves.loc[curves["quantity"] == panel[0], "unit"].iloc[0]
    title = panel[0] if len(panel) == 1 else Quantity.named(panel[0]).kind
    words = theme.unit_label(unit) if unit not in title else ""
    fig.update_yaxes(title_text=theme.title(escaped(title), words, between="<br>"), row=row, col=1)
    if len(panel) > 1:
        dashes = "   ".join(f"{escaped(quantity)} {dash}" for quantity, dash in _dashes(panel).items())
        axis, shift = f"y{row if row > 1 else ''} domain", -28 if last else -6
        fig.add_note(dashes, "right", 0, axis, yanchor="top", yshift=shift, font_size=12)
