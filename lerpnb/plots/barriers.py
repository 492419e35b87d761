"""How far each of several lines lies above or below the chord between its own ends, on one figure."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.plots import theme
from lerpnb.plots.figure import Figure
from lerpnb.plots.theme import alpha_text, escaped, number
from lerpnb.results.barrier import Barrier

PANEL = 230  # pixels


def plot_barriers(
    barriers: Mapping[str, Barrier], broken: Collection[str] = (), *, tolerance: float = 0.0, facts: dict | None = None
) -> Figure:
    """The signed gap to the chord of several lines over alpha in [0, 1]; zero is the chord, below it is better.

    A panel a unit, and one of its own for the lines that are broken, whose scale would flatten the others. Thin bars
    are 95 % intervals. The dotted line is the chord, the dashed one the tolerance.

    Args:
        barriers: a line's name -> its barrier.
        broken: the names of those that have a panel of their own, above.
        tolerance: a rise up to which there is no barrier, in the quantity's unit.
        facts: what a page's footer says of the figure, as `theme.facts` gives it.

    Raises:
        CurveError: no barriers.

    Example:
        >>> from lerpnb.results.curve import Curve
        >>> from lerpnb.results.measurement import Measurement
        >>> points = {a: {"loss/x": Measurement([a * a, a * a + 2])} for a in (0.0, 0.5, 1.0)}
        >>> fig = plot_barriers({"a line": Curve.from_measures(points).barrier("loss/x")})
        >>> fig.data[0].x, fig.data[0].y
        ((0.0, 0.5, 1.0), (0.0, -0.25, 0.0))
    """
    if not barriers:
        raise CurveError("plot_barriers(barriers): none.\nAdd a condition to the study first.")
    panels = _panels(barriers, broken)
    largest = (f"{name} {number(b.gaps['gap'].max())} {b.unit}".rstrip() for name, b in barriers.items())
    alt = f"Largest gap to the chord of {len(barriers)} lines: {'; '.join(largest)}."
    top = 50 + 22 * ((len(barriers) + 2) // 3)  # three names a row in the legend
    fig = Figure.panels([PANEL] * len(panels), alt, facts, top=top, left=80)
    for row, (title, names) in enumerate(panels, start=1):
        for name in names:
            _add(fig, name, barriers[name], row, list(barriers).index(name))
        for height, dash in ((0, "dot"), (tolerance, "dash"))[: 2 if tolerance else 1]:
            fig.add_hline(height, row=row, col=1, line=dict(color=theme.TEXT, dash=dash, width=1))
        fig.update_yaxes(title_text=title, row=row, col=1)
    fig.mark_alphas(0.0, 1.0)
    return fig


def plot_study(study: Any) -> Figure:
    """Every condition's gap to the chord over alpha, of a `BarrierStudy`: see `plot_barriers`."""
    broken = [name for name, condition in study.conditions.items() if condition.verdict == "breaks"]
    barriers = {name: condition.barrier for name, condition in study.conditions.items()}
    facts = theme.facts(study.curve.provenance) if barriers else None
    return plot_barriers(barriers, broken, tolerance=study.tolerance, facts=facts)


def _panels(barriers: Mapping[str, Barrier], broken: Collection[str]) -> list[tuple[str, list[str]]]:
    """The title and the names of each panel: of each unit the broken lines, then the others."""
    panels = []
    for unit in dict.fromkeys(barrier.unit for barrier in barriers.values()):
        names = [name for name, barrier in barriers.items() if barrier.unit == unit]
        parts = ([n for n in names if n in broken], [n for n in names if n not in broken])
        for part, word in zip(parts, ("broken", "not broken"), strict=True):
            if part:
                kind = f"gap, {word}" if all(parts) else "gap"
                panels.append((f"{kind}<br>{theme.unit_label(unit)}", part))
    return panels


def _add(fig: Figure, name: str, barrier: Barrier, row: int, place: int) -> None:
    (color, symbol, _), name = theme.style(place), escaped(name)
    ends = pd.DataFrame({"alpha": [0.0, 1.0], "gap": 0.0, "low": 0.0, "high": 0.0})
    rows = pd.concat([ends[:1], barrier.gaps, ends[1:]]).rename(columns={"gap": "value"})
    hover = [
        f"{name}<br>at alpha {alpha_text(at.alpha)}: {number(at.value)} {escaped(barrier.unit)} from the chord<br>"
        f"(95 % interval {theme.interval(at)})"
        for at in rows.itertuples()
    ]
    bars = theme.error_bars(rows, thickness=1, width=3, color=theme.faint(color, 0.6))
    look = dict(marker=dict(size=8, symbol=symbol), error_y=bars, row=row)
    fig.add_series(rows["alpha"], rows["value"], color, hover, name=name, **look)
