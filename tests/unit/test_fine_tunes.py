"""Fine-tunes that are kept: found again by all that they depend on, and never half made."""

from dataclasses import replace

import pytest

from lerpnb import fine_tunes
from lerpnb.data.corpus import Corpus
from lerpnb.fine_tunes import kept_fine_tune
from lerpnb.training import FineTuneConfig

CORPUS = Corpus(("a lovely film", "what a waste of time"), (1, 0), ("negative", "positive"), "reviews")


@pytest.fixture
def recipe(tiny, tmp_path) -> FineTuneConfig:
    base = tiny.save(tiny.classifier(), tmp_path / "base", tiny.tokenizer())
    return FineTuneConfig(str(base), "classifier", rank=0, steps=1)


@pytest.mark.slow
def test_it_is_made_once_for_each_thing_that_it_depends_on(recipe, tiny, tmp_path):
    keep = tmp_path / "kept"
    first = kept_fine_tune(recipe, CORPUS, folder=keep)
    time = (first / "model.safetensors").stat().st_mtime_ns
    assert kept_fine_tune(recipe, CORPUS, folder=keep) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == time and first.name.startswith("classifier-")
    renamed = replace(CORPUS, label_names=("sad", "glad"))
    others = [(replace(recipe, seed=1), CORPUS, None), (recipe, renamed, None), (recipe, CORPUS, CORPUS)]
    assert len({first, *(kept_fine_tune(*other, folder=keep) for other in others)}) == 4
    tiny.save(tiny.moved(tiny.classifier(), 1), tmp_path / "base", tiny.tokenizer())  # another model of that name
    assert kept_fine_tune(recipe, CORPUS, folder=keep) != first


def test_one_that_is_stopped_leaves_nothing(recipe, tmp_path, monkeypatch):
    def stopped(recipe, corpus, out, held_out):
        out.mkdir(parents=True)
        (out / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fine_tunes, "fine_tune", stopped)
    with pytest.raises(KeyboardInterrupt):
        kept_fine_tune(recipe, CORPUS, folder=tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
