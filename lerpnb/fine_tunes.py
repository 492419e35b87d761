"""Fine-tunes that are kept: one that was made before is found again by all that its weights depend on."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from lerpnb import assets
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.data.corpus import Corpus
from lerpnb.training import FineTuneConfig, fine_tune
from lerpnb.utils.atomic import atomic_folder


def kept_fine_tune(
    recipe: FineTuneConfig, corpus: Corpus, held_out: Corpus | None = None, folder: str | Path = "out/fine_tunes"
) -> Path:
    """The folder of a fine-tune: made now by `fine_tune`, or found from before.

    It is found by its recipe, the weights of its base, and the texts that it is trained and checked on. A fine-tune
    that is stopped leaves nothing behind.

    Args:
        recipe, corpus, held_out: as for `fine_tune`.
        folder: where fine-tunes are kept, a folder each.

    Raises:
        AssetError, CheckpointError: as `fine_tune` says.

    Example:
        >>> import tempfile
        >>> base, folder = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> tiny_llama().save_pretrained(base), tiny_tokenizer().save_pretrained(base) and None
        (None, None)
        >>> texts = Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
        >>> recipe = FineTuneConfig(base, rank=0, steps=1)
        >>> kept_fine_tune(recipe, texts, folder=folder) == kept_fine_tune(recipe, texts, folder=folder)
        True
    """
    told = asdict(recipe) | {"base": CheckpointMetadata.read(recipe.base).weights_digest, "texts": corpus.sha256}
    told |= {"labels": corpus.label_names, "held_out": held_out and held_out.sha256}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    to = assets.place(folder) / f"{recipe.task}-{digest[:16]}"
    if not (to / "training.json").is_file():
        with atomic_folder(to, keep="training.json") as work:
            fine_tune(recipe, corpus, work, held_out)
    return to
