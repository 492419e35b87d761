"""Finished points on disk, so that an evaluation resumes and never pays twice."""

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path

import pandas as pd

from lerpnb import assets
from lerpnb.errors import LerpError
from lerpnb.results.measurement import Measurement
from lerpnb.utils.atomic import atomic_file, disk_errors, refuse_links

WORDS = ("unit", "items", "transform", "kind")  # of a measurement, beside its numbers


class Cache:
    """A folder of records, each a finished measurement, keyed by the hash of all that its value depends on.

    A record is one JSON file with its key and a checksum, written under a temporary name and renamed: it is whole or
    not there, whenever the process is killed. It is not forced to the disk (fsync): a machine that loses power may lose
    the last seconds' records, or leave damaged ones. A damaged record is said, and its point is computed again. Two
    processes on one store do no harm: they write equal records.

    Args:
        folder: None takes `$LERPNB_STORE`, else `.lerpnb/` beside the project.

    Raises:
        LerpError: there is a file where the folder should be.

    Example:
        >>> import tempfile
        >>> store = Cache(tempfile.mkdtemp())
        >>> store.put({"probe": "x", "alpha": 0.5}, {"x": Measurement([0.1])})
        >>> store.get({"probe": "x", "alpha": 0.5})[0]["x"].value()
        0.1
    """

    def __init__(self, folder: str | Path | None = None):
        chosen = folder or os.environ.get("LERPNB_STORE") or assets.project_root() / ".lerpnb"
        self.folder = Path(chosen).expanduser()
        if not (there := next(p for p in (self.folder, *self.folder.absolute().parents) if p.exists())).is_dir():
            raise LerpError(f"Cache({self.folder.name}): {there.name} is a file.\nGive it a folder.")
        self._place = self.folder.resolve()  # through a link that is there now; none that is put there later

    def get(self, key: dict) -> tuple[dict[str, Measurement], pd.DataFrame | None] | None:
        """The measures and samples of a key, to the last bit as they were put; None where there are none."""
        path = self._path(key)
        try:
            body, checksum = path.read_text(encoding="utf-8").rsplit("\n", 1)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            body, checksum = "", ""
        record = json.loads(body) if checksum == _digest(body) else {}
        try:
            if record["key"] != json.loads(json.dumps(key)):
                raise ValueError("it lies under another's name")
            measures = {
                name: Measurement(m["values"], m["weights"], **{key: m.get(key, "") for key in WORDS})
                for name, m in record["measures"].items()
            }
            samples = record["samples"]
            return measures, None if samples is None else pd.DataFrame(samples)
        except (KeyError, ValueError, TypeError, AttributeError, LerpError):
            warnings.warn(f"The store's record {path.name} is damaged: its point is computed again.", stacklevel=2)
            return None

    def put(self, key: dict, measures: dict[str, Measurement], samples: pd.DataFrame | None = None) -> None:
        """Write a record, whole or not at all.

        Raises:
            LerpError: the disk is full or the folder cannot be written; what was there stays.
        """
        record = {
            "key": key,
            "measures": {
                name: {"values": m.values.tolist(), "weights": m.weights.tolist()}
                | {key: getattr(m, key) for key in WORDS}
                for name, m in measures.items()
            },
            "samples": None if samples is None else samples.to_dict("list"),
        }
        body = json.dumps(record)
        path = self._path(key)
        way_out = "Finished points stay. Make room, or give evaluate(store=...) another folder."
        with disk_errors(LerpError, "Cache", f"{path.name} in {self.folder.name}", way_out):
            refuse_links(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as temporary:
                temporary.write_text(f"{body}\n{_digest(body)}", encoding="utf-8")

    def date(self, key: dict) -> float:
        """When the record of a key was written, in seconds since 1970."""
        return self._path(key).stat().st_mtime

    def clear(self) -> None:
        """Delete every record.

        Raises:
            LerpError: a link has taken the folder's place.
        """
        points = self._place / "points"
        with disk_errors(LerpError, "Cache.clear()", points, "Nothing was deleted. Remove the link yourself."):
            refuse_links(points)
            shutil.rmtree(points, ignore_errors=True)

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def __repr__(self) -> str:
        sizes = [file.stat().st_size for file in self._files()]
        return f"Cache({self.folder.name}: {len(sizes)} records, {sum(sizes) / 1e6:.1f} MB)"

    def _files(self):
        return (self._place / "points").glob("*/*.json")

    def _path(self, key: dict) -> Path:
        name = _digest(json.dumps(key, sort_keys=True))[:40]
        return self._place / "points" / name[:2] / f"{name}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
