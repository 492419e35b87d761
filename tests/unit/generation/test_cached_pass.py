"""Cached passes: models that keep a state, and models without a cache, are sampled as `generate` does it."""

import pytest
import torch
import transformers
from transformers import LlamaForCausalLM

from lerpnb.errors import ProbeError
from lerpnb.generation.cached_pass import has_cache
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.decoder import Decoder
from lerpnb.generation.sampling import sample
from lerpnb.merging import ProbabilityEnsemble

SIZES = dict(vocab_size=100, hidden_size=32, num_hidden_layers=4, pad_token_id=0, eos_token_id=1)
HEADS = dict(intermediate_size=48, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
MAMBA = dict(mamba_n_heads=4, mamba_d_state=8, mamba_chunk_size=8)
SETTINGS = {
    "Bamba": dict(**SIZES, **HEADS, **MAMBA, attn_layer_indices=[1, 3], mamba_d_head=16),
    "FalconH1": dict(**SIZES, **HEADS, **MAMBA, mamba_d_ssm=32, mamba_d_head=8, mamba_n_groups=1),
    "MiniMax": dict(**SIZES, **HEADS, num_local_experts=2, num_experts_per_tok=1, block_size=4, head_dim=8),
    "Mamba": dict(**SIZES, state_size=8),
    "RecurrentGemma": dict(**SIZES, **HEADS, lru_width=32, attention_window_size=16),
}
PROMPTS = ("the film", "a warm and funny story about", "nobody")


def network(tiny, kind: str) -> torch.nn.Module:
    config = getattr(transformers, f"{kind}Config")(**SETTINGS[kind])
    return tiny.moved(getattr(transformers, f"{kind}ForCausalLM")(config), 3, 0.3).eval()


def assert_texts_are_those_of_generate(model, words):
    texts = sample(model, words, Continuations(PROMPTS, n_samples=1, max_new_tokens=8, temperature=0))
    for row in texts.itertuples():
        ids = torch.tensor([words(row.prompt)["input_ids"]])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
        assert row.prompt + row.continuation == words.decode(whole[0], skip_special_tokens=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Bamba", "FalconH1", "Mamba"])
def test_greedy_texts_of_models_with_a_state_are_those_of_generate(tiny, kind):
    model = network(tiny, kind)
    assert has_cache(model)
    assert_texts_are_those_of_generate(model, tiny.tokenizer())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["MiniMax", "RecurrentGemma"])
def test_where_the_cache_cannot_be_continued_each_token_reads_the_whole_text(tiny, kind):
    model = network(tiny, kind)
    with pytest.warns(UserWarning, match=rf"^sample\(\): {kind}ForCausalLM cannot go on from its cache, so"):
        assert_texts_are_those_of_generate(model, tiny.tokenizer())


def test_an_ensemble_of_such_models_is_refused_before_any_text(tiny):
    ends = [network(tiny, "MiniMax") for _ in range(2)]
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
