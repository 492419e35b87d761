"""The notebooks, and parameters by which each runs at a tiny size."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from transformers import BertConfig, BertForSequenceClassification

from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {
    path.relative_to(FOLDER).with_suffix("").as_posix(): path
    for path in sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("studies/*.ipynb")])
}


@pytest.fixture
def tiny_parameters(tiny, tmp_path, tiny_llama_pair, tiny_adapter_pair, monkeypatch) -> dict[str, dict]:
    """Of every notebook, for one test, with a store of its own."""
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "store"))
    return parameters_in(tmp_path, tiny, tiny_llama_pair[0], tiny_adapter_pair)


def parameters_in(folder: Path, tiny, llama: Path, adapters: tuple[Path, Path, Path]) -> dict[str, dict]:
    """Of every notebook; what they read and what they write lies in the folder.

    Random models and a random scorer: with these seeds its scores of the two ends differ, and no run has to warn.
    """
    texts = pd.DataFrame({"text": [f"{text} {i}" for i in range(25) for text in tiny.TEXTS]})
    texts["label"] = ["negative", "positive"] * (len(texts) // 2)
    texts.to_csv(folder / "texts.csv")
    (folder / "prompts.txt").write_text("the film\nnobody\na good cast\n")
    base, minus, plus = map(str, adapters)
    for seed in (0, 1):
        points = {a: {"loss/x": Measurement([a, a + seed]), "strength/y": Measurement([a, a])} for a in (0.0, 0.5, 1.0)}
        run = Curve.from_measures(points).save(folder / "compared" / f"seed{seed}")
        (run / "run.json").write_text(json.dumps({"status": "done", "parameters": {"seed": seed}}))
    classifier = str(tiny.save(tiny.classifier(), folder / "scorer", tiny.tokenizer()))
    encoder = str(tiny.save(tiny.classifier().bert, folder / "encoder", tiny.tokenizer()))
    data, prompts = {"data": str(folder / "texts.csv")}, {"prompts": str(folder / "prompts.txt")}
    line = {"minus": minus, "plus": plus, "base": base, "device": "cpu"}
    measured = line | data | prompts | {"classifier": classifier}
    asked = {"base": str(shutil.copytree(base, folder / "chat")), "aligned": plus, "device": "cpu"}
    (folder / "chat" / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }} {% endfor %}")
    config = BertConfig(
        vocab_size=100, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_labels=1
    )
    config.problem_type = "regression"
    asked |= {"reward": str(tiny.save(BertForSequenceClassification(config), folder / "reward", tiny.tokenizer()))}
    (folder / "docs.jsonl").write_text('{"text": "the film was", "endings": ["slow", "lovely"], "right": 1}\n' * 3)
    task = (FOLDER.parent / "data" / "tasks" / "everyday.yaml").read_text().replace("everyday.jsonl", "docs.jsonl")
    (folder / "everyday.yaml").write_text(task)
    trained = {"fine_tuning": {"steps": 2, "batch_size": 4}, "n_texts": 4, "n_points": 3, "device": "cpu"}
    trained |= {"pretrain_data": data["data"], "pretraining": {"steps": 2, "width": 16, "layers": 2}}
    trained |= {"cache": str(folder / "made")}
    second = {"second_minus": plus, "second_plus": minus, "second_classifier": classifier, "second_label": "negative"}
    return {
        "00_quickstart": measured
        | {"n_texts": 4, "n_prompts": 2, "sampling": {"n_samples": 1}, "to": str(folder / "saved")},
        "01_fine_tune": data | {"base": str(llama), "steps": 2, "batch_size": 4, "out": str(folder / "adapter")},
        "02_interpolate": measured
        | {"n_points": 4, "n_texts": 6, "n_prompts": 3, "sampling": {"n_samples": 2, "max_new_tokens": 5}}
        | {"seed": 17, "tol": 0.05},
        "08_compare_runs": {"runs": str(folder / "compared"), "rule": "strongest"},
        "03_explore": line
        | {"prompt": "the film was", "another": "nobody", "n_points": 4, "sampling": {"max_new_tokens": 12}},
        "04_loss_landscape": measured
        | {"n_texts": 3, "n_points": 30, "n_strength": 2, "n_prompts": 2, "sampling": {"max_new_tokens": 4}}
        | {"random_directions": {"n": 2, "n_alphas": 4}},
        "06_merging_methods": measured
        | {"n_texts": 4, "n_prompts": 2, "sampling": {"n_samples": 1, "max_new_tokens": 8}, "rounds": 1}
        | {"seed": 5},
        "studies/linear_connectivity": data
        | trained
        | {"classifier": classifier, "n_prompts": 2, "sampling": {"n_samples": 1, "max_new_tokens": 4}}
        | {"seed": 3},
        "studies/other_models": data | trained | line | {"encoder": encoder, "classifier_training": {"steps": 2}},
        "studies/backdoor_defence": data
        | {"base": encoder, "max_texts": 12, "n_clean": 4, "n_texts": 6, "epochs": 1.0, "tune_epochs": 1.0}
        | {"n_points": 3, "n_tokens": 5, "device": "cpu", "save": str(folder / "fine_tunes")},
        "studies/plausibility": line
        | {"n_scenarios": 2, "n_points": 3, "control": False, "keep": str(folder / "fine_tunes")},
        "studies/controllers": {"base": base, "device": "cpu", "n_texts": 12, "n_states": 2, "n_starts": 2}
        | {"fine_tuning": {"rank": 2}, "duration": 2, "n_points": 3, "keep": str(folder / "made")},
        "studies/flat_loss": data
        | prompts
        | {"minus": minus, "base": base, "classifier": classifier, "device": "cpu", "n_train": 8, "n_texts": 3}
        | {"fine_tuning": {"rank": 2}, "n_prompts": 3, "sampling": {"n_samples": 2, "max_new_tokens": 5}, "seed": 17}
        | {"n_points": 3, "keep": str(folder / "made")},
        "09_alignment": asked
        | data
        | prompts
        | {"task": str(folder / "everyday.yaml"), "n_prompts": 2, "n_pairs": 4}
        | {"sampling": {"n_samples": 1, "max_new_tokens": 4}},
        "05_curvature": line | data | {"n_points": 4, "n_texts": 3, "n_hessian": 2, "n_samples": 2},
        "07_several_attributes": prompts
        | {"first_minus": minus, "first_plus": plus, "first_classifier": classifier, "base": base, "device": "cpu"}
        | second
        | {"n_prompts": 3, "sampling": {"n_samples": 2, "max_new_tokens": 5}},
    }
