"""Benchmarks: tasks of lm-evaluation-harness on the live model, item by item."""

import copy
import difflib
import functools
import hashlib
import io
import json
import logging
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from lerpnb import assets
from lerpnb.errors import ProbeError
from lerpnb.results.measurement import Measurement
from lerpnb.utils.text import first_line, listed

LOG_SUMS = ("word_perplexity", "byte_perplexity", "bits_per_byte")  # an item is (log-likelihood, how many units)


class LMEval:
    """Tasks of lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness) at each point of a path.

    For each task and metric `<metric>/<task>`, as `lm_eval.simple_evaluate` computes it on
    `HFLM(pretrained=model, tokenizer=tokenizer)`; where a task has several filters, the filter in brackets behind it.
    An item is a document, so that differences along a path are paired. Metrics that are no mean over documents (BLEU,
    F1 over all) are left out, which is said. Its cache of responses is not used, since its key has no weights in it.

    Args:
        tasks: names of tasks, or YAML files.
        num_fewshot: examples in front of each document; None takes each task's own.
        limit: documents of each task at most, the first ones; a share of them below 1; None takes all.
        folder: a folder of tasks of one's own (YAML), which stand before tasks of the same names; relative paths of
            data files start there. Functions that its YAML files name are run.
        apply_chat_template: put each document through the tokenizer's chat template.
        system_instruction: the system's message, or what stands before a document.
        batch_size: documents in one forward pass, a matter of speed and memory.

    Raises:
        ProbeError: lm-eval is not installed (`pip install "lerpnb[lm-eval]"`), no such task, data that are neither
            here nor at a hub that answers.

    Example:
        ```python
        benchmark = ln.probes.LMEval(["arc_easy", "piqa"], num_fewshot=0, limit=200)
        curve = ln.evaluate(line, ln.alpha_grid(0, 1, 5), [benchmark])
        curve.difference("acc/arc_easy", 0, 0.5)
        ```
    """

    def __init__(
        self,
        tasks: str | Sequence[str],
        *,
        num_fewshot: int | None = None,
        limit: int | float | None = None,
        folder: str | Path | None = None,
        apply_chat_template: bool = False,
        system_instruction: str | None = None,
        batch_size: int = 8,
    ):
        self.tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        if not self.tasks:
            raise ProbeError("LMEval(tasks): none were named.\nName one or more, such as LMEval(['arc_easy']).")
        if limit is not None and limit <= 0:
            raise ProbeError(f"LMEval(limit): got {limit}.\nIt takes a number above 0, or None for all documents.")
        self.num_fewshot, self.limit, self.batch_size = num_fewshot, limit, batch_size
        self.apply_chat_template, self.system_instruction = apply_chat_template, system_instruction
        self.name = f"lm-eval/{','.join(Path(task).stem for task in self.tasks)}"
        self._said = False
        with _silent():
            self._manager, self._loaded = self._load(Path(assets.resolve(folder)) if folder else None)

    def _load(self, folder: Path | None) -> tuple[Any, list[Any]]:
        """lm-eval's manager, and the tasks with their data."""
        try:
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise ProbeError(
                f'LMEval(): lm-eval is not installed ({error}).\nInstall it: pip install "lerpnb[lm-eval]".'
            ) from error
        files = {task: assets.resolve(task) for task in self.tasks if Path(task).suffix in (".yaml", ".yml")}
        manager = TaskManager(include_path=folder and str(folder), include_defaults=False)
        if not {*files, *manager.all_tasks}.issuperset(self.tasks):
            manager = _with_defaults(folder)
        loaded: list[Any] = []
        answers = assets.hub_answers()
        for task in self.tasks:
            if task not in files and task not in manager.all_tasks:
                near = difflib.get_close_matches(task, manager.all_tasks, n=3)
                raise ProbeError(
                    f"LMEval(tasks): no task {task!r}, and no such file.\n"
                    + (f"Did you mean {listed(near)}?" if near else "Pass folder=..., where its YAML file is.")
                )
            spec = str(files[task].resolve()) if task in files else task
            where = folder or (files[task].parent if task in files else None)
            try:
                with chdir(where) if where else nullcontext(), _hub(answers):
                    loaded.extend(manager.load([spec])["tasks"].values())
            except Exception as error:  # whatever datasets, jinja and yaml raise
                raise ProbeError(
                    f"LMEval(tasks): {task!r} cannot be loaded: {first_line(error)}\n"
                    "Its data come from a hub that must answer, or from files that its YAML file names."
                ) from error
        return manager, loaded

    def subset(self) -> "LMEval":
        """The same probe of two documents a task, to see whether it repeats."""
        subset = copy.copy(self)
        subset.limit, subset._said = 2, True
        return subset

    def identity(self) -> dict | None:
        """None where a task has functions of its own, whose code no hash tells."""
        held = []
        for task in self._loaded:
            config = task.dump_config()
            if "<function" in (text := json.dumps(config, sort_keys=True, default=str)):
                return None
            docs = [*task.eval_docs, *(task.fewshot_docs() or [] if self.num_fewshot != 0 else [])]
            texts = json.dumps(docs, sort_keys=True, default=str)
            held.append([task.config.task, _without_paths(text), hashlib.sha256(texts.encode()).hexdigest()])
        return {
            "probe": "lm-eval",
            "tasks": held,
            "num_fewshot": self.num_fewshot,
            "limit": self.limit,
            "chat": [self.apply_chat_template, self.system_instruction],
            "version": version("lm_eval"),
        }

    def measure(self, model: Any, tokenizer: Any) -> dict[str, Measurement]:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        # What lm-eval notes of the machine asks pip, for seconds at each point, and is not used.
        unasked = mock.patch("lm_eval.evaluator.add_env_info", create=True)
        with _silent(), _kept_random_state(), unasked:
            reader = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=self.batch_size)
            found = simple_evaluate(
                reader,
                tasks=self._loaded,
                task_manager=self._manager,
                num_fewshot=self.num_fewshot,
                limit=self.limit,
                bootstrap_iters=0,
                apply_chat_template=self.apply_chat_template,
                system_instruction=self.system_instruction,
            )
        measured, left = {}, []
        for task, samples in found["samples"].items():
            filters = list(dict.fromkeys(sample["filter"] for sample in samples))
            for chosen in filters:
                rows = sorted((s for s in samples if s["filter"] == chosen), key=lambda sample: sample["doc_id"])
                for metric in rows[0]["metrics"]:
                    label = f"{task} ({chosen})" if len(filters) > 1 else task
                    wanted = float(found["results"][task][f"{metric},{chosen}"])
                    made = measurement([row.get(metric) for row in rows], metric, wanted)
                    if made:
                        measured[f"{metric}/{label}"] = made
                    else:
                        left.append(f"{metric}/{label}")
        if left and not self._said:
            self._said = True
            print(f"{self.name}: {listed(left)} left out: no mean over documents.", flush=True)
        return measured


