from .accuracy import Accuracy as Accuracy
from .answers import Answers as Answers
from .attack_success import AttackSuccessRate as AttackSuccessRate
from .attack_success import trigger_effect as trigger_effect
from .attribute import AttributeStrength as AttributeStrength
from .base import FunctionProbe as FunctionProbe
from .base import Probe as Probe
from .base import TextFunctionProbe as TextFunctionProbe
from .base import TextProbe as TextProbe
from .classifier import Classifier as Classifier
from .curvature import Sharpness as Sharpness
from .distance import WeightDistance as WeightDistance
from .kl import KL as KL
from .lm_eval import LMEval as LMEval
from .loss import Loss as Loss
from .preference import Preference as Preference
from .seq2seq import Seq2SeqLoss as Seq2SeqLoss
from .slopes import LossSlope as LossSlope

__all__ = [
    "Accuracy",
    "Answers",
    "AttackSuccessRate",
    "AttributeStrength",
    "Classifier",
    "FunctionProbe",
    "KL",
    "LMEval",
    "Loss",
    "LossSlope",
    "Preference",
    "Probe",
    "Seq2SeqLoss",
    "Sharpness",
    "TextFunctionProbe",
    "TextProbe",
    "WeightDistance",
    "trigger_effect",
]
