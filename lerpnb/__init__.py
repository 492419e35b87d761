"""lerpnb: what lies between two fine-tuned language models.

    import lerpnb as ln

Every name below is found in its module when it is first used, so that the import itself stays light.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

_HOME = {
    "Accuracy": "probes.accuracy",
    "AttackSuccess": "backdoor",
    "Attribute": "probes.attribute",
    "Checkpoint": "checkpoint",
    "Classifier": "probes.classifier",
    "Continuations": "continuations",
    "Corpus": "corpus",
    "Curve": "plots",
    "Custom": "probes.base",
    "FineMixed": "kin.fine_mixed",
    "LerpError": "errors",
    "Line": "paths",
    "Loss": "probes.loss",
    "Measure": "curve",
    "OfTexts": "probes.base",
    "RandomMask": "kin.random_mask",
    "Recipe": "training",
    "Store": "store",
    "alpha_grid": "alpha",
    "compare": "comparison",
    "deltas": "layers",
    "deltas_figure": "heatmap",
    "embedding_shifts": "backdoor",
    "explore": "explorer.panel",
    "fine_tune": "training",
    "held_out": "splits",
    "items_figure": "by_item",
    "joined": "panels",
    "kept_fine_tune": "fine_tunes",
    "panels_figure": "panels",
    "poison": "backdoor",
    "prompts": "splits",
    "purified": "backdoor",
    "read_curves": "results",
    "read_runs": "results",
    "record": "runs",
    "reviews": "splits",
    "run": "runs",
    "sample": "sampling",
    "sweep": "sweeps",
    "texts_figure": "texts",
    "trade_off_figure": "trade_off",
    "train_and_held_out": "splits",
    "walk": "walks",
    "walk_figure": "plots",
    "with_head": "heads",
    "with_lift": "backdoor",
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
