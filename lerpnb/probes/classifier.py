"""The independent classifier that measures texts."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.identity import identity_of, tensors_sha256
from lerpnb.checkpoints.limits import check_vocabulary, position_limit
from lerpnb.checkpoints.memory import named_tensors
from lerpnb.data.batching import attention_mask, pad
from lerpnb.data.chat import Prompt, chats
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.utils.progress import track

Text = str | tuple[Prompt, str]  # (prompt, response) of a dialogue


ACTIVATIONS = ("softmax", "sigmoid", "none")
LONGEST = 4096  # tokens, where neither the model nor its tokenizer names a limit


@dataclass(frozen=True)
class Classifier:
    """A Hugging Face sequence classifier, or a model with one output or several that are no classes.

    Args:
        name: what the user called it.
        model: in eval mode, float32.
        tokenizer: its tokenizer.
        activation: what makes a score of the logits: "softmax", "sigmoid", or "none" for the logit itself. By default
            as transformers' text-classification pipeline chooses it: none where `problem_type` is "regression", sigmoid
            where it is "multi_label_classification" or there is one output, else softmax.
        dialogue: whether it reads prompt and response as two turns, through its own chat template.
        max_length: tokens a text is cut to, at its end: as many as the model has positions for by default.
        halving: what halves its batches where memory runs out.

    Example:
        >>> classifier = Classifier("mine", tiny_classifier(), tiny_tokenizer())
        >>> classifier.labels, classifier.activation, len(classifier.scores(["film", "film film"], 1))
        (['sad', 'glad'], 'softmax', 2)
    """

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    activation: str = ""
    dialogue: bool = False
    max_length: int = 0
    halving: ExecutableBatchSize = field(
        default_factory=lambda: ExecutableBatchSize("Classifier.scores()"), repr=False, compare=False
    )

    def __post_init__(self) -> None:
        config: Any = self.model.config
        several = config.problem_type == "multi_label_classification" or config.num_labels == 1
        own = "none" if config.problem_type == "regression" else "sigmoid" if several else "softmax"
        limits = [position_limit(self.model) or LONGEST, self.tokenizer.model_max_length]
        object.__setattr__(self, "activation", self.activation or own)
        object.__setattr__(self, "max_length", self.max_length or min(limits))

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str = "auto",
        *,
        base: str | Path | None = None,
        activation: str | None = None,
        dialogue: bool | None = None,
    ) -> "Classifier":
        """Load a classifier from whatever `Checkpoint.load` takes: a folder, a PEFT adapter folder, a hub id.

        Args:
            base: of an adapter; None takes the one that it names.
            activation: one of "softmax", "sigmoid" and "none"; None takes the model's own, see `Classifier`, and "none"
                for a dialogue's one output: a reward.
            dialogue: read prompt and response as two turns; None does so where the model has one output, and its
                tokenizer a chat template.

        Raises:
            AssetError: the name, or an adapter's base, leads nowhere.
            CheckpointError: pickles, damaged files, an adapter that does not fit its base, tensors that are missing.
            ProbeError: no sequence classifier, no tokenizer, an unknown activation, softmax over one output, a dialogue
                without a chat template.
        """
        call = f"Classifier.load({str(name)!r})"
        checkpoint = Checkpoint.load(name, base, pick_device(device))
        model, tokenizer, n = checkpoint.model, checkpoint.tokenizer, checkpoint.config.num_labels
        if not checkpoint.labels:
            raise ProbeError(
                f"{call}: a {checkpoint.architecture}, expected a sequence classifier with its head.\n"
                "Fine-tune it with notebook 01 first: task=classifier."
            )
        if tokenizer is None:
            raise ProbeError(f"{call}: no tokenizer in the folder.\nSave it there: tokenizer.save_pretrained(folder).")
        if activation not in (None, *ACTIVATIONS) or activation == "softmax" and n == 1:
            what = "softmax over one output is 1 for every text" if n == 1 and activation == "softmax" else "unknown"
            raise ProbeError(f"{call}: activation={activation!r}: {what}.\nIt is one of: {', '.join(ACTIVATIONS)}.")
        dialogue = n == 1 and bool(tokenizer.chat_template) if dialogue is None else dialogue
        if dialogue and not tokenizer.chat_template:
            raise ProbeError(f"{call}: dialogue=True, but its tokenizer has no chat template.\nLeave dialogue out.")
        check_vocabulary(model, max(_words(tokenizer), default=0), call)
        if activation is None and dialogue and n == 1:
            activation = "none"
        return cls(str(name), model, tokenizer, activation or "", dialogue)

    @property
    def labels(self) -> list[str]:
        config: Any = self.model.config
        return [str(config.id2label.get(i, f"LABEL_{i}")) for i in range(config.num_labels)]

    @property
    def identity(self) -> str:
        """Hash of all that a score depends on: weights, device, and the present state of model and tokenizer.

        Raises:
            UnstorableError: of a part that cannot be told, such as a hook.
        """
        weights = tensors_sha256(named_tensors(self.model).items())
        how = (self.activation, self.dialogue, self.max_length)
        return identity_of(weights, self.model.device.type, self.model, self.tokenizer, how)

    def label_index(self, label: str | int | None) -> int:
        """The index of an output: by its label as it is written, else where one alone differs in case; or the index
        itself. None takes the only output, or the label "positive".

        Raises:
            ProbeError: no such label, or several that differ in case.
        """
        labels = self.labels
        if isinstance(label, int) and not isinstance(label, bool):
            if 0 <= label < len(labels):
                return label
        elif label is None and len(labels) == 1:
            return 0
        elif (wanted := "positive" if label is None else str(label)) in labels:
            return labels.index(wanted)
        elif len(near := [i for i, own in enumerate(labels) if own.lower() == wanted.lower()]) == 1:
            return near[0]
        raise ProbeError(
            f"AttributeStrength(label={label!r}): the classifier {self.name!r} has no such label.\n"
            f"It has: {', '.join(labels)}. Name one as it is written, or give its index, 0 to {len(labels) - 1}."
        )

    @torch.inference_mode()
    def scores(self, texts: Sequence[Text], index: int, batch: int = 64) -> list[float]:
        """One output's score of each text: see `activation`.

        A text is a text, or (prompt, response): of a chat the response alone is read, but where the classifier reads
        dialogues both are, all messages of a chat. Its value does not depend on its
        batch: texts are read one by one where padding could change it (`passes_padding`). Where memory runs out the
        batches are halved, which is said.
        """

        def score(part: Sequence[dict[str, list[int]]]) -> list[float]:
            logits = class_logits(self.model, part).float()
            logits = logits.softmax(-1) if self.activation == "softmax" else logits
            return (logits.sigmoid() if self.activation == "sigmoid" else logits)[:, index].tolist()

        rows = self.tokenized(texts)
        batch = batch if len(rows) > 1 and passes_padding(self.model, rows) else 1
        parts = (rows[start : start + batch] for start in range(0, len(rows), batch))
        return [value for part in parts for value in self.halving(score, part)]

    def tokenized(self, texts: Sequence[Text]) -> list[dict[str, list[int]]]:
        """What the model is given of each text, cut to max_length."""
        if not self.dialogue:
            return tokenized(self.model, self.tokenizer, [_read(text) for text in texts], self.max_length)
        pairs = [(text, "") if isinstance(text, str) else text for text in texts]
        rendered = [chats([prompt])[0].render(self.tokenizer, response) for prompt, response in pairs]
        found = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in rendered]
        return [{"input_ids": ids[: self.max_length]} for ids in found]

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """Share of texts whose likeliest label is the given one; for two labels."""
        second, right, batch = self.labels[1], 0, 64
        for start in track(range(0, len(texts), batch), label=f"classify with {self.name}"):
            values = self.scores(texts[start : start + batch], 1)
            own = labels[start : start + batch]
            right += sum((p > 0.5) == (x.lower() == second.lower()) for p, x in zip(values, own, strict=True))
        return right / len(texts)


def _read(text: Text) -> str:
    """What a classifier of texts reads."""
    if isinstance(text, str):
        return text
    prompt, response = text
    return prompt + response if isinstance(prompt, str) else response


def tokenized(
    model: PreTrainedModel, tokenizer: Tokenizer, texts: Sequence[str], max_length: int
) -> list[dict[str, list[int]]]:
    """What a classifier is given of each text: all that its tokenizer makes of it and the model takes."""
    found = tokenizer(list(texts), truncation=True, max_length=max_length)
    taken = found.keys() & inspect.signature(type(model).forward).parameters.keys()
    return [{name: found[name][i] for name in taken} for i in range(len(texts))]


@torch.inference_mode()
def passes_padding(model: PreTrainedModel, rows: Sequence[dict[str, list[int]]]) -> bool:
    """Whether texts may share a batch: padding on the right leaves a text's logits as they are.

    A decoder reads the label at the last token that is not the padding token of its configuration, XLNet at the last
    place, an encoder-decoder at its end-of-text tokens, of which all texts of a batch must have the same number. Some
    encoders (FNet, Nystromformer, ConvBERT, YOSO) read the padding: the shortest text is tried beside the longest.
    """
    config: Any = model.config
    fill, at = config.get_text_config().pad_token_id, getattr(config, "summary_type", "")
    if fill is None or fill < 0 or at == "last" or config.is_encoder_decoder:
        return False
    short, long = (choose(rows, key=lambda row: len(row["input_ids"])) for choose in (min, max))
    alone, beside = class_logits(model, [short])[0], class_logits(model, [short, long])[0]
    return torch.allclose(alone, beside, rtol=1e-3, atol=1e-4, equal_nan=True)


@torch.inference_mode()
def class_logits(model: PreTrainedModel, rows: Sequence[dict[str, list[int]]]) -> torch.Tensor:
    """(texts, labels) logits of texts as `tokenized` gives them, padded on the right."""
    ids, lengths = pad([row["input_ids"] for row in rows], model.config.get_text_config().pad_token_id or 0)
    given = {name: pad([row[name] for row in rows])[0].to(model.device) for name in rows[0]}
    given |= {"input_ids": ids.to(model.device), "attention_mask": attention_mask(lengths).to(model.device)}
    return model(**given).logits


def _words(tokenizer: Tokenizer) -> set[int]:
    """The ids that a text can get: not those of special tokens, of which a model may lack some that are never used."""
    return set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids)
