from . import checkpoints as checkpoints
from . import data as data
from . import errors as errors
from . import evaluation as evaluation
from . import generation as generation
from . import merging as merging
from . import paths as paths
from . import plots as plots
from . import probes as probes
from . import results as results
from . import runs as runs
from . import training as training
from .checkpoints.checkpoint import Checkpoint as Checkpoint
from .data.corpus import Corpus as Corpus
from .data.prompts import load_prompts as load_prompts
from .data.splits import held_out as held_out
from .errors import LerpError as LerpError
from .evaluation.loop import evaluate as evaluate
from .explorer.explorer import explore as explore
from .generation.continuations import Continuations as Continuations
from .paths.line import Line as Line
from .paths.multiline import MultiLine as MultiLine
from .paths.plane import Plane as Plane
from .paths.simplex import Simplex as Simplex
from .probes.accuracy import Accuracy as Accuracy
from .probes.attribute import AttributeStrength as AttributeStrength
from .probes.loss import Loss as Loss
from .results.curve import Curve as Curve
from .results.measurement import Measurement as Measurement
from .results.surface import Surface as Surface
from .runs.execution import run as run
from .runs.recording import record as record
from .runs.sweeps.scheduler import sweep as sweep
from .runs.table import read_runs as read_runs
from .utils.coordinates import alpha_grid as alpha_grid

__version__: str
__all__ = [
    "Accuracy",
    "AttributeStrength",
    "Checkpoint",
    "Continuations",
    "Corpus",
    "Curve",
    "LerpError",
    "Line",
    "Loss",
    "Measurement",
    "MultiLine",
    "Plane",
    "Simplex",
    "Surface",
    "alpha_grid",
    "evaluate",
    "explore",
    "held_out",
    "load_prompts",
    "read_runs",
    "record",
    "run",
    "sweep",
]
