"""Labelled texts: loading them, taking some of them, and a hash of them."""

import hashlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.data.columns import read_columns
from lerpnb.data.folds import fold
from lerpnb.errors import CorpusError

NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Corpus:
    """Texts, each with one label out of `label_names`.

    `corpus.negative`, `corpus.positive` (or whatever the labels are called) are the texts of one label.

    Args:
        texts: the texts.
        labels: for each text an index into `label_names`.
        label_names: what the labels are called.
        name: what plots and tables call this corpus.

    Raises:
        CorpusError: no texts, an empty one, other numbers of labels, or labels that are no index into `label_names`.

    Example:
        >>> corpus = Corpus(("dull", "a joy"), (0, 1), ("negative", "positive"), "two words")
        >>> corpus.positive.texts, corpus.positive.name
        (('a joy',), 'positive')
    """

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...]
    name: str

    def __post_init__(self):
        for field in ("texts", "labels", "label_names"):
            if isinstance(value := getattr(self, field), str):
                raise CorpusError(f"Corpus({self.name!r}): {field} is one text, {value[:30]!r}.\nGive a list.")
            object.__setattr__(self, field, tuple(value))
        if not self.texts:
            raise CorpusError(f"Corpus({self.name!r}): no texts.\nCheck the label, the split and the columns.")
        for i, text in enumerate(self.texts):
            if not isinstance(text, str) or not text.strip():
                raise CorpusError(f"Corpus({self.name!r}): text {i} is {text!r}.\nDrop empty rows first.")
        wrong = [x for x in self.labels if not isinstance(x, Integral) or not 0 <= x < len(self.label_names)]
        if wrong or len(self.labels) != len(self.texts):
            came = f"label {wrong[0]!r}" if wrong else f"{len(self.labels)} labels of {len(self.texts)} texts"
            raise CorpusError(
                f"Corpus({self.name!r}): {came}, label names {list(self.label_names)}.\n"
                "Give each text the index of its label among label_names."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {len(self):,} texts, {', '.join(self.label_names) or 'no labels'})"

    def __getattr__(self, label: str) -> "Corpus":
        if label.startswith("_") or label not in self.__dict__.get("label_names", ()):
            raise AttributeError(f"Corpus has no attribute or label {label!r}")
        return self.only(label)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.label_names]

    @classmethod
    def load(
        cls,
        source: str | Path,
        *,
        text: str = "text",
        label: str = "label",
        label_names: tuple[str, ...] | None = None,
        split: str = "train",
        name: str | None = None,
    ) -> "Corpus":
        """Read a `.csv`, `.jsonl` or `.parquet` file, or a hub data set.

        Texts and labels are taken as they are written: "NA" and "007" stay. Empty texts are left out, with a warning.

        Args:
            source: a file, or a hub data set's id.
            text: the column with the texts.
            label: the column with the labels, integers or strings; "" for texts without labels.
            label_names: what the integer labels 0, 1, ... are called; by default each label is its own name.
            split: the split of a hub data set; a file has none.
            name: what plots call the corpus; by default the file's or data set's name.

        Raises:
            CorpusError: an empty or damaged file, no such column, cells that are lists, texts without a label, labels
                outside `label_names`, or without `label_names` nearly as many labels as texts.
            AssetError: no such file, and no such data set or no hub.
        """
        call = f"Corpus.load({str(source)!r})"
        frame = read_columns(source, [text], split, call, label)
        empty = frame[text].isna() | (frame[text].map(str).str.strip() == "")
        if places := [str(place) for place in frame.index[empty & frame.notna().any(axis=1)]]:
            more = f" and {len(places) - 5} more" if len(places) > 5 else ""
            said = f"{call}: without a text, left out: {frame.index.name} {', '.join(places[:5])}{more}."
            warnings.warn(said, stacklevel=2)
        frame = frame[~empty]
        texts = tuple(frame[text].map(str))
        name = name or Path(str(source)).stem
        if not label:
            return cls(texts, (0,) * len(texts), (name,), name)
        if missing := int(frame[label].isna().sum()):
            raise CorpusError(
                f"{call}: {missing} of {len(frame)} texts have no label in column {label!r}.\n"
                'Label them or drop them first, or give label="" for texts without labels.'
            )
        values = frame[label].map(_whole_number).astype(object)
        if label_names is None:
            values = values.map(str)
            label_names = _sorted_labels(set(values))
            n_labels, n_texts = len(label_names), len(set(texts))
            if n_labels > max(2, n_texts) or n_labels > max(9, len(texts) / 2):
                raise CorpusError(
                    f"{call}: column {label!r} has {n_labels} different labels, {text!r} {n_texts} different texts.\n"
                    f"They look swapped: give text={label!r}, label={text!r}. Where all are labels, give label_names."
                )
        if values.isin(label_names).all():
            codes = pd.Categorical(values, categories=list(label_names)).codes
        else:
            codes = values.map(_index).to_numpy()
        if wrong := sorted({str(v) for v in values[(codes < 0) | (codes >= len(label_names))]})[:3]:
            raise CorpusError(
                f"{call}: label {', '.join(wrong)} is none of {', '.join(label_names)}.\n"
                "Give label_names in the order of the integer labels."
            )
        return cls(texts, tuple(int(c) for c in codes), tuple(label_names), name)

    def only(self, label: str) -> "Corpus":
        """The texts of one label, called after it."""
        if label not in self.label_names:
            raise CorpusError(f"Corpus.only({label!r}): no such label.\nIt has: {', '.join(self.label_names)}.")
        code = self.label_names.index(label)
        return self._take([i for i, c in enumerate(self.labels) if c == code], label)

    def sample(self, n: int, seed: int = 0) -> "Corpus":
        """`n` texts of each label, drawn without replacement; the same for the same seed.

        Raises:
            CorpusError: a label has fewer than `n` texts.
        """
        for code, has in sorted(Counter(self.labels).items()):
            if has < n:
                label = self.label_names[code]
                raise CorpusError(
                    f"Corpus.sample({n}): {label!r} has only {has} texts.\nAsk for fewer, or use at_most."
                )
        return self.at_most(n, seed)

    def at_most(self, n: int, seed: int = 0) -> "Corpus":
        """As `sample`, but a label with fewer than `n` texts gives all it has."""
        chosen: list[int] = []
        for code in sorted(set(self.labels)):
            rows = [i for i, c in enumerate(self.labels) if c == code]
            chosen += sorted(np.random.default_rng(seed).permutation(rows)[:n].tolist())
        return self._take(chosen, self.name)

    def shortest(self, n: int) -> "Corpus":
        """The `n` shortest texts, by their letters."""
        return self._take(sorted(range(len(self)), key=lambda i: len(self.texts[i]))[:n], self.name)

    def within(self, low: float, high: float) -> "Corpus":
        """The texts whose `fold` lies in [low, high): a split that no reordering or growth of the data changes."""
        return self._take([i for i, t in enumerate(self.texts) if low <= fold(t) < high], self.name)

    def __add__(self, other: "Corpus") -> "Corpus":
        if self.label_names != other.label_names:
            raise CorpusError(f"Corpus + Corpus: labels {self.label_names} against {other.label_names}.")
        name = f"{self.name} + {other.name}"
        return replace(self, texts=self.texts + other.texts, labels=self.labels + other.labels, name=name)

    @cached_property
    def sha256(self) -> str:
        """Hash of the texts and labels in their order."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels, strict=True):
            digest.update(f"{label}\0{text}\0".encode())
        return digest.hexdigest()

    def _take(self, rows: list[int], name: str) -> "Corpus":
        labels = tuple(self.labels[i] for i in rows)
        return replace(self, texts=tuple(self.texts[i] for i in rows), labels=labels, name=name)


def as_corpus(texts: Any, call: str) -> Corpus:
    """A corpus as it is, or a list of texts as one without labels, called "texts".

    Raises:
        CorpusError: it is neither.
    """
    if isinstance(texts, Corpus):
        return texts
    if isinstance(texts, (list, tuple)) and texts and all(isinstance(text, str) for text in texts):
        return Corpus(tuple(texts), (0,) * len(texts), ("texts",), "texts")
    came = f"a text, {texts[:30]!r}" if isinstance(texts, str) else f"a {type(texts).__name__}"
    raise CorpusError(f"{call}: got {came}.\nPass a Corpus, such as ln.Corpus.load(file), or a list of texts.")


def _whole_number(label: Any) -> Any:
    """The label, as an integer where it became a float beside a missing one."""
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _sorted_labels(names: set[str]) -> tuple[str, ...]:
    """Labels in order: by size where all are numbers, else as texts."""
    numbers = all(map(NUMBER.fullmatch, names))
    return tuple(sorted(names, key=(lambda name: (float(name), name)) if numbers else None))


def _index(label: Any) -> int:
    """The index that an integer or a bool stands for, a spelled-out one too; -1 for any other label."""
    text = str(label).strip().lower()
    if text in ("false", "true"):
        return int(text == "true")
    return int(float(text)) if NUMBER.fullmatch(text) and float(text).is_integer() else -1
