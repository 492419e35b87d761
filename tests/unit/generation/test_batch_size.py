"""Batch size: the same results in smaller batches where memory runs out, announced once, and kept."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize, is_out_of_memory
from lerpnb.generation.batched_line import BatchedLine
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.sampling import sample, sample_batched
from lerpnb.paths.line import Line
from lerpnb.probes.attribute import continuation_perplexity
from lerpnb.probes.classifier import Classifier
from lerpnb.probes.loss import Loss

ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried"),
)
SPEC = Continuations(("the film", "the film was", "she"), n_samples=3, max_new_tokens=6)


def full_above(model, rows: int, error: Exception = ERRORS[0]) -> list[int]:
    """A model that has memory for `rows` texts at a time; the sizes it was asked for."""
    seen, forward = [], model.forward

    def guarded(*args, **kwargs):
        seen.append(len(kwargs["input_ids"]))
        if seen[-1] > rows:
            raise error
        return forward(*args, **kwargs)

    model.forward = guarded
    return seen


def corpus(tiny) -> Corpus:
    """Eight texts of one length, so that they share a batch."""
    return Corpus(tuple(f"{tiny.TEXTS[0]} {i}" for i in range(8)), (0,) * 8, ("x",), "x")


@pytest.mark.parametrize("error", ERRORS, ids=["GPU", "CPU"])
def test_a_loss_in_halves_is_the_same_and_the_size_is_announced_once(tiny, error):
    model, words = tiny.llama(), tiny.tokenizer()
    want = Loss(corpus(tiny)).measure(model, words)["loss/x"]
    seen = full_above(model.model, 3, error)
    loss = Loss(corpus(tiny))
    with pytest.warns(UserWarning) as warned:
        found = loss.measure(model, words)["loss/x"]
    assert [str(w.message) for w in warned] == [f"loss/x: out of memory; batches of {n} from here on." for n in (4, 2)]
    assert np.allclose(found.values, want.values, atol=1e-6) and found.weights.tolist() == want.weights.tolist()
    assert seen == [2, 8, 4, 2, 2, 2, 2]  # first, whether the model is causal
    with warnings.catch_warnings(action="error"):  # the next alpha begins with what fits
        assert loss.measure(model, words)["loss/x"].values.tolist() == found.values.tolist()


def test_a_single_text_that_does_not_fit_is_refused(tiny):
    model, words = tiny.llama(), tiny.tokenizer()
    full_above(model.model, 0)
    with pytest.raises(ProbeError) as error, warnings.catch_warnings(action="ignore"):
        Loss(corpus(tiny)).measure(model, words)
    assert str(error.value) == (
        "loss/x: out of memory with a single item in a batch.\n"
        "Shorten the texts (max_length, max_new_tokens), take a smaller dtype, or another device."
    )


def test_the_perplexity_model_halves_its_batches(tiny):
    model, words = tiny.llama(), tiny.tokenizer()
    pairs = [("the film", f" {text}") for text in tiny.TEXTS]
    want = continuation_perplexity(model, words, pairs)
    full_above(model.model, 5)
    with pytest.warns(UserWarning, match=r"^continuation_perplexity\(\): out of memory; batches of 4 from here on\.$"):
        assert np.allclose(continuation_perplexity(model, words, pairs), want, rtol=1e-5)


def test_the_classifier_halves_its_batches(tiny):
    scorer = Classifier("tiny", tiny.classifier(), tiny.tokenizer())
    scorer.model.config.pad_token_id = scorer.tokenizer.pad_token_id  # else texts are read one by one
    want = scorer.scores(tiny.TEXTS, 1)
    full_above(scorer.model, 4)
    with pytest.warns(UserWarning, match=r"^Classifier.scores\(\): out of memory; batches of 4 from here on\.$"):
        assert np.allclose(scorer.scores(tiny.TEXTS, 1), want, atol=1e-6)


def test_another_error_is_another_error():
    def work(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="^shapes do not match$"):
        ExecutableBatchSize("x")(work, [1, 2])
    assert not is_out_of_memory(ValueError("x")) and is_out_of_memory(RuntimeError("mmap: can't allocate memory"))
    assert ExecutableBatchSize("x")(work, []) == []


@pytest.mark.slow
def test_texts_in_halves_are_the_same_and_the_size_is_kept(tiny_llama_pair):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    model, words = line.at(0.5), line.tokenizer
    want, batch_size = sample(model, words, SPEC), ExecutableBatchSize("texts")
    seen = full_above(model, 4)
    with pytest.warns(UserWarning) as warned:
        pd.testing.assert_frame_equal(sample(model, words, SPEC, batch_size), want)
    assert [str(w.message) for w in warned] == [f"texts: out of memory; batches of {n} from here on." for n in (5, 3)]
    assert max(seen) == 9 and seen.count(9) == seen.count(5) == 1  # the prompts, and then the texts, did not fit
    with warnings.catch_warnings(action="error"):
        pd.testing.assert_frame_equal(sample(model, words, SPEC, batch_size), want)


@pytest.mark.slow
def test_texts_of_all_alphas_in_halves_are_the_same(tiny_llama_pair):
    line, alphas = Line(*tiny_llama_pair[1:], device="cpu"), [0.0, 0.5, 1.0]
    batched = BatchedLine(line)
    want = sample_batched(batched, line.tokenizer, alphas, SPEC)
    full_above(batched.model, 7)
    with pytest.warns(UserWarning) as warned:
        found = sample_batched(batched, line.tokenizer, alphas, SPEC)
    assert str(warned[-1].message) == "texts: out of memory; batches of 7 from here on."
    for alpha in alphas:
        pd.testing.assert_frame_equal(found[alpha], want[alpha])


@pytest.mark.slow
def test_memory_that_runs_out_while_texts_are_written_loses_none(tiny_llama_pair):
    line = Line(*tiny_llama_pair[1:], device="cpu")
    model, words = line.at(0.5), line.tokenizer
    want, calls, forward = sample(model, words, SPEC), [], model.forward

    def full_at_the_fourth_step(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise ERRORS[0]
        return forward(*args, **kwargs)

    model.forward = full_at_the_fourth_step
    with pytest.warns(UserWarning, match="batches of 5 from here on"):
        pd.testing.assert_frame_equal(sample(model, words, SPEC), want)
