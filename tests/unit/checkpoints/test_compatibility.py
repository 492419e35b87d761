"""Configurations and vocabularies: what cannot change a value is let pass, what can is refused or follows its end."""

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GPT2ForSequenceClassification,
    LlamaConfig,
    Phi3Config,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from lerpnb.checkpoints.compatibility import network
from lerpnb.errors import MismatchError
from lerpnb.paths.line import Line

IDS = torch.arange(3, 33).view(2, 15)


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(input_ids=IDS).logits


def with_fields(model, **fields):
    """A copy of the model whose configuration has other fields; "text_config.x" is a field of the inner one."""
    model = copy.deepcopy(model)
    for name, value in fields.items():
        *parts, field = name.split(".")
        config = model.config
        for part in parts:
            config = getattr(config, part)
        setattr(config, field, value)
    return model


def refusal(minus, plus) -> str:
    with pytest.raises(MismatchError) as caught:
        Line(minus, plus, device="cpu")
    return str(caught.value).splitlines()[1].strip()


LONG = dict(short_factor=[1.0] * 4, long_factor=[2.0] * 4, original_max_position_embeddings=64)
ROPES = {"longrope": (Phi3Config, LONG), "dynamic": (LlamaConfig, {"factor": 2.0})}


@pytest.mark.parametrize("kind", ROPES)
def test_a_text_length_that_rotary_embeddings_compute_with_is_compared(kind):
    of, settings = ROPES[kind]
    rope = {"rope_type": kind, "rope_theta": 1e4, "partial_rotary_factor": 1.0, **settings}
    sizes = dict(hidden_size=32, num_attention_heads=4, pad_token_id=0, original_max_position_embeddings=64)
    short, long = (of(rope_parameters=dict(rope), max_position_embeddings=n, **sizes) for n in (64, 4096))
    assert network(short) != network(long)


def test_a_text_length_that_is_only_a_limit_may_differ(tiny):
    one = tiny.network("llama")
    line = Line(one, with_fields(tiny.moved(one, 3), max_position_embeddings=4096), device="cpu")
    assert torch.equal(logits(line.at(1.0)), logits(tiny.moved(one, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"pad_token_id": 5}, {"bos_token_id": 5}, {"use_cache": False}, {"layerdrop": 0.1}])
def test_what_a_language_model_does_not_read_may_differ(tiny, fields):
    assert Line(tiny.llama(), with_fields(tiny.llama(), **fields), device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("field", ["decoder_start_token_id", "pad_token_id"])
def test_the_tokens_that_shift_a_seq2seq_models_labels_are_compared(tiny, field):
    assert refusal(tiny.t5(), with_fields(tiny.t5(), **{field: 5})) == f"{field}: minus 2, plus 5"


def test_the_padding_that_a_classifier_reads_is_compared(tiny):
    config = copy.deepcopy(tiny.gpt2().config)
    config.pad_token_id = 2
    one = GPT2ForSequenceClassification(config)
    assert refusal(one, with_fields(one, pad_token_id=5)) == "pad_token_id: minus 2, plus 5"
    sizes = dict(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    two = RobertaForSequenceClassification(RobertaConfig(**sizes))  # it counts positions from the padding
    assert refusal(two, with_fields(two, pad_token_id=5)) == "pad_token_id: minus 1, plus 5"


def test_inner_configurations_are_compared_field_by_field():
    from transformers import Gemma3Config

    def fields(**text) -> dict:
        return network(Gemma3Config(text_config={"hidden_size": 32, **text}))

    assert fields() == fields(use_cache=False) == fields(pad_token_id=5) == fields(attention_dropout=0.5)
    other = fields(rms_norm_eps=1e-3)
    odd = [name for name in fields() if fields()[name] != other[name]]
    assert odd == ["text_config.rms_norm_eps"]


def test_a_field_that_sounds_harmless_and_is_not_is_compared():
    from transformers import EsmConfig, XLNetConfig

    assert network(EsmConfig(token_dropout=True)) != network(EsmConfig(token_dropout=False))
    assert network(XLNetConfig(summary_type="last")) != network(XLNetConfig(summary_type="first"))


def test_texts_that_end_with_other_tokens_are_refused(tiny, tiny_llama_pair, tmp_path):
    plus = tiny.save(tiny.llama(), tmp_path / "plus", tiny.tokenizer())
    (plus / "generation_config.json").write_text('{"eos_token_id": [1, 7]}')
    assert refusal(tiny_llama_pair.minus, plus) == "eos_token_id: minus [1], plus [1, 7]"


@pytest.mark.slow
def test_a_saved_end_generates_as_that_end_does(tiny, tmp_path):
    words, ends = tiny.tokenizer(), []
    for name, settings in (("minus", {"temperature": 0.5}), ("plus", {"top_k": 7, "repetition_penalty": 1.5})):
        model = with_fields(tiny.moved(tiny.llama(), len(name)), pad_token_id=len(ends))
        model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=len(ends), do_sample=True, **settings)
        words.pad_token = words.convert_ids_to_tokens(len(ends))
        ends.append(tiny.save(model, tmp_path / name, words))
    line = Line(*ends, device="cpu")
    for alpha, end in enumerate(ends):
        saved = line.save(alpha, tmp_path / f"saved-{alpha}")
        found, wanted = (GenerationConfig.from_pretrained(folder).to_dict() for folder in (saved, end))
        assert found == wanted
        assert AutoTokenizer.from_pretrained(saved).pad_token == AutoTokenizer.from_pretrained(end).pad_token
        assert json.loads((saved / "config.json").read_text())["pad_token_id"] == alpha
        a, b = (AutoModelForCausalLM.from_pretrained(folder) for folder in (saved, end))
        torch.manual_seed(0)
        expected = b.generate(IDS, max_new_tokens=5)
        torch.manual_seed(0)
        assert torch.equal(a.generate(IDS, max_new_tokens=5), expected)


@pytest.fixture
def padded(tiny, tmp_path) -> Path:
    """A fine-tune of tiny's Llama whose vocabulary is padded from 100 to 128, with the same tokenizer."""
    model = tiny.moved(tiny.llama(), 5)
    model.resize_token_embeddings(pad_to_multiple_of=64)
    assert model.config.vocab_size == 128
    return tiny.save(model, tmp_path / "padded", tiny.tokenizer())


@pytest.mark.slow
def test_a_padded_vocabulary_is_cut_to_the_others(tiny, tiny_llama_pair, padded, capsys):
    for ends, alpha in (((tiny_llama_pair.minus, padded), 1.0), ((padded, tiny_llama_pair.minus), 0.0)):
        line = Line(*ends, tiny_llama_pair.base, device="cpu")
        assert "has 128 rows of embeddings; those from 100 on, padding, are left out." in capsys.readouterr().out
        assert torch.allclose(logits(line.at(alpha)), logits(tiny.moved(tiny.llama(), 5)), atol=1e-6)
        assert line.model.config.vocab_size == 100 and line.model.lm_head.weight is line.model.model.embed_tokens.weight


def test_a_vocabulary_that_a_tokenizer_reaches_stays_refused(tiny, tiny_llama_pair, padded):
    words = tiny.tokenizer()
    words.add_tokens(["<new>"])
    words.save_pretrained(padded)
    assert "minus (100, 32), plus (128, 32)" in refusal(tiny_llama_pair.minus, padded)
