"""lerpnb: what lies between two fine-tuned language models.

    import lerpnb as ln

Every name below is found in its module when it is first used, so that the import itself stays light.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

_HOME = {
    "Attribute": "probes.attribute",
    "Checkpoint": "checkpoint",
    "Classifier": "probes.classifier",
    "Continuations": "continuations",
    "Corpus": "corpus",
    "Curve": "plots",
    "Custom": "probes.base",
    "LerpError": "errors",
    "Line": "paths",
    "Loss": "probes.loss",
    "Measure": "curve",
    "OfTexts": "probes.base",
    "Plane": "plane",
    "Recipe": "training",
    "Store": "store",
    "Surface": "contour",
    "alpha_grid": "alpha",
    "compare": "comparison",
    "compare_directions": "surveys",
    "deltas": "layers",
    "deltas_figure": "heatmap",
    "explore": "explorer.panel",
    "fan_figure": "fan",
    "fine_tune": "training",
    "held_out": "splits",
    "items_figure": "by_item",
    "prompts": "splits",
    "random_direction": "directions",
    "read_curves": "results",
    "read_runs": "results",
    "record": "runs",
    "relief_figure": "relief",
    "reviews": "splits",
    "run": "runs",
    "sample": "sampling",
    "surface_figure": "contour",
    "survey": "surveys",
    "sweep": "sweeps",
    "texts_figure": "texts",
    "trade_off_figure": "trade_off",
    "train_and_held_out": "splits",
    "walk": "walks",
    "walk_figure": "plots",
}

__all__ = sorted(_HOME)

try:
    __version__ = version("lerpnb")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0"


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'lerpnb' has no attribute {name!r}")
    import_module(".plots", __name__)  # gives Curve its picture
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
