"""Nothing stale: what changes between two evaluations on one store is measured anew, value by value.

Each case is one in which version 0.1 served the first value for the second question.
"""

import json
import os
import re
import string
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.data.chat import chats
from lerpnb.data.corpus import Corpus
from lerpnb.evaluation.cache import Cache
from lerpnb.evaluation.loop import evaluate
from lerpnb.generation.continuations import Continuations
from lerpnb.merging.task_arithmetic import TaskArithmetic
from lerpnb.paths.line import Line
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.answers import Answers
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.base import FunctionProbe
from lerpnb.probes.loss import Loss
from lerpnb.probes.seq2seq import Seq2SeqLoss

SMALL = dict(vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
ENDS = dict(pad_token_id=2, bos_token_id=1, eos_token_id=1)


def values(line, probe, store) -> list[float]:
    return evaluate(line, [0.5], [probe], store=store, check=False).frame["value"].tolist()


def changed(make: Callable[[], tuple], change: Callable[[], object], store: Path) -> None:
    """Evaluate, change, evaluate: the second values are those without a store, and others than the first."""
    first = values(*make(), store)
    change()
    second = values(*make(), store)
    assert second == values(*make(), False) and second != first


def edit(folder: Path, file: str, **changes) -> None:
    text = (folder / file).read_text() if (folder / file).exists() else "{}"
    (folder / file).write_text(json.dumps(json.loads(text) | changes))


@pytest.fixture
def texts(tiny) -> Corpus:
    return Corpus(tuple(tiny.TEXTS[:6]), (0, 1) * 3, ("bad", "good"), "x")


# ---------------------------------------------------------------- the scorer


SCORERS = {
    "heads": ("config.json", dict(num_attention_heads=2)),
    "activation": ("config.json", dict(hidden_act="relu")),
    "norm": ("config.json", dict(layer_norm_eps=0.5)),
    "labels": ("config.json", dict(id2label={"0": "positive", "1": "negative"})),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", SCORERS.values(), ids=SCORERS)
def test_a_scorers_files(tiny, tiny_llama_pair, tmp_path, change):
    folder = tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer())
    line = Line(*tiny_llama_pair[1:], device="cpu")

    def make():
        options = dict(label="positive", perplexity_model=False, device="cpu", max_new_tokens=4)
        return line, AttributeStrength(folder, ["the film was", "nobody"], **options)

    changed(make, lambda: edit(folder, change[0], **change[1]), tmp_path / "store")


@pytest.mark.slow
def test_an_attributes_name(tiny, tiny_llama_pair, tmp_path):
    folder = tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer())
    line, options = Line(*tiny_llama_pair[1:], device="cpu"), dict(label="positive", perplexity_model=False)
    for name in ("", "other"):
        probe = AttributeStrength(folder, ["the film"], name=name, device="cpu", max_new_tokens=4, **options)
        curve = evaluate(line, [0.5], [probe], store=tmp_path / "store", check=False)
        assert all(quantity.endswith("(other)") == bool(name) for quantity in curve.quantities)
        assert any("other" in column for column in curve.samples.columns) == bool(name)


# ---------------------------------------------------------------- the ends


