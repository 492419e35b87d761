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
    "Crossing": "crossing",
    "Curve": "plots",
    "Custom": "probes.base",
    "DExperts": "ensemble",
    "Dare": "kin.dare",
    "Distance": "probes.distance",
    "Entanglement": "entanglement",
    "FineMixed": "kin.fine_mixed",
    "LerpError": "errors",
    "Line": "paths",
    "Loss": "probes.loss",
    "Measure": "curve",
    "OfTexts": "probes.base",
    "PartialLine": "kin.partial_line",
    "Plane": "plane",
    "ProbabilityMix": "ensemble",
    "Product": "product",
    "RandomMask": "kin.random_mask",
    "Recipe": "training",
    "Seq2SeqLoss": "probes.seq2seq",
    "Sharpness": "curvature",
    "Simplex": "simplex",
    "Slerp": "kin.slerp",
    "Slope": "slopes",
    "Soup": "kin.soup",
    "Store": "store",
    "Study": "study",
    "Surface": "contour",
    "TaskArithmetic": "kin.task_arithmetic",
    "Ties": "kin.ties",
    "alpha_grid": "alpha",
    "compare": "comparison",
    "compare_directions": "surveys",
    "compare_paths": "many_paths",
    "cross": "crosswalks",
    "deltas": "layers",
    "deltas_figure": "heatmap",
    "embedding_shifts": "backdoor",
    "explore": "explorer.panel",
    "fan_figure": "fan",
    "fine_tune": "training",
    "greedy_soup": "kin.soup",
    "held_out": "splits",
    "inference_cost": "overhead",
    "items_figure": "by_item",
    "joined": "panels",
    "kept_fine_tune": "fine_tunes",
    "openings": "splits",
    "panels_figure": "panels",
    "poison": "backdoor",
    "prompts": "splits",
    "purified": "backdoor",
    "random_direction": "directions",
    "read_curves": "results",
    "read_runs": "results",
    "record": "recording",
    "relief_figure": "relief",
    "reviews": "splits",
    "run": "runs",
    "sample": "sampling",
    "small_model": "blank",
    "strengths_figure": "two_strengths",
    "surface_figure": "contour",
    "survey": "surveys",
    "sweep": "sweeps",
    "tangents_figure": "tangents",
    "texts_figure": "texts",
    "trade_off_figure": "trade_off",
    "trade_offs_figure": "trade_offs",
    "train_and_held_out": "splits",
    "untrained": "blank",
    "walk": "walks",
    "walk_figure": "plots",
    "wise_ft": "kin.wise",
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
