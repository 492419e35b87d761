"""Accuracy of a sequence classifier: the share of labelled texts that it gives their own label."""

import copy
from typing import Any, ClassVar, Self, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.limits import check_ids, position_limit
from lerpnb.data.batching import padded_groups
from lerpnb.data.corpus import Corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import measured_by
from lerpnb.probes.classifier import class_logits, passes_padding, tokenized
from lerpnb.results.measurement import Measurement


class Accuracy:
    """Accuracy and cross-entropy of a sequence classifier on labelled texts.

    - `accuracy/<corpus.name>`: mean_i [argmax_k logit_k(x_i) is y_i] (unit: share); a text is an item, 1 or 0;
    - `cross-entropy/<corpus.name>`: -mean_i log p(y_i | x_i), nats a text, which bends before accuracy does.

    A label of the corpus is the model's label of that name, in upper or lower case. A NaN logit makes its text NaN.

    Args:
        corpus: the texts; its labels are among the model's.
        name: another name than the corpus's.
        max_length: tokens a text is cut to.
        batch_tokens: tokens in one forward pass, padding counted: a matter of speed and memory, not of values. Where
            memory runs out the batches are halved, which is said.

    Raises:
        ProbeError: a number below 2, or, when measured, a model that is no classifier of these labels.

    Example:
        >>> model = tiny_classifier()
        >>> model.classifier.bias.data[1] = 9.0  # now every text is glad
        >>> texts = Corpus(("film", "film film", "film"), (0, 1, 1), ("sad", "glad"), "films")
        >>> Accuracy(texts).measure(model, tiny_tokenizer())["accuracy/films"].values
        array([0., 1., 1.])
    """

    kind: ClassVar[str] = "accuracy"

    def __init__(self, corpus: Corpus, *, name: str | None = None, max_length: int = 256, batch_tokens: int = 2048):
        for argument, value in (("max_length", max_length), ("batch_tokens", batch_tokens)):
            if value < 2:
                raise ProbeError(f"{type(self).__name__}({argument}): got {value}.\nIt takes 2 or more.")
        if not isinstance(corpus, Corpus):
            way_out = "Pass a Corpus, whose texts have labels, such as ln.Corpus.load(file)."
            raise ProbeError(f"{type(self).__name__}(corpus): got a {type(corpus).__name__}.\n{way_out}")
        self.corpus, self.max_length, self.batch_tokens = corpus, max_length, batch_tokens
        self.label = name or corpus.name
        self.name = f"{self.kind}/{self.label}"
        self._halving = ExecutableBatchSize(self.name)

    def identity(self) -> dict:
        identity = {"probe": self.kind, "name": self.name, "texts": self.corpus.sha256, "max_length": self.max_length}
        return identity | {"labels": list(self.corpus.label_names)}

    def subset(self) -> Self:
        """The same measurement of the two shortest texts, to see whether it repeats at little cost."""
        subset = copy.copy(self)
        subset.corpus = self.corpus.shortest(2)
        return subset

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        columns, config = self._columns(model), cast(Any, model.config)
        gold = torch.tensor([columns[label] for label in self.corpus.labels], device=model.device)
        logits = torch.empty(len(gold), config.num_labels, dtype=torch.float64, device=model.device)
        rows = tokenized(model, tokenizer, self.corpus.texts, self.max_length)
        ids = [row["input_ids"] for row in rows]
        check_ids(model, ids, self.name, way_out=f"Pass Accuracy(corpus, max_length={position_limit(model)}).")
        together = self.batch_tokens if len(rows) > 1 and passes_padding(model, rows) else 1
        for places in padded_groups([len(row) for row in ids], together):
            part = [rows[i] for i in places]
            logits[places] = torch.stack(self._halving(lambda some: list(class_logits(model, some)), part)).double()
        right = (logits.argmax(-1) == gold).double().masked_fill(logits.isnan().any(-1), torch.nan)
        nll = torch.nn.functional.cross_entropy(logits, gold, reduction="none")
        return {
            self.name: Measurement(right.cpu().numpy(), unit="share", kind=self.kind),
            f"cross-entropy/{self.label}": Measurement(nll.cpu().numpy(), unit="nats/text", kind="cross-entropy"),
        }

    def _columns(self, model: PreTrainedModel) -> dict[int, int]:
        """Which logit is that of each of the corpus's labels."""
        config: Any = model.config
        if "SequenceClassification" not in type(model).__name__:
            raise ProbeError(
                f"{self.name}: the model is a {type(model).__name__}, expected a sequence classifier.\n"
                f"{measured_by(model)} A classifier is made by ln.training.fine_tune with task='classifier'."
            )
        if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
            raise ProbeError(
                f"{self.name}: {config.num_labels} labels, problem_type {config.problem_type!r}.\n"
                "Accuracy is of a classifier that gives a text one of two labels or more."
            )
        names: dict[int, str] = config.id2label
        own = {str(name).lower(): i for i, name in names.items()}
        used = {label: self.corpus.label_names[label] for label in sorted(set(self.corpus.labels))}
        missing = [name for name in used.values() if name.lower() not in own]
        if missing:
            raise ProbeError(
                f"{self.name}: the classifier has no label {missing[0]!r}.\n"
                f"It has: {', '.join(names.values())}. Give the corpus label_names in its labels' words."
            )
        return {label: own[name.lower()] for label, name in used.items()}
