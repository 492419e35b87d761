"""Cached passes: models that keep a state are sampled as `generate` does it, or refused before any text is written."""

import pytest
import torch
import transformers
from transformers import LlamaForCausalLM

from lerpnb.errors import ProbeError
from lerpnb.generation.cached_pass import check_cache
from lerpnb.generation.continuations import Continuations
from lerpnb.generation.decoder import Decoder
from lerpnb.generation.sampling import sample

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


@pytest.mark.parametrize("kind", ["Bamba", "FalconH1"])
def test_greedy_texts_of_hybrid_models_are_those_of_generate(tiny, kind):
    model, words = network(tiny, kind), tiny.tokenizer()
    texts = sample(model, words, Continuations(PROMPTS, n_samples=1, max_new_tokens=8, temperature=0))
    for row in texts.itertuples():
        ids = torch.tensor([words(row.prompt)["input_ids"]])
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
        assert row.prompt + row.continuation == words.decode(whole[0], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("MiniMax", "sample(): the cache of MiniMaxForCausalLM cannot be reordered."),
        ("Mamba", "sample(): MambaForCausalLM keeps no key-value cache."),
        ("RecurrentGemma", "sample(): RecurrentGemmaForCausalLM keeps no key-value cache."),
    ],
)
def test_a_state_that_cannot_be_reordered_is_refused_before_any_text(tiny, kind, reason):
    with pytest.raises(ProbeError) as error:
        Decoder(network(tiny, kind), tiny.tokenizer(), Continuations(PROMPTS))
    assert str(error.value).startswith(reason) and str(error.value).endswith("\nIts texts cannot be sampled here.")


class Forgetful(LlamaForCausalLM):
    """A Llama that ignores what its cache holds."""

    def forward(self, input_ids, past_key_values=None, **options):
        output = super().forward(input_ids, **{**options, "position_ids": None})
        return output


def test_a_cache_that_is_not_continued_is_refused(tiny):
    model = Forgetful(tiny.llama().config).eval()
    tiny_moved = tiny.moved(model, 3, 0.3)
    with pytest.raises(ProbeError, match=r"^sample\(\): Forgetful continues from its cache with logits that are "):
        check_cache(tiny_moved)


def test_the_check_is_made_once_a_model_and_weights_without_numbers_conclude_nothing(tiny):
    model, calls = tiny.llama(), []
    model.register_forward_hook(lambda *args: calls.append(1))
    kept = model.lm_head.weight.detach().clone()
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    check_cache(model)
    with torch.no_grad():
        model.lm_head.weight.copy_(kept)
    for passes in (6, 6):
        check_cache(model)
        assert len(calls) == passes
