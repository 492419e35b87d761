"""The folder that holds runs: on this machine, on a shared disk, or in an object store by fsspec.

A run is whole when its run.json is there: it comes last, by a rename where the store has one, else as the last file.
"""

import json
import posixpath
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from lerpnb.errors import RunError
from lerpnb.project import output_path
from lerpnb.utils.atomic import disk_errors, drop_folder, refuse_links
from lerpnb.utils.environment import VERSION

KINDS: dict[str, Any] = {  # of a run.json
    **dict.fromkeys(("status", "name", "sweep", "identity"), str),
    **dict.fromkeys(("notebook", "parameters", "summary", "seeds", "versions", "hashes", "ends", "left out"), dict),
    "started": str | None,
    "error": dict | None,
    **dict.fromkeys(("seconds", "peak_memory_bytes"), int | float | None),
}


class RunDirectory:
    """Where runs lie: a folder (as `output_path` finds it), or a URL such as s3://bucket/runs, with its fsspec driver.

    >>> runs = RunDirectory("memory://doctest")
    >>> runs.names(), runs.facts("demo")
    ([], None)
    """

    def __init__(self, to: str | Path):
        try:
            self.fs, self.root = url_to_fs(str(to) if "://" in str(to) else str(output_path(to)))
        except (ImportError, ValueError) as error:
            raise RunError(f"RunDirectory({str(to)!r}): {error}") from error
        self.local = isinstance(self.fs, LocalFileSystem)
        self._place = Path(self.root).resolve() if self.local else Path()
        self.where = self.root if self.local else str(to).rstrip("/")

    def path(self, *parts: str) -> str:
        """The address of something in it, as fsspec takes it."""
        return posixpath.join(self.root, *parts)

    def address(self, name: str) -> str:
        """The address of a run, as a person or another process takes it."""
        return f"{self.where}/{name}"

    def names(self) -> list[str]:
        """Every folder in it, run or not, in order; hidden ones are left out."""
        try:
            self.fs.invalidate_cache(self.root)
            inside = self.fs.ls(self.root, detail=True)
        except FileNotFoundError:
            return []
        folders = (posixpath.basename(e["name"].rstrip("/")) for e in inside if e["type"] == "directory")
        return sorted(name for name in folders if not name.startswith("."))

    def facts(self, name: str) -> dict[str, Any] | None:
        """A run's run.json, in the names of this version; None where there is none, and so no whole run.

        Raises:
            RunError: it is there and is damaged, or of a version that writes it otherwise.
        """
        try:
            facts = json.loads(self.fs.cat_file(self.path(name, "run.json")))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"{name}: run.json is damaged: {error}") from error
        if not isinstance(facts, dict):
            raise RunError(f"{name}: run.json is damaged: it holds no mapping.")
        facts = current(facts)
        if facts.keys() != known(facts).keys():
            raise RunError(f"{name}: run.json {stranger(facts)}")
        return facts

    def read(self, name: str, file: str) -> bytes | None:
        """One file of a run; None where there is none."""
        try:
            return self.fs.cat_file(self.path(name, file))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, work: Path, name: str) -> None:
        """Copy a finished folder into a store that has no rename: run.json last, the mark that the run is whole.

        It is uploaded to a hidden place first. A run of that name is moved aside when all of the new one is there, and
        deleted when it has its place; whatever fails before leaves the old one as it was.
        """
        new, aside = (self.path(f".{name}.{kind}-{uuid.uuid4().hex[:8]}") for kind in ("new", "old"))
        order = sorted(work.rglob("*"), key=lambda file: (file == work / "run.json", file))
        files = {file.relative_to(work).as_posix(): file for file in order if file.is_file()}
        try:
            for part, file in files.items():
                self.fs.makedirs(posixpath.dirname(f"{new}/{part}"), exist_ok=True)
                self.fs.pipe_file(f"{new}/{part}", file.read_bytes())
            self._check_whole(new, files)
            if self.fs.exists(self.path(name)):
                self._move(self.path(name), aside)
            self._move(new, self.path(name))
            self._check_whole(self.path(name), files)
        except BaseException:
            with suppress(OSError):
                if self.fs.exists(f"{aside}/run.json") and self.fs.exists(self.path(name, "run.json")):
                    self.fs.rm(self.path(name, "run.json"))  # the old one's, a copy by now, or a new one's with a fault
                self.recover(name)
            raise
        if self.fs.exists(aside):
            self.fs.rm(aside, recursive=True)

    def recover(self, name: str) -> None:
        """Put back a run that a `put` set aside before it broke off, and drop the rest of that. Only under its lock."""
        self.fs.invalidate_cache(self.root)
        try:
            hidden = [posixpath.basename(path.rstrip("/")) for path in self.fs.ls(self.root, detail=False)]
        except FileNotFoundError:
            return
        for found in hidden:
            if match := re.fullmatch(rf"\.{re.escape(name)}\.(new|old)-[0-9a-f]{{8}}", found):
                whole = [self.fs.exists(self.path(folder, "run.json")) for folder in (name, found)]
                if match[1] == "old" and whole == [False, True]:
                    if self.fs.exists(self.path(name)):
                        self.fs.rm(self.path(name), recursive=True)
                    self._move(self.path(found), self.path(name))
                else:
                    self.fs.rm(self.path(found), recursive=True)

    def _move(self, source: str, target: str) -> None:
        """run.json is copied last and deleted first, so that at every moment a folder with one is whole."""
        parts = [path[path.index(source) + len(source) + 1 :] for path in self.fs.find(source)]
        parts.sort(key=lambda part: (part == "run.json", part))
        for part in parts:
            self.fs.makedirs(posixpath.dirname(f"{target}/{part}"), exist_ok=True)
            self.fs.cp_file(f"{source}/{part}", f"{target}/{part}")
        for part in reversed(parts):
            self.fs.rm(f"{source}/{part}")
        with suppress(OSError):  # the empty folder, where the store has such
            self.fs.rm(source, recursive=True)

    def _check_whole(self, folder: str, files: dict[str, Path]) -> None:
        self.fs.invalidate_cache()
        for part, file in files.items():
            if (size := self.fs.info(f"{folder}/{part}")["size"]) != file.stat().st_size:
                raise OSError(f"{folder}/{part} has {size} bytes there, and {file.stat().st_size} here")

    def removable(self, name: str) -> str:
        """The address of a run that may be deleted: nothing outside this folder, and nothing that is no run.

        Raises:
            RunError: the name has a slash or leads elsewhere, or no run of that name is here.
        """
        call = f"rm({name!r})"
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise RunError(f"{call}: a run's name has no slash and is not '..'.\nName a run of {self.where}.")
        if self.local and Path(self.path(name)).is_symlink():
            raise RunError(f"{call}: it is a link to elsewhere.\nRemove the link yourself.")
        if not self.fs.exists(self.path(name)):
            raise RunError(f"{call}: no such run in {self.where}.")
        if not self.fs.exists(self.path(name, "run.json")):
            raise RunError(f"{call}: it holds no run.json, so it is no run.\nRemove it yourself.")
        return self.path(name)

    def remove(self, name: str) -> None:
        """Delete a run; raises what `removable` raises."""
        address = self.removable(name)
        if not self.local:
            return self.fs.rm(address, recursive=True)
        with disk_errors(RunError, f"rm({name!r})", address, "Nothing was deleted."):
            refuse_links(self._place)
            drop_folder(self._place / name)


