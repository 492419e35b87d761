"""A study: the straight lines of several conditions side by side, and in words which of them a barrier stands on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import CurveError, ProbeError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.results.barrier import Barrier
from lerpnb.results.bootstrap import Estimate
from lerpnb.results.curve import Curve
from lerpnb.results.display import Displayed
from lerpnb.results.measurement import Measurement

VERDICTS = {
    "breaks": "The line breaks: at some alpha the whole interval lies more than {tolerance:g} above the chord.",
    "holds": "It holds: at every alpha the interval ends below {tolerance:g} above the chord.",
    "open": "These texts do not tell: an interval lies on both sides of {tolerance:g} above the chord.",
    "unknown": "Unknown: at some alpha there is no finite number.",
}


@dataclass(frozen=True, eq=False)
class Condition:
    """One line of a study: its curve, the barrier on it, and how far apart its ends are.

    verdict: "breaks" where the interval of the gap to the chord lies above the tolerance at some alpha inside (0, 1);
        "holds" where it ends below at every one; "open" where neither; "unknown" where a value is no finite number.
    """

    curve: Curve
    quantity: str
    barrier: Barrier
    distance: float
    relative: float
    cosine: float
    tolerance: float

    @property
    def verdict(self) -> str:
        if np.isnan(self.barrier.value):
            return "unknown"
        gaps = self.barrier.gaps
        if (gaps["low"] > self.tolerance).any():
            return "breaks"
        return "holds" if (gaps["high"] <= self.tolerance).all() else "open"

    @property
    def gap(self) -> Estimate:
        """The largest signed gap to the chord inside (0, 1): below zero the line is better than the chord."""
        if np.isnan(self.barrier.value):
            return Estimate(np.nan, np.nan, np.nan)
        top = self.barrier.gaps.loc[self.barrier.gaps["gap"].idxmax()]
        return Estimate(top["gap"], top["low"], top["high"])


class BarrierStudy(Displayed):
    """Lines under several conditions, each walked over the same alphas.

    Args:
        alphas: coordinates, without unit; 0, 1 and one or more between them are among them.
        tolerance: a rise above the chord that is still called none: nats a token, or a share of errors (2 %: Frankle,
            arXiv 1912.05671).
        store: as `evaluate` takes it.

    Raises:
        CurveError: alphas without 0, 1 or anything between, or a tolerance below 0.

    Example:
        >>> from lerpnb.probes import FunctionProbe
        >>> ends = [tiny_checkpoint() for _ in range(2)]
        >>> size = FunctionProbe("loss/size", lambda model, tokenizer: model.lm_head.weight.square().flatten())
        >>> study = BarrierStudy([0, 0.5, 1], store=False)
        >>> curve = study.add("two random models", Line(*ends, device="cpu"), size)
        >>> study.table["line"].tolist()  # a square is convex: it lies below its chord
        ['holds']
    """

    def __init__(
        self, alphas: Sequence[float], tolerance: float = 0.02, *, store: Cache | str | None | bool = True
    ) -> None:
        alphas = [float(alpha) for alpha in alphas]
        if not {0.0, 1.0} <= set(alphas) or not any(0 < alpha < 1 for alpha in alphas):
            raise CurveError(
                "BarrierStudy(alphas): a barrier needs 0, 1 and an alpha between them.\nPass alpha_grid(0, 1, 9), say."
            )
        if not tolerance >= 0:
            raise CurveError(f"BarrierStudy(tolerance={tolerance!r}): expected 0 or more, such as 0.02.")
        self.alphas, self.tolerance, self.store = alphas, tolerance, store
        self.conditions: dict[str, Condition] = {}

    def add(self, name: str, line: Line, probe: Any, also: Sequence[Any] = ()) -> Curve:
        """Walk a line and keep what came of it under a condition's name.

        Args:
            name: the condition, as tables and figures call it.
            line: the line.
            probe: what is compared: a loss, or an `Accuracy`, of which the share of errors is taken.
            also: other probes, measured on the same walk and kept in the curve.

        Returns:
            The curve of the walk.

        Raises:
            ProbeError: a name twice, or a probe that measures neither a loss nor an accuracy.
        """
        if name in self.conditions:
            raise ProbeError(f"BarrierStudy.add({name!r}): there is a condition of that name.\nGive it another.")
        if not probe.name.startswith(("loss/", "accuracy/")):
            raise ProbeError(
                f"BarrierStudy.add(probe): {probe.name!r}, expected a loss/... or an accuracy/...\n"
                "Pass a Loss, Seq2SeqLoss or Accuracy, and others as also=[...]."
            )
        curve = evaluate(line, self.alphas, [probe, *also], store=self.store)
        told = line.summary().loc["all"]
        of_loss = with_errors(curve, probe.name)
        quantity = probe.name.replace("accuracy/", "errors/")
        apart = [float(told.get(key, np.nan)) for key in ("distance", "relative", "cosine")]
        self.conditions[name] = Condition(of_loss, quantity, of_loss.barrier(quantity), *apart, self.tolerance)
        return curve

    @property
    def numbers(self) -> pd.DataFrame:
        """A row a condition: barrier and largest gap with 95 % intervals, the quantity at both ends, distances."""
        rows = {}
        for name, found in self.conditions.items():
            barrier, gap = found.barrier, found.gap
            ends = found.curve[found.quantity].set_index("alpha")["value"]
            rows[name] = {
                "barrier": barrier.value,
                "barrier_low": barrier.low,
                "barrier_high": barrier.high,
                "at_alpha": barrier.alpha,
                "gap": gap.value,
                "gap_low": gap.low,
                "gap_high": gap.high,
                "unit": barrier.unit,
                "minus": ends[0.0],
                "plus": ends[1.0],
                "distance": found.distance,
                "relative": found.relative,
                "cosine": found.cosine,
                "line": found.verdict,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("condition")

    @property
    def table(self) -> pd.DataFrame:
        """The same as a person reads it: each barrier and gap as a number with its interval."""
        numbers = self.numbers

        def told(name: str) -> list[str]:
            return [_told(Estimate(*row)) for row in numbers.filter(regex=f"^{name}").to_numpy()]

        shown = pd.DataFrame({"barrier": told("barrier"), "largest gap": told("gap")}, index=numbers.index)
        shown["unit"] = numbers["unit"]
        shown["at minus, plus"] = [f"{a:.3f}, {b:.3f}" for a, b in numbers[["minus", "plus"]].to_numpy()]
        shown["distance"] = [f"{value:.3g}" for value in numbers["distance"]]
        shown["of the weights"] = [f"{value:.1%}" for value in numbers["relative"]]
        shown["cosine of deltas"] = ["" if np.isnan(value) else f"{value:.2f}" for value in numbers["cosine"]]
        return shown.assign(line=numbers["line"])

    @property
    def told(self) -> str:
        """What breaks the line and what does not, with the largest gap and its interval of each condition."""
        lines = []
        for verdict, start in VERDICTS.items():
            found = {name: c for name, c in self.conditions.items() if c.verdict == verdict}
            lines += [start.format(tolerance=self.tolerance)] if found else []
            lines += [f"  {name}: {_told(c.gap)} {c.barrier.unit}" for name, c in found.items()]
        return "\n".join(lines)

    @property
    def curve(self) -> Curve:
        """All conditions in one curve, to be recorded: `loss/<condition>` or `errors/<condition>`, a quantity each.

        Of the first condition whose walk sampled texts it has these too, and what else was measured there.
        """
        parts = []
        for name, found in self.conditions.items():
            rows = found.curve.frame
            kind = found.quantity.partition("/")[0]
            parts.append(rows[rows["quantity"] == found.quantity].assign(quantity=f"{kind}/{name}"))
        texts = next((found for found in self.conditions.values() if len(found.curve.samples)), None)
        if texts:
            rows, label = texts.curve.frame, texts.quantity.partition("/")[2]
            parts.append(rows[~rows["quantity"].isin([texts.quantity, f"perplexity/{label}"])])
        frame = pd.concat(parts).sort_values("alpha", kind="stable").reset_index(drop=True)
        each = {name: found.curve.provenance for name, found in self.conditions.items()}
        first = next(iter(each.values()))
        same = {key: first[key] for key in ("device", "dtype", "versions") if key in first}
        return Curve(frame, texts and texts.curve.samples, same | {"conditions": each, "tolerance": self.tolerance})

    def __repr__(self) -> str:
        return f"Study of {len(self.conditions)} conditions\n{self.table.to_string()}\n{self.told}"


def _told(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def with_errors(curve: Curve, quantity: str) -> Curve:
    """The curve with the share of errors, 1 - accuracy, beside an accuracy: of it, as of a loss, less is better."""
    if not quantity.startswith("accuracy/"):
        return curve
    rows = curve.frame[curve.frame["quantity"] == quantity]
    points = {
        row.alpha: {
            quantity.replace("accuracy/", "errors/"): Measurement(1 - row.item_values, row.item_weights, "errors")
        }
        for row in rows.itertuples()
    }
    added = Curve.from_measures(points).frame
    return Curve(pd.concat([curve.frame, added], ignore_index=True), curve.samples, curve.provenance)
