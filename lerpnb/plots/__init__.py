"""Plots: one Plotly figure per file. They need no torch."""

from lerpnb.results import display
from lerpnb.utils.public import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

for _result, _module, _function in (
    ("Curve", "curve", "plot_curve"),
    ("Surface", "contour", "plot_contour"),
    ("Grid", "heatmaps", "plot_heatmaps"),
    ("Slice", "slice", "plot_slice"),
    ("WeightDeltas", "deltas", "plot_deltas"),
    ("PathComparison", "tradeoff", "plot_tradeoff"),
    ("DirectionComparison", "directions", "plot_random_directions"),
    ("RunComparison", "runs", "plot_runs"),
    ("BarrierStudy", "barriers", "plot_study"),
):
    display.register(_result, f"{__name__}.{_module}", _function)
