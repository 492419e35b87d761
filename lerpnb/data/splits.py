"""Texts to train on and texts to evaluate on, of which no two share a text."""

from lerpnb.data import demo
from lerpnb.data.corpus import Corpus
from lerpnb.data.folds import SPLITS, fold, split_range
from lerpnb.errors import CorpusError


def train_held_out(
    data: str,
    *,
    split: str = "adapters",
    label: str = "",
    max_texts: int = 0,
    held_out: int = 100,
    text_column: str = "text",
    label_column: str = "label",
    seed: int = 0,
) -> tuple[Corpus, Corpus]:
    """What to train on and what to measure the training by; the two never share a text.

    Args:
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, "voices" for `demo.voices`, else what
            `Corpus.load` takes.
        split: the texts to train on: "adapters" or "scorer"; held-out ones are of the "held-out" split. See
            `folds.SPLITS`.
        label: the texts of this label only; "" for all.
        max_texts: training texts of each label (and source) at most, 0 for all.
        held_out: held-out texts of each label (and source) at most.
        text_column, label_column: of a file or hub data set.
        seed: of which texts are taken where there are more.

    Returns:
        The training texts and the held-out texts.

    Raises:
        CorpusError, AssetError: as `reviews` and `Corpus.load` say.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = [f"text {i},{'sad' if i % 2 else 'glad'}" for i in range(200)]
        >>> _ = file.write_text("\\n".join(["text,label", *rows]))
        >>> train, checks = train_held_out(str(file), label="glad", held_out=5)
        >>> len(checks), set(train.texts) & set(checks.texts)
        (5, set())
    """
    if data in demo.DEMO:
        parts = [(demo.load(source, split), demo.load(source, "held-out")) for source in demo.DEMO[data]]
    else:
        whole = Corpus.load(data, text=text_column, label=label_column)
        parts = [(whole.within(*split_range(split)), whole.within(*SPLITS["held-out"]))]
    sides = []
    for side, limit in zip(zip(*parts, strict=True), (max_texts, held_out), strict=True):
        chosen = [part.only(label) if label else part for part in side]
        chosen = [part.at_most(limit, seed) if limit else part for part in chosen]
        sides.append(sum(chosen[1:], chosen[0]))
    return sides[0], sides[1]


def held_out(
    data: str,
    n: int = 64,
    *,
    text_column: str = "text",
    label_column: str = "label",
    seed: int = 0,
    whole: bool = False,
) -> Corpus:
    """At most `n` texts of each label to evaluate on, of the split that `train_held_out` never trains on.

    Where a label has fewer, all that it has are taken, and one line says how many that are.

    Args:
        data, text_column, label_column, seed: as in `train_held_out`.
        n: texts of each label at most.
        whole: take a file's or data set's other texts too, where nothing was trained on them.

    Raises:
        CorpusError, AssetError: as `reviews` and `Corpus.load` say.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = "".join(f"text {i},glad\\nmore {i},sad\\n" for i in range(100))
        >>> _ = file.write_text("text,label\\n" + rows)
        >>> corpus = held_out(str(file), 5)
        >>> len(corpus.only("glad")), len(corpus)
        (5, 10)
    """
    if data in demo.DEMO:
        parts = [demo.load(source, "held-out").at_most(n, seed) for source in demo.DEMO[data]]
        return sum(parts[1:], parts[0])
    own = Corpus.load(data, text=text_column, label=label_column)
    part = own if whole else _sixth(own, data)
    counts = {label: part.labels.count(code) for code, label in enumerate(own.label_names)}
    if min(counts.values()) < n:
        shares = "all" if whole else f"{len(part)} held out"
        found = ", ".join(f"{count} {label}" for label, count in counts.items())
        hint = "" if whole else "; whole=True takes all, where nothing was trained on them"
        print(f"held_out({data!r}, {n}): {shares} of its {len(own)} texts are used: {found}{hint}")
    return part.at_most(n, seed)


def _sixth(corpus: Corpus, data: str) -> Corpus:
    low, high = SPLITS["held-out"]
    if not any(low <= fold(text) < high for text in corpus.texts):
        raise CorpusError(
            f"held_out({data!r}): none of its {len(corpus)} texts is in the held-out sixth.\n"
            "Give more texts, or whole=True (-p whole true) where nothing was trained on them."
        )
    return corpus.within(low, high)
