"""Token batches: texts as token ids, grouped by length and padded to one tensor."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from lerpnb.data.corpus import Corpus
from lerpnb.errors import CorpusError

ENOUGH = 128  # tokens; a smaller batch is not ended for its padding


def token_ids(
    tokenizer, texts: Iterable[str], max_length: int, append_eos: bool = False, side: str = "text"
) -> list[list[int]]:
    """The token ids of each text, at most `max_length`; with `append_eos` the last of them is the end-of-text token.

    A text that spells its begin-of-text token, as one out of a chat template does, gets no second one. `side` is
    "text_target" for what a sequence-to-sequence model writes: some tokenizers have a vocabulary for it (Marian) or a
    language token (mBART).
    """
    given: dict[str, Any] = {"truncation": True, "max_length": max_length - append_eos}
    texts = list(texts)
    ids = (tokenizer(texts, **given) if side == "text" else tokenizer(text_target=texts, **given))["input_ids"]
    ids = [begun_once(tokenizer, row) for row in ids]
    return [[*row, tokenizer.eos_token_id] for row in ids] if append_eos else ids


def begun_once(tokenizer, ids: list[int]) -> list[int]:
    """Token ids without the begin-of-text token that a tokenizer put before one that the text spells."""
    return ids[1:] if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id else ids


def state_of(tokenizer) -> tuple:
    """What token ids depend on, to be compared with the same at a later time."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return tokenizer, repr(tokenizer), backend and backend.to_str()


