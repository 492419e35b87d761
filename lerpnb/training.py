"""Fine-tuning with transformers' Trainer and peft: what notebook 01 calls."""

import gc
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from peft import LoraConfig, TaskType, get_peft_model
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainingArguments

from lerpnb import assets
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.identity import environment
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.data.batching import collate, reward_targets, training_rows
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.probes.accuracy import Accuracy
from lerpnb.probes.classifier import Classifier
from lerpnb.probes.loss import Loss
from lerpnb.probes.seq2seq import Seq2SeqLoss
from lerpnb.utils.atomic import atomic_folder, disk_errors
from lerpnb.utils.progress import track
from lerpnb.utils.public import checked

# What loads a task's model, what peft calls the task, and what measures it.
TASKS: dict[str, tuple[Any, TaskType, Any]] = {
    "causal": (transformers.AutoModelForCausalLM, TaskType.CAUSAL_LM, partial(Loss, append_eos=True)),
    "seq2seq": (transformers.AutoModelForSeq2SeqLM, TaskType.SEQ_2_SEQ_LM, Seq2SeqLoss),
    "classifier": (transformers.AutoModelForSequenceClassification, TaskType.SEQ_CLS, Accuracy),
    "reward": (transformers.AutoModelForSequenceClassification, TaskType.SEQ_CLS, None),
}


@checked
@dataclass(frozen=True)
class FineTuneConfig:
    """How to fine-tune. `task` is "causal" (a language model of the texts), "classifier" (of their labels), "reward"
    (one number for a text, from -1 for the first label to 1 for the last) or "seq2seq" (the second half of a text from
    its first).

    Args:
        base: the pre-trained model: a built-in, a folder, a GGUF file or a hub id.
        task: "causal", "classifier", "reward" or "seq2seq".
        rank: LoRA rank on every linear layer; 0 fine-tunes all weights.
        epochs, steps: passes over the texts, or optimizer steps instead; 0 steps go by `epochs`.
        batch_size: texts a step.
        learning_rate: the peak, after a short warm-up and before a cosine down to 0.
        max_length: tokens a text is cut to, the end-of-text token included.
        seed: of the order of the texts and of new weights.
        completion_after: a causal model learns only what follows the last such text in each (a prompt's end, such as
            "Answer:"), as supervised fine-tuning on completions does; "" for whole texts.

    Example:
        >>> FineTuneConfig(base="smollm2-135m-instruct", rank=16, learning_rate=1e-4).task
        'causal'
    """

    base: str
    task: str = "causal"
    rank: int = 8
    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 16
    learning_rate: float = 5e-4
    max_length: int = 64
    seed: int = 0
    completion_after: str = ""


