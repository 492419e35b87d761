"""The facts of a page: a row at its top (pair, base, device, texts, openings, when), and the footer's groups."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from nbformat import NotebookNode

from lerpnb.errors import LerpError
from lerpnb.runs.directory import known
from lerpnb.runs.parameters import parameters_of
from lerpnb.utils.progress import time_text

PLOTLY = "application/vnd.plotly.v1+json"
Rows = list[tuple[str, str]]


def facts_beside(notebook: Path) -> dict:
    """What the `run.json` beside a run's executed.ipynb holds and is understood; empty for any other notebook."""
    with suppress(OSError, ValueError, TypeError):  # TypeError: damaged, so that it holds something else
        if notebook.name == "executed.ipynb":
            facts = known(dict(json.loads((notebook.parent / "run.json").read_text(encoding="utf-8"))))
            counts = facts.get("left out", {}).items()
            return facts | {"left out": {name: count for name, count in counts if isinstance(count, int)}}
    return {}


def figure_in(output: NotebookNode) -> dict[str, Any] | None:
    """The figure that an output shows, as Plotly's JSON; None where it shows none, or what no figure looks like."""
    figure = output.get("data", {}).get(PLOTLY)
    data, layout = (figure.get("data") or [], figure.get("layout") or {}) if isinstance(figure, dict) else ([], None)
    shaped = isinstance(layout, dict) and isinstance(data, list) and all(isinstance(trace, dict) for trace in data)
    return figure if shaped else None


def given_in(notebook: NotebookNode) -> dict[str, Any]:
    """The parameters that papermill notes; none where what stands there is something else."""
    papermill = notebook.metadata.get("papermill")
    parameters = papermill.get("parameters") if isinstance(papermill, dict) else None
    return parameters if isinstance(parameters, dict) else {}


def facts_within(notebook: NotebookNode) -> dict:
    """The facts in a notebook that was not run by lerpnb: its parameters, and those of its first curve."""
    facts: dict[str, Any] = {}
    with suppress(LerpError):
        facts["parameters"] = {name: one.default for name, one in parameters_of(notebook).items()}
        facts["parameters"] |= given_in(notebook)
    for cell in notebook.cells:
        for out in cell.get("outputs", []):
            meta = ((figure_in(out) or {}).get("layout") or {}).get("meta")
            if isinstance(meta, dict) and isinstance(meta.get("facts"), dict):
                return facts | {key: value for key, value in meta["facts"].items() if key != "seconds"}
    return facts


def measured(folder: Path) -> dict[str, str]:
    """How many texts and openings stand behind a run's result, from its curve or surface; empty where it has none.

    >>> measured(Path("no such folder"))
    {}
    """
    for file in ("curve.parquet", "surface.parquet"):
        with suppress(OSError, ValueError, KeyError):  # none there, or damaged: the row is left out
            frame = pq.read_table(folder / file, columns=["quantity", "n", "items"]).to_pandas().drop_duplicates()
            corpora, found = frame[frame["items"] == "texts"], {}
            names = [quantity.partition("/")[2].partition(" (")[0] for quantity in corpora["quantity"]]
            sizes = dict(zip(names, corpora["n"], strict=True))
            if sizes:
                found["texts"] = ", ".join(f"{n} {name}".strip() for name, n in sizes.items())
            if (frame["items"] == "prompts").any():
                found["openings"] = str(frame.loc[frame["items"] == "prompts", "n"].max())
            return found
    return {}


def fact_row(facts: dict, folder: Path) -> Rows:
    """What a reader asks of a result first; what is not known is left out."""
    given, ends = facts.get("parameters") or {}, facts.get("ends") or {}
    minus, plus, base = (str(ends.get(name) or given.get(name) or "") for name in ("minus", "plus", "base"))
    row: dict[str, Any] = {
        "pair": f"{minus} to {plus}" if minus and plus else "",
        "base": base,
        "device": facts.get("device"),
    }
    row |= measured(folder)
    sampling = given.get("sampling")
    each = (sampling if isinstance(sampling, dict) else given).get("n_samples")
    if "openings" in row and each:
        row["openings"] += f", {each} text{'s' * (each != 1)} each"
    day, took = str(facts.get("started") or "")[:10], _took(facts)
    row["when"] = f"{day}, took {took}" if day and took else day
    return [(name, str(value)) for name, value in row.items() if value]


def footer(facts: dict) -> list[tuple[str, Rows]]:
    """The footer's groups, each a title and its (name, value) rows."""
    run = {key: facts[key] for key in ("name", "status", "started", "finished") if key in facts}
    if took := _took(facts):
        run["took"] = took
    if facts.get("peak_memory_bytes"):
        run["peak memory"] = f"{facts['peak_memory_bytes'] / 2**30:.2f} GiB"
    run |= {key: facts[key] for key in ("device", "dtype", "platform") if facts.get(key)}
    notebook, hashes = facts.get("notebook") or {}, facts.get("hashes")
    if notebook.get("sha256"):
        hashes = {f"{notebook.get('name')}, sha256": notebook["sha256"], "": hashes or {}}
    groups = {"Run": run, "Parameters": facts.get("parameters"), "Seeds": facts.get("seeds"), "Hashes": hashes}
    groups |= {"Versions": facts.get("versions"), "Left out": facts.get("left out")}
    return [(title, list(_rows(group))) for title, group in groups.items() if group]


def _took(facts: dict) -> str:
    """How long the run took; empty where a damaged run.json holds no number."""
    seconds = facts.get("seconds")
    return time_text(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else ""


def _rows(group: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(group, dict):
        for key, value in group.items():
            yield from _rows(value, f"{prefix} {key}".strip())
    else:
        yield prefix or "value", group if isinstance(group, str) else json.dumps(group, ensure_ascii=False)