def measurement(items: Sequence[Any], metric: str, wanted: float) -> Measurement | None:
    """Items of lm-eval as a measurement whose value is lm-eval's own; None where no mean over documents is.

    Example:
        >>> round(measurement([(-3.0, 2), (-1.0, 2)], "word_perplexity", math.exp(1)).value(), 6)
        2.718282
    """
    if metric in LOG_SUMS and all(isinstance(item, tuple) for item in items):
        logs, units = np.array(items, dtype=float).T
        scale, transform = (math.log(2), "") if metric == "bits_per_byte" else (1.0, "exp")
        unit = {"bits_per_byte": "bits/byte", "word_perplexity": "perplexity"}.get(metric, "perplexity")
        made = Measurement(-logs / units / scale, units, unit, "documents", transform, kind=metric)
    else:
        try:
            values = np.array(items, dtype=float)
        except (TypeError, ValueError):
            return None
        if values.ndim != 1:
            return None
        made = Measurement(values, unit="share", items="documents", kind=metric)
        if metric == "perplexity":  # an item is a log-likelihood
            made = Measurement(-values, unit="perplexity", items="documents", transform="exp", kind=metric)
    same = math.isclose(made.value(), wanted, rel_tol=1e-9, abs_tol=1e-12) or math.isnan(wanted)
    return made if same else None


@functools.cache
def _with_defaults(folder: Path | None) -> Any:
    """A folder's tasks and all of lm-eval's, whose index takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=folder and str(folder))


def _without_paths(config: str) -> str:
    """A configuration as JSON without the folder that it was read from: the data are hashed."""
    held = json.loads(config)
    for key in ("metadata", "dataset_kwargs", "dataset_path"):
        held.pop(key, None)
    return json.dumps(held, sort_keys=True)


@contextmanager
def _hub(answers: bool) -> Iterator[None]:
    """Where the hub does not answer, datasets looks into its local cache alone, instead of asking for a minute."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if not answers:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


@contextmanager
def _silent() -> Iterator[None]:
    """Without the log and the bars of lm-eval and datasets."""
    import datasets

    level, bars = logging.root.manager.disable, datasets.is_progress_bar_enabled()
    logging.disable(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
        if bars:
            datasets.enable_progress_bars()


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """lm-eval seeds all random numbers of the process: put them back."""
    before = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