def is_whole(folder: Path) -> bool:
    """Whether a folder of this machine holds a whole run."""
    with suppress(RunError):
        return RunDirectory(folder.parent.absolute()).facts(folder.name) is not None
    return False


def known(facts: dict[str, Any]) -> dict[str, Any]:
    """What a run.json holds in the form that this version writes; keys that it does not know are kept.

    >>> known({"status": "done", "summary": ["of another version"], "energy": 3})
    {'status': 'done', 'energy': 3}
    """
    return {key: value for key, value in facts.items() if isinstance(value, KINDS.get(key, object))}


def stranger(facts: dict[str, Any]) -> str:
    """Why a run.json that can be parsed is not read, in words."""
    versions = facts.get("versions")
    other = versions.get("lerpnb") if isinstance(versions, dict) else None
    if other in (None, VERSION):
        return "is not what lerpnb writes"
    return f"is of lerpnb {other}, which lerpnb {VERSION} does not read: update lerpnb"


def current(facts: dict[str, Any]) -> dict[str, Any]:
    """A run.json in the names of this version: 0.1 called a run's summary numbers "chief".

    >>> current({"status": "done", "chief": {}})
    {'status': 'done', 'summary': {}}
    """
    return {"summary" if key == "chief" else key: value for key, value in facts.items()}
