"""A point as an adapter: peft's logits are the point's, its weights to 1e-6; what has no such form is refused."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import lerpnb as ln
from lerpnb.checkpoints.low_rank import LowRank
from lerpnb.errors import CheckpointError
from lerpnb.paths.trajectory import Trajectory

IDS = torch.arange(1, 9).unsqueeze(0)


def by_peft(base: Path, folder: Path) -> torch.nn.Module:
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).eval()


@torch.inference_mode()
def same_logits(path, point, base: Path, folder: Path) -> bool:
    return torch.allclose(by_peft(base, folder)(IDS).logits, path.at(point)(IDS).logits, rtol=1e-5, atol=1e-5)


def same_weights(path, point, base: Path, folder: Path) -> bool:
    again = ln.Checkpoint.load(folder, base)
    live = path.at(point).named_parameters()
    return all((again.tensors[name] - tensor).abs().max() <= 1e-6 * max(1, tensor.abs().max()) for name, tensor in live)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("pair", ["tiny_adapter_pair", "tiny_gpt2_adapter_pair"])
def test_peft_gives_the_logits_of_the_point(pair, alpha, request, tmp_path):
    trio = request.getfixturevalue(pair)
    line = ln.Line(trio.minus, trio.plus, device="cpu")
    folder = line.save(alpha, tmp_path / "point", as_adapter=True)
    assert same_logits(line, alpha, trio.base, folder) and same_weights(line, alpha, trio.base, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["r"] == settings["lora_alpha"] == (4 if alpha in (0, 1) else 8)
    assert settings["base_model_name_or_path"] == str(trio.base) and settings["task_type"] == "CAUSAL_LM"


OTHERS = [
    {"r": 2, "lora_alpha": 7, "target_modules": ["q_proj", "up_proj"]},
    {"r": 3, "use_rslora": True},
    {"r": 4, "rank_pattern": {"layers.1.self_attn.q_proj": 6}, "alpha_pattern": {"v_proj": 1}},
    {"target_modules": ["embed_tokens", "o_proj"]},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", OTHERS)
def test_other_ranks_scalings_and_layers(settings, tiny_adapter_pair, tiny, tmp_path):
    base, minus, _ = tiny_adapter_pair
    other = tiny.adapter(base, tmp_path / "other", 5, settings, with_embeddings=False)
    line = ln.Line(minus, other, device="cpu")
    folder = line.save(0.4, tmp_path / "point", as_adapter=True)
    assert same_logits(line, 0.4, base, folder) and same_weights(line, 0.4, base, folder)
    loaded = ln.Checkpoint.load(folder, base).weights
    both = ({name for name, w in end.weights.items() if isinstance(w, LowRank)} for end in (line.minus, line.plus))
    assert {name for name, weight in loaded.items() if isinstance(weight, LowRank)} == set.union(*both)


@pytest.mark.slow
def test_several_adapters_a_part_of_a_line_and_half_precision(tiny_adapter_pair, tmp_path):
    base, minus, plus = tiny_adapter_pair
    run = Trajectory([minus, plus, base], base, device="cpu")
    assert same_weights(run, 1.5, base, run.save(1.5, tmp_path / "run", as_adapter=True))
    some = ln.paths.LayerwiseLine(minus, plus, kinds="attention q", rest=0.2, device="cpu")
    assert same_weights(some, 0.7, base, some.save(0.7, tmp_path / "some", as_adapter=True))
    half = run.save(0.5, tmp_path / "half", dtype="bfloat16", as_adapter=True)
    assert ln.Checkpoint.load(half, base).stored_dtypes == {"bfloat16"}


@pytest.mark.slow
def test_on_a_base_in_half_precision(tiny, tmp_path):
    base = tiny.save(tiny.llama(), tmp_path / "base", tiny.tokenizer(), torch.bfloat16)
    minus, plus = (tiny.adapter(base, tmp_path / str(seed), seed) for seed in (1, 2))
    line = ln.Line(minus, plus, device="cpu")
    assert same_weights(line, 0.3, base, line.save(0.3, tmp_path / "point", as_adapter=True))


@pytest.mark.slow
def test_a_folder_is_replaced_only_where_it_is_an_adapter(tiny_adapter_pair, tmp_path):
    line = ln.Line(tiny_adapter_pair.minus, tiny_adapter_pair.plus, device="cpu")
    folder = line.save(0.5, tmp_path / "point", as_adapter=True)
    with pytest.raises(CheckpointError, match="files are there already"):
        line.save(0.4, folder, as_adapter=True)
    assert same_weights(line, 0.4, tiny_adapter_pair.base, line.save(0.4, folder, as_adapter=True, overwrite=True))
    whole = line.save(0.5, tmp_path / "whole")
    with pytest.raises(CheckpointError, match="it has no adapter_config.json"):
        line.save(0.5, whole, as_adapter=True, overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"use_dora": True}, {"bias": "lora_only", "target_modules": ["q_proj"]}, {"modules_to_save": ["lm_head"]}],
)
def test_an_adapter_that_is_more_than_low_rank_is_refused(settings, tiny, tmp_path):
    base = tiny.save(tiny.llama(tied=False, biases=True), tmp_path / "base", tiny.tokenizer())
    minus, plus = tiny.adapter(base, tmp_path / "minus", 1), tiny.adapter(base, tmp_path / "plus", 2, settings)
    with pytest.raises(CheckpointError, match="tensors are no low-rank change of the base's"):
        ln.Line(minus, plus, device="cpu").save(0.5, tmp_path / "point", as_adapter=True)
    assert not (tmp_path / "point").exists()


@pytest.mark.slow
def test_what_is_no_point_between_adapters_is_refused(tiny_llama_pair, tiny_adapter_pair, tmp_path):
    base, minus, plus = tiny_llama_pair
    adapters = {"one": tiny_adapter_pair.minus, "two": tiny_adapter_pair.plus}
    for path, point, text in (
        (ln.Line(minus, plus, device="cpu"), 0.5, "no sum of LoRA adapters on one base"),
        (ln.Line(minus, plus, base, device="cpu"), 0.5, "tensors are no low-rank change of the base's"),
        (ln.Simplex(adapters, affine=False, device="cpu"), (0.5, 0.6), "tensors are no low-rank change of the base's"),
        (ln.merging.RandomMask(*adapters.values(), device="cpu"), 0.5, "no sum of LoRA adapters on one base"),
        (
            ln.merging.TaskArithmetic(tiny_adapter_pair.base, adapters, device="cpu"),
            0.0,
            "the point is the base itself",
        ),
    ):
        with pytest.raises(CheckpointError, match=text):
            path.save(point, tmp_path / "point", as_adapter=True)