TOKENIZERS = {
    "truncation": dict(truncation_side="left"),
    "end of text": dict(eos_token="<pad>"),
    "length": dict(model_max_length=5),
    "padding": dict(padding_side="left"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", TOKENIZERS.values(), ids=TOKENIZERS)
def test_the_ends_tokenizer(tiny, texts, tmp_path, change):
    ends = tiny.trio(tiny.llama(), tmp_path / "ends")

    def make():
        return Line(*ends[1:], device="cpu"), own(lambda model, tokenizer: read(model, tokenizer))

    def read(model, tokenizer):
        """What an own probe sees of the tokenizer."""
        rows = tokenizer(list(texts.texts), padding=True, truncation=True, max_length=None)["input_ids"]
        return [float(sum(i * token for i, token in enumerate(row))) for row in rows] + [tokenizer.eos_token_id]

    def change_all():
        for end in ends:
            edit(end, "tokenizer_config.json", **change)

    if "truncation_side" in change:
        changed(lambda: (make()[0], Loss(texts, max_length=6)), change_all, tmp_path / "store")
    else:
        changed(make, change_all, tmp_path / "store")


def own(function):
    """A function as a probe whose values are stored."""
    return FunctionProbe("own", function, cache_key="1")


@pytest.mark.slow
def test_the_ends_chat_template_and_generation_config(tiny, tmp_path):
    ends = tiny.trio(tiny.llama(), tmp_path / "ends")

    def template(text: str) -> None:
        for end in ends:
            (end / "chat_template.jinja").write_text(text)

    def make():
        return Line(*ends[1:], device="cpu"), Answers(Continuations(chats(["the film"]), n_samples=8))

    def stops() -> None:
        for end in ends:
            edit(end, "generation_config.json", eos_token_id=list(range(1, 60)))

    template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    changed(make, stops, tmp_path / "store")
    measured = evaluate(*make()[:1], [0.5], [make()[1]], store=tmp_path / "store").provenance["measured"]
    template("nobody {{ messages[0]['content'] }}")
    again = evaluate(*make()[:1], [0.5], [make()[1]], store=tmp_path / "store").provenance["measured"]
    assert (measured, again) == (0, 1)


def t5(tiny, texts) -> tuple:
    return tiny.t5(), Seq2SeqLoss(texts), dict(decoder_start_token_id=7)


def xlnet(tiny, texts) -> tuple:
    config = XLNetConfig(vocab_size=100, d_model=32, n_layer=2, n_head=4, d_inner=48, num_labels=2, **ENDS)
    config.id2label = {0: "bad", 1: "good"}
    return XLNetForSequenceClassification(config), Accuracy(texts), dict(summary_type="first")


def gpt2(tiny, texts) -> tuple:
    config = GPT2Config(vocab_size=100, n_positions=128, n_embd=32, n_layer=2, n_head=4, num_labels=2, **ENDS)
    config.id2label = {0: "bad", 1: "good"}
    last = tiny.tokenizer()(tiny.TEXTS[0])["input_ids"][-1]
    return GPT2ForSequenceClassification(config), Accuracy(texts), dict(pad_token_id=last)


def phi(tiny, texts) -> tuple:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    rope |= {"original_max_position_embeddings": 64}
    config = Phi3Config(
        **SMALL,
        **ENDS | {"bos_token_id": None},
        num_key_value_heads=2,
        max_position_embeddings=128,
        rope_parameters=rope,
    )
    return Phi3ForCausalLM(config), Loss(texts), dict(max_position_embeddings=131072)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [t5, xlnet, gpt2, phi])
def test_the_ends_configuration(tiny, texts, tmp_path, kind):
    torch.manual_seed(0)
    model, probe, change = kind(tiny, texts)
    ends = [tiny.save(tiny.moved(model.eval(), s, 0.3), tmp_path / str(s), tiny.tokenizer()) for s in (1, 2)]

    def change_all():
        for end in ends:
            for file in ("config.json", *(["generation_config.json"] if kind is t5 else [])):
                edit(end, file, **change)

    changed(lambda: (Line(*ends, device="cpu"), probe), change_all, tmp_path / "store")


# ---------------------------------------------------------------- live models


class Half(LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        out = super().forward(*args, **kwargs)
        out.logits = out.logits / 2
        return out


def steer(model) -> None:
    model.model.layers[0].register_forward_hook(lambda module, given, out: out + 3.0)


def scale(model) -> None:
    for layer in model.model.layers:
        layer.self_attn.scaling = 5.0


def own_forward(model) -> None:
    model.__class__ = Half


@pytest.mark.slow
@pytest.mark.parametrize("change", [steer, scale, own_forward])
def test_a_live_model(tiny, texts, tmp_path, change):
    models = [tiny.llama(seed) for seed in (1, 2)]

    def make():
        return Line(*(Checkpoint.from_model(model, tiny.tokenizer()) for model in models), device="cpu"), Loss(texts)

    changed(make, lambda: [change(model) for model in models], tmp_path / "store")


# ---------------------------------------------------------------- one's own probes


def from_file(value: float) -> None:
    Path("threshold.txt").write_text(str(value))


def from_environment(value: float) -> None:
    os.environ["LERPNB_TEST_THRESHOLD"] = str(value)


def in_global(value: float) -> None:
    global THRESHOLD, FIND, BOUND, FILL
    THRESHOLD, FIND = value, re.compile("a" * int(value)).findall
    BOUND, FILL = {"a": value}.get, string.Template(str(value)).substitute


def in_module(value: float) -> None:
    sys.modules["lerpnb_test_module"] = types.SimpleNamespace(threshold=value)


def as_default(value: float) -> None:
    torch.set_default_dtype(torch.float64 if value == 2 else torch.float32)


OWN: dict[str, tuple[Callable, Callable[[float], None]]] = {
    "a file": (lambda model, tokenizer: float(Path("threshold.txt").read_text()), from_file),
    "the environment": (lambda model, tokenizer: float(os.environ["LERPNB_TEST_THRESHOLD"]), from_environment),
    "a compiled pattern": (lambda model, tokenizer: len(FIND("aaaaa")), in_global),
    "a bound method": (lambda model, tokenizer: BOUND("a"), in_global),
    "a library's bound method": (lambda model, tokenizer: float(FILL()), in_global),
    "globals()": (lambda model, tokenizer: float(globals()["THRESHOLD"]), in_global),
    "__import__": (lambda model, tokenizer: __import__("lerpnb_test_module").threshold, in_module),
    "a lambda over two lines": (
        lambda model, tokenizer: (  # its source has no one line
            THRESHOLD
        ),
        in_global,
    ),
    "the default dtype": (lambda model, tokenizer: torch.ones(1).element_size(), as_default),
}


@pytest.mark.slow
@pytest.mark.parametrize(("function", "put"), OWN.values(), ids=OWN)
def test_what_an_own_probe_reads(line, tmp_path, monkeypatch, function, put):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LERPNB_TEST_THRESHOLD", "")
    monkeypatch.setitem(sys.modules, "lerpnb_test_module", types.SimpleNamespace())
    put(1.0)
    try:
        changed(lambda: (line, function), lambda: put(2.0), tmp_path / "store")
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def line(tiny_llama_pair) -> Line:
    return Line(*tiny_llama_pair[1:], device="cpu")


@pytest.mark.slow
def test_an_own_probe_with_a_key_that_was_edited(line, tmp_path):
    """Its code and constants count, whatever its text; what its author's key vouches for does not."""
    one, same, two = (FunctionProbe("own", f, cache_key="k") for f in (lambda m, t: 1, lambda m, t: 1, lambda m, t: 2))
    inner = [FunctionProbe("own", f, cache_key="k") for f in (nested(1), nested(2))]
    found = [values(line, probe, tmp_path)[0] for probe in (one, same, two, *inner)]
    assert found == [1, 1, 2, 1, 2] and len(Cache(tmp_path)) == 4


def nested(n: int):
    if n == 1:
        return lambda model, tokenizer: (lambda: 1)()
    return lambda model, tokenizer: (lambda: 2)()


# ---------------------------------------------------------------- roles


@pytest.mark.slow
@pytest.mark.parametrize("role", ["alpha", "measured", "texts", "path", "environment"])
def test_a_role_that_is_called_like_a_part_of_the_key(tiny, tiny_llama_pair, texts, tmp_path, role):
    other = tiny.save(tiny.moved(tiny.llama(), 77), tmp_path / "other", tiny.tokenizer())
    models = [tiny_llama_pair.minus, other]

    def make():
        ends = {role: models[0], "beta": tiny_llama_pair.plus}
        return TaskArithmetic(tiny_llama_pair.base, ends, device="cpu"), Loss(texts)

    changed(make, models.reverse, tmp_path / "store")
