"""A quantity: what is measured, of which kind, of what, in which unit. The one place that reads a quantity's name."""

from dataclasses import dataclass

import pandas as pd

FLUENCY = "perplexity/continuations"  # of the texts whose strength was measured
LOWER_IS_BETTER = {"loss": True, "perplexity": True, "errors": True, "strength": False, "accuracy": False}
LOWER_IS_BETTER |= {"preference": False, "margin": False, "score": False}
LOWER_IS_BETTER |= dict.fromkeys(("acc", "acc_norm", "exact_match", "em", "f1"), False)  # of lm-eval
LOWER_IS_BETTER |= dict.fromkeys(("word_perplexity", "byte_perplexity", "bits_per_byte"), True)
RANGES = {"probability": (0.0, 1.0), "share": (0.0, 1.0), "errors": (0.0, 1.0), "difference": (-1.0, 1.0)}  # of a unit
ATTRIBUTES = ("strength", "score")  # of generated texts: a probability, and a raw score such as a reward


@dataclass(frozen=True)
class Quantity:
    """What is measured: its kind, of what, and in which unit.

    Args:
        kind: such as "loss", "perplexity", "strength" or "accuracy".
        label: of what: a corpus, an attribute; empty where the kind says all.
        unit: such as "nats/token"; empty without unit.
        lower_is_better: None where neither is.

    Example:
        >>> quantity = Quantity.named("loss/negative", "nats/token")
        >>> quantity.kind, quantity.label, quantity.lower_is_better
        ('loss', 'negative', True)
    """

    kind: str
    label: str
    unit: str = ""
    lower_is_better: bool | None = None

    @classmethod
    def named(cls, name: str, unit: str = "", kind: str = "") -> "Quantity":
        """The quantity of a name, "kind/label"; a kind that is given stands above that in the name."""
        first, _, rest = name.partition("/")
        kind, label = (kind, name) if kind and kind != first else (first, rest)
        return cls(kind, label, unit, LOWER_IS_BETTER.get(kind))

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the most that it can be; None where its unit sets no bounds, as a raw score's."""
        return RANGES.get(self.unit)

    @property
    def words(self) -> str:
        """What a sentence calls it.

        >>> Quantity.named("strength/joy").words, Quantity.named("kl/base").words, Quantity.named("words").words
        ('strength of “joy”', 'KL to “base”', 'words')
        """
        kind, of = ("KL", "to") if self.kind == "kl" else (self.kind, "of")
        return f"{kind} {of} “{self.label}”" if self.label else kind

    def __str__(self) -> str:
        return f"{self.kind}/{self.label}" if self.label else self.kind


def fluency_of(strength: str) -> str:
    """The name of the perplexity of the texts whose strength has this name.

    >>> fluency_of("strength/positive (voice)")
    'perplexity/continuations (voice)'
    """
    return FLUENCY + (strength[strength.index(" (") :] if " (" in strength else "")


def with_kinds(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with each quantity's kind behind its name: files of version 0.1 have names alone."""
    if "kind" not in frame:
        kinds = [Quantity.named(name).kind for name in frame["quantity"]]
        frame.insert(int(frame.columns.get_loc("quantity")) + 1, "kind", kinds)
    return frame
