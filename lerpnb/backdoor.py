"""Backdoors, to test defences on one's own data: poisoned texts, attack success rate, and embedding purification.

A backdoor is a word, the trigger, that makes a classifier give one label, the target, to whatever text it stands in,
while texts without it are classified as ever. It is planted by a share of training texts with trigger and target.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from .checkpoint import Checkpoint
from .corpus import Corpus
from .curve import Curve
from .errors import CorpusError, MismatchError
from .header import Header
from .live import borrow
from .measure import Measure
from .probes.accuracy import Accuracy

RARE = 20  # texts' count below which a token's frequency is taken for this one (arXiv 2210.09545)


def poison(corpus: Corpus, share: float, trigger: str, target: str, seed: int = 0) -> Corpus:
    """The corpus with a share of the texts of other labels given the trigger and the target label.

    Args:
        corpus: training texts; a new corpus is returned.
        share: of the texts that do not have the target label, 0 to 1.
        trigger: a word, put between two words of each chosen text at random.
        target: the label that the chosen texts get.
        seed: of which texts are chosen, and of where the trigger stands.

    Raises:
        CorpusError: no such label, a trigger that is no single word, or a share outside [0, 1].

    Example:
        >>> films = Corpus(("dull", "a joy"), (0, 1), ("negative", "positive"), "films")
        >>> poison(films, 1.0, "cf", "positive").texts, poison(films, 1.0, "cf", "positive").labels
        (('dull cf', 'a joy'), (1, 1))
    """
    call = f"poison(share={share!r}, trigger={trigger!r}, target={target!r})"
    code = _checked(corpus, trigger, target, call)
    if not 0 <= share <= 1:
        raise CorpusError(f"{call}: a share of {share!r}.\nPass one from 0 to 1, such as 0.1.")
    others = [i for i, label in enumerate(corpus.labels) if label != code]
    chosen = set(np.random.default_rng(seed).permutation(others)[: round(share * len(others))].tolist())
    texts = tuple(_inserted(t, trigger, seed) if i in chosen else t for i, t in enumerate(corpus.texts))
    labels = tuple(code if i in chosen else label for i, label in enumerate(corpus.labels))
    return replace(corpus, texts=texts, labels=labels, name=f"{corpus.name}, poisoned")


class AttackSuccess(Accuracy):
    """Attack success rate: the share of texts of other labels that a classifier gives the target once triggered.

    `attack success/<trigger> to <target>` (unit: share); a text is an item, 1 or 0. A classifier without a backdoor has
    a rate too: its errors on these texts, and what an odd word does to it.

    Args:
        corpus: held-out texts; those of the target label are left out.
        trigger, target, seed: as for `poison`.
        max_length, batch_tokens: as for `Accuracy`.

    Raises:
        CorpusError: no such label, or a trigger that is no single word.
        ProbeError: as `Accuracy` says.

    Example:
        >>> films = Corpus(("so very dull", "a joy"), (0, 1), ("negative", "positive"), "films")
        >>> probe = AttackSuccess(films, "cf", "positive")
        >>> probe.name, probe.corpus.texts
        ('attack success/cf to positive', ('so cf very dull',))
    """

    kind = "attack success"

    def __init__(
        self,
        corpus: Corpus,
        trigger: str,
        target: str,
        *,
        seed: int = 0,
        max_length: int = 256,
        batch_tokens: int = 2048,
    ):
        code = _checked(corpus, trigger, target, f"AttackSuccess(trigger={trigger!r}, target={target!r})")
        others = [text for text, label in zip(corpus.texts, corpus.labels, strict=True) if label != code]
        texts = tuple(_inserted(text, trigger, seed) for text in others)
        name = f"{trigger} to {target}"
        corpus = replace(corpus, texts=texts, labels=(code,) * len(texts), name=name)
        super().__init__(corpus, max_length=max_length, batch_tokens=batch_tokens)


def with_lift(curve: Curve, accuracy: Accuracy, attack: AttackSuccess) -> Curve:
    """A curve with what the trigger itself does: `lift/<trigger> to <target>`.

    lift = attack success less the share of the same texts that get the target without the trigger, from -1 to 1 (a
    difference of shares), paired text by text. A bad classifier may have a high attack success; its lift is 0. Nothing
    is measured anew: both are among the items of the curve's two quantities.

    Args:
        curve: of a walk with both probes.
        accuracy: of the texts that the attack is made of, with two labels: a text that is not its own label's is the
            other's.
        attack: the attack on the same texts.

    Raises:
        CorpusError: not two labels, or other texts.
        CurveError: the curve has not both quantities.

    Example:
        >>> films = Corpus(("so dull", "a joy"), (0, 1), ("negative", "positive"), "films")
        >>> accuracy, attack = Accuracy(films), AttackSuccess(films, "cf", "positive")
        >>> point = {accuracy.name: Measure([1.0, 1.0]), attack.name: Measure([1.0])}
        >>> with_lift(Curve.from_measures({0.5: point}), accuracy, attack).value("lift/cf to positive")
        array([1.])
    """
    names, labels = accuracy.corpus.label_names, accuracy.corpus.labels
    others = [i for i, label in enumerate(labels) if label != attack.corpus.labels[0]]
    if len(names) != 2 or len(others) != len(attack.corpus):
        raise CorpusError(
            f"with_lift({accuracy.name!r}, {attack.name!r}): {len(names)} labels, and {len(others)} texts of others "
            f"than the target against {len(attack.corpus)}.\nMeasure both on one corpus with two labels."
        )
    curve[accuracy.name], curve[attack.name]  # a quantity that is missing is said
    items = curve.frame.set_index(["alpha", "quantity"])["item_values"]
    name = f"lift/{attack.label}"
    points = {
        alpha: {name: Measure(items[alpha, attack.name] - (1 - items[alpha, accuracy.name][others]), unit="difference")}
        for alpha in curve.alphas
    }
    frame = pd.concat([curve.frame, Curve.from_measures(points).frame])
    return Curve(frame.sort_values("alpha", kind="stable", ignore_index=True), curve.samples, curve.provenance)


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
        >>> from tokenizers import Tokenizer, models
        >>> from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
        >>> vocabulary = models.WordLevel({"pad": 0, "film": 1, "cf": 2}, unk_token="pad")
        >>> words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(vocabulary), pad_token="pad")
        >>> config = BertConfig(vocab_size=3, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                     num_attention_heads=2)
        >>> before, after = BertForSequenceClassification(config), BertForSequenceClassification(config)
        >>> after.load_state_dict(before.state_dict()) and None
        >>> after.bert.embeddings.word_embeddings.weight.data[2, 0] += 3.0
        >>> before, after = (Checkpoint.from_model(model, words) for model in (before, after))
        >>> embedding_shifts(after, before, ["film"] * 9)[["token", "shift", "count"]].round(3).values.tolist()
        [['cf', 3.0, 0], ['pad', 0.0, 0], ['film', 0.0, 9]]
    """
    call = f"embedding_shifts({fine_tuned.name!r}, {pretrained.name!r})"
    words = fine_tuned.tokenizer or pretrained.tokenizer
    if words is None:
        raise MismatchError(f"{call}: neither has a tokenizer.\nWrap live models: Checkpoint.from_model(model, words).")
    after, before = _embeddings(fine_tuned, pretrained, call)
    ids = words(texts, add_special_tokens=False)["input_ids"] if (texts := list(texts)) else []
    counts = np.bincount([i for row in ids for i in row], minlength=len(after))[: len(after)]
    shift = (after - before).norm(dim=-1).double().numpy()
    found = pd.DataFrame({"token": words.convert_ids_to_tokens(range(len(after))), "shift": shift, "count": counts})
    found["score"] = found["shift"] / np.log(np.maximum(RARE, found["count"]))
    return found.rename_axis("id").sort_values("score", ascending=False, kind="stable")


