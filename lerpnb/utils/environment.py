"""This version of lerpnb, its cache folder, and the variables by which a batch run tells its kernel where to report."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

DEVICE = "LERPNB_DEVICE"  # the file that tells, at the kernel's end, what torch computed on
FILE = "LERPNB_PROGRESS"  # the file that a batch run keeps current
RUN_DIR = "LERPNB_RUN_DIR"  # the folder into which a batch run's notebook records

try:
    VERSION = version("lerpnb")
except PackageNotFoundError:  # a checkout that is not installed
    VERSION = "0"


def cache_dir() -> Path:
    """Where converted models and hashes of files are kept: `$LERPNB_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("LERPNB_CACHE") or platformdirs.user_cache_dir("lerpnb"))
