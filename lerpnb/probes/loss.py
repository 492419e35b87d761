"""Loss of a corpus: mean negative log-likelihood per token, and every text's own."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lerpnb.checkpoints.limits import check_ids, position_limit
from lerpnb.data.batching import pad, prompt_lengths, state_of, token_batches
from lerpnb.data.corpus import Corpus, as_corpus
from lerpnb.errors import ProbeError
from lerpnb.generation.batch_size import ExecutableBatchSize
from lerpnb.generation.causal import refuse_not_causal
from lerpnb.results.measurement import Measurement

# Most logits held at once, in numbers: 64 MiB of float32.
LOGITS = 2**24


class Loss:
    """Mean negative log-likelihood of held-out texts, tokens weighted equally.

    loss = - sum_t log p(x_t | x_<t) / (number of predicted tokens), in nats a token, over all texts together; the
    first token of a text is context only. It is what transformers returns as `loss` for labels equal to the input.
    perplexity = exp(loss). Each text's own loss is kept as an item, weighted by its predicted tokens.

    Args:
        corpus: the texts, or a list of them; the quantities are called `loss/<corpus.name>` and
            `perplexity/<corpus.name>`.
        name: another name than the corpus's.
        max_length: tokens a text is cut to.
        append_eos: end each text with the end-of-text token, which is predicted too, as `fine_tune` learns it.
        completion_after: score a completion alone: what follows the last such text in each, as `fine_tune` learns it.
        batch_tokens: tokens in one forward pass, padding counted: a matter of speed and memory, not of values. Where
            memory runs out the batches are halved, which is said.

    Raises:
        ProbeError: a number below 2; when measured, a text with fewer than two tokens or more than the model has
            positions, or a tokenizer without the end-of-text token that is to be appended.

    Example:
        >>> from lerpnb.data.corpus import Corpus
        >>> Loss(Corpus(("A fine film.",), (0,), ("fine",), "fine")).name
        'loss/fine'
    """

    def __init__(
        self,
        corpus: Corpus | Sequence[str],
        *,
        name: str | None = None,
        max_length: int = 512,
        batch_tokens: int = 1024,
        append_eos: bool = False,
        completion_after: str = "",
    ):
        for argument, value in (("max_length", max_length), ("batch_tokens", batch_tokens)):
            if value < 2:
                raise ProbeError(f"Loss({argument}): got {value}.\nIt takes 2 or more.")
        self.corpus, self.append_eos = as_corpus(corpus, f"{type(self).__name__}(corpus)"), append_eos
        self.max_length, self.batch_tokens, self.completion_after = max_length, batch_tokens, completion_after
        self.label = name or self.corpus.name
        self.name = f"loss/{self.label}"
        self._batches: tuple | None = None
        self._halving = ExecutableBatchSize(self.name)

    def identity(self) -> dict:
        identity = {"probe": "loss", "name": self.name, "texts": self.corpus.sha256, "max_length": self.max_length}
        settings = {"append_eos": self.append_eos, "completion_after": self.completion_after}
        return identity | {name: value for name, value in settings.items() if value}

    def subset(self) -> Self:
        """The same probe of its two shortest texts, to see whether it repeats at little cost."""
        subset = copy.copy(self)
        subset.corpus, subset._batches = self.corpus.shortest(2), None
        return subset

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Measurement]:
        batches = self._tokenized(model, tokenizer)
        values, weights = np.empty(len(self.corpus)), np.empty(len(self.corpus))
        for places, ids, lengths, starts in batches:
            values[places] = self._halving(partial(_nll, model, ids, lengths, starts), range(len(ids)))
            weights[places] = (lengths - starts).cpu().numpy()
        loss = Measurement(values, weights, "nats/token", "texts", kind="loss")
        perplexity = Measurement(values, weights, "perplexity", "texts", transform="exp", kind="perplexity")
        return {self.name: loss, f"perplexity/{self.label}": perplexity}

    def _tokenized(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[tuple]:
        """Token batches on the model's device, made once for all points."""
        refuse_not_causal(model, self.name)
        key = (*state_of(tokenizer), model.device)
        if self._batches is None or self._batches[0] != key:
            if self.append_eos and tokenizer.eos_token_id is None:
                raise ProbeError(
                    f"{self.name}: the tokenizer has no end-of-text token.\n"
                    "Set tokenizer.eos_token, or leave append_eos out."
                )
            texts, limit = self.corpus.texts, position_limit(model)
            groups = list(token_batches(tokenizer, texts, self.batch_tokens, self.max_length, self.append_eos))
            places, shortest = groups[-1][0], groups[-1][1][-1]
            if len(shortest) < 2:
                text = texts[places[-1]]
                raise ProbeError(f"{self.name}: {text[:40]!r} has {len(shortest)} token.\nA loss needs two or more.")
            rows = [row for _, ids in groups for row in ids]
            check_ids(model, rows, self.name, way_out=f"Pass Loss(corpus, max_length={limit}).")
            self._batches = key, []
            for places, ids in groups:
                own = prompt_lengths(tokenizer, [texts[i] for i in places], ids, self.completion_after)
                starts = torch.tensor([max(1, n) for n in own], device=model.device)
                self._batches[1].append((places, *pad(ids, device=model.device), starts))
        return self._batches[1]


