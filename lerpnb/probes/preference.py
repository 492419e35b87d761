"""Preference: how often a model finds the chosen of two continuations likelier than the rejected one."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.limits import check_ids
from lerpnb.data.batching import length_groups, pad, state_of
from lerpnb.data.pairs import Pairs
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import refuse_not_causal
from lerpnb.generation.continuations import continued
from lerpnb.probes.loss import sequence_nll
from lerpnb.results.measurement import Measurement

Row = tuple[tuple[int, ...], int]  # token ids, and the first of them that is scored


class Preference:
    """Share of pairs whose chosen continuation the model finds likelier than the rejected one, and by how much.

    With s(y) = log p(y | x) = sum_t log p(y_t | x, y_<t), in nats, of a prompt's x two continuations y:

    - `preference/<pairs.name>`: mean over pairs of [s(chosen) > s(rejected)], a tie counting as a half (unit: share).
      It is the accuracy of minimal pairs (BLiMP, Warstadt et al., arXiv 1912.00582) and of multiple choice between two;
    - `margin/<pairs.name>`: mean over pairs of s(chosen) - s(rejected), in nats, or in nats a token where
      `length_normalized`. A DPO reward margin (arXiv 2305.18290) is beta times this less the reference model's.

    An item is a pair. A prompt and its continuation are tokenized together; both continuations are scored from the
    first token that either does not share with the prompt. An empty prompt is the beginning-of-text token, or where the
    tokenizer has none the end-of-text token, as in lm-evaluation-harness. Nothing is cut.

    Args:
        pairs: the pairs, see `ln.data.Pairs`.
        length_normalized: s is the mean over the continuation's tokens instead of the sum.
        append_eos: end each continuation with the end-of-text token, which is scored too, as DPO trains it.
        name: another name than the pairs'.
        batch_tokens: tokens in one forward pass, padding counted: a matter of speed and memory, not of values.

    Raises:
        ProbeError: no `Pairs`, batch_tokens below 2; when measured, a pair longer than the model has positions, a
            continuation without a token, a tokenizer without the token that is needed, a model that is not causal.

    Example:
        >>> model = tiny_llama()
        >>> _ = model.lm_head.weight.data.zero_()  # all tokens equally likely, so fewer of them are likelier
        >>> pairs = Pairs(("a film",) * 2, (" was dull", " fine"), (" was", " dull"), "short")
        >>> found = Preference(pairs).measure(model, tiny_tokenizer())
        >>> found["preference/short"].values, round(found["margin/short"].values[0] / np.log(8), 6)
        (array([0. , 0.5]), np.float64(-1.0))
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        length_normalized: bool = False,
        append_eos: bool = False,
        name: str | None = None,
        batch_tokens: int = 1024,
    ):
        if batch_tokens < 2:
            raise ProbeError(f"Preference(batch_tokens): got {batch_tokens}.\nIt takes 2 or more.")
        self.pairs, self.length_normalized, self.append_eos = pairs, length_normalized, append_eos
        self.batch_tokens, self.label = batch_tokens, name or pairs.name
        self.name = f"preference/{self.label}"
        self._halving = ExecutableBatchSize(self.name)
        self._tokenized: tuple[Any, list[tuple[Row, Row]]] = None, []

    def identity(self) -> dict:
        settings = {"length_normalized": self.length_normalized, "append_eos": self.append_eos}
        return {"probe": "preference", "name": self.name, "texts": self.pairs.sha256} | settings

    def subset(self) -> "Preference":
        """The same probe of its first two pairs, to see whether it repeats at little cost."""
        subset, pairs = copy.copy(self), self.pairs
        subset.pairs = replace(pairs, prompts=pairs.prompts[:2], chosen=pairs.chosen[:2], rejected=pairs.rejected[:2])
        subset._tokenized = None, []
        return subset

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        refuse_not_causal(model, self.name)
        if self._tokenized[0] != state_of(tokenizer):
            found = self._rows(model, tokenizer)
            self._tokenized = state_of(tokenizer), found
            check_ids(model, [ids for pair in found for ids, _ in pair], self.name)
        pairs = self._tokenized[1]
        rows = list(dict.fromkeys(row for pair in pairs for row in pair))  # equal ones once, so that a tie is one
        scores: dict[Row, float] = {}
        for group in length_groups([len(ids) for ids, _ in rows], self.batch_tokens):
            part = [rows[i] for i in group]
            scores |= zip(part, self._halving(lambda some: self._scores(model, some), part), strict=True)
        margins = np.array([scores[chosen] - scores[rejected] for chosen, rejected in pairs])
        preferred = np.where(np.isnan(margins), np.nan, (np.sign(margins) + 1) / 2)
        return {
            self.name: Measurement(preferred, unit="share", items="pairs", kind="preference"),
            f"margin/{self.label}": Measurement(
                margins, unit="nats/token" if self.length_normalized else "nats", items="pairs", kind="margin"
            ),
        }

    def _scores(self, model: PreTrainedModel, rows: Sequence[Row]) -> list[float]:
        """s of each row, in nats or nats a token."""
        ids, lengths = pad([ids for ids, _ in rows], device=model.device)
        starts = torch.tensor([start for _, start in rows], device=model.device)
        means = -sequence_nll(model, ids, lengths, starts)
        return (means if self.length_normalized else means * (lengths - starts)).tolist()

    def _rows(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[tuple[Row, Row]]:
        """The chosen and the rejected row of each pair, scored from one place on."""
        if self.append_eos and tokenizer.eos_token_id is None:
            raise ProbeError(
                f"{self.name}: the tokenizer has no end-of-text token.\n"
                "Set tokenizer.eos_token, or leave append_eos out."
            )
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        end = [tokenizer.eos_token_id] if self.append_eos else []
        first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        rows = []
        for i, (prompt, *texts) in enumerate(
            zip(self.pairs.prompts, self.pairs.chosen, self.pairs.rejected, strict=True)
        ):
            both = [continued(tokenizer, prompt, text) for text in texts]
            start = min(own for _, own in both)
            if start == 0 and first is None:
                raise ProbeError(
                    f"{self.name}: pair {i} has no prompt, and the tokenizer no token that begins a text.\n"
                    "Set tokenizer.bos_token, or give the pairs prompts."
                )
            before, start = ([first], 1) if start == 0 else ([], start)
            for text, (ids, _) in zip(texts, both, strict=True):
                if (length := len(before) + len(ids) + len(end)) > (positions or length):
                    raise ProbeError(
                        f"{self.name}: pair {i} has {length} tokens, but the model has {positions} positions.\n"
                        "Drop such pairs: a continuation that is cut is another one."
                    )
                if length - len(end) <= start:
                    raise ProbeError(f"{self.name}: {text[:40]!r} of pair {i} has no token.\nDrop such pairs.")
            chosen, rejected = (((*before, *ids, *end), start) for ids, _ in both)
            rows.append((chosen, rejected))
        return rows
