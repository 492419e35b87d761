"""Fine-tuning with transformers' Trainer and peft: what notebook 01 calls."""

import gc
import json
import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lerpnb import assets
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.data.batching import ended, filled, halves
from lerpnb.data.corpus import Corpus
from lerpnb.errors import CheckpointError
from lerpnb.utils.progress import track

# What the end-of-text token is needed for.
_EOS = dict.fromkeys(["causal", "seq2seq"], "every text is to end with") | {"classifier": "texts would be padded with"}


@dataclass(frozen=True)
class FineTuneConfig:
    """How to fine-tune. `task` is "causal" (a language model of the texts), "classifier" (of their labels) or "seq2seq"
    (the second half of a text from its first).

    Args:
        base: the pre-trained model, any name that `assets.resolve` knows.
        task: "causal", "classifier" or "seq2seq".
        rank: LoRA rank on every linear layer; 0 fine-tunes all weights.
        steps: optimiser steps; 0 means `epochs` passes over the texts.
        max_length: tokens a text is cut to, the end-of-text token included.

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


def fine_tune(recipe: FineTuneConfig, corpus: Corpus, out: str | Path, held_out: Corpus | None = None) -> dict:
    """Fine-tune `recipe.base` on `corpus`, save to `out`, and return what there is to know of it.

    A causal language model learns each text followed by the end-of-text token: the loss is the mean negative
    log-likelihood in nats a token. A classifier learns the labels: the loss is the cross-entropy in nats a text.
    With `rank` > 0 the result is a PEFT adapter in bfloat16, otherwise a whole float32 model with its tokenizer;
    `training.json` beside it holds the returned record.

    Args:
        recipe: base, task and hyperparameters.
        corpus: what to train on.
        out: a folder that is new or empty.
        held_out: what to measure before and after; never trained on.

    Returns:
        recipe, number of texts, steps, losses: mean training loss, held-out loss before and after (and a
        classifier's held-out accuracy), seconds.

    Raises:
        CheckpointError: the folder is not empty, the task is unknown, or the tokenizer has no end-of-text token.

    Example:
        >>> import tempfile
        >>> base, out = tempfile.mkdtemp(), tempfile.mkdtemp()
        >>> tiny_llama().save_pretrained(base), tiny_tokenizer().save_pretrained(base) and None
        (None, None)
        >>> corpus = Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
        >>> fine_tune(FineTuneConfig(base=base, rank=2, steps=1), corpus, out)["steps"]
        1
    """
    out = assets.place(out)
    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"fine_tune(out={str(out)!r}): the folder is not empty.\nGive a new folder, or empty it.")
    if recipe.task not in _EOS:
        raise CheckpointError(f"fine_tune(task={recipe.task!r}): no such task.\nIt is causal, classifier or seq2seq.")
    torch.manual_seed(recipe.seed)
    model, tokenizer = _load(recipe, corpus)
    record = {"recipe": asdict(recipe), "texts": len(corpus), "corpus_sha256": corpus.sha256}
    record["versions"] = {name: version(name) for name in ("torch", "transformers", "peft")}
    checks = _rows(recipe, tokenizer, held_out) if held_out else None
    if checks:
        record["before"] = _measure(model, checks, recipe, tokenizer)
    record |= train(model, tokenizer, recipe, corpus, out)
    if checks:
        record["after"] = _measure(model, checks, recipe, tokenizer)
    _save(model, tokenizer, recipe, out, record)
    return record


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: FineTuneConfig,
    corpus: Corpus,
    work: str | Path,
    stay: bool = False,
) -> dict:
    """Train what of a live model has requires_grad, in place, by transformers' Trainer.

    Args:
        recipe: its hyperparameters; its base and rank have been seen to.
        work: a folder for what the Trainer may write.
        stay: keep a model that is on the CPU there, where there is a GPU too.

    Returns:
        steps, loss (the mean over the training), seconds.
    """
    rows = _rows(recipe, tokenizer, corpus)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(work),
            num_train_epochs=recipe.epochs,
            max_steps=recipe.steps or -1,
            per_device_train_batch_size=recipe.batch_size,
            per_device_eval_batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, math.ceil(0.05 * (recipe.steps or recipe.epochs * len(rows) / recipe.batch_size))),
            weight_decay=0.0,
            seed=recipe.seed,
            train_sampling_strategy="group_by_length",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=stay and model.device.type == "cpu",
        ),
        train_dataset=rows,
        data_collator=lambda rows: _pad(rows, tokenizer.pad_token_id),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Progress())
    gc.freeze()  # the Trainer has all garbage collected first, which takes 0.3 s among what transformers has loaded
    try:
        with quiet():
            result = trainer.train()
    finally:
        gc.unfreeze()
    seconds = round(result.metrics["train_runtime"], 1)
    return {"steps": trainer.state.global_step, "loss": result.training_loss, "seconds": seconds}


def _load(recipe: FineTuneConfig, corpus: Corpus) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    folder, call = model_folder(recipe.base), f"fine_tune(base={recipe.base!r})"
    tokenizer = load_pretrained(AutoTokenizer, folder, call)
    if tokenizer.eos_token_id is None and (recipe.task != "classifier" or tokenizer.pad_token_id is None):
        raise CheckpointError(
            f"{call}: its tokenizer has no end-of-text token, which {_EOS[recipe.task]}.\n"
            "Set tokenizer.eos_token to a token of its vocabulary and save it again."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    with quiet():
        if recipe.task == "causal":
            model = load_pretrained(AutoModelForCausalLM, folder, call, dtype=torch.float32)
            kind = TaskType.CAUSAL_LM
        elif recipe.task == "seq2seq":
            model = load_pretrained(AutoModelForSeq2SeqLM, folder, call, dtype=torch.float32)
            kind = TaskType.SEQ_2_SEQ_LM
        else:
            names = dict(enumerate(corpus.label_names))
            labels = {"id2label": names, "label2id": {name: i for i, name in names.items()}}
            model = load_pretrained(AutoModelForSequenceClassification, folder, call, dtype=torch.float32, **labels)
            kind = TaskType.SEQ_CLS
            # Decoders read a text's label at the last token that is not this one.
            model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if recipe.rank:
        config = LoraConfig(task_type=kind, r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules="all-linear")
        with quiet():
            model = get_peft_model(model, config)
        # The name, not the folder it was found in: the adapter must load on other machines.
        model.peft_config["default"].base_model_name_or_path = recipe.base
    return model, tokenizer


def _rows(recipe: FineTuneConfig, tokenizer: PreTrainedTokenizerBase, corpus: Corpus) -> list[dict]:
    causal = recipe.task == "causal"
    if recipe.task == "seq2seq":
        sides = zip(*map(halves, corpus.texts), strict=True)
        pairs = zip(*(ended(tokenizer, side, recipe.max_length) for side in sides), strict=True)
        return [{"input_ids": source, "labels": target} for source, target in pairs]
    ids = tokenizer(list(corpus.texts), truncation=True, max_length=recipe.max_length - causal)["input_ids"]
    if causal:
        return [{"input_ids": (row := [*tokens, tokenizer.eos_token_id]), "labels": row} for tokens in ids]
    return [{"input_ids": tokens, "labels": label} for tokens, label in zip(ids, corpus.labels, strict=True)]


def _pad(rows: list[dict], pad: int) -> dict[str, torch.Tensor]:
    ids, labels = ([row[name] for row in rows] for name in ("input_ids", "labels"))
    batch = {
        "input_ids": filled(ids, pad),
        "attention_mask": filled([[1] * len(row) for row in ids], 0),
        # By place, not by id: the end-of-text token, often the padding token too, must be learnt.
        "labels": filled(labels, -100) if isinstance(labels[0], list) else labels,
    }
    return {name: torch.tensor(values) for name, values in batch.items()}


@torch.inference_mode()
def _measure(
    model: PreTrainedModel, rows: list[dict], recipe: FineTuneConfig, tokenizer: PreTrainedTokenizerBase
) -> dict:
    model.eval()
    total = right = count = 0.0
    for start in range(0, len(rows), recipe.batch_size):
        batch = {
            k: v.to(model.device)
            for k, v in _pad(rows[start : start + recipe.batch_size], tokenizer.pad_token_id).items()
        }
        labels = batch["labels"]
        given = batch if recipe.task == "seq2seq" else {k: v for k, v in batch.items() if k != "labels"}
        logits = model(**given).logits
        if recipe.task == "causal":
            logits, labels = logits[:, :-1], labels[:, 1:]
        if recipe.task != "classifier":
            logits, labels = logits.flatten(0, 1), labels.flatten()
        total += torch.nn.functional.cross_entropy(logits.float(), labels, ignore_index=-100, reduction="sum").item()
        right += (logits.argmax(-1) == labels).sum().item()
        count += (labels != -100).sum().item()
    found = {"loss": round(total / count, 4)}
    return found if recipe.task != "classifier" else found | {"accuracy": round(right / count, 4)}


def _save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, recipe: FineTuneConfig, out: Path, record: dict
) -> None:
    if recipe.rank:
        model.to(torch.bfloat16)
    with quiet():
        model.save_pretrained(out)
    if not recipe.rank:  # an adapter's tokenizer is its base's
        tokenizer.save_pretrained(out)
    elif recipe.task == "classifier":
        model.config.save_pretrained(out)  # the labels' names, which peft leaves out
    kind = f"LoRA adapter (rank {recipe.rank}) for" if recipe.rank else "Full fine-tune of"
    (out / "README.md").write_text(
        f"---\nbase_model: {recipe.base}\nlibrary_name: {'peft' if recipe.rank else 'transformers'}\n---\n\n"
        f"{kind} {recipe.base}, made by lerpnb's `notebooks/01_fine_tune.ipynb`. `training.json` has the recipe, "
        "the losses and the hash of the texts.\n",
        encoding="utf-8",
    )
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


class _Progress(TrainerCallback):
    """One step of `track` an optimiser step."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.steps = iter(track(range(state.max_steps), label="fine-tune"))

    def on_step_end(self, args, state, control, **kwargs):
        next(self.steps, None)

    def on_train_end(self, args, state, control, **kwargs):
        for _ in self.steps:  # closes the bar
            pass
