"""What can be measured at a point of a path. One probe a file; `base.py` says what a probe is."""
