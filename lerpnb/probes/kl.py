"""Kullback-Leibler divergence: how far a model's next-token distribution is from a reference model's."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.limits import check_ids, position_limit
from lerpnb.data.batching import attention_mask, length_groups, pad, token_ids
from lerpnb.data.corpus import Corpus, as_corpus
from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import refuse_not_causal
from lerpnb.generation.continuations import Continuations, context_ids
from lerpnb.generation.decoder import Decoder
from lerpnb.probes.loss import LOGITS, head_is_last
from lerpnb.results.measurement import Measurement

ROLES = ("base", "minus", "plus")


class KL:
    """Kullback-Leibler divergence of the model's next-token distribution from a reference model's, in nats a token.

    KL(p || q) = mean_t sum_v p(v | x_<t) [log p(v | x_<t) - log q(v | x_<t)], p being the model at the point and q the
    reference, over the whole vocabulary and in float64, tokens weighted equally (Kullback and Leibler 1951).

    - A `Corpus`: over the tokens that `ln.Loss` predicts. An item is a text.
    - `Continuations`: over the texts that the model itself writes at the point, the end of a text counted as a token.
      With top_p 1 and temperature 1 this times the tokens of a text estimates without bias the KL of the policy from
      its reference that RLHF penalizes (Ouyang et al., arXiv 2203.02155): by the chain rule that is the expected sum of
      these terms. RLHF's log p(y) - log q(y) of sampled tokens has the same mean and a larger variance. A narrower
      nucleus or another temperature changes which texts it is averaged over, not p and q. An item is a prompt.

    The quantity is `kl/<reference>`, with `reverse` also `reverse-kl/<reference>`, KL(q || p) on the same texts. A live
    model of another dtype than float32 is compared as it is, rounding included.

    Args:
        texts: a `Corpus`, or `Continuations` to sample; these are not shared with other probes.
        reference: "base", "minus" or "plus" of the path, a `Checkpoint`, or a name (`assets.resolve`).
        reverse: measure KL(q || p) too.
        name: put in brackets after the quantity's name, to tell two sets of texts apart.
        max_length: tokens that a text of a corpus is cut to.
        batch_tokens: tokens in one forward pass, padding counted: a matter of speed and memory, not of values.
        device: of a reference that is named; "auto" takes cuda, then mps, then cpu.

    Raises:
        ProbeError: no such texts or reference, a number below 2; when measured, a path without the reference, another
            vocabulary, a model that is not causal, a text with fewer than two tokens or more than there are positions.
        MismatchError: when measured, tokenizers that give a text different ids.
        AssetError, CheckpointError: a named reference that cannot be loaded.

    Example:
        >>> import copy
        >>> model, words = tiny_llama(), tiny_tokenizer()
        >>> same = Checkpoint.from_model(copy.deepcopy(model), words, "twin")
        >>> corpus = Corpus(("a dull film", "it was fine"), (0, 0), ("any",), "films")
        >>> KL(corpus, same).measure(model, words)["kl/twin"].value()
        0.0
    """

    def __init__(
        self,
        texts: Corpus | Continuations | Sequence[str],
        reference: str | Path | Checkpoint = "base",
        *,
        reverse: bool = False,
        name: str = "",
        max_length: int = 512,
        batch_tokens: int = 1024,
        device: str = "auto",
    ):
        texts = texts if isinstance(texts, Continuations) else as_corpus(texts, "KL(texts)")
        for argument, value in (("max_length", max_length), ("batch_tokens", batch_tokens)):
            if value < 2:
                raise ProbeError(f"KL({argument}): got {value}.\nIt takes 2 or more.")
        self.role, self.reference = "", None if isinstance(reference, (str, Path)) else reference
        if reference in ROLES:
            self.role = str(reference)
        elif isinstance(reference, (str, Path)):
            self.reference = Checkpoint.load(reference, device=pick_device(device))
        self.texts, self.reverse, self.max_length, self.batch_tokens = texts, reverse, max_length, batch_tokens
        if isinstance(texts, Corpus):
            self.corpus = texts  # whose texts a curve names
        label = Path(self.reference.name).name if self.reference else self.role
        self._called = label + (f" ({name})" if name else "")
        self.name = f"kl/{self._called}"
        self._halving = ExecutableBatchSize(self.name)
        self._agreed: Any = None  # the tokenizer that was compared with the reference's

    def prepare(self, reference: Checkpoint | None) -> "KL":
        """This probe, or a copy that takes the path's checkpoint of its `role`; `evaluate` calls it."""
        if not self.role:
            return self
        if reference is None:
            raise ProbeError(
                f"KL(reference={self.role!r}): the path has none.\n"
                "Name a model, or pass a Checkpoint" + (", or base=... to the path." if self.role == "base" else ".")
            )
        ready = copy.copy(self)
        ready.reference, ready._agreed = reference, None
        return ready

    def subset(self) -> "KL":
        """The same probe of its two shortest texts or first prompts, to see whether it repeats at little cost."""
        subset = copy.copy(self)
        if isinstance(self.texts, Corpus):
            subset.texts = subset.corpus = self.texts.shortest(2)
        else:
            subset.texts = replace(self.texts, prompts=self.texts.prompts[:2], n_samples=1)
        return subset

    def identity(self) -> dict:
        identity = {"probe": "kl", "name": self.name, "reverse": self.reverse}
        identity["reference"] = self.reference and self.reference.identity
        if isinstance(self.texts, Corpus):
            return identity | {"texts": self.texts.sha256, "max_length": self.max_length}
        return identity | {"continuations": self.texts.identity()}

    @torch.inference_mode()
    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        reference = self._checked_reference(model, tokenizer)
        names = {kind: f"{kind}/{self._called}" for kind in ("kl", "reverse-kl")[: 1 + self.reverse]}
        sampled = isinstance(self.texts, Continuations)
        n_items = len(self.texts.prompts if isinstance(self.texts, Continuations) else self.texts)
        words = ("nats/token", "prompts" if sampled else "texts")
        try:
            items, rows, starts = (self._sampled if sampled else self._given)(model, tokenizer)
        except NotFiniteError as error:
            warnings.warn(f"{self.name}: {error}", stacklevel=2)
            return {
                name: Measurement(np.full(n_items, np.nan), None, *words, kind=kind) for kind, name in names.items()
            }
        sums = np.empty((len(rows), len(names)))
        for group in length_groups([len(row) for row in rows], self.batch_tokens):
            sums[group] = self._halving(
                lambda part: self._sums(model, reference, [rows[i] for i in part], [starts[i] for i in part]), group
            )
        tokens = np.bincount(items, [len(row) - start for row, start in zip(rows, starts, strict=True)], n_items)
        return {
            name: Measurement(np.bincount(items, column, n_items) / tokens, tokens, *words, kind=kind)
            for (kind, name), column in zip(names.items(), sums.T, strict=True)
        }

    def _checked_reference(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
        if self.reference is None:
            raise ProbeError(
                f"KL(reference={self.role!r}): not prepared.\n"
                "ln.evaluate takes it from the path; elsewhere call prepare(checkpoint), or pass a Checkpoint."
            )
        reference: Any = self.reference.model
        sizes = [m.get_output_embeddings().weight.shape[0] for m in (model, reference) if m.get_output_embeddings()]
        if len(set(sizes)) > 1:
            raise ProbeError(
                f"{self.name}: a vocabulary of {sizes[0]:,} against the reference's {sizes[1]:,}.\n"
                "A divergence needs one vocabulary: take a reference with the same tokenizer."
            )
        for one in (model, reference):
            refuse_not_causal(one, self.name)
        if self._agreed is not tokenizer:
            CompatibilityCheck(self.name, "model", "reference").tokenizers(tokenizer, self.reference.tokenizer)
            self._agreed = tokenizer
        return reference

    def _given(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[list, list, list]:
        """Of each text its place, its token ids and the first that is predicted."""
        assert isinstance(self.texts, Corpus)
        rows = token_ids(tokenizer, self.texts.texts, self.max_length)
        check_ids(model, rows, self.name, way_out=f"Pass KL(corpus, max_length={position_limit(model)}).")
        for text, row in zip(self.texts.texts, rows, strict=True):
            if len(row) < 2:
                raise ProbeError(f"{self.name}: {text[:40]!r} has {len(row)} token.\nA divergence needs two or more.")
        return list(range(len(rows))), rows, [1] * len(rows)

    def _sampled(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[list, list, list]:
        """The same of each continuation: the place of its prompt, and the first token after it."""
        assert isinstance(self.texts, Continuations)
        decoder = Decoder(model, tokenizer, self.texts)
        for _ in decoder:
            pass
        before = [context_ids(tokenizer, prompt) for prompt in self.texts.prompts]
        items, rows, starts = [], [], []
        for (_, i, _), written in decoder.tokens.items():
            ids = [*before[i], *written]
            ended = len(written) < self.texts.max_new_tokens  # by an end-of-text token, a choice of the model's too
            rows.append([*ids, ids[-1]] if ended else ids)  # which token it is does not matter
            starts.append(len(before[i]))
            items.append(i)
        return items, rows, starts

    def _sums(
        self, model: Any, reference: Any, rows: Sequence[list[int]], starts: Sequence[int]
    ) -> list[tuple[float, ...]]:
        """The divergences of each row, summed over its scored places."""
        if len(rows) > 1 and not (head_is_last(model) and head_is_last(reference)):  # all its logits at once: a row
            return [self._sums(model, reference, [r], [s])[0] for r, s in zip(rows, starts, strict=True)]
        ids, lengths = pad(rows, device=model.device)
        place = torch.arange(1, ids.shape[1], device=model.device)
        first = torch.tensor(starts, device=model.device).unsqueeze(1)
        scored = (place >= first) & (place < lengths.unsqueeze(1))
        (p, head), (q, other_head) = (_before_head(m, ids, lengths, scored) for m in (model, reference))
        totals = torch.zeros(len(rows), 1 + self.reverse, dtype=torch.float64, device=model.device)
        size = max(1, LOGITS // 4 // reference.config.get_text_config().vocab_size)
        for row, a, b in zip(scored.nonzero()[:, 0].split(size), p.split(size), q.split(size), strict=True):
            log_p, log_q = (x.to(model.device).double().log_softmax(-1) for x in (head(a), other_head(b)))
            found = [divergence(log_p, log_q), *([divergence(log_q, log_p)] if self.reverse else [])]
            totals.index_add_(0, row, torch.stack(found, dim=1))
        return [tuple(row) for row in totals.tolist()]


def divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """sum_v p(v) (log p(v) - log q(v)) of (..., vocabulary) float64 log-probabilities, nats; 0 log 0 is 0.

    Example:
        >>> p, q = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
        >>> round(float(divergence(p.log(), q.log())), 6)  # log(2) / 2 + log(2 / 3) / 2
        0.143841
    """
    p = log_p.exp()
    return torch.where(p == 0, 0.0, p * (log_p - log_q)).sum(-1)


def _before_head(model: Any, ids: torch.Tensor, lengths: torch.Tensor, scored: torch.Tensor) -> tuple[Any, Any]:
    """What the output layer reads at the scored places and that layer; the logits where more than it makes them."""
    ids, mask, scored = (x.to(model.device) for x in (ids, attention_mask(lengths), scored))
    if head_is_last(model):
        hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return hidden[:, :-1][scored], model.get_output_embeddings()
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1][scored], nn.Identity()
