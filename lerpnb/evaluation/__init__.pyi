from .adaptive import Adaptive as Adaptive
from .barrier_study import BarrierStudy as BarrierStudy
from .cache import Cache as Cache
from .cost import inference_cost as inference_cost
from .loop import evaluate as evaluate
from .path_comparison import compare_paths as compare_paths
from .random_directions import compare_random_directions as compare_random_directions

__all__ = [
    "Adaptive",
    "BarrierStudy",
    "Cache",
    "compare_paths",
    "compare_random_directions",
    "evaluate",
    "inference_cost",
]
