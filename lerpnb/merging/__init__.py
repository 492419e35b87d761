"""Merging methods: other ways to combine fine-tunes than the straight line."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
