"""Labelled texts: loading them, sampling them, a fold of each text, and token batches."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb import assets
from lerpnb.data.folds import fold
from lerpnb.errors import CorpusError

READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


READERS[".jsonl"] = READERS[".json"] = lambda path: pd.read_json(path, lines=True)


@dataclass(frozen=True)
class Corpus:
    """Texts, each with one label out of `label_names`.

    `corpus.negative`, `corpus.positive` (or whatever the labels are called) are the texts of one label.

    Args:
        texts: the texts.
        labels: for each text an index into `label_names`.
        label_names: what the labels are called.
        name: what plots and tables call this corpus.

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
        if not self.texts:
            raise CorpusError(f"Corpus({self.name!r}): no texts.\nCheck the label, the split and the columns.")
        for i, text in enumerate(self.texts):
            if not isinstance(text, str) or not text.strip():
                raise CorpusError(f"Corpus({self.name!r}): text {i} is {text!r}.\nDrop empty rows first.")

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

        Args:
            source: a file, or a hub data set's id.
            text: the column with the texts; empty ones are dropped.
            label: the column with the labels, integers or strings; "" for texts without labels.
            label_names: what integer labels 0, 1, ... are called; by default their numbers. Strings call themselves.
            split: the split of a hub data set; a file has none.
            name: what plots call the corpus; by default the file's or data set's name.

        Raises:
            CorpusError: an empty or damaged file, no such column, texts without a label, or labels outside
                `label_names`.
            AssetError: no such file, and no such data set or no hub.
        """
        frame = _read(source, split)
        for column in filter(None, (text, label)):
            if column not in frame:
                raise CorpusError(
                    f"Corpus.load({str(source)!r}): no column {column!r}.\n"
                    f"It has: {', '.join(map(str, frame.columns))}."
                )
        frame = frame[frame[text].notna() & (frame[text].astype(str).str.strip() != "")]
        texts = tuple(frame[text].astype(str))
        name = name or Path(str(source)).stem
        if not label:
            return cls(texts, (0,) * len(texts), (name,), name)
        if missing := int(frame[label].isna().sum()):
            raise CorpusError(
                f"Corpus.load({str(source)!r}): {missing} of {len(frame)} texts have no label in column {label!r}.\n"
                'Label them or drop them first, or give label="" for texts without labels.'
            )
        values = frame[label].map(_whole_number).astype(object)
        if label_names is None:
            order = sorted(values.unique(), key=str if len({type(v) for v in values}) > 1 else None)
            label_names = tuple(dict.fromkeys(map(str, order)))
            codes = values.map({value: label_names.index(str(value)) for value in order})
        elif values.isin(label_names).all():
            codes = values.map({value: i for i, value in enumerate(label_names)})
        else:
            codes = values
        wrong = sorted({str(v) for v in codes[~codes.isin(range(len(label_names)))]})[:3]
        if wrong:
            raise CorpusError(
                f"Corpus.load({str(source)!r}): label {', '.join(wrong)} is none of {', '.join(label_names)}.\n"
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
        for code in sorted(set(self.labels)):
            if self.labels.count(code) < n:
                label = self.label_names[code]
                raise CorpusError(
                    f"Corpus.sample({n}): {label!r} has only {self.labels.count(code)} texts.\n"
                    "Ask for fewer, or use at_most."
                )
        return self.at_most(n, seed)

    def at_most(self, n: int, seed: int = 0) -> "Corpus":
        """As `sample`, but a label with fewer than `n` texts gives all it has."""
        chosen: list[int] = []
        for code in sorted(set(self.labels)):
            rows = [i for i, c in enumerate(self.labels) if c == code]
            chosen += sorted(np.random.default_rng(seed).permutation(rows)[:n].tolist())
        return self._take(chosen, self.name)

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
        return replace(
            self, texts=tuple(self.texts[i] for i in rows), labels=tuple(self.labels[i] for i in rows), name=name
        )


def _whole_number(label: Any) -> Any:
    """The label, as an integer where it became a float beside a missing one."""
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _read(source: str | Path, split: str) -> pd.DataFrame:
    path = Path(str(source)).expanduser()
    if path.suffix in READERS:
        file = assets.resolve(path)
        try:
            if not len((frame := READERS[path.suffix](file)).columns):
                raise ValueError("it is empty")
            return frame
        except (OSError, ValueError) as error:  # what pandas, pyarrow and the decoder raise is one of these
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise CorpusError(
                f"Corpus.load({str(source)!r}): {file.name} cannot be read as {path.suffix[1:]}: {reason}.\n"
                "Texts are in a UTF-8 .csv with a header, a .jsonl of an object a line, or a .parquet."
            ) from error
    if not assets.hub_answers():
        raise CorpusError(
            f"Corpus.load({str(source)!r}): no {', '.join(READERS)} file, and the hub does not answer.\n"
            "Give a file, or a data set's hub id where there is a network."
        )
    from datasets import load_dataset

    return load_dataset(str(source), split=split).to_pandas()
