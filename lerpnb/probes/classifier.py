"""The independent classifier that scores texts."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from .. import assets
from ..corpus import held_out
from ..errors import ProbeError
from ..live import pick_device, quiet
from ..progress import track


@dataclass(frozen=True)
class Classifier:
    """A Hugging Face sequence classifier with named labels.

    Args:
        name: what the user called it.
        model: in eval mode, float32.
        tokenizer: its tokenizer.
        max_length: tokens a text is cut to.
    """

    name: str
    model: PreTrainedModel
    tokenizer: Tokenizer
    max_length: int = 256

    @classmethod
    def load(cls, name: str | Path, device: str = "auto") -> "Classifier":
        """Load a classifier from a folder, a PEFT adapter folder (merged into its base) or a hub id."""
        folder = assets.resolve(name)
        if assets.is_adapter(folder):
            from peft import PeftConfig, PeftModel

            config = AutoConfig.from_pretrained(folder)  # the adapter's own copy: it has the labels
            base = assets.resolve(PeftConfig.from_pretrained(folder).base_model_name_or_path)
            with quiet():
                bare = AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)
                for parameter in (wrapped := PeftModel.from_pretrained(bare, folder)).parameters():
                    parameter.data = parameter.data.float()
                model = wrapped.merge_and_unload()
            tokenizer = AutoTokenizer.from_pretrained(base)
        else:
            with quiet():
                model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(folder)
        if model.config.num_labels < 2:
            raise ProbeError(
                f"Classifier.load({str(name)!r}): it has {model.config.num_labels} label.\n"
                "A scorer is a sequence classifier with two labels or more."
            )
        return cls(str(name), model.eval().requires_grad_(False).to(pick_device(device)), tokenizer)

    @property
    def labels(self) -> list[str]:
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights and labels."""
        digest = hashlib.sha256(repr(self.labels).encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check_label(self, label: str) -> str:
        """The classifier's own spelling of a label.

        Raises:
            ProbeError: it has no such label.
        """
        for own in self.labels:
            if own.lower() == label.lower():
                return own
        raise ProbeError(
            f"Attribute(label={label!r}): the scorer {self.name!r} has no such label.\n"
            f"It has: {', '.join(self.labels)}."
        )

    @torch.inference_mode()
    def probability(self, texts: Sequence[str], label: str, batch: int = 64) -> list[float]:
        """The label's softmax probability for each text."""
        column, found = self.labels.index(label), []
        for start in range(0, len(texts), batch):
            tokens = self.tokenizer(
                list(texts[start : start + batch]),
                truncation=True,
                max_length=self.max_length,
                padding=True,
                return_tensors="pt",
            ).to(self.model.device)
            found += self.model(**tokens).logits.softmax(-1)[:, column].tolist()
        return found

    def accuracy(self, texts: Sequence[str], labels: Sequence[str]) -> float:
        """Share of texts whose likeliest label is the given one; for two labels."""
        second, right, batch = self.labels[1], 0, 64
        for start in track(range(0, len(texts), batch), label=f"score with {self.name}"):
            found = self.probability(texts[start : start + batch], second)
            own = labels[start : start + batch]
            right += sum((p > 0.5) == (x.lower() == second.lower()) for p, x in zip(found, own, strict=True))
        return right / len(texts)


def held_out_accuracy(name: str | Path, n: int = 500) -> dict[str, float]:
    """A scorer's accuracy on `n` held-out reviews a label of each source, cut at 256 tokens: {source: accuracy}.

    The texts are of the demo's "held-out" split, which trained neither adapters nor scorer.
    """
    scorer, found = Classifier.load(name), {}
    for source in ("rotten_tomatoes", "imdb"):
        corpus = held_out(source, n)
        found[source] = scorer.accuracy(corpus.texts, [corpus.label_names[label] for label in corpus.labels])
    return found
