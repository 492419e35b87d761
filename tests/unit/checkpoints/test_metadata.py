"""What is refused before any weight is read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.errors import CheckpointError


@pytest.fixture
def folder(tiny_llama_pair, tmp_path) -> Path:
    """A whole checkpoint that the test may damage."""
    return Path(shutil.copytree(tiny_llama_pair.minus, tmp_path / "model"))


@pytest.fixture
def adapter(tiny_adapter_pair, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_adapter_pair.minus, tmp_path / "adapter"))


def refusal(name: Path, base: Path | None = None) -> str:
    """The error's text, less the call that starts it."""
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(name, base)
    call = f"Checkpoint.load({str(name)!r}): "
    assert str(caught.value).startswith(call)
    return str(caught.value).removeprefix(call)


def edit(file: Path, **changes) -> None:
    """Set fields of a JSON file; None removes one."""
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))


class Trap:
    """Unpickling one makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


CONVERT = "Convert it once where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)."


def test_a_header_knows_shapes_dtypes_and_tokenizer_without_weights(tiny_half_pair):
    header = CheckpointMetadata.read(tiny_half_pair.minus)
    assert header.shapes["model.embed_tokens.weight"] == (100, 32)
    assert header.shapes["model.layers.1.mlp.down_proj.weight"] == (32, 48)
    assert len(header.shapes) == 20  # two layers of nine, the embedding and the last norm; the head is the embedding
    assert header.dtypes == {"bfloat16"}
    assert header.config.num_hidden_layers == 2
    assert len(header.tokenizer) == 100


def test_a_pickle_is_refused_and_never_opened(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    torch.save(Trap(tmp_path / "opened"), folder / "pytorch_model.bin")
    assert (
        refusal(folder) == f"only pickled weights, and opening a pickle can run code.\n  pytorch_model.bin\n{CONVERT}"
    )
    assert not (tmp_path / "opened").exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "opened").exists()  # the trap works


def test_four_pickles_are_three_names(folder):
    (folder / "model.safetensors").unlink()
    for n in range(4):
        (folder / f"pytorch_model-{n}.bin").touch()
    assert refusal(folder) == (
        "only pickled weights, and opening a pickle can run code.\n"
        "  pytorch_model-0.bin\n  pytorch_model-1.bin\n  pytorch_model-2.bin\n  and 1 more\n" + CONVERT
    )


def test_a_pickle_beside_safetensors_is_left_alone(folder, tmp_path):
    torch.save(Trap(tmp_path / "opened"), folder / "pytorch_model.bin")
    Checkpoint.load(folder)
    assert not (tmp_path / "opened").exists()


def test_a_pickled_adapter_is_refused(adapter, tmp_path):
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(Trap(tmp_path / "opened"), adapter / "adapter_model.bin")
    assert refusal(adapter) == (
        "only pickled weights, and opening a pickle can run code.\n  adapter_model.bin\n"
        "Convert it once where you trust it: PeftModel.from_pretrained(base, ...).save_pretrained(to)."
    )
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.ckpt"])
def test_a_pickle_file_is_refused(tmp_path, name):
    torch.save(Trap(tmp_path / "opened"), tmp_path / name)
    assert refusal(tmp_path / name) == (
        f"a single file.\n  {name} is a pickle, and opening one can run code.\n{CONVERT}"
    )
    assert not (tmp_path / "opened").exists()


def test_a_single_safetensors_file_is_refused(folder):
    assert refusal(folder / "model.safetensors") == (
        "a single file.\nName the folder that holds it, with config.json and the tokenizer beside it."
    )


def test_a_truncated_file_is_refused(folder):
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert refusal(folder) == (
        f"model.safetensors ({len(whole) - 100:,} bytes) is truncated or corrupt: "
        "Error while deserializing header: incomplete metadata, file not fully covered\nCopy or download it again."
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "header too small"), (b"version https://git-lfs.github.com/spec/v1\noid", "header too large")],
)
def test_a_file_that_is_no_safetensors_is_refused(folder, content, why):
    (folder / "model.safetensors").write_bytes(content)
    assert refusal(folder) == (
        f"model.safetensors ({len(content)} bytes) is truncated or corrupt: "
        f"Error while deserializing header: {why}\nCopy or download it again."
    )


def test_missing_shards_are_named(tiny, tmp_path):
    folder = tiny.save(tiny.llama(), tmp_path / "shards", tiny.tokenizer(), max_shard_size="15KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) == 6
    for shard in shards[1:5]:
        shard.unlink()
    assert refusal(folder) == (
        "4 of 6 shards are missing.\n"
        "  model-00002-of-00006.safetensors\n"
        "  model-00003-of-00006.safetensors\n"
        "  model-00004-of-00006.safetensors\n"
        "  and 1 more\nCopy or download the folder again."
    )
    for shard in (shards[1], shards[2], shards[3]):
        save_file({"x": torch.zeros(1)}, shard)
    assert refusal(folder) == (
        "1 of 6 shards is missing.\n  model-00005-of-00006.safetensors\nCopy or download the folder again."
    )


def test_an_index_that_is_no_json_is_refused(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{")
    assert refusal(folder) == (
        "model.safetensors.index.json cannot be read: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)\nCopy or download the folder again."
    )


def test_a_folder_without_weights_or_config_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == "no model.safetensors in the folder.\nA checkpoint is what save_pretrained writes."
    (folder / "config.json").unlink()
    assert refusal(folder) == (
        "no config.json in the folder.\n"
        "A checkpoint is what save_pretrained writes: config.json, *.safetensors and the tokenizer's files."
    )


def test_a_config_that_is_no_json_is_refused(folder):
    (folder / "config.json").write_text("{")
    assert refusal(folder) == (
        "its config.json cannot be read: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
        "Save or download the checkpoint again."
    )


@pytest.mark.parametrize("content", ["[1]", '"llama"', "3", "null"])
def test_a_config_that_is_no_object_is_refused(folder, adapter, content):
    kind = type(json.loads(content)).__name__
    for where, file, what in ((folder, "config.json", "checkpoint"), (adapter, "adapter_config.json", "adapter")):
        (where / file).write_text(content)
        assert refusal(where) == (
            f"its {file} cannot be read: it holds a {kind}, expected an object\nSave or download the {what} again."
        )


def test_code_inside_a_checkpoint_is_never_run(folder, tmp_path):
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass C: pass\n"
    (folder / "modeling_x.py").write_text(code)
    edit(folder / "config.json", model_type="x", auto_map={"AutoConfig": "modeling_x.C"})
    assert refusal(folder) == (
        "transformers has no architecture 'x'.\n"
        "Code inside a checkpoint is never run; a newer transformers may know it."
    )
    edit(folder / "config.json", model_type="llama", auto_map={"AutoModelForCausalLM": "modeling_x.C"})
    Checkpoint.load(folder)  # transformers' own Llama
    assert not (tmp_path / "ran").exists()


def test_quantized_weights_are_refused(folder):
    edit(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    assert refusal(folder) == (
        "quantized weights (gptq), expected float ones.\n"
        "Save the model dequantized first: model.dequantize().save_pretrained(folder)."
    )


def test_weights_stored_as_integers_are_refused(folder):
    save_file({"model.embed_tokens.weight": torch.zeros(100, 32, dtype=torch.int8)}, folder / "model.safetensors")
    assert refusal(folder) == (
        "weights stored as I8, expected float64, float32, float16, bfloat16.\nSave the model dequantized first."
    )


def test_an_adapter_of_another_kind_is_refused(adapter):
    edit(adapter / "adapter_config.json", peft_type="PROMPT_TUNING")
    assert refusal(adapter) == (
        "a PEFT adapter of type 'PROMPT_TUNING', expected one that peft merges into the weights, such as 'LORA'.\n"
        "Merge it into its base first: PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(folder)."
    )


@pytest.mark.parametrize(("key", "value"), [("layer_replication", [[0, 2], [1, 2]]), ("alora_invocation_tokens", [3])])
def test_an_adapter_that_is_no_change_of_the_weights_is_refused(adapter, key, value):
    edit(adapter / "adapter_config.json", **{key: value})
    assert refusal(adapter) == (
        f"an adapter with {key}, which no change of the base's weights equals.\n"
        "Train it without, or compare whole models."
    )


def test_an_adapter_whose_base_is_absent_asks_for_it(adapter, tmp_path, tiny_adapter_pair):
    absent = str(tmp_path / "absent")
    edit(adapter / "adapter_config.json", base_model_name_or_path=absent)
    assert refusal(adapter) == (
        f"its base {absent!r}, named in adapter_config.json, is not here.\n"
        "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."
    )
    edit(adapter / "adapter_config.json", base_model_name_or_path=None)
    assert refusal(adapter) == (
        "an adapter, and its adapter_config.json names no base.\n"
        "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."
    )
    assert Checkpoint.load(adapter, base=tiny_adapter_pair.base).base.folder == tiny_adapter_pair.base


def test_a_broken_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{")
    assert refusal(folder).endswith("\nSave it again beside the model: tokenizer.save_pretrained(folder).")


def test_a_folder_without_a_tokenizer_has_none(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert Checkpoint.load(folder).tokenizer is None


def test_counters_among_the_tensors_are_no_weights(tiny, tmp_path):
    """MiniLM's files hold BERT's position_ids, int64: an integer buffer, and no sign of quantized weights."""
    folder = tiny.save(tiny.classifier().bert, tmp_path / "encoder", None)
    tensors = load_file(folder / "model.safetensors") | {"embeddings.position_ids": torch.arange(512)[None]}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert CheckpointMetadata.read(folder).dtypes == {"float32"}
    assert Checkpoint.load(folder).architecture == "BertModel"
