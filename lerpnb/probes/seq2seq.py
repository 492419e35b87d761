"""Loss of a sequence-to-sequence model: what its decoder is to write, given what its encoder reads."""

import copy
import hashlib
import json
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.limits import check_ids, position_limit
from lerpnb.data.batching import attention_mask, ended, halves, pad
from lerpnb.data.corpus import Corpus, as_corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import measured_by, writes_targets
from lerpnb.results.measurement import Measurement


class Seq2SeqLoss:
    """Mean negative log-likelihood of target texts, each given its source; tokens weighted equally.

    loss = - sum_t log p(y_t | y_<t, x) / (number of target tokens), in nats a token, over all pairs together: the
    decoder is given the target shifted to the right, and each target closes with the end-of-text token, which counts.
    It is what transformers returns as `loss` for these labels. Each pair's own loss is an item, weighted by its target
    tokens.

    Args:
        corpus: the sources; the quantity is called `loss/<corpus.name>`.
        targets: what is to be written for each. Left out, each text is halved (`batching.halves`), and its second half
            is to be written from its first, as `fine_tune` of the task "seq2seq" learns it.
        name: another name than the corpus's.
        max_length: tokens that a source or a target is cut to.
        batch: pairs in one forward pass: a matter of speed and memory, not of values.

    Raises:
        ProbeError: another number of targets than of texts, a number below 1 (2 for max_length), or, when measured, a
            model that is no sequence-to-sequence model or a tokenizer without an end-of-text token.

    Example:
        >>> corpus = Corpus(("a film that ends well",), (0,), ("fine",), "fine")
        >>> probe = Seq2SeqLoss(corpus)
        >>> probe.name, probe.pairs
        ('loss/fine', [('a film that', 'ends well')])
    """

    def __init__(
        self,
        corpus: Corpus | Sequence[str],
        targets: Sequence[str] | None = None,
        *,
        name: str | None = None,
        max_length: int = 512,
        batch: int = 32,
    ):
        corpus = as_corpus(corpus, "Seq2SeqLoss(corpus)")
        for argument, value, least in (("max_length", max_length, 2), ("batch", batch, 1)):
            if value < least:
                raise ProbeError(f"Seq2SeqLoss({argument}): got {value}.\nIt takes {least} or more.")
        if targets is not None and len(targets) != len(corpus):
            raise ProbeError(
                f"Seq2SeqLoss(targets): {len(targets)} targets against {len(corpus)} texts.\nGive one for each text."
            )
        self.corpus, self.max_length, self.batch = corpus, max_length, batch
        self.pairs = (
            [halves(t) for t in corpus.texts] if targets is None else [*zip(corpus.texts, targets, strict=True)]
        )
        self.label = name or corpus.name
        self.name = f"loss/{self.label}"
        self._halving = ExecutableBatchSize(self.name)

    def identity(self) -> dict:
        texts = hashlib.sha256(json.dumps(self.pairs).encode()).hexdigest()
        return {"probe": "seq2seq loss", "name": self.name, "texts": texts, "max_length": self.max_length}

    def subset(self) -> Self:
        """The same probe of its two shortest texts, to see whether it repeats at little cost."""
        chosen = sorted(range(len(self.corpus)), key=lambda i: len(self.corpus.texts[i]))[:2]
        subset = copy.copy(self)
        subset.corpus, subset.pairs = self.corpus.shortest(2), [self.pairs[i] for i in chosen]
        return subset

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        if not writes_targets(model):
            raise ProbeError(f"{self.name}: {type(model).__name__} writes no target texts.\n{measured_by(model)}")
        if tokenizer.eos_token_id is None:
            raise ProbeError(
                f"{self.name}: the tokenizer has no end-of-text token, which every target is to end with.\n"
                "Set tokenizer.eos_token to a token of its vocabulary and save it again."
            )
        given, wanted = zip(*self.pairs, strict=True)
        sources = ended(tokenizer, given, self.max_length)
        targets = ended(tokenizer, wanted, self.max_length, "text_target")
        way_out = f"Pass Seq2SeqLoss(corpus, max_length={position_limit(model)})."
        check_ids(model, [*sources, *targets], self.name, way_out=way_out)
        # Longest first, so that what does not fit in memory fails at once.
        order = sorted(range(len(sources)), key=lambda i: -len(sources[i]) - len(targets[i]))
        values = np.empty(len(order))
        for start in range(0, len(order), self.batch):
            places = order[start : start + self.batch]
            values[places] = self._halving(
                lambda part: _nll(model, [sources[i] for i in part], [targets[i] for i in part]), places
            )
        weights = np.array([len(target) for target in targets], dtype=np.float64)
        return {self.name: Measurement(values, weights, "nats/token", "texts", kind="loss")}


@torch.inference_mode()
def _nll(model: PreTrainedModel, sources: list[list[int]], targets: list[list[int]]) -> list[float]:
    """Each target's mean negative log-likelihood, nats a token."""
    ids, lengths = pad(sources, device=model.device)
    labels, _ = pad(targets, fill=-100, device=model.device)
    logits = model(input_ids=ids, attention_mask=attention_mask(lengths), labels=labels, use_cache=False).logits
    nll = F.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none")  # 0 where the label is -100
    return (nll.double().sum(1) / (labels != -100).sum(1)).tolist()
