"""A plan: a sweep's YAML file as the runs that it means, every one of them checked before the first kernel starts."""

import difflib
import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import yaml

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.execution import find_notebook, source_hash
from lerpnb.runs.inputs import fingerprint, located
from lerpnb.runs.parameters import Parameter, checked, parameters_of
from lerpnb.runs.sweeps.worker import RunSpec
from lerpnb.utils.progress import seconds_of

KINDS = {  # of a plan's keys: the type, and how it is written
    "notebook": (str, "a path or the name of one of the project's notebooks"),
    "name": (str, "a pattern such as 'seed{seed}-lo{lo:g}'"),
    "parameters": (dict, "a mapping of names to values"),
    "grid": (dict, "a mapping of names to lists of values"),
    "list": (list, "a list of mappings of names to values"),
    "time_limit": ((int, float, str), "a time such as 2h, 90m or seconds"),
    "memory_limit": ((int, float), "GiB"),
    "environment": (dict, "a mapping of names to texts"),
    "resources": (dict, "a mapping such as {GPU: 1}"),
    "then": (dict, "a mapping with a notebook"),
}


THEN = ("notebook", "name", "parameters")


LONGEST = 120  # letters of a run's name


SAFE = set(string.ascii_letters + string.digits + " .,=+-_")


@dataclass(frozen=True)
class _Notebook:
    """A notebook as a plan needs it."""

    path: Path
    takes: dict[str, Parameter]
    source: str  # its cells' hash

    @classmethod
    def found(cls, name: str, beside: Path, call: str) -> "_Notebook":
        path = find_notebook(beside / name if (beside / name).is_file() else name)
        node = nbformat.read(path, as_version=4)
        return cls(path, parameters_of(node, call), source_hash(node))

    def spec(self, name: str, given: dict, to: str, sweep: str, **limits: Any) -> RunSpec:
        values = {key: parameter.default for key, parameter in self.takes.items()} | given
        return RunSpec(
            name, to, str(self.path), given, fingerprint(self.source, values, self.path.parent), sweep, **limits
        )


@dataclass(frozen=True)
class SweepConfig:
    """The runs of one sweep, in order, and the notebook that looks at all of them at the end."""

    name: str
    specs: tuple[RunSpec, ...]
    varying: tuple[str, ...]  # the parameters in which the runs differ
    resources: dict[str, float] = field(default_factory=dict)  # what a run takes of a Dask worker
    then: dict[str, Any] | None = None

    def last(self, done: list[str], to: str) -> RunSpec | None:
        """The last run, which looks at those that are done: their addresses are its parameter `runs`."""
        if self.then is None or not done:
            return None
        shelf = RunDirectory(to)
        given = {**self.then["parameters"], "runs": [shelf.address(name) for name in done]}
        return self.then["notebook"].spec(self.then["name"], given, shelf.where, self.name)


def read_sweep(file: str | Path, to: str | Path = "runs") -> SweepConfig:
    """The plan that a YAML file tells, read by a loader that runs no code.

    notebook: what every run executes. parameters: the same for all. grid: each combination of its lists.
    list: parameters that belong together; with a grid, each of its entries meets each combination.
    name: a pattern of parameters in braces; by default the varying ones, as "seed=0,lo=-1".
    time_limit (2h, 90m or seconds), memory_limit (GiB), environment: of each run. resources: of a Dask worker, per run.
    then: a notebook for the end, its name and parameters; its parameter `runs` becomes the list of finished runs.

    Raises:
        RunError: no such file or notebook, no plain YAML, an unknown key or parameter (with the nearest meant), a value
            of a wrong type, a parameter given twice, a name twice or none, a field of the pattern that is no parameter.
    """
    file = Path(file)
    call = f'sweep("{file.name}")'
    told = _read(file, call)
    notebook = _Notebook.found(told["notebook"], file.parent, call)
    takes, varying = notebook.takes, _varying(told, call)
    _known(dict.fromkeys([*told.get("parameters", {}), *varying]), takes, call, "parameter")
    pattern = told.get("name") or ",".join(f"{key}={{{key}}}" for key in varying) or file.stem
    fields = _fields(pattern, takes, call)
    missing = [key for key in varying if key not in fields]
    limits = {key: told[key] for key in ("memory_limit",) if key in told}
    if "time_limit" in told:
        try:
            limits["time_limit"] = seconds_of(str(told["time_limit"]))
        except ValueError as error:
            raise RunError(f"{call}: time_limit: {error}") from error
    limits["environment"] = {str(key): str(value) for key, value in told.get("environment", {}).items()}
    where = RunDirectory(to).where
    specs: dict[str, RunSpec] = {}
    for row in _rows(told):
        given = located(checked({**told.get("parameters", {}), **row}, takes, call), notebook.path.parent, call)
        values = {key: parameter.default for key, parameter in takes.items()} | given
        name = _name(pattern, values, call)
        if name in specs:
            hint = f" It leaves out {missing[0]!r}." if missing else " Two of them are the same."
            raise RunError(f"{call}: two runs would be called {name!r}.{hint}\nWrite a field into `name` that differs.")
        specs[name] = notebook.spec(name, given, where, file.stem, **limits)
    then = _then(told.get("then"), file, call)
    if then and then["name"] in specs:
        raise RunError(f"{call}: two runs would be called {then['name']!r}.\nGive `then` another name.")
    return SweepConfig(file.stem, tuple(specs.values()), tuple(varying), told.get("resources", {}), then)


