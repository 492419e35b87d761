"""A notebook's parameters on the command line: how they are given, and how `--help` lists them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lerpnb.errors import RunError


def given_parameters(pairs: list[str], text: str | None, file: Path | None) -> dict[str, Any]:
    """The values of -p NAME=VALUE, before those of -y, before those of -f; mappings are merged key by key."""
    from lerpnb.runs.parameters import Word

    parameters = _mapping(_text(file), f"-f {file}") if file else {}
    words = (pair.split("=", 1) for pair in pairs)
    for name, value in (_mapping(text, "-y") if text else {}).items():
        before = parameters.get(name)
        parameters[name] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return parameters | {name: Word(value) for name, value in words}


def paired(arguments: list[str]) -> Iterator[str]:
    """The arguments with each `-p NAME VALUE` as `-p NAME=VALUE`, which typer can take any number of times."""
    rest = iter(arguments)
    for argument in rest:
        yield argument
        if argument in ("-p", "--parameter"):
            name = next(rest, "")
            value = name if "=" in name else next(rest, None)
            if not name or value is None:
                raise RunError(f"lerpnb run {f'{argument} {name}'.strip()}: no value.\nWrite -p NAME VALUE.")
            pair = value if "=" in name else f"{name}={value}"
            if not pair.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in pair):
                raise RunError(f"lerpnb run -p {pair!a}: not in UTF-8.\nWrite it in UTF-8, or give it in a file (-f).")
            yield pair


def first_positional(arguments: list[str], command: Any, ctx: Any) -> str | None:
    """The first argument that is neither an option nor an option's value."""
    valued = {name for option in command.get_params(ctx) if option.param_type_name == "option" for name in option.opts}
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            return argument
        if argument in valued:
            next(rest, None)
    return None


def parameters_help(notebook: str) -> str:
    """A notebook's parameters: a line each, with type, default and help."""
    from lerpnb.runs.spec import Notebook
    from lerpnb.runs.sweeps.display import text_table

    source = Notebook.read(notebook)
    rows = [
        [f"  -p {one.name}", one.type or "any", "" if one.settings else repr(one.default), one.help]
        for parameter in source.takes.values()
        for one in (parameter, *parameter.parts)
    ]
    if not rows:
        return f"{source.path.stem} takes no parameters: no cell is tagged 'parameters'."
    return f"Parameters of {source.path.stem}: name, type, default, meaning\n{text_table([''] * 4, rows)}"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"lerpnb run -f {file}: {getattr(error, 'strerror', 'not a text file')}.") from error


def _mapping(text: str, option: str) -> dict[str, Any]:
    import yaml

    from lerpnb.runs.plain_yaml import read_yaml

    try:
        read = read_yaml(text)
    except yaml.YAMLError as error:
        raise RunError(f"lerpnb run {option}: not plain YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise RunError(f"lerpnb run {option}: no mapping of names to values.\nWrite it as 'name: value'.")
    return {str(name): value for name, value in read.items()}
