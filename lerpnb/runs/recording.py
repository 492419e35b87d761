"""Recording a result: into the run's folder during a batch run, else beside the notebook."""

import copy
import os
from pathlib import Path

from lerpnb.results.curve import Curve
from lerpnb.results.surface import Surface
from lerpnb.runs.redaction import Redactor, secrets_in
from lerpnb.utils.environment import RUN_DIR


def record(curve: Curve | Surface, to: str | Path = "runs/live") -> Path:
    """Keep a result beside the notebook that made it: in a batch run in its run folder, else in `to`. Returns that.

    >>> import tempfile
    >>> from lerpnb.results.measurement import Measurement
    >>> folder = record(Curve.from_measures({0.0: {"loss/x": Measurement([1.0])}}), tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['curve.parquet', 'samples.parquet']
    """
    redacted = copy.copy(curve)
    redacted.provenance = Redactor(secrets_in(os.environ))(curve.provenance)
    return redacted.save(os.environ.get(RUN_DIR) or to)
