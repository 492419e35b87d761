"""The command line, `lerpnb --help`."""

from lerpnb.cli.commands import main

__all__ = ["main"]
