"""What comparisons return: of runs, of paths, and of a line with random directions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results.curve import Curve
from lerpnb.results.display import Displayed
from lerpnb.utils.text import listed


@dataclass(frozen=True, eq=False)
class RunComparison(Displayed):
    """Runs side by side. `to_frame()` and `plot()` are what a notebook shows.

    runs: a row a run, as `read_runs` gives them; curves: all values in long form, as `read_curves` gives them.
    labels: run -> what distinguishes it from the others: the parameters in which the runs differ.
    frame: a row a run: those parameters, barriers and rise, the best alpha by the rule, strength and fluency there.
    rule: how the best alpha was chosen, in words. without: the runs that recorded no curve.
    attribute, fluency: the quantities, each a column of the frame, that the rule weighs and the figure shows.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    labels: dict[str, str]
    frame: pd.DataFrame
    rule: str
    attribute: str
    fluency: str
    without: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """A row a run: the parameters in which they differ, barriers and rise, the best alpha and what was there."""
        return self.frame

    def __repr__(self) -> str:
        headline = f"Comparison of {len(self.labels)} runs; best alpha: {self.rule}."
        headline += f"\nWithout a curve: {listed(self.without)}." if self.without else ""
        return f"{headline}\n{self.frame.to_string()}"


@dataclass(frozen=True, eq=False)
class DirectionComparison(Displayed):
    """Is this line special? Its curve, and those from minus along random directions of equal length.

    line: the curve from minus to plus. others: a curve a random direction; alpha 1 is |plus - minus| away from minus.
    provenance: seeds, the length, whether the directions are orthogonal to the line.
    """

    line: Curve
    others: list[Curve]
    provenance: dict

    def to_frame(self, quantity: str | None = None) -> pd.DataFrame:
        """A row an alpha: the line's value; least, mean and most of the random ones; how many of them are higher.

        Raises:
            CurveError: no such quantity, or no random direction was finished.
        """
        quantity = self.line.quantities[0] if quantity is None else quantity
        if not self.others:
            raise CurveError("DirectionComparison.to_frame(quantity): no random direction was finished.\nRun it again.")
        alphas = self.line.alphas
        rows = np.stack([other[quantity].set_index("alpha")["value"].reindex(alphas) for other in self.others])
        line = self.line.value(quantity)
        found = {"line": line, "least": rows.min(0), "mean": rows.mean(0), "most": rows.max(0)}
        found["higher"] = (rows > line).sum(0)
        return pd.DataFrame(found, index=pd.Index(alphas, name="alpha"))

    def __repr__(self) -> str:
        if not self.others:
            return f"{self.line.quantities[0]}: the line alone"
        table = self.to_frame()
        at = 1.0 if 1.0 in table.index else table.index[-1]
        row = table.loc[at]
        line, least, most = (_number(row[name]) for name in ("line", "least", "most"))
        others = f"on {len(self.others)} random directions {least} to {most}, higher on {int(row['higher'])}"
        return f"{self.line.quantities[0]}: at alpha {_number(at)} {line} on the line; {others}"


@dataclass(frozen=True, eq=False)
class PathComparison(Displayed):
    """Curves of several paths under the same probes, by name: what `compare_paths` returns. It shows its figure.

    curves: name -> what `evaluate` returned, in the order of the figure's colors.
    recipes: name -> {coordinate: how the model there is made, in words}.
    """

    curves: dict[str, Curve]
    recipes: dict[str, dict[float, str]]

    def only(self, *names: str) -> "PathComparison":
        """Some of the paths, in this order; a name that none has is a CurveError."""
        if odd := [name for name in names if name not in self.curves]:
            raise CurveError(f"PathComparison.only(names): no path {odd[0]!r}. They are: {', '.join(self.curves)}.")
        return PathComparison({name: self.curves[name] for name in names}, {name: self.recipes[name] for name in names})

    def __or__(self, other: "PathComparison") -> "PathComparison":
        """These paths and the other's, which replace those of the same name."""
        return PathComparison(self.curves | other.curves, self.recipes | other.recipes)

    def to_frame(self) -> pd.DataFrame:
        """Every value, a row a (path, coordinate), a column a quantity; NaN where it is NaN or was not measured."""
        return pd.concat({name: curve.to_frame() for name, curve in self.curves.items()}, names=["path", "point"])

    def to_curve(self) -> Curve:
        """All of them as one curve, to be recorded: each quantity with its path's name in brackets behind it."""
        curve = Curve.concat(self.curves)
        curve.provenance = {"paths": curve.provenance["curves"], "named": []}
        return curve

    def __repr__(self) -> str:
        return f"{len(self.curves)} paths\n{self.to_frame().to_string(float_format=lambda value: f'{value:.4g}')}"


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.4g}".replace("-", "−")
