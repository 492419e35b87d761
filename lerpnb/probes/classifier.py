"""The independent classifier that measures texts."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from lerpnb import assets
from lerpnb.checkpoints.adapters import add_adapter
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.identity import identity_of, tensors_sha256
from lerpnb.checkpoints.limits import check_vocabulary, position_limit
from lerpnb.checkpoints.memory import named_tensors
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.data.batching import attention_mask, pad
from lerpnb.errors import LerpError, ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.utils.progress import track
from lerpnb.utils.text import few, first_line


@dataclass(frozen=True)
class Classifier:
    """A Hugging Face sequence classifier with named labels.

    Args:
        name: what the user called it.
        model: in eval mode, float32.
        tokenizer: its tokenizer.
        max_length: tokens a text is cut to.
        halving: what halves its batches where memory runs out.

    Example:
        >>> classifier = Classifier("mine", tiny_classifier(), tiny_tokenizer())
        >>> classifier.labels, len(classifier.probability(["film", "film film"], "glad"))
        (['sad', 'glad'], 2)
    """

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    max_length: int = 256
    halving: ExecutableBatchSize = field(
        default_factory=lambda: ExecutableBatchSize("Classifier.probability()"), repr=False, compare=False
    )

    @classmethod
    def load(cls, name: str | Path, device: str = "auto") -> "Classifier":
        """Load a classifier from a folder, a PEFT adapter folder (merged into its base) or a hub id.

        Raises:
            AssetError: the name, or an adapter's base, leads nowhere.
            CheckpointError: an adapter that does not fit its base.
            ProbeError: pickles, damaged files, no trained classification head, one label.
        """
        folder, call = model_folder(name), f"Classifier.load({str(name)!r})"
        try:
            load = _load_adapter if assets.is_adapter(folder) else _load_whole
            model, tokenizer, missing = load(folder, call)
        except LerpError:
            raise
        except Exception as error:
            raise ProbeError(
                f"{call}: transformers cannot load it as a sequence classifier.\n  {first_line(error)}\n"
                "A classifier is what save_pretrained of such a model writes, in safetensors, with its tokenizer."
            ) from error
        if missing:
            raise ProbeError(
                f"{call}: tensors that would be made up at random, as they are not in its files.\n"
                f"{few(missing)}\nFine-tune it with notebook 01 first."
            )
        config: Any = model.config
        check_vocabulary(model, max(_words(tokenizer), default=0), call)
        if config.num_labels < 2 or config.problem_type == "regression":
            what = f"{config.num_labels} label" if config.num_labels < 2 else "numbers for labels (regression)"
            raise ProbeError(f"{call}: it has {what}.\nGive a sequence classifier with two labels or more.")
        length = min(cls.max_length, position_limit(model) or cls.max_length)
        return cls(str(name), model.eval().requires_grad_(False).to(pick_device(device)), tokenizer, length)

    @property
    def labels(self) -> list[str]:
        config: Any = self.model.config
        return [config.id2label[i] for i in range(config.num_labels)]

    @property
    def identity(self) -> str:
        """Hash of all that a probability depends on: weights, device, and the present state of model and tokenizer.

        Raises:
            UnstorableError: of a part that cannot be told, such as a hook.
        """
        weights = tensors_sha256(named_tensors(self.model).items())
        return identity_of(weights, self.model.device.type, self.model, self.tokenizer, self.max_length)

    def check_label(self, label: str) -> str:
        """The classifier's own spelling of a label.

        Raises:
            ProbeError: it has no such label.
        """
        for own in self.labels:
            if own.lower() == label.lower():
                return own
        raise ProbeError(
            f"AttributeStrength(label={label!r}): the classifier {self.name!r} has no such label.\n"
            f"It has: {', '.join(self.labels)}."
        )

    @torch.inference_mode()
    def probability(self, texts: Sequence[str], label: str, batch: int = 64) -> list[float]:
        """The label's probability for each text: softmax over the labels.

        Where the configuration's `problem_type` is "multi_label_classification" labels do not exclude each other, and
        each is the sigmoid of its own logit. A text's value does not depend on its batch: texts are read one by one
        where padding could change it (`passes_padding`). Where memory runs out the batches are halved, which is said.
        """
        column, several = self.labels.index(label), self.model.config.problem_type == "multi_label_classification"

        def score(part: Sequence[dict[str, list[int]]]) -> list[float]:
            logits = class_logits(self.model, part)
            return (logits.sigmoid() if several else logits.softmax(-1))[:, column].tolist()

        rows = tokenized(self.model, self.tokenizer, texts, self.max_length)
        batch = batch if len(rows) > 1 and passes_padding(self.model, rows) else 1
        parts = (rows[start : start + batch] for start in range(0, len(rows), batch))
        return [value for part in parts for value in self.halving(score, part)]

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """Share of texts whose likeliest label is the given one; for two labels."""
        second, right, batch = self.labels[1], 0, 64
        for start in track(range(0, len(texts), batch), label=f"classify with {self.name}"):
            values = self.probability(texts[start : start + batch], second)
            own = labels[start : start + batch]
            right += sum((p > 0.5) == (x.lower() == second.lower()) for p, x in zip(values, own, strict=True))
        return right / len(texts)


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


def _load_whole(folder: Path, call: str, config: Any = None) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """A model, its tokenizer and the names of the tensors that its files lack."""
    settings: dict[str, Any] = dict(config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True)
    model, info = load_pretrained(AutoModelForSequenceClassification, folder, call, **settings)
    tokenizer = load_pretrained(AutoTokenizer, folder, call)
    return model, tokenizer, sorted(info["missing_keys"])


def _load_adapter(folder: Path, call: str) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """The same of an adapter merged into its base: a head may be in the files of either."""
    from peft import PeftConfig

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        shapes = {name.removeprefix("base_model.model."): file.get_slice(name).get_shape() for name in file.keys()}
    base = model_folder(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path)
    labeled = folder if (folder / "config.json").is_file() else base
    config = load_pretrained(AutoConfig, labeled, call)
    heads = [
        shape[0] for name, shape in shapes.items() if re.search(r"(^|\.)(classifier|score|out_proj)\.weight$", name)
    ]
    if labeled is base and heads and heads[-1] != config.num_labels:
        config.num_labels = heads[-1]  # peft keeps no names of labels
    bare, tokenizer, missing = _load_whole(base, call, config)
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = load_pretrained(AutoTokenizer, folder, call)
    model, low_rank = add_adapter(bare, folder, call)
    for name, weight in low_rank.items():
        model.get_parameter(name).data = weight.tensor()
    return cast(PreTrainedModel, model), tokenizer, [name for name in missing if name not in shapes]
