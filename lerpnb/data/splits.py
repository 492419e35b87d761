"""What the notebooks read: the demo's reviews and openings, and splits of any texts of which no two share a text."""

from lerpnb.data.corpus import Corpus
from lerpnb.data.demo import DEMO, _demo
from lerpnb.data.folds import SPLITS, _share

DEMO["voices"] = ["voices"]


def train_held_out(
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
        >>> from pathlib import Path
        >>> import pandas as pd
        >>> file = Path(tempfile.mkdtemp()) / "mine.csv"
        >>> rows = [{"text": f"text {i}", "label": "sad" if i % 2 else "glad"} for i in range(200)]
        >>> pd.DataFrame(rows).to_csv(file)
        >>> train, checks = train_held_out(str(file), label="glad", held_out=5)
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
    """At most `n` texts of each label to evaluate on, of the split that `train_held_out` never trains on.

    Args:
        data: "rotten_tomatoes", "imdb" or "both" for the demo's reviews, "voices" for `voices`, else what `Corpus.load`
            takes.
        whole: take a file's or data set's other texts too, where nothing was trained on them.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import pandas as pd
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
