from .barriers import plot_barriers as plot_barriers
from .contour import plot_contour as plot_contour
from .curve import plot_curve as plot_curve
from .curves import plot_curves as plot_curves
from .deltas import plot_deltas as plot_deltas
from .directions import plot_random_directions as plot_random_directions
from .heatmaps import plot_heatmaps as plot_heatmaps
from .image import save_image as save_image
from .items import plot_items as plot_items
from .motion import plot_motion as plot_motion
from .runs import plot_runs as plot_runs
from .slice import plot_slice as plot_slice
from .slopes import plot_slopes as plot_slopes
from .surface_3d import plot_surface_3d as plot_surface_3d
from .texts import plot_texts as plot_texts
from .theme import template as template
from .tradeoff import plot_tradeoff as plot_tradeoff

__all__ = [
    "plot_barriers",
    "plot_contour",
    "plot_curve",
    "plot_curves",
    "plot_deltas",
    "plot_heatmaps",
    "plot_items",
    "plot_motion",
    "plot_random_directions",
    "plot_runs",
    "plot_slice",
    "plot_slopes",
    "plot_surface_3d",
    "plot_texts",
    "plot_tradeoff",
    "save_image",
    "template",
]
