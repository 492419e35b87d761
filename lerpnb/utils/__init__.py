"""Utilities that every other package may use."""
