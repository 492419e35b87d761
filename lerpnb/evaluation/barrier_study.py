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
from lerpnb.results.quantity import Quantity

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
        return self.barrier.verdict(self.tolerance)

    @property
    def gap(self) -> Estimate:
        """The largest signed gap to the chord inside (0, 1): below zero the line is better than the chord."""
        if np.isnan(self.barrier.value):
            return Estimate(np.nan, np.nan, np.nan)
        top = self.barrier.gaps.loc[self.barrier.gaps["gap"].idxmax()]
        return Estimate(top["gap"], top["low"], top["high"])


class BarrierStudy(Displayed):
    """Lines under several conditions, each evaluated over the same alphas.

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
        >>> study.to_frame(text=True)["line"].tolist()  # a square is convex: it lies below its chord
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

    def add(self, name: str, line: Line, probe: Any, extra_probes: Sequence[Any] = ()) -> Curve:
        """Evaluate a line, keep the result under a condition's name and return its curve.

        Args:
            name: the condition, as tables and figures call it.
            probe: what is compared: a loss, or an `Accuracy`, of which the share of errors is taken.
            extra_probes: others, measured at the same alphas and kept in the curve.

        Raises:
            ProbeError: a name twice, or a probe that measures neither a loss nor an accuracy.
        """
        if name in self.conditions:
            raise ProbeError(f"BarrierStudy.add({name!r}): there is a condition of that name.\nGive it another.")
        if Quantity.named(probe.name).kind not in ("loss", "accuracy"):
            raise ProbeError(
                f"BarrierStudy.add(probe): {probe.name!r}, expected a loss/... or an accuracy/...\n"
                "Pass a Loss, Seq2SeqLoss or Accuracy, and others as extra_probes=[...]."
            )
        curve = evaluate(line, self.alphas, [probe, *extra_probes], store=self.store)
        distances = line.summary().loc["all"]
        compared, quantity = with_errors(curve, probe.name)
        distance, relative, cosine = (float(distances.get(key, np.nan)) for key in ("distance", "relative", "cosine"))
        barrier = compared.barrier(quantity)
        self.conditions[name] = Condition(compared, quantity, barrier, distance, relative, cosine, self.tolerance)
        return curve

    def to_frame(self, text: bool = False) -> pd.DataFrame:
        """A row a condition: barrier and largest gap with 95 % intervals, the quantity at both ends, distances.

        Args:
            text: show each barrier and gap as a number with its interval, to be read.
        """
        rows = {}
        for name, condition in self.conditions.items():
            barrier, gap = condition.barrier, condition.gap
            ends = condition.curve[condition.quantity].set_index("alpha")["value"]
            row: dict[str, Any] = {"barrier": barrier.value, "barrier_low": barrier.low, "barrier_high": barrier.high}
            row |= {"at_alpha": barrier.alpha, "gap": gap.value, "gap_low": gap.low, "gap_high": gap.high}
            row |= {"unit": barrier.unit, "minus": ends[0.0], "plus": ends[1.0]}
            row |= {key: getattr(condition, key) for key in ("distance", "relative", "cosine")}
            rows[name] = row | {"line": condition.verdict}
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("condition")
        return _as_text(frame) if text else frame

    def report(self) -> str:
        """What breaks the line and what does not, with the largest gap and its interval of each condition."""
        lines = []
        for verdict, headline in VERDICTS.items():
            same = {name: c for name, c in self.conditions.items() if c.verdict == verdict}
            lines += [headline.format(tolerance=self.tolerance)] if same else []
            lines += [f"  {name}: {c.gap} {c.barrier.unit}" for name, c in same.items()]
        return "\n".join(lines)

    @property
    def curve(self) -> Curve:
        """All conditions in one curve, to be recorded: `loss/<condition>` or `errors/<condition>`, a quantity each.

        Of the first condition with sampled texts it has these too, and what else was measured there.
        """
        parts = []
        for name, condition in self.conditions.items():
            rows, kind = condition.curve.frame, condition.curve.quantity(condition.quantity).kind
            parts.append(rows[rows["quantity"] == condition.quantity].assign(quantity=f"{kind}/{name}"))
        texts = next((condition for condition in self.conditions.values() if len(condition.curve.samples)), None)
        if texts:
            perplexity = str(Quantity("perplexity", texts.curve.quantity(texts.quantity).label))
            rows = texts.curve.frame
            parts.append(rows[~rows["quantity"].isin([texts.quantity, perplexity])])
        frame = pd.concat(parts).sort_values("alpha", kind="stable").reset_index(drop=True)
        each = {name: condition.curve.provenance for name, condition in self.conditions.items()}
        first = next(iter(each.values()))
        shared = {key: first[key] for key in ("device", "dtype", "versions") if key in first}
        samples = texts.curve.samples if texts else None
        return Curve(frame, samples, shared | {"conditions": each, "tolerance": self.tolerance})

    def __repr__(self) -> str:
        table = self.to_frame(text=True).to_string()
        return f"Study of {len(self.conditions)} conditions\n{table}\n{self.report()}"


def _as_text(numbers: pd.DataFrame) -> pd.DataFrame:
    def intervals(name: str) -> list[str]:
        return [str(Estimate(*row)) for row in numbers.filter(regex=f"^{name}").to_numpy()]

    shown = pd.DataFrame({"barrier": intervals("barrier"), "largest gap": intervals("gap")}, index=numbers.index)
    shown["unit"] = numbers["unit"]
    shown["at minus, plus"] = [f"{a:.3f}, {b:.3f}" for a, b in numbers[["minus", "plus"]].to_numpy()]
    shown["distance"] = [f"{value:.3g}" for value in numbers["distance"]]
    shown["of the weights"] = [f"{value:.1%}" for value in numbers["relative"]]
    shown["cosine of deltas"] = ["" if np.isnan(value) else f"{value:.2f}" for value in numbers["cosine"]]
    return shown.assign(line=numbers["line"])


def with_errors(curve: Curve, name: str) -> tuple[Curve, str]:
    """The curve with the share of errors, 1 - accuracy, beside an accuracy, and the name of what is to be low."""
    quantity = curve.quantity(name)
    if quantity.kind != "accuracy":
        return curve, name
    errors = str(Quantity("errors", quantity.label))
    points = {
        row.alpha: {errors: Measurement(1 - row.item_values, row.item_weights, "errors")}
        for row in curve.frame[curve.frame["quantity"] == name].itertuples()
    }
    frame = pd.concat([curve.frame, Curve.from_measures(points).frame], ignore_index=True)
    return Curve(frame, curve.samples, curve.provenance), errors
