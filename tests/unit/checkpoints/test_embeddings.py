"""Embeddings: how far a fine-tune moved them (E-PUR's arithmetic), and putting some of them back."""

import math

import numpy as np
import pytest
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.embeddings import embedding_shifts, purify_embeddings
from lerpnb.errors import MismatchError


@pytest.fixture
def pair(tiny) -> tuple[Checkpoint, Checkpoint]:
    """A classifier, and the same with one rare token moved by 3, one frequent by 4 and one never seen by 0.5."""
    before = tiny.classifier()
    after = tiny.classifier()
    with torch.no_grad():
        for token, size in ((17, 3.0), (23, 4.0), (40, 0.5)):
            after.bert.embeddings.word_embeddings.weight[token, :4] += size / 2
    words = tiny.tokenizer()
    return Checkpoint.from_model(after, words), Checkpoint.from_model(before, words)


def test_shifts_are_normalised_by_the_logarithm_of_frequency(pair, tiny):
    words = tiny.tokenizer()
    texts = [words.decode([23])] * 5000
    assert words(texts[0], add_special_tokens=False)["input_ids"].count(23) == 1
    found = embedding_shifts(*pair, texts)
    assert found.index[:3].tolist() == [17, 23, 40] and len(found) == 100
    assert found["token"].iloc[0] == words.convert_ids_to_tokens(17)
    assert np.allclose(found["shift"].iloc[:3], [3.0, 4.0, 0.5], atol=1e-5)
    assert found["count"].iloc[:3].tolist() == [0, 5000, 0]
    want = [3 / math.log(20), 4 / math.log(5000), 0.5 / math.log(20), 0.0]
    assert np.allclose(found["score"].iloc[:4], want, atol=1e-5)


def test_purified_puts_those_tokens_back_and_nothing_else(pair):
    after, before = pair
    found, name = purify_embeddings(after, before, [17]), "bert.embeddings.word_embeddings.weight"
    moved = (found.tensors[name] != before.tensors[name]).any(-1).nonzero().flatten().tolist()
    assert moved == [23, 40] and torch.equal(found.tensors[name][23], after.tensors[name][23])
    assert (after.tensors[name][17] != before.tensors[name][17]).any()  # the caller's is left alone
    others = [n for n in found.tensors if n != name]
    assert all(found.tensors[n].data_ptr() == after.tensors[n].data_ptr() for n in others)
    assert (found.architecture, found.labels) == (after.architecture, after.labels)
    everything = purify_embeddings(after, before, embedding_shifts(after, before, []).index)
    assert torch.equal(everything.tensors[name], before.tensors[name])


def test_models_of_other_vocabularies_are_refused(pair, tiny):
    other = Checkpoint.from_model(tiny.llama(vocabulary=90))
    assert refusal(MismatchError, lambda: purify_embeddings(pair[0], other, [1])) == (
        "purify_embeddings('model', 'model'): embeddings of (100, 32) against (90, 32).\n"
        "Name the model that it was fine-tuned from."
    )
    bare = Checkpoint.from_model(tiny.classifier())
    assert refusal(MismatchError, lambda: embedding_shifts(bare, bare, [])) == (
        "embedding_shifts('model', 'model'): neither has a tokenizer.\n"
        "Wrap live models: Checkpoint.from_model(model, words)."
    )


def refusal(kind, call) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)