@checked
def fine_tune(
    config: FineTuneConfig,
    corpus: Corpus,
    out: str | Path | None = None,
    held_out: Corpus | None = None,
    *,
    cache_dir: str | Path | None = None,
) -> dict:
    """Fine-tune `config.base` on `corpus`, save it to a folder, and return its record.

    A causal language model learns each text followed by the end-of-text token: the loss is the mean negative
    log-likelihood in nats a token. A classifier learns the labels: the loss is the cross-entropy in nats a text. A
    reward model learns `data.batching.reward_targets`: the loss is the mean squared error.
    With `rank` > 0 the result is a PEFT adapter in bfloat16, otherwise a whole float32 model with its tokenizer.
    The file `training.json` beside it holds the record. One that is stopped leaves nothing behind.

    Args:
        config: base, task and hyperparameters.
        corpus: what to train on.
        out: a folder that is new or empty.
        held_out: what to measure before and after; never trained on.
        cache_dir: given instead of `out`: a folder of fine-tunes, in which one is made once. It is found again by its
            configuration, all files of its base, the texts that it is trained and measured on, the packages' versions
            and the kind of device.

    Returns:
        The record: folder, recipe (the configuration), number of texts, steps, loss (mean over the training), before
        and after (held-out loss, and a classifier's held-out accuracy), seconds.

    Raises:
        CheckpointError: the folder is not empty, the task is unknown, the tokenizer has no end-of-text token, or a
            reward's texts have fewer than two labels; or the disk is full.
        AssetError: the base leads nowhere.

    Example:
        >>> import tempfile
        >>> base, kept = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> tiny_llama().save_pretrained(base), tiny_tokenizer().save_pretrained(base) and None
        (None, None)
        >>> corpus = Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
        >>> config = FineTuneConfig(base=base, rank=2, steps=1)
        >>> first = fine_tune(config, corpus, cache_dir=kept)
        >>> first["steps"], fine_tune(config, corpus, cache_dir=kept) == first
        (1, True)
    """
    to = out if cache_dir is None else cache_dir
    if to is None or None not in (out, cache_dir):
        raise CheckpointError("fine_tune(out, cache_dir): expected one of the two.\nName the folder to write to.")
    if config.task not in TASKS:
        raise CheckpointError(f"fine_tune(task={config.task!r}): no such task.\nIt is one of: {', '.join(TASKS)}.")
    if config.completion_after and config.task != "causal":
        raise CheckpointError(
            f"fine_tune(completion_after={config.completion_after!r}): a {config.task} has no completions.\n"
            'Leave it empty, or take task="causal".'
        )
    if config.task == "reward" and len(set(corpus.labels)) < 2:
        raise CheckpointError("fine_tune(task='reward'): texts of one label.\nGive texts of two labels or more.")
    folder = assets.place(to)
    if cache_dir is not None:
        folder /= f"{config.task}-{_digest(config, corpus, held_out)[:16]}"
    elif folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"fine_tune(out={str(folder)!r}): it is not empty.\nGive a new folder, or empty it.")
    if cache_dir is None or not (folder / "training.json").is_file():
        argument = "out" if cache_dir is None else "cache_dir"
        with disk_errors(CheckpointError, f"fine_tune({argument}={str(to)!r})", folder):
            with atomic_folder(folder.resolve(), keep="training.json" if cache_dir else None) as work:
                _fine_tune(config, corpus, work, held_out)
    return {"folder": str(folder)} | json.loads((folder / "training.json").read_text(encoding="utf-8"))


def _digest(config: FineTuneConfig, corpus: Corpus, held_out: Corpus | None) -> str:
    base = CheckpointMetadata.read(config.base).files_digest
    texts = {"texts": corpus.sha256, "labels": corpus.label_names, "held_out": held_out and held_out.sha256}
    versions = environment() | {name: version(name) for name in ("peft", "accelerate")}
    inputs = [_recipe(config), base, texts, versions, pick_device("auto").type]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _recipe(config: FineTuneConfig) -> dict:
    """The configuration without what is left empty, so that what was kept before a setting was there is found again."""
    return {name: value for name, value in asdict(config).items() if value != ""}


def _fine_tune(config: FineTuneConfig, corpus: Corpus, out: Path, held_out: Corpus | None) -> None:
    torch.manual_seed(config.seed)
    model, tokenizer = _load(config, corpus)
    record = {"recipe": _recipe(config), "texts": len(corpus), "corpus_sha256": corpus.sha256}
    record["versions"] = {name: version(name) for name in ("torch", "transformers", "peft")}
    if held_out:
        record["before"] = _measure(model, tokenizer, config, held_out)
    record |= train(model, tokenizer, config, corpus, out)
    if held_out:
        record["after"] = _measure(model, tokenizer, config, held_out)
    if config.rank:
        model.to(torch.bfloat16)
    with quiet():
        model.save_pretrained(out)
    if not config.rank:  # an adapter's tokenizer is its base's
        tokenizer.save_pretrained(out)
    elif config.task in ("classifier", "reward"):
        model.config.save_pretrained(out)  # the labels' names, which peft leaves out
    kind = f"LoRA adapter (rank {config.rank}) for" if config.rank else "Full fine-tune of"
    (out / "README.md").write_text(
        f"---\nbase_model: {config.base}\nlibrary_name: {'peft' if config.rank else 'transformers'}\n---\n\n"
        f"{kind} {config.base}, made by lerpnb's `notebooks/01_fine_tune.ipynb`. `training.json` has the recipe, "
        "the losses and the hash of the texts.\n",
        encoding="utf-8",
    )
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@checked
def train(
    model: transformers.PreTrainedModel | torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    config: FineTuneConfig,
    corpus: Corpus,
    work: str | Path,
    keep_on_cpu: bool = False,
) -> dict:
    """Train what of a live model has requires_grad, in place, by transformers' Trainer: steps, mean loss and seconds.

    `config`'s base and rank are not used; the Trainer may write into `work`; `keep_on_cpu` keeps a model there that is.
    """
    rows = training_rows(config.task, tokenizer, corpus, config.max_length, config.completion_after)
    trainer = transformers.Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(work),
            num_train_epochs=config.epochs,
            max_steps=config.steps or -1,
            per_device_train_batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, math.ceil(0.05 * (config.steps or config.epochs * len(rows) / config.batch_size))),
            seed=config.seed,
            train_sampling_strategy="group_by_length",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=keep_on_cpu and model.device.type == "cpu",
        ),
        train_dataset=rows,
        data_collator=lambda rows: collate(rows, tokenizer.pad_token_id),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(_Progress())
    gc.freeze()  # the Trainer has all garbage collected first, which takes 0.3 s among what transformers has loaded
    try:
        with quiet():
            result = trainer.train()
    finally:
        gc.unfreeze()
    seconds = round(result.metrics["train_runtime"], 1)
    return {"steps": trainer.state.global_step, "loss": result.training_loss, "seconds": seconds}


