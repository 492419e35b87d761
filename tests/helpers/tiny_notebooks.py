"""The notebooks, and parameters by which each runs at a tiny size."""

import json
from pathlib import Path

import pandas as pd
import pytest

from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {
    path.relative_to(FOLDER).with_suffix("").as_posix(): path
    for path in sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("studies/*.ipynb")])
}


@pytest.fixture
def tiny_parameters(tiny, tmp_path, tiny_llama_pair, tiny_adapter_pair, monkeypatch) -> dict[str, dict]:
    monkeypatch.setenv("LERPNB_STORE", str(tmp_path / "store"))
    texts = pd.DataFrame({"text": [f"{text} {i}" for i in range(25) for text in tiny.TEXTS]})
    texts["label"] = ["negative", "positive"] * (len(texts) // 2)
    texts.to_csv(tmp_path / "texts.csv")
    (tmp_path / "prompts.txt").write_text("the film\nnobody\na good cast\n")
    base, minus, plus = map(str, tiny_adapter_pair)
    for seed in (0, 1):
        points = {a: {"loss/x": Measurement([a, a + seed]), "strength/y": Measurement([a, a])} for a in (0.0, 0.5, 1.0)}
        folder = Curve.from_measures(points).save(tmp_path / "compared" / f"seed{seed}")
        (folder / "run.json").write_text(json.dumps({"status": "done", "parameters": {"seed": seed}}))
    classifier = str(tiny.save(tiny.classifier(), tmp_path / "scorer", tiny.tokenizer()))
    encoder = str(tiny.save(tiny.classifier().bert, tmp_path / "encoder", tiny.tokenizer()))
    data, prompts = {"data": str(tmp_path / "texts.csv")}, {"prompts": str(tmp_path / "prompts.txt")}
    line = {"minus": minus, "plus": plus, "base": base, "device": "cpu"}
    measured = line | data | prompts | {"classifier": classifier}
    second = {"second_minus": plus, "second_plus": minus, "second_classifier": classifier, "second_label": "negative"}
    return {
        "00_quickstart": measured | {"n_texts": 4, "n_prompts": 2, "n_samples": 1, "to": str(tmp_path / "saved")},
        "01_fine_tune": data
        | {"base": str(tiny_llama_pair[0]), "steps": 2, "batch_size": 4, "out": str(tmp_path / "adapter")},
        "02_interpolate": measured | {"n_points": 4, "n_texts": 6, "n_prompts": 3, "n_samples": 2, "max_new_tokens": 5},
        "08_compare_runs": {"runs": str(tmp_path / "compared"), "rule": "strongest"},
        "03_explore": line | {"prompt": "the film was", "another": "nobody", "n_points": 4, "max_new_tokens": 12},
        "04_loss_landscape": measured
        | {"n_texts": 3, "n_points": 30, "n_strength": 2, "n_prompts": 2, "max_new_tokens": 4}
        | {"n_directions": 2, "n_alphas": 4},
        "06_merging_methods": measured
        | {"n_texts": 4, "n_prompts": 2, "n_samples": 1, "max_new_tokens": 5, "rounds": 1},
        "studies/linear_connectivity": data
        | prompts
        | {
            "minus": minus,
            "plus": plus,
            "pair_base": base,
            "device": "cpu",
            "classifier": classifier,
            "encoder": encoder,
        }
        | {"pretrain_data": data["data"], "width": 16, "layers": 2, "pretrain_steps": 2, "steps": 1}
        | {"classifier_steps": 1, "batch_size": 4, "n_texts": 4, "n_prompts": 2, "n_samples": 1, "max_new_tokens": 4}
        | {"n_points": 3, "cache": str(tmp_path / "made")},
        "studies/backdoor_defence": data
        | {"base": encoder, "max_texts": 12, "n_clean": 4, "n_texts": 6, "epochs": 1.0, "tune_epochs": 1.0}
        | {"n_points": 3, "n_tokens": 5, "device": "cpu", "save": str(tmp_path / "fine_tunes")},
        "05_curvature": line | data | {"n_points": 4, "n_texts": 3, "n_hessian": 2, "n_samples": 2},
        "07_several_attributes": prompts
        | {"first_minus": minus, "first_plus": plus, "first_classifier": classifier, "base": base, "device": "cpu"}
        | second
        | {"n_prompts": 3, "n_samples": 2, "max_new_tokens": 5},
    }
