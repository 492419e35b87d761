"""Runs: notebooks executed in batches, their folders, and reading them."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