class _Loader(yaml.SafeLoader):
    """YAML without tags that run code, and without a key twice, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.YAMLError(f"{twice[0]!r} stands twice in one mapping, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def _read(file: Path, call: str) -> dict[str, Any]:
    try:
        told = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{call}: {getattr(error, 'strerror', None) or 'not a text file'}.") from error
    except yaml.YAMLError as error:
        raise RunError(f"{call}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(told, dict):
        raise RunError(f"{call}: no mapping of keys to values.\nIt starts with 'notebook: 02_interpolate'.")
    told = {key: value for key, value in told.items() if value is not None}
    _known(told, KINDS, call, "key")
    for key, value in told.items():
        kind, written = KINDS[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RunError(f"{call}: {key!r} is {written}, came {value!r} ({type(value).__name__}).")
    if not told.get("notebook"):
        raise RunError(f"{call}: it names no notebook.\nWrite 'notebook: 02_interpolate', say.")
    return told


def _known(given: dict, takes: Any, call: str, what: str) -> None:
    for key in given:
        if key not in takes:
            near = difflib.get_close_matches(str(key), list(takes), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise RunError(f"{call}: no {what} {key!r}.{hint}\nIt takes: {', '.join(takes)}.")


def _varying(told: dict, call: str) -> list[str]:
    """The parameters of the grid and of the list, each of them given once."""
    for key, values in told.get("grid", {}).items():
        if not isinstance(values, list) or not values:
            raise RunError(f"{call}: grid: {key!r} is a list of values, came {values!r}.\nWrite it as [0, 1].")
    for entry in told.get("list", []):
        if not isinstance(entry, dict):
            raise RunError(f"{call}: list: an entry is a mapping of names to values, came {entry!r}.")
    listed = list(dict.fromkeys(key for entry in told.get("list", []) for key in entry))
    places = {"parameters": list(told.get("parameters", {})), "grid": list(told.get("grid", {})), "list": listed}
    for one, other in itertools.combinations(places, 2):
        if twice := [key for key in places[one] if key in places[other]]:
            raise RunError(f"{call}: parameter {twice[0]!r} is in {one} and in {other}.\nGive it in one of them.")
    return [*listed, *places["grid"]]


def _rows(told: dict) -> Iterator[dict[str, Any]]:
    grid = told.get("grid", {})
    for entry in told.get("list", []) or [{}]:
        for values in itertools.product(*grid.values()):
            yield {**entry, **dict(zip(grid, values, strict=True))}


def _fields(pattern: str, takes: dict[str, Parameter], call: str) -> list[str]:
    """The parameters that a pattern of names asks for; nothing but whole parameters, with a format at most."""
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise RunError(f"{call}: name: {pattern!r} is no pattern: {error}.\nWrite it as 'seed{{seed}}'.") from error
    fields = [name for _, name, _, _ in parts if name is not None]
    for name, (_, _, shape, conversion) in zip(fields, (p for p in parts if p[1] is not None), strict=True):
        if conversion or "{" in (shape or ""):
            raise RunError(f"{call}: name: {pattern!r} is no pattern.\nWrite it as 'seed{{seed}}' or 'lo{{lo:g}}'.")
        _known({name: None}, takes, f"{call}: name", "parameter")
    return fields


def _name(pattern: str, values: dict[str, Any], call: str) -> str:
    """A run's name: of a path its last part, and what is no letter, digit or one of " .,=+-_" as a "-"."""
    plain = {key: Path(value).name if isinstance(value, str) else value for key, value in values.items()}
    plain = {key: int(value) if _is_whole(value) else value for key, value in plain.items()}
    try:
        text = string.Formatter().vformat(pattern, (), plain)
    except (ValueError, TypeError) as error:
        raise RunError(f"{call}: name: {pattern!r} does not fit its parameters: {error}.") from error
    name = "".join(c if c in SAFE or c.isalnum() else "-" for c in text).strip(" .-")
    if not name or not (name[0].isalnum() or name[0] == "_") or name.endswith(".failed"):
        raise RunError(f"{call}: {text!r} is no name for a run.\nIt starts with a letter or digit.")
    if len(name) > LONGEST:
        raise RunError(f"{call}: a name of {len(name)} letters: {name[:40]}...\nGive a shorter pattern as `name`.")
    return name


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _then(then: dict | None, file: Path, call: str) -> dict[str, Any] | None:
    if then is None:
        return None
    call = f"{call}: then"
    _known(then, THEN, call, "key")
    if not isinstance(then.get("notebook"), str) or not isinstance(then.get("parameters") or {}, dict):
        raise RunError(f"{call}: it takes a notebook, and a name and parameters where they are wanted.")
    notebook = _Notebook.found(then["notebook"], file.parent, call)
    if "runs" not in notebook.takes:
        raise RunError(f"{call}: {notebook.path.name} has no parameter 'runs', which would get the finished runs.")
    given = located(checked(then.get("parameters") or {}, notebook.takes, call), notebook.path.parent, call)
    return {"notebook": notebook, "name": then.get("name") or f"{file.stem}_compared", "parameters": given}
