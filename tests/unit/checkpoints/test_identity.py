"""What a stored value depends on: whatever changes a value changes the identity, or nothing is stored."""

import copy
import functools
import subprocess
import sys

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import LlamaForCausalLM

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.identity import UnstorableError, environment, identity_of
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.base import ScalarPath
from lerpnb.paths.line import Line
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.attribute import AttributeStrength
from lerpnb.probes.base import stored_as
from lerpnb.probes.curvature import Sharpness
from lerpnb.probes.loss import Loss

CORPUS = Corpus(("the film was slow", "a warm and funny story"), (0, 1), ("bad", "good"), "all")


def setting(owner: str, name: str, value):
    """A change of one attribute of a model, by its path from there."""
    return lambda model, words: setattr(functools.reduce(getattr, owner.split("."), model), name, value)


def words_setting(name: str, value):
    return lambda model, words: setattr(words, name, value)


def adds_a_token(model, words):
    words.backend_tokenizer.post_processor = TemplateProcessing(single="<unk> $A", special_tokens=[("<unk>", 0)])


CHANGES = {
    "configuration": setting("config", "rms_norm_eps", 0.5),
    "activation": setting("config", "hidden_act", "gelu"),
    "heads": setting("config", "num_attention_heads", 2),
    "positions": setting("config", "max_position_embeddings", 64),
    "padding of the model": setting("config", "pad_token_id", 5),
    "summary": setting("config", "summary_type", "first"),
    "first token of a decoder": setting("config", "decoder_start_token_id", 7),
    "attention": lambda model, words: model.set_attn_implementation("eager"),
    "generation": setting("generation_config", "eos_token_id", 3),
    "a scaling set by hand": lambda model, words: setattr(model.model.layers[0].self_attn, "scaling", 9.0),
    "an activation set by hand": lambda model, words: setattr(model.model.layers[0].mlp, "act_fn", torch.nn.GELU()),
    "a weight": lambda model, words: model.lm_head.weight.data.mul_(1.001),
    "training mode of dropout": lambda model, words: setattr(model.model, "norm", torch.nn.Dropout(0.5)),
    "truncation": words_setting("truncation_side", "left"),
    "padding": words_setting("padding_side", "left"),
    "length": words_setting("model_max_length", 5),
    "chat template": words_setting("chat_template", "{{ messages }}"),
    "end-of-text token": words_setting("eos_token", "<pad>"),
    "a token before each text": adds_a_token,
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_a_value_changes_the_identity(tiny, change):
    model, words = tiny.llama(1), tiny.tokenizer()
    assert (
        Checkpoint.from_model(model, words).identity == Checkpoint.from_model(tiny.llama(1), tiny.tokenizer()).identity
    )
    before = Checkpoint.from_model(copy.deepcopy(model), copy.deepcopy(words)).identity
    change(model, words)
    assert Checkpoint.from_model(model, words).identity != before


class OwnForward(LlamaForCausalLM):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


def own_class(model):
    model.__class__ = OwnForward


UNKNOWN = {
    "hook": lambda model: model.model.register_forward_hook(lambda module, given, found: None),
    "class": own_class,
    "function": lambda model: setattr(model.model.layers[0].mlp, "gate", lambda x: x),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("live", [False, True])
def test_what_cannot_be_told_is_measured_and_never_stored(tiny, tmp_path, capsys, change, live):
    ends = [tiny.llama(1), tiny.llama(2)]
    for end in () if live else ends:
        change(end)
    line = Line(*(Checkpoint.from_model(end, tiny.tokenizer()) for end in ends), device="cpu")
    if live:
        change(line.model)
    curve = evaluate(line, [0.0], [Loss(CORPUS)], store=tmp_path)
    assert curve.provenance["measured"] == 1 and not [*tmp_path.glob("points/*/*")]
    assert "store: nothing is kept, because of " in capsys.readouterr().out


@pytest.mark.slow
def test_the_paths_own_tokenizer_counts_though_it_may_be_the_bases(tiny):
    ends = [Checkpoint.from_model(tiny.llama(seed)) for seed in (1, 2)]
    base = Checkpoint.from_model(tiny.llama(), tiny.tokenizer())
    line = Line(*ends, base, device="cpu")
    before = line.identity()
    line.tokenizer.truncation_side = "left"
    assert line.identity() != before


def test_a_replaced_forward_is_seen(tiny, monkeypatch):
    model = tiny.llama()
    monkeypatch.setattr(type(model.model.norm), "forward", lambda self, x: x)
    with pytest.raises(UnstorableError, match="LlamaRMSNorm.forward, which was replaced"):
        identity_of(model)


@pytest.mark.slow
def test_weights_that_were_trained_on_are_refused(tiny, tmp_path):
    live = tiny.llama(1)
    line = Line(*(Checkpoint.from_model(m, tiny.tokenizer()) for m in (live, tiny.llama(2))), device="cpu")
    evaluate(line, [0.0], [Loss(CORPUS)], store=tmp_path)
    live.lm_head.weight.data.add_(1e-3)  # torch does not count a write through .data
    with pytest.raises(CheckpointError) as error:
        evaluate(line, [0.0], [Loss(CORPUS)], store=tmp_path)
    assert str(error.value) == (
        "Checkpoint 'model': its weights were written to after it was made, by further training say.\n"
        "Make the checkpoint anew, and the paths on it."
    )


@pytest.mark.slow
def test_where_files_lie_and_what_was_done_before_is_harmless(tiny, tmp_path):
    words = tiny.tokenizer()
    words.model_max_length = 50
    folders = [tiny.save(tiny.llama(1), tmp_path / name, words) for name in ("one", "two")]
    fresh, used = (Checkpoint.load(folder) for folder in folders)
    assert (fresh.config.name_or_path, fresh.tokenizer.name_or_path) != (used.config.name_or_path, "")
    used.tokenizer(["the film", "nobody"], padding=True, truncation=True, max_length=2)
    used.tokenizer("the film " * 900)  # longer than the model: a warning, shown once
    used.model.generate(**used.tokenizer("the film", return_tensors="pt"), max_new_tokens=2)
    assert fresh.identity == used.identity
    losses = [Loss(CORPUS).measure(one.model, one.tokenizer)["loss/all"].values.tolist() for one in (fresh, used)]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_another_process_finds_the_same(tiny, tmp_path):
    folder = tiny.save(tiny.llama(1), tmp_path / "one", tiny.tokenizer())
    code = f"from lerpnb.checkpoints.checkpoint import Checkpoint; print(Checkpoint.load({str(folder)!r}).identity)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert found == Checkpoint.load(folder).identity + "\n"


def test_the_default_dtype_is_part_of_the_environment(monkeypatch):
    before = environment()
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
    assert environment() != before and {"lerpnb", "torch", "transformers", "tokenizers"} <= before.keys()


SCORER = {
    "heads": lambda c: setattr(c.model.config, "num_attention_heads", 2),
    "activation": lambda c: setattr(c.model.config, "hidden_act", "relu"),
    "norm": lambda c: setattr(c.model.config, "layer_norm_eps", 0.1),
    "padding": lambda c: setattr(c.tokenizer, "padding_side", "left"),
    "weight": lambda c: c.model.classifier.weight.data.mul_(2),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", SCORER.values(), ids=SCORER)
def test_a_scorer_is_its_whole_state(tiny, tmp_path, change):
    folder = tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer())
    one, other = (AttributeStrength(folder, ["the film"], label="positive", perplexity_model=False) for _ in range(2))
    assert stored_as(one) == stored_as(other)
    change(other.classifier)
    assert stored_as(one) != stored_as(other)
    renamed = AttributeStrength(folder, ["the film"], label="positive", perplexity_model=False, name="b")
    assert stored_as(one) != stored_as(renamed)


@pytest.mark.parametrize(
    ("probe", "changes"),
    [
        (Loss, dict(name="b", max_length=9, append_eos=True)),
        (Accuracy, dict(name="b", max_length=9)),
        (Sharpness, dict(name="b", max_length=9, k=2, n_samples=3, tol=0.5, vectors=9, max_products=9, seed=1)),
    ],
)
def test_every_setting_of_a_probe_counts(probe, changes):
    keys = [str(stored_as(probe(CORPUS, **({name: value})))) for name, value in changes.items()]
    assert len({str(stored_as(probe(CORPUS))), *keys}) == 1 + len(changes)
    assert stored_as(type("Mine", (Loss,), {})(CORPUS)) is None  # a class of one's own


@pytest.mark.slow
def test_roles_have_a_place_of_their_own_and_an_own_path_needs_a_kind(tiny, tmp_path):
    class Sum(ScalarPath):
        kind = "sum"

        def coefficients(self, point):
            return point, 1 - point

    class Nameless(Sum):
        pass

    def path(kind, *roles):
        ends = (Checkpoint.from_model(tiny.llama(seed), tiny.tokenizer()) for seed in (1, 2))
        return kind(dict(zip(roles, ends, strict=True)), device="cpu")

    odd = path(Sum, "alpha", "measured")
    assert evaluate(odd, [0, 1], [Loss(CORPUS)], store=tmp_path).provenance["measured"] == 2
    again = evaluate(odd, [0, 1], [Loss(CORPUS)], store=tmp_path)
    assert again.provenance["from_store"] == 2 and len({*again.value("loss/all")}) == 2
    with pytest.raises(UnstorableError, match="Nameless, a path of your own without a kind"):
        path(Nameless, "texts", "path").identity()
