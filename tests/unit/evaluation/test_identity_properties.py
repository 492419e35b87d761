"""What is stored: for generated models, scorers, tokenizers, texts and options, a changed value has a changed key.

`LERPNB_EXAMPLES=2000 pytest tests/unit/evaluation/test_identity_properties.py` looks longer.
"""

import copy
import json
import os
import tempfile
from typing import Any

import pytest
import tiny_models as tiny
import torch
from hypothesis import HealthCheck, Phase, example, given, reject, settings
from hypothesis import strategies as st
from tokenizers import normalizers
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.chat import chats
from lerpnb.data.corpus import Corpus
from lerpnb.errors import LerpError
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.evaluator import Evaluator
from lerpnb.paths.line import Line
from lerpnb.probes.answers import Answers
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.kl import KL
from lerpnb.probes.loss import Loss

EXAMPLES = int(os.environ.get("LERPNB_EXAMPLES", "6"))
FOLDER = tempfile.TemporaryDirectory()
MODEL, SCORER, TOKENIZER = tiny.llama(), tiny.moved(tiny.classifier(), 1, 0.5), tiny.tokenizer()
TEXTS = ("the film was a slow thing", "nobody has read it", "a warm and funny story about two brothers")

# Of each kind what may be changed, and to what: configurations with the same weights, tokenizers, texts, options.
CHANGES: dict[str, dict[str, st.SearchStrategy]] = {
    "model": {
        "rms_norm_eps": st.sampled_from([1e-6, 1e-5, 1e-2]),
        "hidden_act": st.sampled_from(["silu", "gelu", "relu"]),
        "num_attention_heads": st.sampled_from([2, 4]),
        "max_position_embeddings": st.sampled_from([64, 128]),
        "attention_dropout": st.sampled_from([0.0, 0.1]),
        "use_cache": st.booleans(),
        "pad_token_id": st.sampled_from([None, 2]),
        "weight": st.sampled_from([0.0, 0.5]),
        "eos": st.sampled_from([1, 5]),
        "attention": st.sampled_from(["eager", "sdpa"]),
    },
    "tokenizer": {
        "padding_side": st.sampled_from(["left", "right"]),
        "truncation_side": st.sampled_from(["left", "right"]),
        "model_max_length": st.sampled_from([6, 1000]),
        "chat_template": st.sampled_from(
            ["{% for m in messages %}{{ m['content'] }}{% endfor %}", "the {{ messages }}"]
        ),
        "reads film as": st.sampled_from(["film", "story"]),
    },
    "scorer": {
        "layer_norm_eps": st.sampled_from([1e-12, 1e-2]),
        "hidden_act": st.sampled_from(["gelu", "relu"]),
        "num_attention_heads": st.sampled_from([2, 4]),
        "problem_type": st.sampled_from([None, "multi_label_classification", "regression"]),
        "id2label": st.sampled_from([{0: "negative", 1: "positive"}, {0: "positive", 1: "negative"}]),
        "weight": st.sampled_from([0.0, 0.5]),
        "padding_side": st.sampled_from(["left", "right"]),
    },
    "options": {
        "texts": st.permutations(TEXTS).map(tuple),
        "max_length": st.sampled_from([4, 6, 64]),
        "append_eos": st.booleans(),
        "batch_tokens": st.sampled_from([32, 1024]),
        "seed": st.integers(0, 2),
        "temperature": st.sampled_from([0.0, 0.7, 1.0]),
        "top_p": st.sampled_from([0.5, 0.9]),
        "max_new_tokens": st.sampled_from([3, 6]),
        "n_samples": st.sampled_from([1, 2]),
        "prompts": st.sampled_from([("the film",), ("nobody", "the film")]),
        "chat": st.booleans(),
        "system": st.sampled_from(["", "a warm"]),
        "activation": st.sampled_from([None, "sigmoid", "none"]),
        "label": st.sampled_from(["positive", 0]),
        "name": st.sampled_from(["", "other"]),
        "reverse": st.booleans(),
    },
}
CHANGE = st.fixed_dictionaries(
    {}, optional={kind: st.fixed_dictionaries({}, optional=fields) for kind, fields in CHANGES.items()}
)


