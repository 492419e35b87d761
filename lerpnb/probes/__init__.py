"""Probes: what is measured at each point of a path."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
