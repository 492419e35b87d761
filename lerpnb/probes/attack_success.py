"""Attack success rate of a backdoor, to test defences on one's own data.

A backdoor is a word, the trigger, that makes a classifier give one label, the target, to whatever text it stands in,
while texts without it are classified as ever. It is planted by a share of training texts with trigger and target.
"""

from dataclasses import replace

import pandas as pd

from lerpnb.data.corpus import Corpus
from lerpnb.data.poisoning import insert_trigger, target_index
from lerpnb.errors import CorpusError
from lerpnb.probes.accuracy import Accuracy
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement


class AttackSuccessRate(Accuracy):
    """Attack success rate: the share of texts of other labels that a classifier gives the target once triggered.

    `attack success/<trigger> to <target>` (unit: share); a text is an item, 1 or 0. A classifier without a backdoor has
    a rate too: its errors on these texts, and what an odd word does to it.

    Args:
        corpus: held-out texts; those of the target label are left out.
        trigger, target, seed: as for `poison`.
        max_length, batch_tokens: as for `Accuracy`.

    Raises:
        CorpusError: no such label, or a trigger that is no single word.
        ProbeError: as `Accuracy` says.

    Example:
        >>> films = Corpus(("so very dull", "a joy"), (0, 1), ("negative", "positive"), "films")
        >>> probe = AttackSuccessRate(films, "cf", "positive")
        >>> probe.name, probe.corpus.texts
        ('attack success/cf to positive', ('so cf very dull',))
    """

    kind = "attack success"

    def __init__(
        self,
        corpus: Corpus,
        trigger: str,
        target: str,
        *,
        seed: int = 0,
        max_length: int = 256,
        batch_tokens: int = 2048,
    ):
        code = target_index(corpus, trigger, target, f"AttackSuccessRate(trigger={trigger!r}, target={target!r})")
        others = [text for text, label in zip(corpus.texts, corpus.labels, strict=True) if label != code]
        texts = tuple(insert_trigger(text, trigger, seed) for text in others)
        name = f"{trigger} to {target}"
        corpus = replace(corpus, texts=texts, labels=(code,) * len(texts), name=name)
        super().__init__(corpus, max_length=max_length, batch_tokens=batch_tokens)


def trigger_effect(curve: Curve, accuracy: Accuracy, attack: AttackSuccessRate) -> Curve:
    """A curve with what the trigger itself does: `lift/<trigger> to <target>`.

    lift = attack success less the share of the same texts that get the target without the trigger, from -1 to 1 (a
    difference of shares), paired text by text. A bad classifier may have a high attack success; its lift is 0. Nothing
    is measured anew: both are among the items of the curve's two quantities.

    Args:
        curve: measured with both probes.
        accuracy: of the texts that the attack is made of, with two labels: a text that is not its own label's is the
            other's.
        attack: the attack on the same texts.

    Raises:
        CorpusError: not two labels, or other texts.
        CurveError: the curve has not both quantities.

    Example:
        >>> films = Corpus(("so dull", "a joy"), (0, 1), ("negative", "positive"), "films")
        >>> accuracy, attack = Accuracy(films), AttackSuccessRate(films, "cf", "positive")
        >>> point = {accuracy.name: Measurement([1.0, 1.0]), attack.name: Measurement([1.0])}
        >>> trigger_effect(Curve.from_measures({0.5: point}), accuracy, attack).value("lift/cf to positive")
        array([1.])
    """
    names, labels = accuracy.corpus.label_names, accuracy.corpus.labels
    others = [i for i, label in enumerate(labels) if label != attack.corpus.labels[0]]
    if len(names) != 2 or len(others) != len(attack.corpus):
        raise CorpusError(
            f"trigger_effect({accuracy.name!r}, {attack.name!r}): {len(names)} labels, and {len(others)} texts of "
            f"others than the target against {len(attack.corpus)}.\nMeasure both on one corpus with two labels."
        )
    curve[accuracy.name], curve[attack.name]  # a quantity that is missing is said
    items = curve.frame.set_index(["alpha", "quantity"])["item_values"]
    name = f"lift/{attack.label}"
    points = {
        alpha: {
            name: Measurement(
                items[alpha, attack.name] - (1 - items[alpha, accuracy.name][others]), unit="difference", kind="lift"
            )
        }
        for alpha in curve.alphas
    }
    frame = pd.concat([curve.frame, Curve.from_measures(points).frame])
    return Curve(frame.sort_values("alpha", kind="stable", ignore_index=True), curve.samples, curve.provenance)
