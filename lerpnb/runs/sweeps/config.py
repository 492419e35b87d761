"""A sweep file: the runs that it describes, every one of them checked before the first kernel starts."""

import itertools
import math
import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lerpnb.errors import RunError
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.parameters import Parameter, all_names, came, unknown
from lerpnb.runs.plain_yaml import read_yaml
from lerpnb.runs.redaction import is_secret
from lerpnb.runs.spec import Notebook, RunSpec, check_name
from lerpnb.utils.progress import seconds_of

LONGEST = 120  # letters of a run's name
MOST = 10_000  # runs of a sweep
Values = Annotated[list[Any], Field(min_length=1)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Then(_Part):
    """What is run at the end of a sweep."""

    notebook: str = Field(description="a path or the name of one of the project's notebooks")
    name: str | None = Field(None, description="a run's name")
    parameters: dict[str, Any] = Field({}, description="a mapping of names to values")


class _File(_Part):
    """A sweep file; a description is what an error says of its key."""

    notebook: str = Field(min_length=1, description="a path or the name of one of the project's notebooks")
    name: str | None = Field(None, description="a pattern such as 'seed{seed}-lo{lo:g}'")
    parameters: dict[str, Any] = Field({}, description="a mapping of names to values")
    grid: dict[str, Values] = Field({}, description="a mapping of names to lists of values")
    entries: list[dict[str, Any]] = Field([], alias="list", description="a list of mappings of names to values")
    time_limit: int | float | str | None = Field(None, description="a time such as 2h, 90m or seconds")
    memory_limit: float | None = Field(None, description="GiB")
    environment: dict[str, str | bool | int | float] = Field({}, description="a mapping of names to texts")
    resources: dict[str, Amount] = Field({}, description="a mapping such as {GPU: 1}")
    then: _Then | None = Field(None, description="a mapping with a notebook")


ITEMS = {  # what an error says of one entry of a key
    "grid": "a list of values, such as [0, 1]",
    "list": "a mapping of names to values",
    "environment": "a text",
    "resources": "a number above 0",
}


@dataclass(frozen=True)
class SweepConfig:
    """The runs of one sweep, in order, and the notebook that looks at all of them at the end."""

    name: str
    specs: tuple[RunSpec, ...]
    varying: tuple[str, ...]  # the parameters in which the runs differ
    resources: dict[str, float] = field(default_factory=dict)  # what a run takes of a Dask worker
    then: dict[str, Any] | None = None

    def last(self, done: list[str], to: str | Path) -> RunSpec | None:
        """The last run, which looks at those that are done: their addresses are its parameter `runs`."""
        if self.then is None or not done:
            return None
        runs = RunDirectory(to)
        given = {**self.then["parameters"], "runs": [runs.address(name) for name in done]}
        notebook, call = self.then["notebook"], f'sweep("{self.name}")'
        return notebook.spec(self.then["name"], given, runs.where, call, sweep=self.name)


def read_sweep(file: str | Path, to: str | Path = "runs") -> SweepConfig:
    """The runs that a YAML file describes, read by a loader that runs no code.

    notebook: what every run executes. parameters: the same for all. grid: each combination of its lists.
    list: parameters that belong together; with a grid, each of its entries meets each combination.
    A group's setting is a parameter of its own too, "sampling.n_samples".
    name: a pattern of parameters in braces; by default the varying ones, as "seed=0,lo=-1".
    time_limit (2h, 90m or seconds), memory_limit (GiB), environment: of each run. resources: of a Dask worker, per run.
    then: a notebook for the end, its name and parameters; its parameter `runs` becomes the list of finished runs.

    Raises:
        RunError: no such file or notebook, no plain YAML, an unknown key or parameter (with the nearest meant), a value
            of a wrong type, a parameter given twice, a name twice or none, a field of the pattern that is no parameter.
    """
    file = Path(file)
    call = f'sweep("{file.name}")'
    sweep = _read(file, call)
    notebook = _notebook(sweep.notebook, file, call)
    takes, varying = notebook.takes, _varying(sweep, call)
    _known([*sweep.parameters, *varying], takes, call)
    pattern = sweep.name or ",".join(f"{key}={{{key}}}" for key in varying) or file.stem
    fields = _fields(pattern, takes, call)
    missing = [key for key in varying if key not in fields]
    options: dict[str, Any] = {"sweep": file.stem, "memory_limit": sweep.memory_limit}
    if sweep.time_limit is not None:
        try:
            options["time_limit"] = seconds_of(str(sweep.time_limit))
        except ValueError as error:
            raise RunError(f"{call}: time_limit: {error}") from error
    options["environment"] = {key: str(value) for key, value in sweep.environment.items()}
    where = RunDirectory(to).where
    if (count := math.prod(map(len, sweep.grid.values())) * max(len(sweep.entries), 1)) > MOST:
        raise RunError(f"{call}: it describes {count:,} runs, more than {MOST:,}.\nSplit it into several files.")
    specs: dict[str, RunSpec] = {}
    for row in _rows(sweep):
        given = notebook.checked(sweep.parameters | row, call)
        name = _name(pattern, {key: parameter.default for key, parameter in takes.items()} | given, call)
        if name in specs:
            hint = f" It leaves out {missing[0]!r}." if missing else " Two of them are the same."
            raise RunError(f"{call}: two runs would be called {name!r}.{hint}\nWrite a field into `name` that differs.")
        specs[name] = notebook.spec(name, given, where, call, **options)
    then = _last(sweep.then, file, f"{call}: then")
    if then and then["name"] in specs:
        raise RunError(f"{call}: two runs would be called {then['name']!r}.\nGive `then` another name.")
    return SweepConfig(file.stem, tuple(specs.values()), tuple(varying), sweep.resources, then)


def _read(file: Path, call: str) -> _File:
    try:
        content = read_yaml(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{call}: {getattr(error, 'strerror', None) or 'not a text file'}.") from error
    except yaml.YAMLError as error:
        raise RunError(f"{call}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RunError(f"{call}: no mapping of keys to values.\nIt starts with 'notebook: 02_interpolate'.")
    content = {str(key): value for key, value in content.items() if value is not None}
    try:
        return _File.model_validate(content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")  # of several, the misspelt key
        raise RunError(_refusal(first["type"], first["loc"], first.get("input"), call)) from None


def _refusal(kind: str, place: tuple[int | str, ...], value: Any, call: str) -> str:
    """What was wrong in a sweep file, in words: where, what came, what was expected."""
    key, *inner = place
    model: type[_Part] = _File
    if key == "then" and inner:
        model, call, (key, *inner) = _Then, f"{call}: then", inner
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if kind == "extra_forbidden":
        return f"{call}: {unknown('key', key, fields)}"
    if key == "notebook" and not value or kind == "missing":
        return f"{call}: it names no notebook.\nWrite 'notebook: 02_interpolate', say."
    if inner and key in ITEMS:
        which = f"entry {int(inner[0]) + 1}" if key == "list" else repr(inner[0])
        return f"{call}: {key}: {which} is {ITEMS[key]}, {came(value)}."
    return f"{call}: {key!r} is {fields[str(key)].description}, {came(value)}."


def _notebook(notebook: str, file: Path, call: str) -> Notebook:
    beside = file.parent / notebook
    return Notebook.read(beside if beside.is_file() else notebook, call)


def _known(names: Iterable[str], takes: dict[str, Parameter], call: str) -> None:
    for name in names:
        if name not in (known := all_names(takes)):
            raise RunError(f"{call}: {unknown('parameter', name, known)}")


def _varying(sweep: _File, call: str) -> list[str]:
    """The parameters of the grid and of the list, each of them given once."""
    listed = {key: None for entry in sweep.entries for key in entry}
    places = {"parameters": sweep.parameters, "grid": sweep.grid, "list": listed}
    for one, other in itertools.combinations(places, 2):
        if twice := [key for key in places[one] if key in places[other]]:
            raise RunError(f"{call}: parameter {twice[0]!r} is in {one} and in {other}.\nGive it in one of them.")
    return [*listed, *sweep.grid]


def _rows(sweep: _File) -> Iterator[dict[str, Any]]:
    for entry in sweep.entries or [{}]:
        for values in itertools.product(*sweep.grid.values()):
            yield entry | dict(zip(sweep.grid, values, strict=True))


def _fields(pattern: str, takes: dict[str, Parameter], call: str) -> list[str]:
    """The parameters that a pattern of names asks for; nothing but whole parameters, with a format at most."""
    try:
        parts = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
    except ValueError as error:
        raise RunError(f"{call}: name: {pattern!r} is no pattern: {error}.\nWrite it as 'seed{{seed}}'.") from error
    for _, name, shape, conversion in parts:
        if conversion or re.search(r"[{]|[1-9]\d{3}", shape or ""):
            raise RunError(f"{call}: name: {pattern!r} is no pattern.\nWrite it as 'seed{{seed}}' or 'lo{{lo:g}}'.")
        _known([str(name)], takes, f"{call}: name")
        if any(map(is_secret, [str(name), *takes[str(name).partition(".")[0]].settings])):
            raise RunError(f"{call}: name: a run's name would show {name!r}.\nGive a `name` without it.")
    return [str(part[1]) for part in parts]


class _Pattern(string.Formatter):
    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs[field_name], field_name  # "sampling.n_samples" is a name as a whole


def _name(pattern: str, values: dict[str, Any], call: str) -> str:
    """A run's name: of a path its last part, and what is no letter, digit or one of " .,=+-_" as a "-"."""
    groups = {name: value for name, value in values.items() if isinstance(value, dict)}
    values = values | {f"{name}.{key}": one for name, group in groups.items() for key, one in group.items()}
    plain = {key: Path(value).name if isinstance(value, str) else value for key, value in values.items()}
    whole = {key: int(value) for key, value in plain.items() if isinstance(value, float) and value.is_integer()}
    try:
        text = _Pattern().vformat(pattern, (), plain | whole)
    except (ValueError, TypeError) as error:
        raise RunError(f"{call}: name: {pattern!r} does not fit its parameters: {error}.") from error
    name = "".join(c if c in " .,=+-_" or c.isalnum() else "-" for c in text).strip(" .-")
    check_name(name, text, call)
    if len(name) > LONGEST:
        raise RunError(f"{call}: a name of {len(name)} letters: {name[:40]}...\nGive a shorter pattern as `name`.")
    return name


def _last(then: _Then | None, file: Path, call: str) -> dict[str, Any] | None:
    if then is None:
        return None
    notebook = _notebook(then.notebook, file, call)
    if "runs" not in notebook.takes:
        raise RunError(f"{call}: {notebook.path.name} has no parameter 'runs', which would get the finished runs.")
    given = notebook.checked(then.parameters, call)
    name = then.name or f"{file.stem}_compared"
    check_name(name, name, call)
    return {"notebook": notebook, "name": name, "parameters": given}
