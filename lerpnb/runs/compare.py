"""Comparing runs: many curves on one figure and in one table, read from run folders. No torch is needed."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lerpnb.errors import RunError
from lerpnb.results.best import pick
from lerpnb.results.comparisons import RunComparison
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES, FLUENCY
from lerpnb.runs.table import differing, read_curves, read_runs
from lerpnb.utils.text import show

RULES = {
    "fluent": "the highest {attribute} where {fluency} is at most {slack:g} times the larger of its values at alpha "
    "0 and 1",
    "strongest": "the highest {attribute}",
    "loss": "the lowest mean of the losses",
}


def compare_runs(
    runs: str | Path | Iterable[str | Path] = "runs",
    where: str | None = None,
    *,
    rule: str = "fluent",
    slack: float = 1.1,
    attribute: str | None = None,
    fluency: str = FLUENCY,
) -> RunComparison:
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
    >>> compare_runs(tempfile.mkdtemp())
    Traceback (most recent call last):
    lerpnb.errors.RunError: compare_runs(runs): none of 0 runs has a curve.
    Pass a folder of runs of 02_interpolate, or a wider `where`.
    """
    if rule not in RULES:
        raise RunError(f"compare_runs(rule={rule!r}): no such rule.\nIt is one of: {', '.join(RULES)}.")
    if not slack >= 1:
        raise RunError(f"compare_runs(slack={slack!r}): expected 1 or more, such as 1.1.")
    addresses = None if isinstance(runs, str | Path) else list(runs)
    frame = read_runs(addresses or runs, where)
    curves = read_curves(list(frame.attrs["addresses"].values()), items=True)
    names = [name for name in frame.index if name in set(curves["run"])]
    if not names:
        raise RunError(
            f"compare_runs(runs): none of {len(frame)} runs has a curve.\n"
            "Pass a folder of runs of 02_interpolate, or a wider `where`."
        )
    kept, measured = frame.loc[names], list(dict.fromkeys(curves["quantity"]))
    for key, quantity in {"attribute": attribute, "fluency": fluency}.items():
        if quantity and quantity not in {FLUENCY, *measured}:  # the default need not have been measured
            raise RunError(f"compare_runs({key}={quantity!r}): no run has it.\nMeasured were: {', '.join(measured)}.")
    attribute = attribute or next(iter(curves.loc[curves["kind"].isin(ATTRIBUTES), "quantity"]), "strength")
    rows = {}
    for name, curve in curves.groupby("run", sort=False):
        best = _best(curve, rule, slack, attribute, fluency)
        rows[name] = {"best alpha": best} | {q: _value(curve, q, best) for q in (attribute, fluency)}
    differ, numbers = differing(kept), [c for c in kept if c.startswith(("barrier/", "rise/")) and " " not in c]
    table = kept[[*differ, *numbers]].join(pd.DataFrame.from_dict(rows, orient="index"))
    words = RULES[rule].format(attribute=attribute, fluency=fluency, slack=slack)
    without = tuple(name for name in frame.index if name not in names)
    return RunComparison(kept, curves, _labels(kept, differ), table, words, attribute, fluency, without)


def _labels(runs: pd.DataFrame, differ: list[str]) -> dict[str, str]:
    """seed 0, n_prompts 8; the run's name where nothing differs, and beside it where two would be called the same."""
    labels = {}
    for name, row in runs.iterrows():
        words = ", ".join(f"{key} {show(row[key]) if isinstance(row[key], float) else row[key]}" for key in differ)
        labels[name] = words or str(name)
    count = Counter(labels.values())
    return {name: f"{name}: {label}" if count[label] > 1 else label for name, label in labels.items()}


def _value(curve: pd.DataFrame, quantity: str, alpha: float) -> float:
    """The value of a quantity at an alpha; NaN where it was not measured."""
    rows = curve[(curve["quantity"] == quantity) & (curve["alpha"] == alpha)]
    return float(rows["value"].iloc[0]) if len(rows) else np.nan


def _best(curve: pd.DataFrame, rule: str, slack: float, attribute: str, fluency: str) -> float:
    """The best alpha by the rule, as `Curve.best` finds it; NaN where what it asks for was not measured."""
    one, limits = Curve(curve.drop(columns="run")), {}
    if rule == "loss":  # the mean of the losses, which is no quantity
        wanted = -curve[curve["kind"] == "loss"].groupby("alpha")["value"].mean()
        alphas, values = wanted.index.to_numpy(), wanted.to_numpy()[None]
        known = np.isfinite(values)
        return float(alphas[pick(alphas, values, known)[0]]) if known.any() else np.nan
    if rule == "fluent":
        limits = {fluency: slack * max(_value(curve, fluency, alpha) for alpha in (0.0, 1.0))}
        if not np.isfinite(limits[fluency]):
            return np.nan
    return one.best(attribute, at_most=limits, highest=True).alpha if attribute in one.quantities else np.nan
