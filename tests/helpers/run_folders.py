"""Run folders as a run leaves them."""

import json
from pathlib import Path

from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement


def curve_of(slope: float) -> Curve:
    points = {
        a: {
            "loss/x": Measurement([4 + a * a, 4 + a * a], unit="nats/token"),
            "strength/good": Measurement([slope * a, slope * a], unit="probability", items="prompts"),
            "dist-2": Measurement([0.5, 0.5]),
        }
        for a in (-1.0, 0.0, 0.5, 1.0)
    }
    return Curve.from_measures(points)


def make(name: str, slope: float | None = None, to: str = "runs", **parameters) -> Path:
    """A run folder as `runs.run` leaves it."""
    folder = Path(to) / name
    folder.mkdir(parents=True)
    facts = {"status": "done", "name": name, "notebook": {"name": "02.ipynb"}, "parameters": parameters}
    facts |= {"started": "2026-11-23T00:19:21+00:00", "seconds": 7.5, "error": None, "sweep": "demo"}
    if slope is not None:
        curve_of(slope).save(folder)
        facts["summary"] = curve_of(slope).summary()
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
