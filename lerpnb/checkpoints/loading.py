"""Checkpoints that are to be mixed, and their base: loaded together, what they share once, and checked."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.compatibility import CompatibilityCheck
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.utils.progress import track

Named = Checkpoint | nn.Module | str | Path


def load_checkpoints(
    minus: Named,
    plus: Named,
    base: Named | None = None,
    device: str | torch.device = "cpu",
    call: str = "Line(minus, plus)",
) -> tuple[Checkpoint, Checkpoint, Checkpoint | None]:
    """Load the ends of a line and their base: `load_all` of two.

    Returns:
        minus, plus and base (or None), mixable, with the same ties.

    Raises:
        AssetError, CheckpointError, MismatchError: as `load_all` says.
    """
    ends, base = load_all({"minus": minus, "plus": plus}, base, device, call)
    return (*ends.values(), base)


def load_all(
    named: Mapping[str, Named],
    base: Named | None = None,
    device: str | torch.device = "cpu",
    call: str = "load_all(named)",
) -> tuple[dict[str, Checkpoint], Checkpoint | None]:
    """Load checkpoints and their base, after their headers alone refused what they can refuse.

    What they share is loaded once: two adapters on one base hold that base's own tensors wherever they leave it alone.

    Args:
        named: role -> a name, a `Checkpoint` or a live model; an error calls each by its role.
        base: the model that all were fine-tuned from; None takes the one that they share, if they do.
        device: where what is loaded goes.
        call: what the first line of an error names.

    Returns:
        role -> checkpoint, and the base or None: all mixable, with the same ties.

    Raises:
        AssetError: a name leads nowhere.
        CheckpointError: a checkpoint cannot be read.
        MismatchError: they cannot be mixed.
    """
    given = {role: Checkpoint.from_model(end) if isinstance(end, nn.Module) else end for role, end in named.items()}
    base = Checkpoint.from_model(base) if isinstance(base, nn.Module) else base
    of_base = None if base is None else _header(base, None)
    (first, of_first), *others = ((role, _header(end, of_base)) for role, end in given.items())
    headers = {first: of_first}
    for role, header in others:
        compare = CompatibilityCheck(call, first, role)
        _compare_headers(of_first, header, compare)
        compare.tokenizers(of_first.tokenizer, header.tokenizer)
        if of_first.base and header.base and of_first.base.folder and header.base.folder:
            header = dataclasses.replace(header, base=of_first.base)  # seen to be the same: load it once
        headers[role] = header
    if of_base:
        _compare_headers(of_base, of_first, CompatibilityCheck(call, "base", first))

    loaded: dict[tuple, Checkpoint] = {}
    for end in (base, *given.values()):
        while isinstance(end, Checkpoint):
            loaded.setdefault(_key(end.header), end)
            end = end.base

    def get(header: CheckpointMetadata) -> Checkpoint:
        if _key(header) not in loaded:
            loaded[_key(header)] = Checkpoint.of_header(header, get(header.base) if header.base else None, device)
        return loaded[_key(header)]

    wanted = [(base, of_base), *((given[role], header) for role, header in headers.items())]
    base, *found = (
        end if end is None or isinstance(end, Checkpoint) else get(header)
        for end, header in track(wanted, label="load checkpoints")
    )
    ends = dict(zip(headers, found, strict=True))
    shared = found[0].base
    if base is None and shared and all(end.base and end.base.sha256 == shared.sha256 for end in found):
        base = shared
    for role in list(ends)[1:]:
        ends[first], ends[role] = check_mixable(ends[first], ends[role], call, (first, role))
    if base is not None:
        # Not its tokenizer: fine-tuning often adds a padding token, and only the ends must read a text alike.
        _compare_tensors(base, ends[first], CompatibilityCheck(call, "base", first))
    alike = same_ties(*ends.values(), *([base] if base else []))
    return dict(zip(ends, alike, strict=False)), alike[-1] if base else None


def check_mixable(
    minus: Checkpoint, plus: Checkpoint, call: str = "Line(minus, plus)", names: tuple[str, str] = ("minus", "plus")
) -> tuple[Checkpoint, Checkpoint]:
    """Check that two checkpoints can be mixed, and return them with the same ties (see `same_ties`).

    Args:
        minus: one of the two.
        plus: the other.
        call: what the first line of an error names.
        names: what an error calls the two.

    Raises:
        MismatchError: other architecture, bases, tensors, shapes, configuration, tokenizer or integer buffers.
    """
    compare = CompatibilityCheck(call, *names)
    minus, plus = _compare_tensors(minus, plus, compare)
    compare.tokenizers(minus.tokenizer, plus.tokenizer)
    return minus, plus


def same_ties(*checkpoints: Checkpoint) -> tuple[Checkpoint, ...]:
    """The checkpoints as they are when they tie the same parameters, else all untied: a tied head is the embedding."""
    if all(checkpoint.tied == checkpoints[0].tied for checkpoint in checkpoints):
        return checkpoints
    return tuple(checkpoint.untied() if checkpoint.tied else checkpoint for checkpoint in checkpoints)


def _header(end: Checkpoint | str | Path, base: CheckpointMetadata | None) -> CheckpointMetadata:
    return end.header if isinstance(end, Checkpoint) else CheckpointMetadata.read(end, base)


def _key(header: CheckpointMetadata) -> tuple:
    where = header.folder.resolve() if header.folder else id(header)
    return where, header.base and _key(header.base)


def _compare_headers(a: CheckpointMetadata, b: CheckpointMetadata, compare: CompatibilityCheck) -> None:
    """Refuse before the slow load what two headers show."""
    compare.architectures(a.config.model_type, b.config.model_type)
    bases = a.base, b.base
    if all(base and base.folder for base in bases) and bases[0].folder.resolve() != bases[1].folder.resolve():
        if bases[0].weights_digest != bases[1].weights_digest:
            compare.bases(bases[0].name, bases[1].name)
    shapes = [(end.base or end).shapes for end in (a, b)]
    compare.shapes(*shapes, (_vocabulary(a), _vocabulary(b)), only_common=True)
    compare.configs(a.config, b.config)


def _compare_tensors(a: Checkpoint, b: Checkpoint, compare: CompatibilityCheck) -> tuple[Checkpoint, Checkpoint]:
    compare.heads((a.architecture, a.body), (b.architecture, b.body))
    compare.architectures(a.architecture, b.architecture)
    if a.base and b.base and a.base is not b.base and a.base.sha256 != b.base.sha256:
        compare.bases(a.base.name, b.base.name)
    a, b = same_ties(a, b)
    shapes = [{name: tuple(weight.shape) for name, weight in end.weights.items()} for end in (a, b)]
    compare.shapes(*shapes, (_vocabulary(a), _vocabulary(b)))
    compare.configs(a.config, b.config)
    compare.labels(a.labels, b.labels)
    compare.integer_buffers(a.buffers, b.buffers)
    return a, b


def _vocabulary(end: Checkpoint | CheckpointMetadata) -> int:
    return getattr(end.config.get_text_config(), "vocab_size", 0)
