"""A notebook's parameters: what its parameters cell declares, and the values given for them, checked and fitted.

A parameter may be a group of settings, `fine_tuning: dict = {"steps": 60, "epochs": 1.0}`: what is given is merged over
its default, key by key, and `fine_tuning.steps` means one of them.
"""

import ast
import difflib
import io
import os
import re
import tokenize
import typing
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from nbformat import NotebookNode
from pydantic import BeforeValidator, StrictBool, StrictStr, TypeAdapter, ValidationError

from lerpnb.errors import RunError
from lerpnb.runs.inputs import InputPath, OutputPath
from lerpnb.runs.plain_yaml import read_yaml

# An InputPath is what a run reads: a file, folder, built-in, data set or hub id. `preflight.py` checks the others more.
INPUTS = ("InputPath", "ModelPath", "ClassifierPath", "JudgePath", "CorpusPath", "PromptsPath")

WAY_OUT = {
    "bool": "Pass true or false.",
    "int": "Pass a whole number.",
    "float": "Pass a number.",
    "str": "Pass a text; in YAML, put it in quotes.",
    "list": "Pass a list, in YAML as [1, 2].",
    "dict": "Pass a mapping, in YAML as {a: 1}.",
    **dict.fromkeys(INPUTS, "Pass a path or name as text."),
    "OutputPath": "Pass a path as text.",
}


class Word(str):
    """A value as typed on the command line: null, a number, [1, 2] mean what they mean in YAML, where the type lets."""


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell."""

    name: str
    type: str  # as annotated, else the default's; "" where neither says
    default: Any  # its value; the source where that is no literal
    help: str  # the line's comment

    @property
    def is_input(self) -> bool:
        """Whether its texts name files and folders that the run reads."""
        return re.search(rf"\b({'|'.join(INPUTS)})\b", self.type) is not None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a group with their defaults; none where the parameter is anything else."""
        return self.default if self.type == "dict" and isinstance(self.default, dict) else {}

    @property
    def parts(self) -> list["Parameter"]:
        """A parameter for each setting of a group, called GROUP.SETTING; its type is that of its default."""
        kinds = {key: "" if value is None else type(value).__name__ for key, value in self.settings.items()}
        return [Parameter(f"{self.name}.{key}", kind, self.settings[key], "") for key, kind in kinds.items()]