def _load(config: FineTuneConfig, corpus: Corpus) -> tuple[Any, PreTrainedTokenizerBase]:
    folder, call = model_folder(config.base), f"fine_tune(base={config.base!r})"
    classifier = config.task in ("classifier", "reward")
    tokenizer = load_pretrained(transformers.AutoTokenizer, folder, call)
    if tokenizer.eos_token_id is None and not (classifier and tokenizer.pad_token_id is not None):
        purpose = "texts would be padded with" if classifier else "every text is to end with"
        way_out = "Set tokenizer.eos_token to a token of its vocabulary and save it again."
        raise CheckpointError(f"{call}: its tokenizer has no end-of-text token, which {purpose}.\n{way_out}")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    loader, kind, _ = TASKS[config.task]
    names = {0: "reward"} if config.task == "reward" else dict(enumerate(corpus.label_names))
    labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}} if classifier else {}
    if config.task == "reward":
        labels["problem_type"] = "regression"
    model = load_pretrained(loader, folder, call, dtype=torch.float32, **labels)
    if classifier:  # decoders read a text's label at the last token that is not this one
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if config.rank:
        lora = LoraConfig(task_type=kind, r=config.rank, lora_alpha=2 * config.rank, target_modules="all-linear")
        with quiet():
            model = get_peft_model(model, lora)
        # The name, not the folder it was found in: the adapter must load on other machines.
        model.peft_config["default"].base_model_name_or_path = config.base
    return model, tokenizer


def _measure(model: Any, tokenizer: PreTrainedTokenizerBase, config: FineTuneConfig, corpus: Corpus) -> dict:
    """The loss as it is trained, nats a token (a classifier's: nats a text), and a classifier's accuracy; a reward's
    mean squared error, and the share of texts whose reward is on their target's side of 0."""
    if config.task == "reward":
        bare = (model.get_base_model() if config.rank else model).eval()
        reader = Classifier("x", bare, tokenizer, max_length=config.max_length)
        found, wanted = np.array(reader.scores(corpus.texts, 0)), np.array(reward_targets(corpus))
        right = np.sign(found) == np.sign(wanted)
        return {"loss": round(float(((found - wanted) ** 2).mean()), 4), "accuracy": round(float(right.mean()), 4)}
    options = {"completion_after": config.completion_after} if config.task == "causal" else {}
    probe = TASKS[config.task][2](corpus, name="x", max_length=config.max_length, **options)
    values = probe.measure(model.get_base_model().eval() if config.rank else model.eval(), tokenizer)
    names = {"loss": "loss/x", "accuracy": "accuracy/x"}
    if config.task == "classifier":
        names["loss"] = "cross-entropy/x"
    return {key: round(values[name].value(), 4) for key, name in names.items() if name in values}


class _Progress(TrainerCallback):
    """One step of `track` an optimiser step."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.steps = iter(track(range(state.max_steps), label="fine-tune"))

    def on_step_end(self, args, state, control, **kwargs):
        next(self.steps, None)

    def on_train_end(self, args, state, control, **kwargs):
        for _ in self.steps:  # closes the bar
            pass