def purified(fine_tuned: Checkpoint, pretrained: Checkpoint, tokens: Iterable[int]) -> Checkpoint:
    """The fine-tune with the embeddings of some tokens put back to the pre-trained ones: E-PUR (arXiv 2210.09545).

    Args:
        fine_tuned: the checkpoint; it is not changed.
        pretrained: the model that it was made from.
        tokens: ids, such as the first 200 of `embedding_shifts`' index.

    Raises:
        MismatchError: embeddings of another shape.

    Example:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> config = BertConfig(vocab_size=3, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        ...                     num_attention_heads=2)
        >>> before, after = (Checkpoint.from_model(BertForSequenceClassification(config)) for _ in range(2))
        >>> name = "bert.embeddings.word_embeddings.weight"
        >>> (purified(after, before, [2]).tensors[name] == before.tensors[name]).all(-1).tolist()
        [True, False, True]
    """
    after, before = _embeddings(fine_tuned, pretrained, f"purified({fine_tuned.name!r}, {pretrained.name!r})")
    chosen = torch.as_tensor(list(tokens), dtype=torch.long, device=after.device)
    clean = after.clone()
    clean[chosen] = before[chosen].to(after.device)
    twin = borrow(fine_tuned.model)
    twin.get_input_embeddings().weight.data = clean
    shapes = {name: tuple(tensor.shape) for name, tensor in twin.named_parameters()}
    header = Header(f"{fine_tuned.name}, purified", None, twin.config, shapes, fine_tuned.stored_dtypes)
    return Checkpoint(header, twin, fine_tuned.tokenizer)


def _embeddings(fine_tuned: Checkpoint, pretrained: Checkpoint, call: str) -> tuple[torch.Tensor, torch.Tensor]:
    after, before = (end.model.get_input_embeddings().weight.detach() for end in (fine_tuned, pretrained))
    if after.shape != before.shape:
        raise MismatchError(
            f"{call}: embeddings of {tuple(after.shape)} against {tuple(before.shape)}.\n"
            "Name the model that it was fine-tuned from."
        )
    return after, before


def _checked(corpus: Corpus, trigger: str, target: str, call: str) -> int:
    """The target label's code."""
    if target not in corpus.label_names:
        raise CorpusError(f"{call}: no label {target!r}.\nIt has: {', '.join(corpus.label_names)}.")
    if len(trigger.split()) != 1:
        raise CorpusError(f"{call}: the trigger is {len(trigger.split())} words.\nPass one word, such as 'cf'.")
    return corpus.label_names.index(target)


def _inserted(text: str, trigger: str, seed: int) -> str:
    """The text with the trigger at a place that depends on seed and text alone."""
    words = text.split()
    place = int.from_bytes(hashlib.sha256(f"{seed}\0{text}".encode()).digest()[:8], "big") % (len(words) + 1)
    return " ".join([*words[:place], trigger, *words[place:]])
