from .base import BasePath as BasePath
from .deltas import weight_deltas as weight_deltas
from .directions import random_direction as random_direction
from .layerwise import LayerwiseLine as LayerwiseLine
from .line import Line as Line
from .multiline import MultiLine as MultiLine
from .plane import Plane as Plane
from .simplex import Simplex as Simplex
from .trajectory import Trajectory as Trajectory

__all__ = [
    "BasePath",
    "LayerwiseLine",
    "Line",
    "MultiLine",
    "Plane",
    "Simplex",
    "Trajectory",
    "random_direction",
    "weight_deltas",
]