def token_batches(
    tokenizer, texts: Iterable[str], max_tokens: int, max_length: int, append_eos: bool = False
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """Groups of token lists sorted by length, each group at most `max_tokens` when padded to its longest.

    Yields:
        The texts' places and their token ids, see `padded_groups`.
    """
    ids = token_ids(tokenizer, texts, max_length, append_eos)
    for group in padded_groups([len(row) for row in ids], max_tokens):
        yield group, [ids[i] for i in group]


def padded_groups(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Places of rows, longest first, so that what does not fit in memory fails at once, as `token_batches` groups them.

    A group of `ENOUGH` tokens ends sooner where more than an eighth of it would be padding, as dear as text.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        longest, size, tokens = max(1, lengths[order[0]]), 0, 0
        for i in order:
            padded = longest * (size + 1)
            sparse = tokens >= ENOUGH and tokens + lengths[i] < 7 / 8 * padded
            if size and (padded > max_tokens or sparse):
                break
            size, tokens = size + 1, tokens + lengths[i]
        yield order[:size]
        order = order[size:]


def length_groups(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """The places of rows of these lengths, longest first, in groups of at most `max_tokens` when padded.

    Example:
        >>> list(length_groups([2, 5, 4], 8))
        [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, max_tokens // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def pad(
    rows: Sequence[Sequence[int]], fill: int = 0, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of numbers as one tensor, filled on the right, and their lengths.

    Returns:
        (rows, longest) int64 and (rows,) int64.

    Example:
        >>> pad([[1, 2], [3]])
        (tensor([[1, 2],
                [3, 0]]), tensor([2, 1]))
    """
    tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=fill)
    return padded.to(device), torch.tensor([len(row) for row in rows], device=device)


def attention_mask(lengths: torch.Tensor) -> torch.Tensor:
    """1 at the places of rows of these lengths, 0 at their padding: (rows, longest) int64."""
    return (torch.arange(int(lengths.max()), device=lengths.device) < lengths.unsqueeze(1)).long()


def prompt_lengths(tokenizer, texts: Sequence[str], rows: Sequence[Sequence[int]], after: str) -> list[int]:
    """How many token ids of each text are its prompt's: what ends with the last `after` in it; 0 without `after`.

    A text and its prompt are tokenized each as a whole; the first id in which they differ is the completion's.

    Raises:
        CorpusError: a text without `after`, or a prompt that leaves no room for a token of its completion.
    """
    if not after:
        return [0] * len(rows)
    if without := [text for text in texts if after not in text]:
        raise CorpusError(
            f"completion_after={after!r}: {len(without)} of {len(texts)} texts do not have it, such as "
            f"{without[0][:40]!r}.\nWrite each text as its prompt, which ends so, and its completion."
        )
    prompts = token_ids(tokenizer, [text[: text.rindex(after) + len(after)] for text in texts], max(map(len, rows)))
    for text, prompt, row in zip(texts, prompts, rows, strict=True):
        if len(prompt) >= len(row):
            raise CorpusError(
                f"completion_after={after!r}: nothing of {text[:40]!r} is left to score after its prompt's "
                f"{len(prompt)} tokens.\nDrop such texts, or cut them to more tokens (max_length)."
            )
    return [
        next((i for i, (x, y) in enumerate(zip(prompt, row, strict=False)) if x != y), len(prompt))
        for prompt, row in zip(prompts, rows, strict=True)
    ]


def halves(text: str) -> tuple[str, str]:
    """A text before and after the space that is nearest to its middle; a text without a space has no second half.

    Example:
        >>> halves("a story told well"), halves("dull")
        (('a story', 'told well'), ('dull', ''))
    """
    spaces = [space.start() for space in re.finditer(r"\s+", text.strip())]
    if not spaces:
        return text.strip(), ""
    cut = min(spaces, key=lambda place: abs(place - len(text.strip()) / 2))
    return text.strip()[:cut].rstrip(), text.strip()[cut:].lstrip()


def ended(tokenizer, texts: Iterable[str], max_length: int, side: str = "text") -> list[list[int]]:
    """The token ids of each text, at most `max_length`, ending with the end-of-text token exactly once."""
    eos = tokenizer.eos_token_id
    rows = token_ids(tokenizer, texts, max_length, side=side)
    return [row if row[-1:] == [eos] else [*row[: max_length - 1], eos] for row in rows]


def training_rows(
    task: str, tokenizer, corpus: Corpus, max_length: int, completion_after: str = ""
) -> list[dict[str, Any]]:
    """What each text trains: `input_ids`, and `labels`: a "classifier" its index, a "reward" its `reward_targets`, a
    "causal" model all tokens, or those of the completion alone, see `prompt_lengths`."""
    labels: Any = corpus.labels
    if task == "seq2seq":
        sources, targets = zip(*map(halves, corpus.texts), strict=True)
        ids, labels = ended(tokenizer, sources, max_length), ended(tokenizer, targets, max_length, "text_target")
    else:
        ids = token_ids(tokenizer, corpus.texts, max_length, append_eos=task == "causal")
    if task == "causal":
        own = prompt_lengths(tokenizer, corpus.texts, ids, completion_after)
        labels = [[-100] * n + row[n:] for n, row in zip(own, ids, strict=True)]
    if task == "reward":
        labels = reward_targets(corpus)
    return [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]


def reward_targets(corpus: Corpus) -> list[float]:
    """What a reward model learns of each text: its label's place among all, from -1 for the first to 1 for the last.

    >>> reward_targets(Corpus(("dull", "fair", "fine"), (0, 1, 2), ("bad", "so-so", "good"), "stars"))
    [-1.0, 0.0, 1.0]
    """
    last = len(corpus.label_names) - 1
    return [2 * label / last - 1 for label in corpus.labels]


def collate(rows: list[dict[str, Any]], fill: int) -> dict[str, torch.Tensor]:
    """Training rows as one padded batch."""
    labels = [row["labels"] for row in rows]
    ids, lengths = pad([row["input_ids"] for row in rows], fill)
    # By place, not by id: the end-of-text token, often the padding token too, must be learnt.
    padded = pad(labels, -100)[0] if isinstance(labels[0], list) else torch.tensor(labels)
    return {"input_ids": ids, "attention_mask": attention_mask(lengths), "labels": padded}
