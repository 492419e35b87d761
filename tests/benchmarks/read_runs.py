"""How long 10,000 run folders take to read: `python tests/benchmarks/read_runs.py [--tiny]`."""

import json
import sys
import tempfile
import time
from pathlib import Path

from lerpnb.runs.table import read_runs


def make(folder: Path, n: int) -> None:
    """n run folders whose run.json is about as large as a walk's: 22 parameters, 6 chief numbers, versions, hashes."""
    number = {"value": 0.123456789, "low": 0.1, "high": 0.2, "unit": "nats/token"}
    facts = {
        "status": "done",
        "notebook": {"name": "02_interpolate.ipynb", "sha256": "ab" * 32},
        "parameters": {f"parameter_{i}": f"data/some/value_{i}" for i in range(20)} | {"lo": -1.0},
        "started": "2026-11-23T00:19:21+00:00",
        "seconds": 300.5,
        "versions": {f"package_{i}": "1.2.3" for i in range(13)},
        "hashes": {f"part_{i}": "ab" * 32 for i in range(8)},
        "error": None,
        "summary": {f"{kind}/{i}": number for kind in ("barrier", "gap", "rise") for i in range(2)},
    }
    for i in range(n):
        run = folder / f"run{i:05}"
        run.mkdir()
        facts["parameters"]["seed"] = i
        (run / "run.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def main(n: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), n)
        start = time.perf_counter()
        frame = read_runs(folder, "seed >= 0")
        seconds = time.perf_counter() - start
        size = (Path(folder) / "run00000" / "run.json").stat().st_size
        assert len(frame) == n and frame["seed"].sum() == n * (n - 1) // 2
    print(f"read_runs: {n:,} folders of a run.json of {size:,} bytes in {seconds:.2f} s, {len(frame.columns)} columns")
    return seconds


if __name__ == "__main__":
    main(100 if "--tiny" in sys.argv else 10_000)
