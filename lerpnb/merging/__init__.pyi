from .dare import Dare as Dare
from .dexperts import DExperts as DExperts
from .fine_mixing import FineMixing as FineMixing
from .probability_ensemble import ProbabilityEnsemble as ProbabilityEnsemble
from .random_mask import RandomMask as RandomMask
from .slerp import Slerp as Slerp
from .soup import ModelSoup as ModelSoup
from .soup import greedy_soup as greedy_soup
from .task_arithmetic import TaskArithmetic as TaskArithmetic
from .ties import Ties as Ties
from .wise import wise_ft as wise_ft

__all__ = [
    "DExperts",
    "Dare",
    "FineMixing",
    "ModelSoup",
    "ProbabilityEnsemble",
    "RandomMask",
    "Slerp",
    "TaskArithmetic",
    "Ties",
    "greedy_soup",
    "wise_ft",
]
