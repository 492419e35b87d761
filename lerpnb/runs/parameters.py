"""A notebook's parameters: what its parameters cell declares, and the values given for them, checked and fitted."""

import ast
import difflib
import io
import os
import re
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import yaml
from nbformat import NotebookNode

from lerpnb.errors import RunError

WAY_OUT = {
    "bool": "Pass true or false.",
    "int": "Pass a whole number.",
    "float": "Pass a number.",
    "str": "Pass a text; in YAML, put it in quotes.",
    "list": "Pass a list, in YAML as [1, 2].",
    "dict": "Pass a mapping, in YAML as {a: 1}.",
}


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell."""

    name: str
    type: str  # as annotated, else as the default tells; "" where neither does
    default: Any  # its value; the source where that is no literal
    help: str  # the line's comment


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
    found = {}
    for line in body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(line, ast.Assign | ast.AnnAssign) and line.value:
                try:
                    default = ast.literal_eval(line.value)
                    kind = "" if default is None else type(default).__name__
                except ValueError:
                    default, kind = ast.unparse(line.value), ""
                annotation = getattr(line, "annotation", None)
                if annotation is not None:
                    quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
                    kind = annotation.value if quoted else ast.unparse(annotation)
                found[target.id] = Parameter(target.id, kind, default, comments.get(line.end_lineno, ""))
    return found


def checked(given: dict[str, Any], takes: dict[str, Parameter], call: str) -> dict[str, Any]:
    """The given values as the notebook declares them, or a RunError that names the first that does not fit."""
    values = {}
    for name, value in given.items():
        if name not in takes:
            near = difflib.get_close_matches(str(name), takes, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = f"It takes: {', '.join(takes)}." if takes else "It takes none: no cell is tagged 'parameters'."
            raise RunError(f"{call}: no parameter {name!r}.{hint}\n{known}")
        kind = takes[name].type
        try:
            values[name] = _fit(_plain(value), ast.parse(kind or "Any", mode="eval").body)
        except (ValueError, yaml.YAMLError) as error:
            hint = WAY_OUT.get(re.split(r"\W", kind)[0], "Pass a text, a number, true or false, a list or a mapping.")
            came = f"came {value!r} ({type(value).__name__})"
            raise RunError(f"{call}: parameter {name!r} takes {kind or 'plain values'}, {came}.\n{hint}") from error
    return values


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
    raise ValueError(value)


def _fit(value: Any, kind: ast.expr, exactly: bool = False) -> Any:
    """The value as an annotation declares it, converted only where nothing is lost, else ValueError."""
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            choices = [left, right]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            choices = [inner, ast.Constant(None)]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=choices)):
            pass
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return [_fit(item, inner, exactly) for item in _fit(value, ast.Name("list"), exactly)]
        case ast.Subscript(value=name):
            return _fit(value, name, exactly)
        case _:
            return _fit_one(value, getattr(kind, "id", "None" if isinstance(kind, ast.Constant) else ""), exactly)
    for strict in (True, False):  # of `int | str`, the text "1" stays a text
        for choice in choices:
            with suppress(ValueError):
                return _fit(value, choice, strict or exactly)
    raise ValueError(value)


def _fit_one(value: Any, kind: str, exactly: bool) -> Any:
    python = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict, "None": type(None)}
    if kind not in python or type(value) is python[kind]:
        return value
    if kind == "float" and type(value) is int:
        return float(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if exactly or not isinstance(value, str) or kind == "str":
        raise ValueError(value)
    if kind in ("int", "float"):
        return python[kind](value)
    read = yaml.safe_load(value)
    if type(read) is python[kind] and (kind != "bool" or value.lower() in ("true", "false")):
        return read
    raise ValueError(value)
