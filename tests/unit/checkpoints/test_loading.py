"""Two checkpoints that can be mixed, and every kind that cannot."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from lerpnb.checkpoints import checkpoint as checkpoint_module
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.loading import check_mixable, load_checkpoints, same_ties
from lerpnb.errors import AssetError, CheckpointError, MismatchError

ONE_BASE = "A line needs two fine-tunes of one base model."


@pytest.fixture
def no_load(monkeypatch):
    """Reading weights fails the test: what headers show is refused before."""

    def load(*args):
        raise AssertionError("weights were read")

    monkeypatch.setattr(checkpoint_module, "read_folder", load)


def load_line(minus, plus, base=None, call="Line(minus, plus)") -> tuple:
    """minus, plus and base, or None."""
    ends, base = load_checkpoints({"minus": minus, "plus": plus}, base, call=call)
    return (*ends.values(), base)


def refusal(call) -> str:
    with pytest.raises(MismatchError) as caught:
        call()
    return str(caught.value)


def edited(folder: Path, to: Path, file: str, **changes) -> Path:
    """A copy of a folder with fields of a JSON file changed."""
    shutil.copytree(folder, to)
    (to / file).write_text(json.dumps({**json.loads((to / file).read_text()), **changes}))
    return to


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["tiny_llama_pair", "tiny_gpt2_pair", "tiny_untied_pair", "tiny_half_pair"])
def test_two_fine_tunes_of_one_base_can_be_mixed(request, pair):
    base, minus, plus = request.getfixturevalue(pair)
    ends = load_line(minus, plus, base)
    assert [end.folder for end in ends] == [minus, plus, base]
    assert ends[0].tensors.keys() == ends[1].tensors.keys() == ends[2].tensors.keys()
    assert load_line(minus, plus)[2] is None


@pytest.mark.slow
def test_two_adapters_share_one_loaded_base(tiny_adapter_pair):
    base, minus, plus = tiny_adapter_pair
    for given in (None, base, str(base), Checkpoint.load(base), AutoModelForCausalLM.from_pretrained(base)):
        ends = load_line(minus, plus, given)
        assert ends[0].base is ends[1].base is ends[2]
        shared = [n for n, t in ends[2].tensors.items() if t.data_ptr() == ends[0].tensors[n].data_ptr()]
        assert len(shared) == 22 - 4
        assert shared == [n for n, t in ends[2].tensors.items() if t.data_ptr() == ends[1].tensors[n].data_ptr()]
    assert ends[2].folder is None  # the live model that was given last


def test_an_adapter_and_the_loaded_checkpoint_of_another_share_their_base(tiny_adapter_pair):
    minus = Checkpoint.load(tiny_adapter_pair.minus)
    ends = load_line(minus, tiny_adapter_pair.plus)
    assert ends[0] is minus and ends[1].base is ends[2] is minus.base


def test_an_adapter_can_meet_a_whole_model(tiny_adapter_pair):
    minus, plus, base = load_line(tiny_adapter_pair.minus, tiny_adapter_pair.base)
    assert (plus.base, base) == (None, None)
    assert minus.tensors.keys() == plus.tensors.keys()


def test_copies_of_one_base_are_one_base(tiny_adapter_pair, tmp_path):
    copied = Path(shutil.copytree(tiny_adapter_pair.base, tmp_path / "copy"))
    plus = edited(tiny_adapter_pair.plus, tmp_path / "plus", "adapter_config.json", base_model_name_or_path=str(copied))
    ends = load_line(tiny_adapter_pair.minus, plus)
    assert ends[0].base is ends[1].base is ends[2]


@pytest.mark.slow
def test_loaded_adapters_on_copies_of_one_base_have_it_as_base(tiny_adapter_pair):
    _, *ends = tiny_adapter_pair
    minus, plus = (Checkpoint.load(end) for end in ends)
    assert minus.base is not plus.base
    assert load_line(minus, plus)[2] is minus.base


def test_adapters_of_different_bases_are_refused(tiny, tiny_adapter_pair, tmp_path, no_load):
    other = tiny.save(tiny.llama(seed=1), tmp_path / "other", tiny.tokenizer())
    plus = tiny.adapter(other, tmp_path / "plus", 22)
    assert refusal(lambda: load_line(tiny_adapter_pair.minus, plus)) == (
        "Line(minus, plus): two adapters of different bases.\n"
        f"  minus: {tiny_adapter_pair.base}\n"
        f"  plus: {other}\n"
        f"{ONE_BASE} If both names mean the same weights, pass base=..."
    )


def test_loaded_adapters_of_different_bases_are_refused(tiny, tiny_adapter_pair):
    other = Checkpoint.from_model(tiny.llama(seed=1), tiny.tokenizer(), name="other")
    minus, plus = Checkpoint.load(tiny_adapter_pair.minus), Checkpoint.load(tiny_adapter_pair.plus, base=other)
    text = (
        "two adapters of different bases.\n"
        f"  minus: {tiny_adapter_pair.base}\n"
        "  plus: other\n"
        f"{ONE_BASE} If both names mean the same weights, pass base=..."
    )
    assert refusal(lambda: check_mixable(minus, plus)) == f"Line(minus, plus): {text}"
    assert refusal(lambda: load_line(minus, plus, call="Plane(a, b)")) == f"Plane(a, b): {text}"


def test_other_architectures_are_refused(tiny_llama_pair, tiny_gpt2_pair, no_load):
    assert refusal(lambda: load_line(tiny_llama_pair.minus, tiny_gpt2_pair.plus)) == (
        f"Line(minus, plus): other architectures.\n  architecture: minus llama, plus gpt2\n{ONE_BASE}"
    )


def test_other_live_architectures_are_refused(tiny):
    ends = [Checkpoint.from_model(model) for model in (tiny.llama(), tiny.gpt2())]
    assert refusal(lambda: check_mixable(*ends)) == (
        "Line(minus, plus): other architectures.\n"
        f"  architecture: minus LlamaForCausalLM, plus GPT2LMHeadModel\n{ONE_BASE}"
    )


def test_a_base_of_another_architecture_is_refused(tiny_llama_pair, tiny_gpt2_pair, no_load):
    assert refusal(lambda: load_line(tiny_llama_pair.minus, tiny_llama_pair.plus, tiny_gpt2_pair.base)) == (
        f"Line(minus, plus): other architectures.\n  architecture: base gpt2, minus llama\n{ONE_BASE}"
    )


def test_a_resized_vocabulary_is_refused(tiny, tiny_llama_pair, tmp_path, no_load):
    model = AutoModelForCausalLM.from_pretrained(tiny_llama_pair.plus)
    model.resize_token_embeddings(102)
    plus = tiny.save(model, tmp_path / "plus", tiny.tokenizer())
    assert refusal(lambda: load_line(tiny_llama_pair.minus, plus)) == (
        "Line(minus, plus): 1 of 20 tensors does not match.\n"
        "  model.embed_tokens.weight: minus (100, 32), plus (102, 32)\n"
        "The vocabulary was resized: minus 100, plus 102.\n"
        "Bring both to one size first: model.resize_token_embeddings(100)."
    )


def test_other_shapes_are_refused_three_at_most(tiny, tiny_llama_pair, tmp_path, no_load):
    model = tiny.llama()
    model.config.intermediate_size = 40
    plus = tiny.save(type(model)(model.config), tmp_path / "plus", tiny.tokenizer())
    assert refusal(lambda: load_line(tiny_llama_pair.minus, plus)) == (
        "Line(minus, plus): 6 of 20 tensors do not match.\n"
        "  model.layers.0.mlp.down_proj.weight: minus (32, 48), plus (32, 40)\n"
        "  model.layers.0.mlp.gate_proj.weight: minus (48, 32), plus (40, 32)\n"
        "  model.layers.0.mlp.up_proj.weight: minus (48, 32), plus (40, 32)\n"
        f"  and 3 more\n{ONE_BASE}"
    )


def test_other_names_are_refused(tiny):
    more = tiny.llama(biases=True)
    ends = Checkpoint.from_model(tiny.llama()), Checkpoint.from_model(more)
    assert refusal(lambda: check_mixable(*ends)) == (
        "Line(minus, plus): 8 of 30 tensors do not match.\n"
        "  model.layers.0.self_attn.q_proj.bias: minus absent, plus (32,)\n"
        "  model.layers.0.self_attn.k_proj.bias: minus absent, plus (16,)\n"
        "  model.layers.0.self_attn.v_proj.bias: minus absent, plus (16,)\n"
        f"  and 5 more\n{ONE_BASE}"
    )
    assert refusal(lambda: check_mixable(*ends[::-1], call="Line(a, b)", names=("a", "b"))).splitlines()[1] == (
        "  model.layers.0.self_attn.q_proj.bias: a (32,), b absent"
    )


def test_a_config_that_makes_another_network_is_refused(tiny_llama_pair, tmp_path, no_load):
    plus = edited(tiny_llama_pair.plus, tmp_path / "plus", "config.json", rms_norm_eps=1e-5, hidden_act="gelu")
    assert refusal(lambda: load_line(tiny_llama_pair.minus, plus)) == (
        "Line(minus, plus): their configurations differ.\n"
        "  hidden_act: minus silu, plus gelu\n"
        "  rms_norm_eps: minus 1e-06, plus 1e-05\n"
        f"One live model can follow only one. {ONE_BASE}"
    )


def test_live_models_of_other_configs_are_refused(tiny):
    other = tiny.llama()
    other.config.rms_norm_eps = 1e-5
    ends = Checkpoint.from_model(tiny.llama()), Checkpoint.from_model(other)
    assert refusal(lambda: check_mixable(*ends)) == (
        "Line(minus, plus): their configurations differ.\n"
        "  rms_norm_eps: minus 1e-06, plus 1e-05\n"
        f"One live model can follow only one. {ONE_BASE}"
    )


def test_a_config_that_makes_the_same_network_is_allowed(tiny_llama_pair, tmp_path):
    harmless = {"attention_dropout": 0.1, "use_cache": False, "eos_token_id": 2, "transformers_version": "4.40.0"}
    plus = edited(tiny_llama_pair.plus, tmp_path / "plus", "config.json", **harmless)
    assert load_line(tiny_llama_pair.minus, plus)[1].folder == plus


def retokenized(tokenizer: PreTrainedTokenizerFast, edit, **roles) -> PreTrainedTokenizerFast:
    """The tokenizer with its rules edited as JSON."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    edit(rules)
    roles = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<pad>", **roles}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(rules)), **roles)


