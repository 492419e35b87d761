"""The curves of several runs on one figure, a panel for each kind of quantity."""

from contextlib import suppress
from typing import Any

import numpy as np

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number
from lerpnb.results.comparisons import RunComparison
from lerpnb.results.curve import Curve
from lerpnb.utils.text import listed

BANDS = 4  # runs up to which intervals are drawn as bands
PANEL = 200  # pixels
LETTERS = 28  # of a run's name at its lines' right ends


def plot_runs(comparison: RunComparison) -> Figure:
    """Losses, attribute strength and fluency of several runs over alpha: a color a run, a diamond at its best alpha.

    The title says in how many runs the strength rises from alpha 0 to 1, where its interval bears it out. Only the
    strength has its 95 % intervals as bands, of 4 runs at most; the others' are in the hover texts.

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
        >>> [trace.name for trace in fig.data if trace.mode == "lines+markers" and trace.yaxis == "y"]
        ['seed 0', 'seed 1']
    """
    curves, best = comparison.curves, comparison.to_frame()["best alpha"]
    quantities = list(dict.fromkeys(curves["quantity"]))
    losses = list(dict.fromkeys(curves.loc[curves["kind"] == "loss", "quantity"]))
    shown = [q for q in (*losses, comparison.attribute, comparison.fluency) if q in quantities] or quantities[:1]
    names = {name: escaped(label, LETTERS) for name, label in comparison.labels.items()}
    bests = listed(f"{label}: best alpha {number(best[name])}" for name, label in comparison.labels.items())
    finding = _finding(comparison)
    alt = " ".join(f"{part}." for part in (*finding, f"Curves of {len(names)} runs over alpha", bests))
    height = max(PANEL, 16 * len(names))
    room: dict[str, Any] = dict(top=58 + 22 * len(finding), left=80, right=24 + 7 * max(map(len, names.values())))
    fig = Figure.panels([height] * len(shown), alt, gap=50, **room)
    for row, quantity in enumerate(shown, start=1):
        of, ends = curves[curves["quantity"] == quantity], []
        for i, (name, label) in enumerate(names.items()):
            rows, (color, symbol, dash) = of[of["run"] == name], theme.style(i)
            if not len(rows):
                continue
            if quantity == comparison.attribute and len(names) <= BANDS:
                fig.add_band(rows["alpha"], rows["low"], rows["high"], color, 0.1, row=row)
            hover = [
                f"{label}<br>{escaped(quantity)} at alpha {alpha_text(at.alpha)} is {number(at.value)}<br>"
                f"(95 % interval {theme.interval(at)})"
                for at in rows.itertuples()
            ]
            look = dict(line=dict(dash=dash), marker=dict(size=6, symbol=symbol), row=row)
            fig.add_series(rows["alpha"], rows["value"], color, hover, name=label, **look)
            ends.append((rows["value"].iloc[-1], label, color))
            if quantity == comparison.attribute and np.isfinite(best[name]):
                value = comparison.to_frame().loc[name, quantity]
                hover = [f"{label}<br>best alpha {number(best[name])}: {number(value)}"]
                look = dict(mode="markers", marker=theme.diamond(color), row=row)
                fig.add_series([best[name]], [value], color, hover, name="best alpha", **look)
        unit = theme.unit_label(of["unit"].iloc[0])
        title = theme.title(escaped(quantity), unit if unit not in quantity else "", between="<br>")
        values = theme.finite(of["value"], *([of["low"], of["high"]] if quantity == comparison.attribute else []))
        fig.update_yaxes(title_text=title, range=theme.span(values.min(), values.max()), row=row, col=1)
        fig.name_lines(row, ends, height)
    fig.mark_alphas(curves["alpha"].min(), curves["alpha"].max())
    if finding:
        fig.add_finding(finding)
    return fig.update_layout(showlegend=False)


def _finding(comparison: RunComparison) -> list[str]:
    """strength/positive rises in 3 of 3 runs (by 0.46 to 0.48 from alpha 0 to 1); best alpha 1 to 1.5"""
    changes, best = {}, comparison.to_frame()["best alpha"].dropna()
    for name, rows in comparison.curves.groupby("run", sort=False):
        with suppress(CurveError):  # 0 or 1 was not measured
            changes[name] = Curve(rows.drop(columns="run")).difference(comparison.attribute)
    said = []
    if changes:
        values = [change.value for change in changes.values()]
        up, down = (sum(one.low > 0 for one in changes.values()), sum(one.high < 0 for one in changes.values()))
        by = {"rises": up, "falls": down, "is undecided": len(changes) - up - down}
        counts = [f"{word} in {count} of {len(changes)} runs" for word, count in by.items() if count]
        size = " to ".join(dict.fromkeys("+" * (x > 0) + number(x, 2) for x in (min(values), max(values))))
        said.append(f"{comparison.attribute} {listed(counts)} ({size} from alpha 0 to 1)")
    if len(best):
        said.append("best alpha " + " to ".join(dict.fromkeys(map(alpha_text, (best.min(), best.max())))))
    return said
