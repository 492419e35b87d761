"""Preference: transformers' log-probabilities one sequence at a time, ties, empty prompts, and what is refused."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import lerpnb as ln
from lerpnb.data.pairs import Pairs
from lerpnb.errors import ArgumentError, ProbeError
from lerpnb.probes.preference import Preference

PAIRS = Pairs(
    ("the film was", "it wants to be", "", "she carries every"),
    (" slow and lovely", " clever", "the music alone is worth it", " scene"),
    (" a waste", " long and merely clever", "the music is alone", " script before"),
    "taste",
)


@pytest.fixture(params=["tiny_llama_pair", "tiny_gpt2_pair", "tiny_untied_pair"])
def model_and_words(request):
    folder = request.getfixturevalue(request.param)[1]
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def by_transformers(model, words, prompt: str, text: str, end: bool) -> tuple[float, int]:
    """log p of a continuation, from the logits of one sequence, and its tokens."""
    ids, start = words(prompt + text)["input_ids"] + [words.eos_token_id] * end, len(words(prompt)["input_ids"])
    ids, start = (ids, start) if start else ([words.eos_token_id, *ids], 1)
    log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(log_p[t - 1, ids[t]].item() for t in range(start, len(ids))), len(ids) - start


@pytest.mark.slow
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_it_is_transformers_log_probabilities(model_and_words, mean, end):
    model, words = model_and_words
    probe = Preference(PAIRS, length_normalized=mean, append_eos=end, batch_tokens=30)
    found = probe.measure(model, words)
    margins = []
    for prompt, *texts in zip(PAIRS.prompts, PAIRS.chosen, PAIRS.rejected, strict=True):
        scores = [by_transformers(model, words, prompt, text, end) for text in texts]
        chosen, rejected = (s / n if mean else s for s, n in scores)
        margins.append(chosen - rejected)
    assert np.allclose(found["margin/taste"].values, margins, atol=1e-5)
    assert found["preference/taste"].values.tolist() == [float(margin > 0) for margin in margins]
    assert (found["margin/taste"].unit, found["margin/taste"].items) == ("nats/token" if mean else "nats", "pairs")


def test_what_a_prompt_shares_with_both_continuations_is_not_scored(tiny_llama_pair):
    """A continuation inside a word changes the prompt's last token, and then both are scored from there."""
    words = AutoTokenizer.from_pretrained(tiny_llama_pair[1])
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[1]).eval()
    prompt, chosen, rejected = "a slow t", "he film", " and long"
    before, whole, other = (words(t)["input_ids"] for t in (prompt, prompt + chosen, prompt + rejected))
    start = next(i for i, ids in enumerate(zip(before, whole, other, strict=False)) if len(set(ids)) > 1)
    assert start < len(before)
    found = Preference(Pairs((prompt,), (chosen,), (rejected,), "x")).measure(model, words)["margin/x"].value()
    scores = []
    for ids in (whole, other):
        with torch.inference_mode():
            log_p = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        scores.append(sum(log_p[t - 1, ids[t]].item() for t in range(start, len(ids))))
    assert found == pytest.approx(scores[0] - scores[1], abs=1e-5)


def test_ties_count_as_a_half_and_nan_stays(tiny_llama_pair):
    words = AutoTokenizer.from_pretrained(tiny_llama_pair[1])
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[1]).eval()
    same_ids = Pairs(("the film was",), (" §",), (" ¶",), "unknown")  # both are the unknown token
    assert Preference(same_ids).measure(model, words)["preference/unknown"].values.tolist() == [0.5]
    with torch.no_grad():
        model.model.norm.weight[0] = torch.nan
    found = Preference(PAIRS).measure(model, words)
    assert np.isnan(found["preference/taste"].values).all() and np.isnan(found["margin/taste"].values).all()


@pytest.mark.slow
def test_over_a_line(tiny_llama_pair):
    line = ln.Line(tiny_llama_pair.minus, tiny_llama_pair.plus, device="cpu")
    curve = ln.evaluate(line, [0, 1], [ln.probes.Preference(PAIRS)], store=False)
    assert curve.quantities == ["preference/taste", "margin/taste"] and not curve.nan_points()
    assert curve.quantity("preference/taste").lower_is_better is False
    at_one = AutoModelForCausalLM.from_pretrained(tiny_llama_pair.plus).eval()
    words = AutoTokenizer.from_pretrained(tiny_llama_pair.plus)
    assert curve.value("margin/taste")[1] == pytest.approx(
        Preference(PAIRS).measure(at_one, words)["margin/taste"].value(), abs=1e-6
    )


def test_bad_input_is_refused(tiny_llama_pair):
    words = AutoTokenizer.from_pretrained(tiny_llama_pair[1])
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair[1]).eval()
    long = Pairs(("the film was",), (" long" * 200,), (" short",), "long")
    no_start = AutoTokenizer.from_pretrained(tiny_llama_pair[1], eos_token=None)
    for call, text in {
        lambda: Preference(PAIRS, batch_tokens=1): "Preference(batch_tokens): got 1.\nIt takes 2 or more.",
        lambda: Preference(PAIRS).measure(model, no_start): (
            "preference/taste: pair 2 has no prompt, and the tokenizer no token that begins a text.\n"
            "Set tokenizer.bos_token, or give the pairs prompts."
        ),
        lambda: Preference(PAIRS, append_eos=True).measure(model, no_start): (
            "preference/taste: the tokenizer has no end-of-text token.\n"
            "Set tokenizer.eos_token, or leave append_eos out."
        ),
    }.items():
        with pytest.raises(ProbeError) as error:
            call()
        assert str(error.value) == text
    with pytest.raises(ArgumentError, match=r"Preference\(pairs\): got .* \(list\).\nIt takes a Pairs\."):
        ln.probes.Preference([("a", "b")])
    with pytest.raises(ProbeError, match="but the model has 128 positions"):
        Preference(long).measure(model, words)
