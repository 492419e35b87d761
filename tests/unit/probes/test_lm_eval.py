"""Benchmarks: each item is that of lm-evaluation-harness on the saved folder, and nothing else is touched."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from lerpnb.errors import ProbeError
from lerpnb.evaluation.loop import evaluate
from lerpnb.paths.line import Line
from lerpnb.probes import lm_eval
from lerpnb.probes.base import stored_as
from lerpnb.probes.lm_eval import LMEval, _silent, measurement

DOCS = [
    {"question": "the film was", "choices": ["fine", "a story"], "answer": 0},
    {"question": "nobody has", "choices": ["read it", "a film"], "answer": 0},
    {"question": "it wants to be", "choices": ["slow", "clever"], "answer": 1},
    {"question": "a warm and funny", "choices": ["story", "film"], "answer": 0},
]
COMMON = """task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: docs.jsonl}}}}
test_split: test
"""
TASKS = {
    "choice": """output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}, {metric: acc_norm}]
""",
    "written": """output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 5, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}, {metric: bleu}]
""",
    "perplexity": """output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("tasks")
    (made / "docs.jsonl").write_text("\n".join(map(json.dumps, DOCS)))
    for task, text in TASKS.items():
        (made / f"{task}.yaml").write_text(COMMON.format(task=task) + text)
    return made


def files(folder: Path) -> list[str]:
    return [str(folder / f"{task}.yaml") for task in TASKS]


@pytest.mark.slow
def test_items_are_those_of_lm_eval_on_the_saved_folder(tiny_llama_pair, folder, tmp_path, monkeypatch):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    line = Line(*tiny_llama_pair[1:], device="cpu")
    benchmark = LMEval(files(folder))
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    words = line.tokenizer.pad_token, line.tokenizer.padding_side, line.tokenizer.truncation_side
    curve = evaluate(line, [0, 0.5, 1], [benchmark], store=tmp_path / "store")
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    assert (line.tokenizer.pad_token, line.tokenizer.padding_side, line.tokenizer.truncation_side) == words
    monkeypatch.chdir(folder)
    for alpha in (0.0, 0.5):
        saved = line.save(alpha, tmp_path / f"model{alpha}")
        with _silent():
            reader = HFLM(pretrained=str(saved), device="cpu", dtype="float32", batch_size=1)
            manager = TaskManager(include_defaults=False)
            want = lm_eval.simple_evaluate(reader, tasks=files(folder), task_manager=manager, bootstrap_iters=0)
        for name in curve.quantities:
            metric, task = name.split("/")
            row = curve.frame[(curve.frame["quantity"] == name) & (curve.frame["alpha"] == alpha)].iloc[0]
            assert row["value"] == pytest.approx(want["results"][task][f"{metric},none"], rel=1e-5)
            items = [sample[metric] for sample in sorted(want["samples"][task], key=lambda sample: sample["doc_id"])]
            if isinstance(items[0], tuple):
                items = [-log / units for log, units in items]
                items = [item / np.log(2) for item in items] if metric == "bits_per_byte" else items
            assert row["item_values"] == pytest.approx(np.array(items, dtype=float), rel=1e-5), name
    kinds = {"acc", "acc_norm", "exact_match", "word_perplexity", "byte_perplexity", "bits_per_byte"}
    assert {name.split("/")[0] for name in curve.quantities} == kinds  # bleu is no mean over documents
    assert curve.quantity("acc/choice").lower_is_better is False
    assert curve.quantity("word_perplexity/perplexity").lower_is_better is True
    again = evaluate(line, [0, 0.5, 1], [LMEval(files(folder))], store=tmp_path / "store")
    assert again.provenance["measured"] == 0 and again.to_frame().equals(curve.to_frame())


@pytest.mark.slow
def test_what_changes_a_benchmark_is_another_point(folder, tmp_path):
    [task, *_] = files(folder)
    base = stored_as(LMEval(task))
    assert stored_as(LMEval(task, batch_size=1)) == base
    assert all(stored_as(LMEval(task, **how)) != base for how in ({"limit": 2}, {"num_fewshot": 1}))
    assert stored_as(LMEval(task, system_instruction="be brief")) != base
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, DOCS[:3] + DOCS[:1])))
    (tmp_path / "choice.yaml").write_text(Path(task).read_text())
    assert stored_as(LMEval("choice", folder=tmp_path)) != base
    (tmp_path / "own.py").write_text("def text(doc):\n    return doc['question']\n")
    (tmp_path / "choice.yaml").write_text(Path(task).read_text().replace('"{{question}}"', "!function own.text"))
    assert LMEval(str(tmp_path / "choice.yaml")).identity() is None


@pytest.mark.slow
def test_what_cannot_be_run_is_said_first(folder, tmp_path, monkeypatch):
    from lm_eval.tasks import TaskManager

    (tmp_path / "piqa.yaml").write_text(COMMON.format(task="piqa") + TASKS["choice"])  # its data are not there
    few = TaskManager(include_path=str(tmp_path), include_defaults=False)  # the index of all tasks takes seconds
    monkeypatch.setattr(lm_eval, "_with_defaults", lambda folder: few)
    with pytest.raises(ProbeError, match="no task 'piqaa', and no such file.\nDid you mean .*piqa"):
        LMEval("piqaa")
    (tmp_path / "gone.yaml").write_text(COMMON.format(task="gone") + TASKS["choice"])
    with pytest.raises(ProbeError, match="gone.yaml' cannot be loaded"):
        LMEval(str(tmp_path / "gone.yaml"))
    monkeypatch.setattr("lerpnb.assets.hub_answers", lambda: False)
    with pytest.raises(ProbeError, match="'piqa' cannot be loaded"):
        LMEval("piqa")
    for limit in (0, -1):
        with pytest.raises(ProbeError, match="It takes a number above 0"):
            LMEval("choice", limit=limit)


def test_a_sum_over_documents_is_no_measurement():
    assert measurement([1.0, 0.0], "f1", 0.8) is None and measurement([("a", "b")], "bleu", 1.0) is None
    assert measurement([-1.0, -3.0], "perplexity", float(np.exp(2))).value() == pytest.approx(np.exp(2))
