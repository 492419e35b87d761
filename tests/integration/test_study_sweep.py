"""The sweeps over SST: what they ask for, and their whole path on tiny models and files in SST's format."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

from lerpnb.results.curve import Curve
from lerpnb.runs.sweeps.config import read_sweep
from lerpnb.runs.sweeps.scheduler import sweep

SWEEPS = Path(__file__).parents[2] / "data" / "sweeps"
SWEEP = SWEEPS / "gpt2_large_sst.yaml"
LABELS = ("very negative", "negative", "neutral", "positive", "very positive")


def test_it_asks_for_what_the_field_uses():
    (spec,) = read_sweep(SWEEP).specs
    asked = spec.parameters
    assert spec.name == "gpt2_large_sst-seed0" and asked["base"].endswith("gpt2-large")
    assert (asked["lo"], asked["hi"], asked["n_points"]) == (-3.0, 4.0, 37) and asked["n_prompts"] >= 1000
    assert asked["labels"]["minus"] + asked["labels"]["plus"] == [label for label in LABELS if label != "neutral"]
    assert [asked["fine_tuning"][key] for key in ("epochs", "steps", "max_length")] == [3.0, 0, 128]


def test_the_other_models_are_asked_for_at_the_same_size():
    (spec,), (line,) = read_sweep(SWEEPS / "other_models_sst.yaml").specs, read_sweep(SWEEP).specs
    assert Path(spec.notebook).stem == "other_models" and spec.parameters["data"] == line.parameters["data"]
    assert spec.parameters["fine_tuning"]["epochs"] == line.parameters["fine_tuning"]["epochs"]


def sst(tiny, file: Path) -> Path:
    """A file as SetFit/sst5 has them: text, an integer label, and its name; 30 sentences a label."""
    rows = [
        {"text": f"{LABELS[label].split()[-1]} {i} , {text} .", "label": label, "label_text": LABELS[label]}
        for i in range(6)
        for text in tiny.TEXTS[:5]
        for label in range(5)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def as_the_hub_has_it(folder: Path) -> Path:
    """A GPT-2 as old files have it: tensors without `transformer.`, and a causal mask in each layer."""
    tensors = {
        name.removeprefix("transformer."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name != "lm_head.weight"
    }
    tensors |= {f"h.{i}.attn.bias": tensors["wte.weight"].new_ones(1, 1, 128, 128).tril() for i in range(2)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def swept(name: str, tiny, folder: Path, **given) -> Curve:
    """The curve of a sweep's one run at a tiny size."""
    told = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text(encoding="utf-8"))
    told["parameters"] |= given | {
        "data": str(sst(tiny, folder / "sst.jsonl")),
        "n_texts": 4,
        "n_points": 5,
        "fine_tuning": told["parameters"]["fine_tuning"] | {"max_length": 32, "epochs": 1.0},
        "cache": str(folder / "made"),
        "device": "cpu",
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    done = sweep(folder / f"{name}.yaml", folder / "runs")
    assert done["status"].tolist() == ["done"], done["why"].tolist()
    return Curve.load(folder / "runs" / f"{name}-seed0")


@pytest.mark.slow
def test_its_whole_path_on_a_tiny_gpt2(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "store"))
    curve = swept(
        "gpt2_large_sst",
        tiny,
        tmp_path,
        base=str(as_the_hub_has_it(tiny.save(tiny.gpt2(), tmp_path / "gpt2", tiny.tokenizer()))),
        classifier=str(tiny.save(tiny.classifier(("NEGATIVE", "POSITIVE")), tmp_path / "scorer", tiny.tokenizer())),
        n_prompts=6,
        sampling={"n_samples": 2, "max_new_tokens": 4},
    )
    assert len(curve.alphas) == 7 and {-3.0, 0.0, 1.0, 4.0} <= set(curve.alphas)  # 0 and 1 join the 5
    conditions = ["fine-tuned", "same texts, two seeds", "3 x as long", "10 x the learning rate", "LoRA"]
    conditions += ["from scratch, one start", "from scratch, two starts"]
    assert {"strength/POSITIVE", *(f"loss/{name}" for name in conditions)} <= set(curve.quantities)
    assert len(curve.samples) == 7 * 6 * 2 and "barrier/loss/from scratch, two starts" in curve.summary()
    assert np.isfinite(curve.value("loss/fine-tuned")).all()
    again = sweep(tmp_path / "gpt2_large_sst.yaml", tmp_path / "runs")
    assert again["status"].tolist() == ["skipped"]
