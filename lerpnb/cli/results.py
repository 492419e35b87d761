"""What a command prints of runs: one run's numbers, a sweep's plan and its counts."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from lerpnb.errors import CurveError

ROWS = 20  # of a curve, in the terminal
QUANTITIES = 6  # columns at most, where a curve has neither losses nor strengths


def run_result(folder: Path) -> str:
    """A run in a few lines, from its folder: the curve, its barriers, the rise of the attribute, the time, the page."""
    from lerpnb.results.curve import Curve
    from lerpnb.utils.progress import time_text

    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = _curve_lines(Curve.load(folder)) if (folder / "curve.parquet").exists() else []
    peak = f", peak memory {facts['peak_memory_bytes'] / 2**30:.2f} GiB" if facts.get("peak_memory_bytes") else ""
    lines.append(f"{facts['name']}: {facts['status']} in {time_text(facts['seconds'])}{peak}")
    return "\n".join([*lines, f"page: {folder / 'report.html'}"])


def sweep_plan(config: Any, rows: list[Any]) -> str:
    """The table of --dry-run: each run, what it differs in, and what would become of it."""
    from lerpnb.runs.sweeps.display import text_table

    would = {"waiting": "run", "skipped": "be skipped: done", "failed before": "be left: failed before"}
    table = []
    for row in rows:
        values = (str(row.spec.parameters.get(key, "")) for key in config.varying)
        table.append([row.spec.name, *values, would.get(row.status, row.status)])
    if config.then:
        table.append([config.then["name"], *("" for _ in config.varying), "look at all of them"])
    return text_table(["run", *config.varying, "would"], table)


def sweep_counts(rows: list[Any]) -> str:
    """2 done, 1 failed."""
    counts = Counter(row.status for row in rows)
    text = ", ".join(f"{count} {status}" for status, count in counts.items())
    return text + ("; --retry-failed runs again what failed before" if counts["failed before"] else "")


def _curve_lines(curve: Any) -> list[str]:
    kinds = {name: curve.quantity(name).kind for name in curve.quantities}
    chief = [name for name in kinds if kinds[name] in ("loss", "strength")] or curve.quantities[:QUANTITIES]
    table = curve.to_frame()[chief].reset_index()
    table = table[(table.index % -(-len(table) // ROWS) == 0) | table["alpha"].isin([0, 1])]
    formats = {name: "{:.3f}".format for name in chief} | {"alpha": "{:.4g}".format}
    numbers = []
    for name in chief:
        with suppress(CurveError):
            numbers.append((_barrier if kinds[name] == "loss" else _rise)(curve, name))
    numbers = numbers or ["no barrier and no rise: they need alpha 0 and 1, which the curve leaves out."]
    return ["", table.to_string(index=False, formatters=formats), "", *numbers]


def _barrier(curve: Any, quantity: str) -> str:
    from lerpnb.utils.text import listed, show

    barrier = curve.barrier(quantity)
    if barrier.nan_alphas:
        return f"barrier of {quantity}: unknown, NaN at alpha {listed(map(show, barrier.nan_alphas))}"
    text = f"barrier of {quantity}: {_interval('.4f', barrier.value, barrier.low, barrier.high)} {barrier.unit}"
    gaps = barrier.gaps.dropna()
    if not len(gaps):
        return text.rstrip()
    top = gaps.loc[gaps["high"].idxmax()]
    return f"{text.rstrip()}; gap to the chord at most {_interval('+.4f', top['gap'], top['low'], top['high'])}"


def _rise(curve: Any, quantity: str) -> str:
    rise, rho = curve.difference(quantity), curve.spearman(quantity)
    return (
        f"rise of {quantity} from alpha 0 to 1: {_interval('+.3f', rise.value, rise.low, rise.high)}; "
        f"Spearman's rho with alpha {_interval('.3f', rho.value, rho.low, rho.high)}"
    )


def _interval(shape: str, *values: float) -> str:
    value, low, high = ("NaN" if value != value else format(value, shape) for value in values)
    return f"{value} [{low}, {high}]"