def parameters_of(notebook: NotebookNode, call: str = "parameters_of(notebook)") -> dict[str, Parameter]:
    """What the cell tagged `parameters` assigns, by name.

    Python's own parser reads the cell: papermill's inspection loses `str | None` and a `=` in a comment.

    >>> import nbformat
    >>> cell = nbformat.v4.new_code_cell("n: int = 3  # points", metadata={"tags": ["parameters"]})
    >>> parameters_of(nbformat.v4.new_notebook(cells=[cell]))
    {'n': Parameter(name='n', type='int', default=3, help='points')}
    """
    cell = next((cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), None)
    if cell is None:
        return {}
    try:
        body = ast.parse(cell.source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(cell.source).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise RunError(f"{call}: the parameters cell is not plain Python: {error}.") from error
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    parameters = {}
    for line in body:
        if not isinstance(line, ast.Assign | ast.AnnAssign) or line.value is None:
            continue
        try:
            default = ast.literal_eval(line.value)
            kind = "" if default is None else type(default).__name__
        except ValueError:
            default, kind = ast.unparse(line.value), ""
        if isinstance(line, ast.AnnAssign):
            kind = ast.unparse(line.annotation).strip("'\"")  # "InputPath" may stand in quotes
        for target in line.targets if isinstance(line, ast.Assign) else [line.target]:
            if isinstance(target, ast.Name):
                parameters[target.id] = Parameter(target.id, kind, default, comments.get(line.end_lineno or 0, ""))
    return parameters


def checked(given: dict[str, Any], takes: dict[str, Parameter], call: str) -> dict[str, Any]:
    """The given values as the notebook declares them, or a RunError that names the first that does not fit."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in (known := all_names(takes)):
            raise RunError(f"{call}: {unknown('parameter', name, known)}")
        group, _, key = name.partition(".")
        if settings := takes[group].settings:
            changed = _group(takes[group], {key: value} if key else value, call)
            values[group] = values.get(group, settings) | changed
        else:
            values[name] = _one(takes[name], value, call)
    return values


def all_names(takes: dict[str, Parameter]) -> list[str]:
    """Every name that a value can be given for, the settings of groups too.

    >>> all_names({"new": Parameter("new", "dict", {"steps": 60}, "")})
    ['new', 'new.steps']
    """
    return [one.name for parameter in takes.values() for one in (parameter, *parameter.parts)]


def _group(parameter: Parameter, value: Any, call: str) -> dict[str, Any]:
    """The settings that are given of a group."""
    parts = {part.name.partition(".")[2]: part for part in parameter.parts}
    given = _one(parameter, value, call)
    if strange := [key for key in given if key not in parts]:
        raise RunError(f"{call}: parameter {parameter.name!r}: {unknown('setting', strange[0], parts)}")
    return {key: _one(parts[key], one, call) for key, one in given.items()}


def _one(parameter: Parameter, value: Any, call: str) -> Any:
    kind = parameter.type
    try:
        return _fitted(_plain(value), TypeAdapter(_python_type(kind)))
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # pydantic's ValidationError is a ValueError
        hint = WAY_OUT.get(re.split(r"\W", kind)[0], "Pass a text, a number, true or false, a list or a mapping.")
        expected = f"takes {kind or 'plain values'}, {came(value)}"
        raise RunError(f"{call}: parameter {parameter.name!r} {expected}.\n{hint}") from error


def came(value: Any) -> str:
    """What an error says of a value that does not fit."""
    with suppress(ValueError, RecursionError):  # of a number of 5,000 digits, of what is too deep
        text, kind = repr(value), "str" if isinstance(value, Word) else type(value).__name__
        return f"came {text if len(text) <= 200 else text[:200] + '...'} ({kind})"
    return "came what is too large to show"


def unknown(what: str, name: Any, known: Iterable[str]) -> str:
    """What an error says of a name that nothing has, with the nearest known one."""
    known = list(known)
    near = [one for one in known if one.endswith(f".{name}")] or difflib.get_close_matches(str(name), known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    names = f"It takes: {', '.join(known)}." if known else "It takes none: no cell is tagged 'parameters'."
    return f"no {what} {name!r}.{hint}\n{names}"


def _plain(value: Any) -> Any:
    """The value as JSON knows it: a Path as text, numpy's numbers as Python's, a tuple as a list; else ValueError."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy, without importing it
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError("no plain value")


def _fitted(value: Any, adapter: TypeAdapter) -> Any:
    """The value in its declared type: as it came where the type takes that, else converted where nothing is lost."""
    read, candidates = value, [value]
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            read = read_yaml(value)
        if isinstance(read, str) or isinstance(read, list | dict) and value.strip()[:1] not in "[{":
            read = str(value)  # a # or a : in a text is no YAML
        candidates = [read, str(value)] if isinstance(value, Word) else [str(value)]
    for candidate in candidates:
        with suppress(ValidationError):
            return adapter.validate_python(candidate, strict=True)
    with suppress(ValidationError):
        return adapter.validate_python(candidates[-1])
    return adapter.validate_python(read if isinstance(read, list | dict | bool) else candidates[-1])


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic takes True for 1
        raise ValueError(value)
    return value


# What an annotation may name: a value is converted where nothing is lost, and "yes" is not true.
TYPES: dict[str, Any] = {name: getattr(typing, name) for name in ("Any", "Literal", "Optional", "Union")} | {
    "bool": StrictBool,
    "int": Annotated[int, BeforeValidator(_no_bool)],
    "float": Annotated[float, BeforeValidator(_no_bool)],
    "str": StrictStr,
    "list": list,
    "dict": dict,
    **dict.fromkeys(INPUTS, InputPath),
    "OutputPath": OutputPath,
}


def _python_type(annotation: str) -> Any:
    """The type that an annotation means; Any where it names one that is not known here. Nothing of it is called."""
    tree = ast.parse(annotation or "Any", mode="eval")
    parts = (ast.Expression, ast.Name, ast.Subscript, ast.BinOp, ast.BitOr, ast.Constant, ast.Tuple, ast.Load)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if not all(isinstance(node, parts) for node in ast.walk(tree)) or not names <= TYPES.keys():
        return Any
    return eval(compile(tree, "<annotation>", "eval"), {"__builtins__": {}}, TYPES)  # noqa: S307  (names and | alone)
