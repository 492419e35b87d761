"""Sweeps: many runs of one notebook."""
