"""Row memory: a GPU's batches by its free memory; many prompts of many lengths with little computed in vain."""

import random

import pytest
import tiny_architectures as architectures

from lerpnb.generation import row_memory
from lerpnb.generation.continuations import BATCH_SIZE, Continuations
from lerpnb.generation.decoder import Decoder
from lerpnb.generation.row_memory import DRAW_BYTES, RowMemory, row_bytes


def test_bytes_of_a_row_are_those_of_its_keys_and_values(tiny):
    model = tiny.llama()
    config = model.config
    each = 2 * 4 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim  # float32 keys and values
    assert row_bytes(model) == (0, each)


def test_a_state_takes_the_same_whatever_the_length():
    state, per_position = row_bytes(architectures.model("mamba"))
    assert state > 0 and per_position == 0


@pytest.mark.slow
def test_a_gpu_holds_a_power_of_two_by_its_free_memory_and_a_cpu_128(tiny, monkeypatch):
    model = tiny.llama()
    assert RowMemory(model).rows(10) == RowMemory(model).rows(10_000) == BATCH_SIZE
    a_row = 50 * row_bytes(model)[1] + DRAW_BYTES * model.config.vocab_size
    for rows, fitting in ((100, 64), (127, 64), (129, 128), (1e6, row_memory.MOST_ROWS), (0.1, 1)):
        monkeypatch.setattr(row_memory, "_free_bytes", lambda device, rows=rows: rows * a_row / row_memory.SHARE)
        assert RowMemory(model).rows(50) == fitting


@pytest.mark.slow
@pytest.mark.parametrize(("free", "size"), [(None, BATCH_SIZE), (1e12, row_memory.MOST_ROWS)])
@pytest.mark.parametrize("draws", [1, 25])
def test_a_thousand_prompts_of_many_lengths_are_batched_with_little_waste(tiny, monkeypatch, free, size, draws):
    """Positions in the decoder's own batches, each text as long as it may be, over those that are needed.

    Needed are each prompt once, and each text's tokens but its last. A batch reads its prompts' common length once a
    prompt, and the rest of a longer one in each of its rows.
    """
    drawn, words = random.Random(0), "the film was a warm and funny story about nobody in this town".split()
    lengths = [min(35, max(2, round(drawn.lognormvariate(2.3, 0.6)))) for _ in range(1000)]
    prompts = list(dict.fromkeys(" ".join(drawn.choices(words, k=length)) for length in lengths))
    model, new = tiny.llama(), 20
    monkeypatch.setattr(row_memory, "_free_bytes", lambda device: free)
    spec = Continuations(prompts, n_samples=draws, max_new_tokens=new)
    decoder = Decoder(model, tiny.tokenizer(), spec)
    waiting = sorted(decoder.tokens, key=lambda slot: len(decoder._encoded[slot[1]]))
    memory, computed = RowMemory(model), 0
    while waiting:
        batch = decoder._next_batch(waiting, memory)
        assert 0 < len(batch) <= size
        own = [len(decoder._encoded[i]) for _, i, _ in batch]
        computed += min(own) * len({i for _, i, _ in batch}) + sum(length - min(own) + new - 1 for length in own)
        waiting = waiting[len(batch) :]
    needed = sum(map(len, decoder._encoded)) + len(decoder.tokens) * (new - 1)
    assert 0 <= 1 - needed / computed <= 0.1
