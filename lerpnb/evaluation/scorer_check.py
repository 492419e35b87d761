"""Whether a scorer tells the ends of a line apart; if it hardly does, how well it knows labelled texts."""

import warnings
from collections.abc import Sequence
from typing import Any

from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.loss import Loss
from lerpnb.results.curve import Curve
from lerpnb.results.finding import HARDLY

N = 50  # labelled texts on which a doubtful scorer is tried


def check_scorers(curve: Curve, probes: Sequence[Any]) -> None:
    """Warn of each strength whose rise from alpha 0 to 1 may be nothing, or is below a hundredth.

    The scorer's accuracy is named where it is known: on the texts of the losses, where one of their labels is the
    scorer's.
    """
    if not {0.0, 1.0} <= set(curve.alphas.tolist()):
        return
    for probe in probes:
        if isinstance(probe, AttributeStrength) and probe.kind == "strength":
            rise = curve.difference(probe.name)
            if rise.low <= 0 <= rise.high or max(-rise.low, rise.high) < HARDLY:
                warnings.warn(
                    f"{probe.name}: the scorer hardly tells the ends apart: it rises by {rise} from alpha 0 to 1."
                    f"{_accuracy(probe, probes)}\nTake a scorer trained for this attribute, or more prompts.",
                    stacklevel=4,
                )


def _accuracy(probe: AttributeStrength, probes: Sequence[Any]) -> str:
    texts: dict[str, bool] = {}
    for corpus in (loss.corpus for loss in probes if isinstance(loss, Loss)):
        named = [name.lower() == probe.label.lower() for name in corpus.label_names]
        if any(named) and len(named) > 1:
            texts |= {text: named[label] for text, label in zip(corpus.texts[:N], corpus.labels[:N], strict=True)}
    if len(set(texts.values())) < 2 or probe.classifier.dialogue:
        return " Its accuracy is unknown: no loss has texts with its labels."
    scores = probe.classifier.scores([*texts], probe._index)
    right = sum((score > 0.5) == label for score, label in zip(scores, texts.values(), strict=True))
    return f" It knows {right} of {len(texts)} labelled texts (accuracy {right / len(texts):.2f}; chance is about 0.5)."
