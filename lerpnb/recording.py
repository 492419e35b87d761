"""Recording a result: in a batch run in its run folder, else beside the notebook."""

import copy
import os
from pathlib import Path

from .crossing import Crossing
from .curve import Curve
from .safe import scrub
from .surface import Surface

RUN_DIR = "LERPNB_RUN_DIR"  # environment variable: the folder into which a batch run's notebook records


def record(curve: Curve | Surface | Crossing, to: str | Path = "runs/live") -> Path:
    """Keep a result beside the notebook that made it: in a batch run in its run folder, else in `to`. Returns that.

    >>> import tempfile
    >>> from lerpnb.measure import Measure
    >>> folder = record(Curve.from_measures({0.0: {"loss/x": Measure([1.0])}}), tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['curve.parquet', 'samples.parquet']
    """
    told = copy.copy(curve)
    object.__setattr__(told, "provenance", scrub(curve.provenance))  # a crossing is frozen
    return told.save(os.environ.get(RUN_DIR) or to)
