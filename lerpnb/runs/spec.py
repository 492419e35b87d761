"""What a run is to do, checked once: a notebook, its parameters, and what these name."""

import difflib
import hashlib
import json
import math
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lerpnb.errors import RunError
from lerpnb.project import output_path, project_root
from lerpnb.runs.inputs import contents, fingerprint, located
from lerpnb.runs.parameters import Parameter, checked, parameters_of

LONGEST = 230  # bytes of a run's name: its folder's temporary names are longer
ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}


@dataclass(frozen=True)
class RunSpec:
    """All that one run needs, checked, located and hashed by `prepare`: plain values that travel as JSON."""

    name: str
    to: str  # the address of the folder of runs
    notebook: str  # its path
    parameters: dict[str, Any]  # those that were given
    identity: str  # of notebook, parameters and the contents of what they name
    sweep: str = ""
    time_limit: float | None = None  # seconds
    memory_limit: float | None = None  # GiB
    environment: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # all parameters, the defaults too, as JSON knows them
    kinds: dict[str, str] = field(default_factory=dict)  # the parameters' annotations
    files: dict[str, str] = field(default_factory=dict)  # sha256 of what they name
    source: dict[str, Any] = field(default_factory=dict)  # the notebook's name, sha256, commit and whether it differs
    cells: int = 0  # that the kernel gets
    again: bool = False  # whether to run although it has failed before
    stop: str = ""  # a name in the folder of runs; once it is there, the run ends

    @property
    def call(self) -> str:
        """How an error names the run."""
        return f'run("{Path(self.notebook).stem}")'


@dataclass(frozen=True)
class Notebook:
    """A notebook that runs are prepared of: read once, however many runs."""

    path: Path
    takes: dict[str, Parameter]
    source: dict[str, Any]
    cells: int

    @classmethod
    def read(cls, notebook: str | Path, call: str = "") -> "Notebook":
        path = find_notebook(notebook)
        call = call or f'run("{path.stem}")'
        try:
            node = read_notebook(path)
        except Exception as error:  # nbformat raises whatever its parts raise
            raise RunError(f"{call}: {path.name} is no notebook: {str(error).splitlines()[0]}") from error
        language = node.metadata.get("kernelspec", {}).get("language", "python")
        if language != "python":
            raise RunError(f"{call}: {path.name} is written in {language}.\nOnly Python notebooks are run.")
        source = {"name": path.name, "sha256": source_hash(node)} | _commit(path)
        return cls(path, parameters_of(node, call), source, sum(map(is_run, node.cells)))

    def checked(self, parameters: dict[str, Any], call: str) -> dict[str, Any]:
        """The given parameters with their declared types, in which what names a file leads to it."""
        inputs = {name for name, parameter in self.takes.items() if parameter.is_input}
        return located(checked(parameters, self.takes, call), inputs, self.path.parent, call)

    def spec(self, name: str, given: dict[str, Any], to: str, call: str, **options: Any) -> RunSpec:
        """The spec of a run with these checked parameters; options are further fields of it."""
        for limit, unit in (("time_limit", "seconds"), ("memory_limit", "GiB")):
            value = options.get(limit)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value) and value > 0):
                takes = f"It takes {unit}, a number above 0, or None for no limit."
                raise RunError(f"{call}: {limit} is {value!r}.\n{takes}")
        values = {key: parameter.default for key, parameter in self.takes.items()} | given
        values = json.loads(json.dumps(values, default=str))  # a default may be anything
        files = contents({key: values[key] for key in values if self.takes[key].is_input}, self.path.parent)
        identity = fingerprint(self.source["sha256"], values, files)
        cells = self.cells + bool(given)  # papermill adds a cell for what is given
        kinds = {key: self.takes[key].type for key in values}
        known = {"values": values, "kinds": kinds, "files": files, "source": self.source, "cells": cells}
        return RunSpec(name, to, str(self.path), given, identity, **known, **options)


def prepare(
    notebook: str | Path,
    parameters: dict[str, Any] | None = None,
    name: str | None = None,
    to: str | Path = "runs",
    **options: Any,
) -> RunSpec:
    """Check everything that a run needs, before a kernel starts. Arguments, options and errors are those of `run`."""
    source = Notebook.read(notebook)
    call = f'run("{source.path.stem}")'
    given = source.checked(parameters or {}, call)
    name = source.path.stem if name is None else name
    check_name(name, name, call)
    return source.spec(name, given, str(output_path(to)), call, **options)


def check_name(name: str, meant: str, call: str) -> None:
    """Refuse a name that is none for a run: it would leave the folder of runs, be hidden, or mean a failed run."""
    long = len(name.encode(errors="replace")) > LONGEST
    if long or not re.fullmatch(r"\w[\w .,=+-]*", name) or name.endswith((".failed", ".", " ")):
        raise RunError(
            f"{call}: {meant[:80]!r} is no name for a run.\n"
            "It starts with a letter or digit, holds letters, digits, spaces and .,_-+= and does not end in .failed."
            + (f"\nIt has at most {LONGEST} bytes." if long else "")
        )


def find_notebook(notebook: str | Path) -> Path:
    """The .ipynb that is meant: a path, with or without its ending, or a project's notebook by name or number (02)."""
    path, folder = Path(notebook), project_root() / "notebooks"
    for candidate in (path, folder / path, folder / path.name, folder / "studies" / path.name):
        for file in (candidate, Path(f"{candidate}.ipynb")):
            if file.is_file() and file.suffix == ".ipynb":
                return file.resolve()
    found = {file.stem: file for file in sorted([*folder.glob("*.ipynb"), *folder.glob("studies/*.ipynb")])}
    if numbered := [name for name in found if name.startswith(f"{notebook}_")]:
        return found[numbered[0]].resolve()
    known = sorted(found)
    near = difflib.get_close_matches(path.stem, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    hint += f"The project's notebooks: {', '.join(known)}." if known else "`lerpnb init` lays out a project with some."
    raise RunError(f'run("{notebook}"): no such notebook.\n{hint}')


def read_notebook(path: Path) -> NotebookNode:
    """A notebook as nbformat 4; what tools leave out of cells is filled in. Raises whatever nbformat raises."""
    raw = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a byte order mark
    for part in (raw, *raw.get("cells", [])):
        part.setdefault("metadata", {})
        if part.get("cell_type") == "code":
            part |= {"source": "", "outputs": [], "execution_count": None} | part
    return nbformat.reads(json.dumps(raw), as_version=4)


def source_hash(notebook: NotebookNode) -> str:
    """sha256 of a notebook's code as its author wrote it: prose may change without a new run."""
    return hashlib.sha256(
        json.dumps([c.source for c in author_code(notebook)], ensure_ascii=False).encode()
    ).hexdigest()


def author_code(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of code, without those that papermill has added."""
    added = ADDED_BY_PAPERMILL
    return [c for c in notebook.cells if c.cell_type == "code" and not added & set(c.metadata.get("tags", []))]


def is_run(cell: NotebookNode) -> bool:
    """Whether a kernel gets this cell, and so counts it."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def _commit(path: Path) -> dict[str, Any]:
    """The git commit that a notebook is at, and whether it differs from it; nothing where git does not know it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(path.parent), *words]
        environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        git("ls-files", "--error-unmatch", "--", path.name)
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(git("diff", "HEAD", "--", path.name))}
    except (OSError, subprocess.SubprocessError):
        return {}
