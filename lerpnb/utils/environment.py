"""This version of lerpnb, and the variables by which a batch run tells its kernel where to report and to record."""

from importlib.metadata import PackageNotFoundError, version

DEVICE = "LERPNB_DEVICE"  # the file that tells, at the kernel's end, what torch computed on
FILE = "LERPNB_PROGRESS"  # the file that a batch run keeps current
RUN_DIR = "LERPNB_RUN_DIR"  # the folder into which a batch run's notebook records

try:
    VERSION = version("lerpnb")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0"
