"""Evaluation: the loop that measures probes along a path, and studies built on it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
