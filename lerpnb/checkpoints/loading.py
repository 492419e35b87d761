"""Loading checkpoints that are to be mixed: together with their base, what they share once, and checked."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint, ModelSource
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.utils.progress import track


def load_checkpoints(
    sources: Mapping[str, ModelSource],
    base: ModelSource | None = None,
    device: str | torch.device = "cpu",
    call: str = "load_checkpoints(sources)",
) -> tuple[dict[str, Checkpoint], Checkpoint | None]:
    """Load checkpoints and their base, once their metadata alone has shown no mismatch.

    What they share is loaded once: two adapters on one base hold that base's own tensors wherever they leave it alone.

    Args:
        sources: role -> a name, a `Checkpoint` or a live model; an error calls each by its role.
        base: the model that all were fine-tuned from; None takes the one that they share, if they do.
        device: where what is loaded goes.
        call: what the first line of an error names.

    Returns:
        role -> checkpoint, and the base or None: all mixable, with the same ties.
    """
    given = {role: _wrapped(source) for role, source in sources.items()}
    given_base = None if base is None else _wrapped(base)
    of_base = None if given_base is None else _metadata(given_base, None)
    (first, of_first), *others = ((role, _metadata(end, of_base)) for role, end in given.items())
    metadata = {first: of_first}
    for role, other in others:
        check = CompatibilityCheck(call, first, role)
        _compare_metadata(of_first, other, check)
        check.tokenizers(of_first.tokenizer, other.tokenizer)
        if of_first.base and other.base and of_first.base.folder and other.base.folder:
            other = dataclasses.replace(other, base=of_first.base)  # seen to be the same: load it once
        metadata[role] = other
    if of_base:
        _compare_metadata(of_base, of_first, CompatibilityCheck(call, "base", first))

    loaded: dict[tuple, Checkpoint] = {}
    for source in (given_base, *given.values()):
        while isinstance(source, Checkpoint):
            loaded.setdefault(_key(source.metadata), source)
            source = source.base

    def get(wanted: CheckpointMetadata) -> Checkpoint:
        if _key(wanted) not in loaded:
            base = get(wanted.base) if wanted.base else None
            loaded[_key(wanted)] = Checkpoint.from_metadata(wanted, base, device)
        return loaded[_key(wanted)]

    steps = track([None, *given] if of_base else list(given), label="load checkpoints")
    wanted = ((given_base, of_base) if role is None else (given[role], metadata[role]) for role in steps)
    loaded_ends = [source if isinstance(source, Checkpoint) else get(which) for source, which in wanted if which]
    loaded_base = loaded_ends.pop(0) if of_base else None
    ends = dict(zip(given, loaded_ends, strict=True))
    words = next((end.tokenizer for end in loaded_ends if end.tokenizer), None)
    rows = min(map(_vocabulary, [*loaded_ends, *([loaded_base] if loaded_base else [])]))
    ends = {role: _without_padding(end, rows, words, f"{call}: {role}") for role, end in ends.items()}
    loaded_base = loaded_base and _without_padding(loaded_base, rows, words, f"{call}: base")
    loaded_ends = list(ends.values())
    shared = loaded_ends[0].base
    bases = [end.base for end in loaded_ends]
    if loaded_base is None and shared and all(b is shared or b and b.sha256 == shared.sha256 for b in bases):
        loaded_base = shared
    for role in list(ends)[1:]:
        ends[first], ends[role] = check_mixable(ends[first], ends[role], call, (first, role))
    if loaded_base is not None:
        # Not its tokenizer: fine-tuning often adds a padding token, and only the ends must read a text alike.
        _compare_tensors(loaded_base, ends[first], CompatibilityCheck(call, "base", first))
    alike = same_ties(*ends.values(), *([loaded_base] if loaded_base else []))
    return dict(zip(ends, alike, strict=False)), alike[-1] if loaded_base else None


def check_mixable(
    minus: Checkpoint, plus: Checkpoint, call: str = "Line(minus, plus)", names: tuple[str, str] = ("minus", "plus")
) -> tuple[Checkpoint, Checkpoint]:
    """Check that two checkpoints, which an error calls by `names`, can be mixed; returns them with the same ties."""
    check = CompatibilityCheck(call, *names)
    minus, plus = _compare_tensors(minus, plus, check)
    check.tokenizers(minus.tokenizer, plus.tokenizer)
    tokenizer = minus.tokenizer or plus.tokenizer
    check.stops(minus.stops(tokenizer), plus.stops(tokenizer))
    return minus, plus


def same_ties(*checkpoints: Checkpoint) -> tuple[Checkpoint, ...]:
    """The checkpoints as they are when they tie the same parameters, else all untied: a tied head is the embedding."""
    if all(checkpoint.tied == checkpoints[0].tied for checkpoint in checkpoints):
        return checkpoints
    return tuple(checkpoint.untied() if checkpoint.tied else checkpoint for checkpoint in checkpoints)


def _wrapped(source: ModelSource) -> Checkpoint | str | Path:
    return Checkpoint.from_model(source) if isinstance(source, nn.Module) else source


def _metadata(source: Checkpoint | str | Path, base: CheckpointMetadata | None) -> CheckpointMetadata:
    return source.metadata if isinstance(source, Checkpoint) else CheckpointMetadata.read(source, base)


def _key(metadata: CheckpointMetadata) -> tuple:
    where = metadata.folder.resolve() if metadata.folder else id(metadata)
    return where, metadata.base and _key(metadata.base)


def _compare_metadata(a: CheckpointMetadata, b: CheckpointMetadata, check: CompatibilityCheck) -> None:
    """Refuse before the slow load what their metadata shows."""
    check.architectures(a.config.model_type, b.config.model_type)
    if a.base and b.base and a.base.folder and b.base.folder and a.base.folder.resolve() != b.base.folder.resolve():
        if a.base.weights_digest != b.base.weights_digest:
            check.bases(a.base.name, b.base.name)
    vocabulary = _vocabulary(a), _vocabulary(b)
    shapes = [dict((end.base or end).shapes) for end in (a, b)]
    if not a.base and not b.base and _is_padded(vocabulary, *filter(None, (a.tokenizer, b.tokenizer))):
        padded = [
            name
            for name in shapes[0].keys() & shapes[1]
            if all(end[name][:1] == (rows,) for end, rows in zip(shapes, vocabulary, strict=True))
        ]
        shapes = [{name: end[name] for name in end if name not in padded} for end in shapes]
    check.shapes(shapes, vocabulary, only_common=True)
    names = [(end.config.architectures or [""])[0] for end in (a, b)]
    check.configs(a.config, b.config, names[0] if names[0] == names[1] else "")


def _compare_tensors(a: Checkpoint, b: Checkpoint, check: CompatibilityCheck) -> tuple[Checkpoint, Checkpoint]:
    check.heads((a.architecture, a.body), (b.architecture, b.body))
    check.architectures(a.architecture, b.architecture)
    if a.base and b.base and a.base is not b.base and a.base.sha256 != b.base.sha256:
        check.bases(a.base.name, b.base.name)
    configs = a.config, b.config  # before anything is untied
    a, b = same_ties(a, b)
    shapes = [{name: tuple(weight.shape) for name, weight in end.weights.items()} for end in (a, b)]
    check.shapes(shapes, (_vocabulary(a), _vocabulary(b)))
    check.configs(*configs, a.architecture)
    check.labels(a.labels, b.labels)
    check.integer_buffers(a.buffers, b.buffers)
    return a, b


def _is_padded(vocabulary: tuple[int, int], *tokenizers: Any) -> bool:
    """Whether the larger of two vocabularies is padded to a multiple of 64, with rows that no tokenizer reaches."""
    fewer, more = sorted(vocabulary)
    return fewer < more and more % 64 == 0 and all(t is not None and len(t) <= fewer for t in tokenizers)


def _without_padding(end: Checkpoint, rows: int, tokenizer: Any, what: str) -> Checkpoint:
    """The checkpoint without the rows that only padding has; the comparison of tensors refuses any other difference."""
    if end.base or not _is_padded((rows, _vocabulary(end)), tokenizer):
        return end
    print(
        f"{what} has {_vocabulary(end):,} rows of embeddings; those from {rows:,} on, padding, are left out.",
        flush=True,
    )
    return end.with_vocabulary(rows)


def _vocabulary(end: Checkpoint | CheckpointMetadata) -> int:
    return getattr(end.config.get_text_config(), "vocab_size", 0)
