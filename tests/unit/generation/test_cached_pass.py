"""Cached passes: models that keep a state, and models without a cache, are sampled as `generate` does it."""

import pytest
import tiny_architectures as architectures
import torch
from transformers import LlamaForCausalLM

from lerpnb.errors import ProbeError
from lerpnb.generation.cached_pass import has_cache
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.decoder import Decoder
from lerpnb.merging import ProbabilityEnsemble

PROMPTS = ("the film", "a warm and funny story about", "nobody")
# The families whose state is not, or not only, keys and values: by the cache that transformers gives them, or each
# token reads the whole text.
FROM_A_CACHE = ("bamba", "falcon_h1", "falcon_mamba", "jamba", "lfm2", "mamba", "mamba2", "zamba2")
WHOLE_TEXT = ("minimax", "recurrent_gemma", "rwkv", "xlstm")


def assert_texts_are_those_of_generate(model, words):
    """The likeliest tokens, read after each step and every eight steps."""
    each_step, decoder = (
        Decoder(model, words, Continuations(PROMPTS, n_samples=1, max_new_tokens=12, temperature=0), check_every=every)
        for every in (1, 8)
    )
    for _ in (*each_step, *decoder):
        pass
    assert each_step.tokens == decoder.tokens
    for row in decoder.frame().itertuples():
        ids = torch.tensor([words(row.prompt)["input_ids"]])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
        assert row.prompt + row.continuation == words.decode(whole[0], skip_special_tokens=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_A_CACHE)
def test_greedy_texts_of_models_with_a_state_are_those_of_generate(tiny, name):
    model = architectures.model(name, 3)
    assert has_cache(model)
    assert_texts_are_those_of_generate(model, tiny.tokenizer())


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_TEXT)
def test_where_the_cache_cannot_be_continued_each_token_reads_the_whole_text(tiny, name):
    model = architectures.model(name, 3)
    with pytest.warns(UserWarning, match=rf"^sample\(\): {type(model).__name__} cannot go on from its cache, so"):
        assert_texts_are_those_of_generate(model, tiny.tokenizer())


@pytest.mark.slow
def test_an_ensemble_of_such_models_is_refused_before_any_text(tiny):
    ends = [architectures.model("minimax", 3) for _ in range(2)]
    ensemble = ProbabilityEnsemble(*ends, device="cpu").at(0.5)
    with pytest.raises(ProbeError, match=r"^sample\(\): .* cannot go on from its cache.\n(.|\n)*be sampled here.$"):
        Decoder(ensemble, tiny.tokenizer(), Continuations(PROMPTS))


def test_a_model_that_sees_later_tokens_is_refused_before_any_text(tiny):
    with pytest.raises(ProbeError, match=r"^sample\(\): BertLMHeadModel is no causal language model.\nIt reads"):
        Decoder(tiny.network("bert"), tiny.tokenizer(), Continuations(PROMPTS))


class Forgetful(LlamaForCausalLM):
    """A Llama that ignores what its cache holds."""

    def forward(self, input_ids, past_key_values=None, **options):
        return super().forward(input_ids, **{**options, "position_ids": None})


def test_a_cache_that_is_not_continued_is_not_used(tiny):
    model = tiny.moved(Forgetful(tiny.llama().config).eval(), 3, 0.3)
    with pytest.warns(UserWarning, match=r"Forgetful cannot go on from its cache, .* \(its logits are .* off"):
        assert not has_cache(model)


def test_the_check_is_made_once_a_model_and_weights_without_numbers_conclude_nothing(tiny):
    model, calls = tiny.llama(), []
    model.register_forward_hook(lambda *args: calls.append(1))
    kept = model.lm_head.weight.detach().clone()
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    has_cache(model)
    with torch.no_grad():
        model.lm_head.weight.copy_(kept)
    for passes in (6, 6):
        assert has_cache(model)
        assert len(calls) == passes