def _nll(
    model: PreTrainedModel, ids: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor, rows: range
) -> list[float]:
    return sequence_nll(model, *(part[rows.start : rows.stop] for part in (ids, lengths, starts))).tolist()


@torch.inference_mode()
def sequence_nll(
    model: PreTrainedModel, ids: torch.Tensor, lengths: torch.Tensor, starts: torch.Tensor
) -> torch.Tensor:
    """Mean negative log-likelihood of each row's tokens from `starts` to its end.

    The logits are made in chunks of at most `LOGITS` numbers, and only where a token is scored, so that memory does
    not grow as batch x length x vocabulary.

    Args:
        ids: (texts, longest) int64, padded on the right.
        lengths: (texts,) int64.
        starts: (texts,) int64, 1 or more: the first place whose token is scored.

    Returns:
        (texts,) float64, nats a token; NaN where no token is scored.
    """
    place = torch.arange(1, ids.shape[1], device=ids.device)
    scored = (place >= starts.unsqueeze(1)) & (place < lengths.unsqueeze(1))
    total = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
    # Padding on the right is never seen by a causal model's earlier places; a mask spares kernels that ask for one.
    if head_is_last(model):
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)).long()
        hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        nll = _chunked_nll(model.get_output_embeddings(), hidden[:, :-1][scored], ids[:, 1:][scored])
        total.index_add_(0, scored.nonzero()[:, 0], nll.double())
    else:
        for row in range(len(ids)):
            end = int(lengths[row])
            logits = model(input_ids=ids[row : row + 1, :end]).logits[0, :-1].float()
            nll = F.cross_entropy(logits, ids[row, 1:end], reduction="none")
            total[row] = nll[scored[row, : end - 1]].double().sum()
    return total / scored.sum(1)


_HEAD_IS_LAST: WeakKeyDictionary = WeakKeyDictionary()


def head_is_last(model: PreTrainedModel) -> bool:
    """Whether the logits are the output embedding of the last hidden state and nothing more, tried once a model.

    Gemma 2 caps its logits and Cohere scales them: their losses are computed from the model's own logits. It is tried
    with hidden states and logits of our own in place of the model's, so the answer does not depend on its weights.
    """
    if model not in _HEAD_IS_LAST:
        try:
            _HEAD_IS_LAST[model] = _passes_through(model)
        except (AttributeError, RuntimeError, TypeError, ValueError):
            _HEAD_IS_LAST[model] = False
    return _HEAD_IS_LAST[model]


def _passes_through(model: Any) -> bool:
    """Whether the body's hidden states reach the head, and the head's outputs the logits, as they are."""
    head, body = model.get_output_embeddings(), model.base_model
    if body is model:
        return False
    ids, read = torch.arange(1, min(9, model.config.get_text_config().vocab_size), device=model.device)[None], []
    draw = torch.Generator().manual_seed(0)
    scales = torch.logspace(-3, 4, ids.shape[1])[:, None]  # small and large ones: a cap shows in the large alone

    def drawn(like: torch.Tensor) -> torch.Tensor:
        return (scales * torch.randn(like.shape, generator=draw)).to(like)

    def states(_: Any, __: Any, output: Any) -> Any:
        output.last_hidden_state = drawn(output.last_hidden_state)
        read.append(output.last_hidden_state)
        return output

    def logits(_: Any, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        read.append(inputs[0])
        read.append(drawn(output))
        return read[-1]

    hooks = [body.register_forward_hook(states), head.register_forward_hook(logits)]
    try:
        out = model(input_ids=ids, use_cache=False).logits
    finally:
        for hook in hooks:
            hook.remove()
    made, met, given = read  # more than these, where a head is called twice, is a ValueError
    return torch.equal(made, met.to(made)) and torch.equal(given.float(), out.float())


def _chunked_nll(head: Any, hidden: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    size = max(1, LOGITS // head.weight.shape[0])
    pairs = zip(hidden.split(size), target.split(size), strict=True)
    return torch.cat([F.cross_entropy(head(h).float(), t, reduction="none") for h, t in pairs])