def edited(model: Any, kind: Any, changes: dict[str, Any]) -> Any:
    """A model with the same weights under another configuration."""
    config = copy.deepcopy(model.config)
    for name, value in changes.items():
        if name not in ("weight", "eos", "attention", "padding_side"):
            setattr(config, name, value)
    if "attention" in changes:
        config._attn_implementation = changes["attention"]
    torch.manual_seed(0)
    made = kind.from_config(config).eval()
    shapes = {name: tensor.shape for name, tensor in made.state_dict().items()}
    made.load_state_dict({n: t for n, t in model.state_dict().items() if shapes.get(n) == t.shape}, strict=False)
    if changes.get("weight"):
        next(made.parameters()).data[5:9] += changes["weight"]
    if "eos" in changes:
        made.generation_config.eos_token_id = changes["eos"]
    return made.requires_grad_(False)


def measured(changes: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """{probe: (its values, its key)} in a world with these changes."""
    options = changes.get("options", {})
    words = copy.deepcopy(TOKENIZER)
    words.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    for name, value in changes.get("tokenizer", {}).items():
        if name == "reads film as":
            words.backend_tokenizer.normalizer = normalizers.Replace("film", value)
        else:
            setattr(words, name, value)
    ends = [Checkpoint.from_model(edited(MODEL, AutoModelForCausalLM, changes.get("model", {})), words)] * 2
    scorer_changes = changes.get("scorer", {})
    reading = copy.deepcopy(TOKENIZER)
    reading.padding_side = scorer_changes.get("padding_side", "right")
    scorer = tempfile.mkdtemp(dir=FOLDER.name)
    edited(SCORER, AutoModelForSequenceClassification, scorer_changes).save_pretrained(scorer)
    reading.save_pretrained(scorer)
    texts = options.get("texts", TEXTS)
    loss = {name: options[name] for name in ("max_length", "append_eos", "batch_tokens") if name in options}
    prompts = options.get("prompts", ("the film",))
    prompts = chats(prompts, options.get("system", "")) if options.get("chat") else prompts
    asked = ("seed", "temperature", "top_p", "max_new_tokens", "n_samples", "activation", "label", "name")
    asking = {"label": "positive", "max_new_tokens": 4, "n_samples": 1} | {n: options[n] for n in asked if n in options}
    strength = AttributeStrength(scorer, prompts, perplexity_model=False, device="cpu", **asking)
    corpus = Corpus(texts, (0,) * len(texts), ("x",), "x")
    probes = [
        Loss(corpus, **loss),
        strength,
        Answers(strength.continuations),
        KL(strength.continuations, ends[0], reverse=options.get("reverse", False)),
    ]
    line = Line(*ends, device="cpu")
    found = {}
    with tempfile.TemporaryDirectory() as store:
        evaluator, plain = Evaluator(line, probes, Cache(store)), Evaluator(line, probes, None)
        for i, probe in enumerate(probes):
            plain.probes = [probe]
            measures, samples = plain.point(0.0)
            values = {name: [m.values.round(5).tolist(), m.unit] for name, m in measures.items()}
            columns = [] if samples is None else samples.round(5).to_dict("list")
            key = json.dumps(evaluator._probe_key(probe, 0.0), sort_keys=True)
            found[str(i)] = json.dumps([values, columns], sort_keys=True), key
    return found


BASE = measured({})


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@example({"scorer": {"id2label": {0: "positive", 1: "negative"}}})
@example({"tokenizer": {"reads film as": "story"}})
@example({"model": {"eos": 5}})
@given(CHANGE)
def test_a_changed_value_has_a_changed_key(changes):
    try:
        found = measured(changes)
    except LerpError:  # refused, so that nothing is stored
        reject()
    for probe, (values, key) in found.items():
        assert values == BASE[probe][0] or key != BASE[probe][1], (probe, changes)


@pytest.mark.slow
def test_the_same_again_has_the_same_key_and_value():
    assert measured({}) == BASE
    harmless = measured({"options": {"batch_tokens": 32}, "scorer": {"padding_side": "left"}})
    assert [values for values, _ in harmless.values()] == [values for values, _ in BASE.values()]
