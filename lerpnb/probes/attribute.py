"""Attribute strength: how much of an attribute the texts have that a model writes, and how fluent they are."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.devices import pick_device
from lerpnb.checkpoints.limits import check_ids, check_vocabulary
from lerpnb.data.batching import pad
from lerpnb.data.chat import Prompt
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import refuse_not_causal
from lerpnb.generation.continuations import Continuations, context_ids, continued
from lerpnb.probes.base import by_prompt
from lerpnb.probes.classifier import Classifier
from lerpnb.probes.loss import sequence_nll
from lerpnb.results.measurement import Measurement

# A perplexity from here on is dropped, as in DExperts (arXiv 2105.03023).
DEGENERATE = 1e4


class AttributeStrength:
    """Strength of an attribute in sampled continuations, measured by an independent classifier.

    For each prompt `n_samples` continuations are sampled (`Continuations`); the classifier reads prompt + continuation.

    - `strength/<label>`: mean probability of the label, over continuations (unit: probability); or, where the
      classifier's `activation` is "none", `score/<label>`: its mean raw score (unit: score), a reward say;
    - `share/<label>`: share of continuations whose probability is over 0.5; of raw scores there is none;
    - `dist-1`, `dist-2`, `dist-3`: different n-grams over all words among a prompt's continuations, averaged over
      prompts (Li et al. arXiv 1510.03055, over words as in DExperts, arXiv 2105.03023);
    - `perplexity/continuations`: exp(mean negative log-likelihood of the continuation given its prompt) under
      `perplexity_model`, averaged over continuations; values of 10,000 and more are dropped, as in DExperts.

    An item is a prompt, so intervals are over prompts. Every sample is kept, with its strength and perplexity.

    A reward model, which has one output and a chat template, reads prompt and response as two turns of a dialogue. What
    is read is cut at its end to the positions that the classifier has (`classifier.max_length`).

    Args:
        classifier: a sequence classifier, a reward or a regression model: a folder, an adapter folder, a hub id.
        prompts: texts to continue, or chats (`ln.data.chats`), of which the classifier reads the answer alone.
        label: which of the classifier's outputs is the attribute, by its label or its index; it may be left out where
            there is one output, or one is called "positive".
        activation, dialogue: how the classifier makes scores and reads texts, see `Classifier`; by default as its
            configuration says.
        perplexity_model: the model whose perplexity measures fluency: a name or a Checkpoint; by default the path's
            base. False leaves perplexity out, and so does a path without a base.
        n_samples, max_new_tokens, top_p, temperature, seed: see `Continuations`.
        device: of the classifier and of a named perplexity model; "auto" takes cuda, then mps, then cpu.
        name: put in brackets after the quantities' names, to tell two attributes of one curve apart.

    Raises:
        ProbeError: no such label.
        AssetError: no such classifier.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> tiny_classifier().save_pretrained(folder), tiny_tokenizer().save_pretrained(folder) and None
        (None, None)
        >>> AttributeStrength(folder, ["The film", "My aunt"], label="glad", perplexity_model=False, device="cpu").name
        'strength/glad'
    """

    def __init__(
        self,
        classifier: str | Path,
        prompts: Sequence[Any],
        *,
        label: str | int | None = None,
        activation: str | None = None,
        dialogue: bool | None = None,
        perplexity_model: str | Path | Checkpoint | bool | None = None,
        n_samples: int = 4,
        max_new_tokens: int = 20,
        top_p: float = 0.9,
        temperature: float = 1.0,
        seed: int = 0,
        device: str = "auto",
        name: str = "",
    ):
        if isinstance(perplexity_model, (str, Path)):
            perplexity_model = Checkpoint.load(perplexity_model, device=pick_device(device))
        named = isinstance(perplexity_model, Checkpoint) and perplexity_model.tokenizer
        if not (named or perplexity_model is None or perplexity_model is False):
            raise ProbeError(
                f"AttributeStrength(perplexity_model): got {perplexity_model!r}.\n"
                "Give a name, a Checkpoint with a tokenizer, False for no perplexity, or leave it out."
            )
        self.continuations = Continuations(tuple(prompts), n_samples, max_new_tokens, top_p, temperature, seed)
        self.classifier = Classifier.load(classifier, device, activation=activation, dialogue=dialogue)
        self._index = self.classifier.label_index(label)
        self.label = self.classifier.labels[self._index]
        if self.label == "LABEL_0" and len(self.classifier.labels) == 1:
            self.label = Path(classifier).name  # more than transformers' default says
        self.perplexity_model = perplexity_model
        self._called = f" ({name})" if name else ""
        self.kind = "score" if self.classifier.activation == "none" else "strength"
        self.name = f"{self.kind}/{self.label}{self._called}"
        self._halving = ExecutableBatchSize("perplexity/continuations")
        self._strength: dict[tuple[Prompt, str], float] = {}
        self._perplexity: dict[tuple[Prompt, str], float] = {}

    def prepare(self, base: Checkpoint | None) -> "AttributeStrength":
        """This probe, or where no perplexity model was named a copy that takes the path's base; `evaluate` calls it.

        Without a base either, perplexity is left out, with a warning.
        """
        ready = self
        if self.perplexity_model is None:
            ready = copy.copy(self)
            ready.perplexity_model, ready._perplexity = base, {}
            if base is None or base.tokenizer is None:
                ready.perplexity_model = False
                warnings.warn(
                    "AttributeStrength(perplexity_model): none was named, and the path has no base, so fluency is not "
                    "measured.\nName a model for it; perplexity_model=False says that none is wanted.",
                    stacklevel=2,
                )
        ready._check_prompts()
        return ready

    def _check_prompts(self) -> None:
        """Refuse, before any text is written, prompts that the classifier or the perplexity model cannot read."""
        spec, classifier = self.continuations, self.classifier
        whole = replace(classifier, max_length=10**9)
        read = [row["input_ids"] for row in whole.tokenized([(prompt, "") for prompt in spec.prompts])]
        for prompt, ids in zip(spec.prompts, read, strict=True):
            if len(ids) >= classifier.max_length:
                raise ProbeError(
                    f"{self.name}: the classifier {classifier.name!r} reads {classifier.max_length} tokens, and the "
                    f"prompt {str(prompt)[:30]!r} alone has {len(ids)}: it would see nothing of what follows.\n"
                    "Shorten the prompt, or take a classifier that reads more."
                )
        check_vocabulary(classifier.model, max((max(ids, default=0) for ids in read), default=0), self.name)
        if isinstance(self.perplexity_model, Checkpoint):
            model: Any = self.perplexity_model
            call = f"{self.name}: perplexity model {model.name!r}"
            refuse_not_causal(model.model, call)
            rows = [context_ids(model.tokenizer, prompt) for prompt in spec.prompts]
            way_out = "Shorten the prompts, ask for fewer max_new_tokens, or name another perplexity_model."
            check_ids(model.model, rows, call, spec.max_new_tokens, way_out)

    def subset(self) -> "AttributeStrength":
        """The same probe of its first prompts, to see whether it repeats."""
        subset = copy.copy(self)
        subset.continuations = replace(self.continuations, prompts=self.continuations.prompts[:2], n_samples=1)
        subset._strength, subset._perplexity = {}, {}
        return subset

    def identity(self) -> dict:
        perplexity_model = self.perplexity_model.identity if isinstance(self.perplexity_model, Checkpoint) else None
        how = {name: getattr(self.classifier, name) for name in ("activation", "dialogue", "max_length")}
        settings = how | {"label": self.label, "name": self.name, "perplexity_model": perplexity_model}
        return {"probe": "attribute", "classifier": self.classifier.identity} | settings

    def score(self, samples: pd.DataFrame) -> tuple[dict[str, Measurement], dict[str, Sequence[float]]]:
        prompts = [self.continuations.prompts[i] for i in samples["prompt_id"]]
        texts = list(zip(prompts, samples["continuation"], strict=True))
        strength = self._strengths(texts)
        unit = "score" if self.kind == "score" else "probability"
        measured = {self.name: by_prompt(samples, strength, unit, kind=self.kind)}
        if self.kind == "strength":
            measured[f"share/{self.label}{self._called}"] = by_prompt(
                samples, np.where(np.isnan(strength), np.nan, strength > 0.5), "share", kind="share"
            )
        for n in (1, 2, 3):
            kind = f"dist-{n}{self._called}"
            measured[kind] = distinct(samples, n, kind)
        columns: dict[str, Sequence[float]] = {self.name: strength.tolist()}
        if isinstance(self.perplexity_model, Checkpoint):
            perplexity = self._perplexities(self.perplexity_model, texts)
            # Where nothing was written, nothing can be measured; a NaN is kept.
            keep = [not p >= DEGENERATE and bool(text.strip()) for p, (_, text) in zip(perplexity, texts, strict=True)]
            measured[f"perplexity/continuations{self._called}"] = by_prompt(
                samples, perplexity, "perplexity", keep, "perplexity"
            )
            columns[f"perplexity{self._called}"] = perplexity
        return measured, columns

    def _strengths(self, texts: list[tuple[Prompt, str]]) -> np.ndarray:
        new = sorted(
            {text for text in texts if text not in self._strength}, key=lambda text: len(str(text[0]) + text[1])
        )
        if new:
            self._strength |= zip(new, self.classifier.scores(new, self._index), strict=True)
        return np.array([self._strength[text] for text in texts])

    def _perplexities(self, checkpoint: Checkpoint, pairs: list[tuple[Prompt, str]]) -> list[float]:
        new = list({pair for pair in pairs if pair not in self._perplexity})
        if new:
            model: Any = checkpoint.model
            values = continuation_perplexity(model, checkpoint.tokenizer, new, halving=self._halving)
            self._perplexity |= zip(new, values, strict=True)
        return [self._perplexity[pair] for pair in pairs]


def continuation_perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[Prompt, str]],
    batch: int = 32,
    halving: ExecutableBatchSize | None = None,
) -> list[float]:
    """exp(mean negative log-likelihood) of each continuation given its prompt; NaN for an empty continuation.

    Where memory runs out the batches are halved, which is said.
    """
    refuse_not_causal(model, "continuation_perplexity()")
    halving = halving or ExecutableBatchSize("continuation_perplexity()")
    rows = [continued(tokenizer, prompt, continuation) for prompt, continuation in pairs]

    def perplexities(group: Sequence[int]) -> list[float]:
        ids, lengths = pad([rows[i][0] for i in group], device=model.device)
        starts = torch.tensor([max(1, rows[i][1]) for i in group], device=model.device)
        return sequence_nll(model, ids, lengths, starts).exp().tolist()

    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    values = [float("nan")] * len(rows)
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        for i, value in zip(group, halving(perplexities, group), strict=True):
            values[i] = value
    return values


def distinct(samples: pd.DataFrame, n: int, kind: str = "") -> Measurement:
    """dist-n of each prompt: different n-grams over total words of its continuations, each text's n-grams its own.

    Example:
        >>> samples = pd.DataFrame({"prompt_id": [0, 0], "continuation": ["a fine film", "a fine day"]})
        >>> distinct(samples, 1).value()
        0.6666666666666666
    """
    values, weights = [], []
    for _, texts in samples.groupby("prompt_id", sort=True)["continuation"]:
        words = [text.split() for text in texts]
        total = sum(map(len, words))
        grams = {tuple(w[i : i + n]) for w in words for i in range(len(w) - n + 1)}
        values.append(len(grams) / total if total else 0.0)
        weights.append(float(total > 0))
    return Measurement(np.array(values), np.array(weights), "share", "prompts", kind=kind or f"dist-{n}")