def swap(rules: dict) -> None:
    vocabulary = rules["model"]["vocab"]
    vocabulary["e"], vocabulary["t"] = vocabulary["t"], vocabulary["e"]


def last_merges_reversed(rules: dict) -> None:
    rules["model"]["merges"][-2:] = rules["model"]["merges"][:-3:-1]


def no_space_in_front(rules: dict) -> None:
    rules["pre_tokenizer"]["prepend_scheme"] = "never"


def as_it_is(rules: dict) -> None:
    pass


@pytest.fixture
def with_tokenizer(tiny_llama_pair, tmp_path):
    """minus as it is, and plus with another tokenizer beside the same weights."""

    def build(tokenizer) -> tuple[Path, Path]:
        plus = Path(shutil.copytree(tiny_llama_pair.minus, tmp_path / "plus"))
        tokenizer.save_pretrained(plus)
        return tiny_llama_pair.minus, plus

    return build


def test_other_token_ids_are_refused(tiny, with_tokenizer, no_load):
    words = tiny.tokenizer()
    ends = with_tokenizer(retokenized(words, swap))
    e, t = (words.get_vocab()[letter] for letter in "et")
    assert refusal(lambda: load_line(*ends)) == (
        "Line(minus, plus): their tokenizers differ.\n"
        f"  token 'e': minus {e}, plus {t}\n"
        f"  token 't': minus {t}, plus {e}\n"
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_a_shorter_vocabulary_is_refused_three_tokens_named(tiny, with_tokenizer, no_load):
    lost = sorted(tiny.tokenizer().get_vocab().items(), key=lambda item: item[1])[90:]
    named = "".join(f"  token {token!r}: minus {at}, plus absent\n" for token, at in lost[:3])
    assert refusal(lambda: load_line(*with_tokenizer(tiny.tokenizer(size=90)))) == (
        f"Line(minus, plus): their tokenizers differ.\n{named}  and 7 more\n"
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_other_merges_are_refused(tiny, with_tokenizer, no_load):
    merges = json.loads(tiny.tokenizer().backend_tokenizer.to_str())["model"]["merges"]
    ends = with_tokenizer(retokenized(tiny.tokenizer(), last_merges_reversed))
    assert refusal(lambda: load_line(*ends)) == (
        "Line(minus, plus): their tokenizers differ.\n"
        f"  merge {len(merges) - 1}: minus {merges[-2]!r}, plus {merges[-1]!r}\n"
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_other_ends_of_text_are_refused(tiny, with_tokenizer, no_load):
    ends = with_tokenizer(retokenized(tiny.tokenizer(), as_it_is, eos_token="<pad>"))
    assert refusal(lambda: load_line(*ends)) == (
        "Line(minus, plus): their tokenizers differ.\n"
        "  eos_token: minus '<eos>', plus '<pad>'\n"
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_other_special_tokens_are_refused(tiny, with_tokenizer, no_load):
    other = tiny.tokenizer()
    other.add_special_tokens({"additional_special_tokens": ["th"]})
    assert "th" in tiny.tokenizer().get_vocab()
    assert refusal(lambda: load_line(*with_tokenizer(other))) == (
        "Line(minus, plus): their tokenizers differ.\n"
        "  'th': special in plus only\n"
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_other_ways_to_cut_a_text_are_refused(tiny, with_tokenizer, no_load):
    assert refusal(lambda: load_line(*with_tokenizer(retokenized(tiny.tokenizer(), no_space_in_front)))) == (
        "Line(minus, plus): their tokenizers differ.\n"
        '  "The film wasn\'t good"...: 49 ids in minus, 48 in plus, not equal\n'
        "Save both with the tokenizer of their base: tokenizer.save_pretrained(folder)."
    )


def test_another_padding_token_is_allowed(tiny, with_tokenizer):
    minus, plus, _ = load_line(*with_tokenizer(retokenized(tiny.tokenizer(), as_it_is, pad_token="<eos>")))
    assert (minus.tokenizer.pad_token, plus.tokenizer.pad_token) == ("<pad>", "<eos>")


def test_a_base_may_lack_a_padding_token_that_both_ends_added(tiny, tiny_adapter_pair, tmp_path):
    words = tiny.tokenizer()
    words.add_special_tokens({"pad_token": "[PAD]"})
    ends = []
    for end in tiny_adapter_pair[1:]:
        ends.append(Path(shutil.copytree(end, tmp_path / end.name)))
        words.save_pretrained(ends[-1])
    assert load_line(*ends)[2].folder == tiny_adapter_pair.base


@pytest.mark.slow
def test_integer_buffers_that_differ_are_refused(tiny):
    def end(name: str, value: list[int]) -> Checkpoint:
        model = copy.deepcopy(tiny.llama())
        model.register_buffer(name, torch.tensor(value))
        return Checkpoint.from_model(model)

    assert check_mixable(end("steps", [3, 4, 5]), end("steps", [3, 4, 5]))
    text = "Line(minus, plus): integer buffers differ, and they cannot be mixed.\n"
    assert refusal(lambda: check_mixable(end("steps", [3, 4, 5]), end("steps", [3, 0, 0]))) == (
        f"{text}  steps: 2 of 3 values differ\n{ONE_BASE}"
    )
    assert refusal(lambda: check_mixable(end("steps", [3, 4, 5]), end("steps", [3]))) == (
        f"{text}  steps: minus (3,), plus (1,)\n{ONE_BASE}"
    )
    assert refusal(lambda: check_mixable(end("steps", [3]), end("other", [3]))) == (
        f"{text}  steps: minus (1,), plus absent\n  other: minus absent, plus (1,)\n{ONE_BASE}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("tied_first", [True, False])
def test_a_tied_and_an_untied_head_meet_untied(tiny_llama_pair, tiny_untied_pair, tied_first):
    folders = (tiny_llama_pair.minus, tiny_untied_pair.plus)
    minus, plus, _ = load_line(*(folders if tied_first else folders[::-1]))
    tied, untied = (minus, plus) if tied_first else (plus, minus)
    assert (minus.tied, plus.tied) == ({}, {})
    assert minus.tensors.keys() == plus.tensors.keys()
    head, embedding = "lm_head.weight", "model.embed_tokens.weight"
    assert tied.tensors[head].data_ptr() == tied.tensors[embedding].data_ptr()

    live = minus.new_model()
    with torch.no_grad():
        for name, parameter in live.named_parameters():
            parameter.copy_(torch.lerp(minus.tensors[name], plus.tensors[name], 0.25))
    share = 0.75 if tied_first else 0.25
    expected = share * tied.tensors[embedding] + (1 - share) * untied.tensors[head]
    assert torch.allclose(live.lm_head.weight, expected, atol=1e-7)
    expected = share * tied.tensors[embedding] + (1 - share) * untied.tensors[embedding]
    assert torch.allclose(live.model.embed_tokens.weight, expected, atol=1e-7)
    assert (live.lm_head.weight - live.model.embed_tokens.weight).abs().max() > 0.01


@pytest.mark.slow
def test_a_tied_base_is_untied_with_untied_ends(tiny_llama_pair, tiny_untied_pair):
    minus, plus, base = load_line(tiny_untied_pair.minus, tiny_untied_pair.plus, tiny_llama_pair.base)
    assert minus.tensors.keys() == plus.tensors.keys() == base.tensors.keys()
    minus, plus, base = load_line(tiny_llama_pair.minus, tiny_llama_pair.plus, tiny_untied_pair.base)
    assert minus.tensors.keys() == plus.tensors.keys() == base.tensors.keys()
    assert "lm_head.weight" in minus.tensors


def test_the_same_ties_change_nothing(tiny_llama_pair):
    ends = [Checkpoint.load(folder) for folder in tiny_llama_pair]
    assert all(a is b for a, b in zip(same_ties(*ends), ends, strict=True))


def test_live_models_and_names_mix(tiny, tiny_llama_pair):
    live = AutoModelForCausalLM.from_pretrained(tiny_llama_pair.plus)
    minus, plus, base = load_line(tiny_llama_pair.minus, live, Checkpoint.load(tiny_llama_pair.base))
    assert plus.tensors["model.norm.weight"].data_ptr() == live.model.norm.weight.data_ptr()
    assert plus.folder is None and plus.tokenizer is None
    assert base.folder == tiny_llama_pair.base


def test_one_folder_twice_is_loaded_once(tiny_llama_pair):
    minus, plus, base = load_line(*[tiny_llama_pair.minus] * 3)
    assert minus is plus is base


def test_errors_of_a_single_end_pass_through(tiny_llama_pair, tmp_path):
    with pytest.raises(AssetError):
        load_line(tiny_llama_pair.minus, tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError):
        load_line(tmp_path / "empty", tiny_llama_pair.plus)
