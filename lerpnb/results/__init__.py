"""Results: measured numbers with their intervals. They need no torch."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
