"""Generation: sampling continuations, one model at a time or many in one batch."""

from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
