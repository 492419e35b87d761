"""Token batches: sorted, bounded, with little padding."""

from lerpnb.data.batching import attention_mask, collate, pad, token_batches


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
