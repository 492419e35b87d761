"""Evaluation: the loop that measures probes along a path, and studies built on it."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
