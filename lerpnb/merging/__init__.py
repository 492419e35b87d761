"""Merging methods: other ways to combine fine-tunes than the straight line."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
