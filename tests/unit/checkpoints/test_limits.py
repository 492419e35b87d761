"""Limits: positions and embeddings are what a model itself can read; what is beyond them is refused."""

import pytest
import torch
import transformers

from lerpnb.checkpoints.limits import check_ids, check_vocabulary, position_limit
from lerpnb.errors import ProbeError

SMALL = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
SMALL |= dict(pad_token_id=1, max_position_embeddings=16)
KINDS = {
    "Bert": ("BertForSequenceClassification", {}, 16),
    "Roberta": ("RobertaForSequenceClassification", {}, 14),
    "XLMRoberta": ("XLMRobertaForSequenceClassification", {}, 14),
    "GPT2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 16}, 16),
    "OPT": ("OPTForCausalLM", {"ffn_dim": 48, "word_embed_proj_dim": 32}, 16),
    "DistilBert": (
        "DistilBertForSequenceClassification",
        {"dim": 32, "hidden_dim": 48, "n_layers": 1, "n_heads": 4},
        16,
    ),
    "Bloom": ("BloomForCausalLM", {"n_layer": 1, "n_head": 4}, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_is_where_transformers_ends(kind):
    name, settings, limit = KINDS[kind]
    given = {} if kind == "GPT2" else SMALL
    if kind == "Bloom":
        given = {key: value for key, value in SMALL.items() if key != "max_position_embeddings"}
    config = getattr(transformers, f"{kind}Config")(**{"vocab_size": 64, **given, **settings})
    model = getattr(transformers, name)(config).eval()
    assert position_limit(model) == limit
    ids = torch.arange(3, 3 + (limit or 40))[None]
    model(input_ids=ids)
    if limit:
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.arange(3, 4 + limit)[None])
        with pytest.raises(ProbeError, match=f"a text of {limit + 1} tokens, but the model has {limit} positions"):
            check_ids(model, [[3] * (limit + 1)], "probe")
        with pytest.raises(ProbeError, match=f"{limit - 3} tokens and 4 new ones"):
            check_ids(model, [[3] * (limit - 3)], "probe", new_tokens=4)
    check_ids(model, [ids[0].tolist(), [63]], "probe")


def test_an_id_beyond_the_embedding_is_refused(tiny):
    model = tiny.llama()
    size = model.get_input_embeddings().weight.shape[0]
    check_vocabulary(model, size - 1, "probe")
    with pytest.raises(ProbeError, match=f"token id {size}, but the model's embedding has {size} rows"):
        check_ids(model, [[1, 2], [3, size]], "probe")
