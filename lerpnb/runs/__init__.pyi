from .compare import compare_runs as compare_runs
from .execution import run as run
from .preflight import check_parameters as check_parameters
from .recording import record as record
from .report.exporter import write_report as write_report
from .sweeps.scheduler import sweep as sweep
from .table import read_curves as read_curves
from .table import read_runs as read_runs

__all__ = ["check_parameters", "compare_runs", "read_curves", "read_runs", "record", "run", "sweep", "write_report"]
