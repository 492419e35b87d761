"""Reading run folders into pandas frames, from run.json and curve.parquet alone. No torch is needed."""

import io
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lerpnb.errors import RunError
from lerpnb.results.parquet import MEASURED
from lerpnb.results.quantity import with_kinds
from lerpnb.runs.directory import RunDirectory, stranger
from lerpnb.utils.text import listed

FACTS = ("status", "notebook", "started", "seconds", "error", "sweep")  # columns beside parameters and summary numbers
CURVE = ["alpha", "quantity", "kind", "value", "low", "high", "n", "unit"]
READERS = 8  # requests at a time to a store that is far


def read_runs(runs: str | Path | Iterable[str | Path] = "runs", where: str | None = None) -> pd.DataFrame:
    """The runs of a folder, a row a run, from their run.json: facts, parameters and summary numbers as columns.

    Index: the folder's name. Columns: status, notebook, started (UTC), seconds, error, sweep; each parameter by its
    name, or "parameter NAME" where it is called like one of these, each setting of a group as "GROUP.SETTING"; each
    summary number by its name, such as "rise/strength/positive", with " low" and " high" for its 95 % interval. Runs of
    lerpnb 0.1 are read too.

    Folders that are no whole run are no error: `frame.attrs["unreadable"]` has each with its reason, and a warning
    names three. `frame.attrs["addresses"]` has each run's address.

    Args:
        runs: a folder of runs, a URL that fsspec knows, or a list of run folders.
        where: an expression over the columns, as `pandas.DataFrame.query` takes it: "status == 'done' and seed < 3".

    Raises:
        RunError: there is no such folder, or `where` is no such expression.

    >>> import tempfile
    >>> len(read_runs(tempfile.mkdtemp()))
    0
    """
    call = "read_runs(runs)"
    folders = _folders(runs, call)
    rows = dict(zip((name for _, name in folders), _rows(folders), strict=True))
    unreadable = {name: why for name, why in rows.items() if isinstance(why, str)}
    if unreadable:
        names = listed(f"{name} ({why})" for name, why in unreadable.items())
        warnings.warn(f"{call}: {len(unreadable)} of {len(rows)} folders are no whole run: {names}.", stacklevel=2)
    rows = {name: row for name, row in rows.items() if name not in unreadable}
    index = pd.Index(list(rows), name="run", dtype=object)
    frame = pd.DataFrame(list(rows.values()), index=index, columns=None if rows else list(FACTS))
    frame["started"] = pd.to_datetime(frame["started"], errors="coerce", utc=True, format="ISO8601")
    frame["seconds"] = pd.to_numeric(frame["seconds"], errors="coerce")
    if where:
        try:
            frame = frame.query(where)
        except Exception as error:  # pandas raises whatever its parser meets
            some = listed(frame.columns)
            raise RunError(f"read_runs(where={where!r}): {error}.\nColumns: {some}.") from error
    addresses = {name: directory.address(name) for directory, name in folders}
    frame.attrs = {"unreadable": unreadable, "addresses": {name: addresses[name] for name in frame.index}}
    return frame


def differing(frame: pd.DataFrame) -> list[str]:
    """The parameters in which the runs of `read_runs` differ; one that a run does not have differs too.

    >>> differing(pd.DataFrame({"status": ["done", "failed"], "seed": [0, 1], "lo": [0.0, 0.0]}))
    ['seed']
    """
    parameters = [name for name in frame.columns if name not in FACTS and "/" not in name]
    return [name for name in parameters if frame[name].map(repr).nunique() > 1]


def read_curves(
    runs: str | Path | Iterable[str | Path] = "runs",
    where: str | None = None,
    quantities: Iterable[str] | None = None,
    *,
    items: bool = False,
) -> pd.DataFrame:
    """Every value of many runs in long form: run, alpha, quantity, kind, value, low, high, n, unit.

    A run without a curve has no rows; one whose curve is damaged is named in `frame.attrs["unreadable"]` and warned of.

    Args:
        runs, where: as `read_runs` takes them.
        quantities: names such as "loss/negative"; all by default.
        items: also the values of the items, in the columns of `Curve.frame`.

    >>> import tempfile
    >>> list(read_curves(tempfile.mkdtemp()))
    ['run', 'alpha', 'quantity', 'kind', 'value', 'low', 'high', 'n', 'unit']
    """
    frame = read_runs(runs, where)
    unreadable, parts = dict(frame.attrs["unreadable"]), []
    wanted, columns = None if quantities is None else set(quantities), ["alpha", *MEASURED] if items else CURVE
    for name, address in frame.attrs["addresses"].items():
        if (data := RunDirectory(address).read("", "curve.parquet")) is None:
            continue
        try:
            file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
            table = with_kinds(file.read(columns=[c for c in columns if c in file.schema_arrow.names]).to_pandas())[
                columns
            ]
        except (pa.ArrowException, OSError, ValueError, KeyError):
            unreadable[name] = "curve.parquet is damaged"
            warnings.warn(f"read_curves(runs): {name}: curve.parquet is damaged.", stacklevel=2)
            continue
        parts.append(table if wanted is None else table[table["quantity"].isin(wanted)])
        parts[-1].insert(0, "run", name)
    curves = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["run", *columns])
    curves.attrs = {"unreadable": unreadable, "addresses": frame.attrs["addresses"]}
    return curves


def _folders(runs: str | Path | Iterable[str | Path], call: str) -> list[tuple[RunDirectory, str]]:
    """(folder of runs, name) of each run that is meant."""
    if isinstance(runs, str | Path):
        directory = RunDirectory(runs)
        if directory.local and not Path(directory.root).is_dir():
            raise RunError(f"{call}: no folder {runs}.\nPass the folder of runs; `lerpnb run 02` makes one.")
        return [(directory, name) for name in directory.names()]
    parts = [str(address).rstrip("/").rpartition("/") for address in runs]
    parents = {parent: RunDirectory(parent or ".") for parent, _, _ in parts}
    folders = [(parents[parent], name) for parent, _, name in parts]
    names = [name for _, name in folders]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RunError(f"{call}: two runs are called {twice[0]!r}.\nRead them one folder at a time.")
    return folders


def _rows(folders: list[tuple[RunDirectory, str]]) -> list[dict | str]:
    """Each run's row, or why there is none; many at a time where they are far."""

    def one(place: tuple[RunDirectory, str]) -> dict | str:
        directory, name = place
        facts = None
        try:
            facts = directory.facts(name)
            return "no run.json" if facts is None else _row(facts)
        except RunError as error:
            return str(error).removeprefix(f"{name}: ")
        except (AttributeError, KeyError, TypeError, ValueError):
            return f"run.json {stranger(facts or {})}"

    if all(directory.local for directory, _ in folders):
        return [one(place) for place in folders]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(one, folders))


def _row(facts: dict[str, Any]) -> dict[str, Any]:
    error = facts.get("error") or {}
    row = {
        "status": facts["status"],
        "notebook": facts.get("notebook", {}).get("name"),
        "started": facts.get("started"),
        "seconds": facts.get("seconds"),
        "error": str(error.get("why") or error.get("kind") or "").partition("\n")[0],
        "sweep": facts.get("sweep", ""),
    }
    for name, value in facts.get("parameters", {}).items():
        parts = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        row |= {f"parameter {part}" if part in FACTS else part: one for part, one in parts.items()}
    for name, number in facts.get("summary", {}).items():
        row[name] = float(number["value"])
        row |= {f"{name} {end}": float(number[end]) for end in ("low", "high")}
    return row
