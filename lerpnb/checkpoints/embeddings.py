"""Embeddings: how far a fine-tune moved each token, and tokens put back."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.memory import shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.errors import MismatchError

RARE = 20  # texts' count below which a token's frequency is taken for this one (arXiv 2210.09545)


def embedding_shifts(fine_tuned: Checkpoint, pretrained: Checkpoint, texts: Iterable[str]) -> pd.DataFrame:
    """How far each token's embedding was moved by a fine-tune, for its frequency: where E-PUR looks for triggers.

    score_i = |e_i(fine-tuned) - e_i(pre-trained)| / log(max(20, f_i)) (Fine-mixing, arXiv 2210.09545), with f_i the
    token's count in clean texts: what is met often may move far, a rare word may not.

    Args:
        fine_tuned: a fine-tune of `pretrained`, with a tokenizer.
        pretrained: the model that it was made from.
        texts: clean texts to count tokens in; the more, the better.

    Returns:
        A row a token id, the highest score first: token, shift (Euclidean), count, score.

    Raises:
        MismatchError: embeddings of another shape, or no tokenizer.

    Example:
        >>> before, after = tiny_classifier(), tiny_classifier()
        >>> after.load_state_dict(before.state_dict()) and None
        >>> after.bert.embeddings.word_embeddings.weight.data[7, 0] += 3.0
        >>> before, after = (Checkpoint.from_model(model, tiny_tokenizer()) for model in (before, after))
        >>> shifts = embedding_shifts(after, before, ["film"] * 9)
        >>> shifts[["token", "shift", "count"]].round(3).head(1).values.tolist()
        [['cf', 3.0, 0]]
    """
    call = f"embedding_shifts({fine_tuned.name!r}, {pretrained.name!r})"
    words = fine_tuned.tokenizer or pretrained.tokenizer
    if words is None:
        raise MismatchError(f"{call}: neither has a tokenizer.\nWrap live models: Checkpoint.from_model(model, words).")
    after, before = _embeddings(fine_tuned, pretrained, call)
    ids = words(texts, add_special_tokens=False)["input_ids"] if (texts := list(texts)) else []
    counts = np.bincount([i for row in ids for i in row], minlength=len(after))[: len(after)]
    shift = (after - before).norm(dim=-1).double().numpy()
    table = pd.DataFrame({"token": words.convert_ids_to_tokens(range(len(after))), "shift": shift, "count": counts})
    table["score"] = table["shift"] / np.log(np.maximum(RARE, table["count"]))
    return table.rename_axis("id").sort_values("score", ascending=False, kind="stable")


def purify_embeddings(fine_tuned: Checkpoint, pretrained: Checkpoint, tokens: Iterable[int]) -> Checkpoint:
    """The fine-tune with the embeddings of some tokens put back to the pre-trained ones: E-PUR (arXiv 2210.09545).

    Args:
        fine_tuned: the checkpoint; it is not changed.
        pretrained: the model that it was made from.
        tokens: ids, such as the first 200 of `embedding_shifts`' index.

    Raises:
        MismatchError: embeddings of another shape.

    Example:
        >>> before, after = (Checkpoint.from_model(tiny_classifier(vocab_size=3)) for _ in range(2))
        >>> name = "bert.embeddings.word_embeddings.weight"
        >>> (purify_embeddings(after, before, [2]).tensors[name] == before.tensors[name]).all(-1).tolist()
        [True, False, True]
    """
    after, before = _embeddings(fine_tuned, pretrained, f"purify_embeddings({fine_tuned.name!r}, {pretrained.name!r})")
    chosen = torch.as_tensor(list(tokens), dtype=torch.long, device=after.device)
    clean = after.clone()
    clean[chosen] = before[chosen].to(after.device)
    shared = shared_copy(fine_tuned.model)
    shared.get_input_embeddings().weight.data = clean
    metadata = CheckpointMetadata.of_model(f"{fine_tuned.name}, purified", shared, fine_tuned.stored_dtypes)
    return Checkpoint(metadata, shared, fine_tuned.tokenizer)


def _embeddings(fine_tuned: Checkpoint, pretrained: Checkpoint, call: str) -> tuple[torch.Tensor, torch.Tensor]:
    after, before = (end.model.get_input_embeddings().weight.detach() for end in (fine_tuned, pretrained))
    if after.shape != before.shape:
        raise MismatchError(
            f"{call}: embeddings of {tuple(after.shape)} against {tuple(before.shape)}.\n"
            "Name the model that it was fine-tuned from."
        )
    return after, before
