from .barrier import Barrier as Barrier
from .best import Best as Best
from .bootstrap import Estimate as Estimate
from .comparisons import DirectionComparison as DirectionComparison
from .comparisons import PathComparison as PathComparison
from .comparisons import RunComparison as RunComparison
from .curve import Curve as Curve
from .deltas import WeightDeltas as WeightDeltas
from .entanglement import Entanglement as Entanglement
from .measurement import Measurement as Measurement
from .quantity import Quantity as Quantity
from .slice import Slice as Slice
from .surface import Surface as Surface

__all__ = [
    "Barrier",
    "Best",
    "Curve",
    "DirectionComparison",
    "Entanglement",
    "Estimate",
    "Measurement",
    "PathComparison",
    "Quantity",
    "RunComparison",
    "Slice",
    "Surface",
    "WeightDeltas",
]
