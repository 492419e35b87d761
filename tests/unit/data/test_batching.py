"""Token batches: sorted, bounded, with little padding."""

import pytest

from lerpnb.data.batching import attention_mask, collate, pad, token_batches, training_rows
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CorpusError


def test_batches_are_sorted_and_bounded():
    texts = tuple("x" * n for n in (3, 9, 1, 7, 7))

    def words(texts, truncation, max_length):
        return {"input_ids": [list(range(min(len(t), max_length))) for t in texts]}

    found = list(token_batches(words, texts, max_tokens=16, max_length=8))
    assert [places for places, _ in found] == [[1, 3], [4, 0], [2]]
    assert sorted(i for places, _ in found for i in places) == list(range(5))
    assert all(len(ids) * max(map(len, ids)) <= 16 for _, ids in found)


def test_batches_hold_little_padding(tiny):
    words = tiny.tokenizer()
    texts = tuple("film " * n for n in range(2, 60))
    found = [ids for _, ids in token_batches(words, texts, max_tokens=1024, max_length=512)]
    assert sum(map(len, found)) == len(texts) and max(len(ids) * len(ids[0]) for ids in found) <= 1024
    for ids in found:
        padded, tokens = len(ids) * len(ids[0]), sum(map(len, ids))
        assert tokens >= 7 / 8 * padded or padded <= 128 + len(ids[0]) * 2


def test_padding_is_on_the_right_and_labels_are_padded_by_place():
    ids, lengths = pad([[1], [2, 3]], 9)
    assert ids.tolist() == [[1, 9], [2, 3]] and lengths.tolist() == [1, 2]
    assert attention_mask(lengths).tolist() == [[1, 0], [1, 1]]
    batch = collate([{"input_ids": [5, 1], "labels": [5, 1]}, {"input_ids": [1], "labels": [1]}], fill=1)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 1], [1, 1]],
        "attention_mask": [[1, 1], [1, 0]],
        "labels": [[5, 1], [1, -100]],
    }
    assert collate([{"input_ids": [5], "labels": 1}], fill=1)["labels"].tolist() == [1]


def test_a_prompt_is_masked_and_its_completion_learnt(tiny):
    words = tiny.tokenizer()
    corpus = Corpus(("the film was slow", "it was was lovely"), (0, 0), ("x",), "x")
    whole, part = (training_rows("causal", words, corpus, 16, after) for after in ("", " was"))
    prompts = words(["the film was", "it was was"])["input_ids"]
    for i, (own, row) in enumerate(zip(map(len, prompts), part, strict=True)):
        assert row["input_ids"] == whole[i]["input_ids"] == whole[i]["labels"]
        assert row["labels"] == [-100] * own + row["input_ids"][own:] and row["labels"][-1] == words.eos_token_id


def test_a_text_without_a_prompt_or_a_completion_is_refused(tiny):
    words = tiny.tokenizer()
    for texts, length, why in ((("the film",), 16, "do not have it"), (("the film was slow",), 3, "is left")):
        with pytest.raises(CorpusError, match=why):
            training_rows("causal", words, Corpus(texts, (0,), ("x",), "x"), length, " was")
