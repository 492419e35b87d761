"""Entanglement: how much moving one attribute's alpha changes the other attribute. It knows no torch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError
from lerpnb.results.bootstrap import Estimate, estimate
from lerpnb.results.quantity import ATTRIBUTES
from lerpnb.results.surface import Surface


@dataclass(frozen=True)
class Entanglement:
    """How far two attributes move together: cross effects over own effects. `Entanglement.of` finds it.

    Attributes:
        value: (|e_12| + |e_21|) / (|e_11| + |e_22|), without unit: 0 where each alpha moves its own attribute alone, 1
            where it moves the other as much. Noise adds to it: with both cross effects 0, it is above 0 all the same.
        effects: line -> {quantity: e}, the rise of the quantity a unit of the line's alpha (`Surface.effect`).
        shares: (line, quantity) -> the cross effect, with its sign, over what the quantity's own alpha does to it.

    Example:
        >>> from lerpnb.results.measurement import Measurement
        >>> grid = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
        >>> points = {(a, b): {"strength/glad": Measurement([0.2 + 0.5 * a + 0.1 * b] * 2),
        ...                    "strength/ornate": Measurement([0.6 + 0.3 * b] * 2)} for a, b in grid}
        >>> entanglement = Entanglement.of(Surface.from_measures(points, axes=("mood", "style")))
        >>> entanglement.value
        0.125 [0.125, 0.125]
        >>> entanglement.shares["style", "strength/glad"]
        0.2 [0.2, 0.2]
    """

    value: Estimate
    effects: dict[str, dict[str, Estimate]]
    shares: dict[tuple[str, str], Estimate]

    @classmethod
    def of(cls, surface: Surface, quantities: tuple[str, str] | None = None) -> "Entanglement":
        """How much moving either alpha changes the other's attribute, against what the attribute's own alpha does.

        With e_ij the main effect of line i's alpha on the strength of attribute j (`Surface.effect`), it is

            (|e_12| + |e_21|) / (|e_11| + |e_22|),

        and, with a sign, e_12 / e_22 and e_21 / e_11. The definition is ours, of the interpolation of arXiv
        2404.07117. Intervals are percentiles of a bootstrap over the items, the same in all four effects.

        Args:
            surface: over the alphas of the two lines, a full grid.
            quantities: each line's own, in the lines' order; by default the surface's two strengths, in their order.

        Raises:
            CurveError: `quantities` are not two that were measured, on as many items, or neither alpha moves its own.
        """
        own = tuple(surface.of_kind(*ATTRIBUTES) if quantities is None else quantities)
        if len(surface.axes) != 2:
            raise CurveError(f"Entanglement.of(surface): it is over {', '.join(surface.axes)}, expected two alphas.")
        (first, second), call = surface.axes, "Entanglement.of(quantities)"
        if len(own) != 2 or any(q not in surface.quantities for q in own):
            raise CurveError(
                f"{call}: got {', '.join(own) or 'none'}, expected the quantity of {first}, then that of {second}.\n"
                f"Measured are: {', '.join(surface.quantities)}."
            )
        a, b = own
        n, m = (len(surface.frame.loc[surface.frame["quantity"] == q, "item_values"].iloc[0]) for q in own)
        if n != m:
            raise CurveError(f"{call}: {a} has {n} items, {b} {m}.\nMeasure both on the same prompts, in one call.")
        slopes = {(line, q): surface.slopes(q, line) for line in surface.axes for q in own}
        if slopes[first, a][0] == slopes[second, b][0] == 0:
            raise CurveError(f"{call}: neither alpha moves its own quantity, {a} and {b}.")

        def estimated(upper: list, lower: list, size=np.abs) -> Estimate:
            value, draws = (
                np.divide(*(sum(size(slopes[key][part]) for key in keys) for keys in (upper, lower))) for part in (0, 1)
            )
            return estimate(value, draws, n)

        with np.errstate(divide="ignore", invalid="ignore"):
            crossed = ((first, b, second), (second, a, first))
            shares = {(line, q): estimated([(line, q)], [(other, q)], size=np.asarray) for line, q, other in crossed}
            total = estimated([(first, b), (second, a)], [(first, a), (second, b)])
        effects = {line: {q: estimate(*slopes[line, q], n) for q in own} for line in surface.axes}
        return cls(total, effects, shares)

    def to_frame(self) -> pd.DataFrame:
        """The effects as text: a row a line that is moved, a column a quantity, in the quantity's unit."""
        rows = {line: {q: str(e) for q, e in row.items()} for line, row in self.effects.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("a unit of alpha of")

    def __repr__(self) -> str:
        said = [f"Entanglement {self.value}: cross effects over own effects"]
        for (line, quantity), share in self.shares.items():
            other = next(name for name in self.effects if name != line)
            cross, own = self.effects[line][quantity], self.effects[other][quantity]
            said.append(f"  a unit of {line} moves {quantity} by {cross}, a unit of {other} by {own}: {share} of it")
        return "\n".join(said)
