"""What a command prints of runs: one run's numbers, a sweep's plan and its counts."""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from lerpnb.utils.text import printable

WIDTH = 100  # letters of a line of `lerpnb ls`


def say(text: str, label: str = "") -> None:
    """Print a line on stderr; the label before it is red where that is a terminal."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False, soft_wrap=True).print(Text.assemble((label, "bold red"), printable(text)))


def out(text: str) -> None:
    """Print on stdout; what names and texts of others hold of escape codes does not reach the terminal."""
    print(printable(text))


def run_result(folder: Path) -> str:
    """A run in a few lines, from its folder: what it found, the time, the page."""
    from lerpnb.results.curve import Curve
    from lerpnb.results.finding import sentences
    from lerpnb.utils.progress import time_text

    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    found = _headline(folder / "executed.ipynb")
    lines = [found] if found else []
    if not found and (folder / "curve.parquet").exists():
        lines = sentences(Curve.load(folder)) or ["No finding: it needs alpha 0 and 1, which the curve leaves out."]
    peak = f", peak memory {facts['peak_memory_bytes'] / 2**30:.2f} GiB" if facts.get("peak_memory_bytes") else ""
    lines.append(f"{facts['name']}: {facts['status']} in {time_text(facts['seconds'])}{peak}")
    return "\n".join([*lines, f"page: {(folder / 'report.html').absolute().as_uri()} (opens in any browser)"])


def _headline(executed: Path) -> str:
    """What the figure finds that the cell tagged `headline` shows; "" where there is none."""
    import nbformat

    from lerpnb.runs.report.cells import finding, headline

    with suppress(OSError, ValueError):
        figure = headline(nbformat.read(executed, as_version=4))
        return finding(figure) if figure else ""
    return ""


def has_outputs(notebook: Path) -> bool:
    """Whether any cell of a notebook shows anything."""
    return any(cell.get("outputs") for cell in json.loads(notebook.read_text(encoding="utf-8-sig"))["cells"])


def run_table(frame: Any) -> str:
    """The runs of `read_runs` as a table of at most `WIDTH` letters; the parameters without room are named below it."""
    from lerpnb.runs.sweeps.display import text_table
    from lerpnb.runs.table import differing
    from lerpnb.utils.progress import time_text

    columns = {
        "run": [shortened(name, 32) for name in frame.index],
        "status": list(frame["status"]),
        "notebook": [shortened(str(name or "").removesuffix(".ipynb"), 20) for name in frame["notebook"]],
        "started": list(frame["started"].dt.strftime("%Y-%m-%d %H:%M").fillna("")),
        "time": [time_text(seconds) if seconds == seconds else "" for seconds in frame["seconds"]],
    }
    left_out = []
    for name in differing(frame):
        values = ["" if value is None or value != value else shortened(str(value), 16) for value in frame[name]]
        wide = sum(max(map(len, [key, *column])) + 2 for key, column in (columns | {name: values}).items()) - 2
        if wide <= WIDTH:
            columns[name] = values
        else:
            left_out.append(name)
    table = text_table([*columns], zip(*columns.values(), strict=True))
    return table + (f"\nalso different: {', '.join(left_out)}; `lerpnb show RUN` has all" if left_out else "")


def shortened(text: str, letters: int) -> str:
    """A text on one line, its middle cut where it is long: of a path both ends say most.

    >>> shortened("models/a-long-name/positive", 16)
    'models/…positive'
    """
    text, half = " ".join(text.split()), letters // 2
    return text if len(text) <= letters else f"{text[: letters - half - 1]}…{text[-half:]}"


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
