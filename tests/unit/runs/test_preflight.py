"""What is refused of a notebook's parameters before any weight is read."""

import json
import re
import time
from pathlib import Path

import pytest

from lerpnb import assets
from lerpnb.errors import RunError
from lerpnb.runs import preflight
from lerpnb.runs.spec import prepare

KINDS = {"minus": "ModelPath", "plus": "ModelPath", "base": "ModelPath", "perplexity_model": "JudgePath"}
KINDS |= {"classifier": "ClassifierPath", "label": "str", "data": "CorpusPath", "prompts": "PromptsPath"}
KINDS |= {"data_options": "dict", "labels": "dict", "device": "str", "dtype": "str", "lo": "float", "hi": "float"}


@pytest.fixture
def good(tmp_path) -> dict:
    """Parameters that pass; every model is its configuration alone."""
    models = {"llama": {"model_type": "llama", "hidden_size": 8, "architectures": ["LlamaForCausalLM"]}}
    models["wide"] = models["llama"] | {"hidden_size": 16}
    models["scorer"] = {"model_type": "bert", "id2label": {"0": "SAD", "1": "GLAD"}, "architectures": ["BertModel"]}
    for name, config in models.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "adapter").mkdir()
    adapter = {"base_model_name_or_path": str(tmp_path / "llama")}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    rows = [f"text {i},{'sad' if i % 2 else 'glad'}" for i in range(60)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "bare.csv").write_text("\n".join(rows))
    (tmp_path / "prompts.txt").write_text("The film\n")
    (tmp_path / "empty.txt").write_text("\n\n")
    good = {"minus": "llama", "plus": "adapter", "base": "llama", "perplexity_model": "", "classifier": "scorer"}
    good |= {"label": "glad", "data": "texts.csv", "prompts": "prompts.txt", "device": "auto", "dtype": "float32"}
    options = {"text_column": "text", "label_column": "label", "whole": False}
    return good | {"data_options": options, "labels": {"minus": ["sad"]}, "lo": -1.0, "hi": 2.0}


def refused(values: dict, folder: Path) -> str:
    with pytest.raises(RunError) as error:
        preflight.check(values, KINDS, folder, "run", folder)
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label": "happy"}, "classifier: the classifier 'scorer' has no label 'happy'.\nIt has: SAD, GLAD."),
        ({"lo": 2.0, "hi": 1.0}, "lo, hi: alpha_grid(2, 1, 2): expected lo below hi"),
        ({"prompts": "empty.txt"}, "prompts: load_prompts(): no prompts in empty.txt."),
        ({"data": "bare.csv"}, "no column 'text'.\nIt has: text 0, glad."),
        (
            {"data_options": {"text_column": "label", "label_column": "text"}},
            "They look swapped: give text='text', label='label'.",
        ),
        ({"labels": {"minus": ["sad"], "plus": ["fine"]}}, "data: Corpus.only('fine'): no such label."),
        ({"device": "tpu"}, "device: no device 'tpu'.\nIt is auto, cpu, mps, cuda"),
        ({"dtype": "int8"}, "dtype: no dtype 'int8'.\nIt is one of: auto, float32"),
        ({"plus": "wide"}, "minus (llama) has hidden_size 8, plus (wide) has 16.\nAll must come from one model"),
        ({"base": "all-minilm-l6-v2"}, "base is still the demo's. All must come from one model: -p base NAME, or"),
        ({"perplexity_model": "scorer"}, "'scorer' is a BertModel, which predicts no next token."),
        ({"minus": "."}, "'.' holds neither config.json nor adapter_config.json."),
        ({"minus": "some/model"}, "no folder 'some/model' here, nor in the hub's cache, and no hub answers."),
        ({"minus": "a b"}, "no folder 'a b' here, and no hub id: "),
    ],
)
def test_what_can_be_known_without_weights_is_refused(good, tmp_path, given, said):
    preflight.check(good, KINDS, tmp_path, "run", tmp_path)
    assert said in refused(good | given, tmp_path)


def test_all_that_is_wrong_is_said_at_once(good, tmp_path):
    message = refused(good | {"label": "happy", "lo": 3.0, "device": "tpu"}, tmp_path)
    assert all(f"{name}: " in message for name in ("classifier", "lo, hi", "device"))


def test_a_gpu_that_is_not_there_is_refused(good, tmp_path, monkeypatch):
    for torch, cards, said in (
        ("2.13.0+cpu", ["0"], "torch 2.13.0+cpu on Linux has no cuda."),
        ("2.13.0", [], "no GPU is seen here for 'cuda': nvidia-smi lists none."),
        ("2.13.0", ["0"], ""),
        ("2.13.0+rocm7", [], ""),
    ):
        monkeypatch.setattr(preflight.importlib.metadata, "version", lambda _, torch=torch: torch)
        monkeypatch.setattr(preflight, "graphics_cards", lambda cards=cards: cards)
        monkeypatch.setattr(preflight.platform, "system", lambda: "Linux")
        if said:
            assert said in refused(good | {"device": "cuda"}, tmp_path)
        else:
            preflight.check(good | {"device": "cuda"}, KINDS, tmp_path, "run", tmp_path)


def test_a_disk_without_room_is_refused(good, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "ROOM", 1e18)
    assert re.search(r"run: \d+ MB are free at .*, less than", refused(good, tmp_path))


def test_a_notebook_checks_its_own_names(good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    preflight.check_parameters(good | {"__annotations__": KINDS, "other": 3})
    with pytest.raises(RunError, match=r"check_parameters\(\): classifier: .* no label 'happy'"):
        preflight.check_parameters(good | {"__annotations__": KINDS, "label": "happy"})


@pytest.mark.slow
def test_the_demo_notebooks_pass_within_three_seconds_each(monkeypatch):
    monkeypatch.setattr(assets, "hub_answers", lambda: False)
    for name in ("00_quickstart", "02_interpolate", "07_several_attributes", "linear_connectivity"):
        spec, started = prepare(name), time.process_time()
        preflight.check(spec.values, spec.kinds, Path(spec.notebook).parent, spec.call, Path(spec.to))
        assert time.process_time() - started < 3
