"""A model in an ordinary Hugging Face folder: reading it, and writing one whole or not at all."""

import copy
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lerpnb import assets
from lerpnb.checkpoints.headers import OLD_BUFFERS, WRAPPED
from lerpnb.checkpoints.memory import HALVES, admit_untied, named_tensors, shared_copy
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError
from lerpnb.utils.atomic import atomic_folder, disk_errors
from lerpnb.utils.text import few, first_line, listed

# Of tasks that a model was trained for beside its own: next sentences, a pooled text, the value of an answer.
OTHER_HEADS = re.compile(r"(^|\.)(seq_relationship|pooler|sop_classifier|v_head)\.|^cls\.")
SLACK = 2**26  # numbers that a model may have beyond what is stored: tied heads, masks, tables of positions


def read_folder(metadata: CheckpointMetadata, call: str) -> nn.Module:
    """The frozen model in a folder, through transformers, in eval mode.

    It is of the class that its configuration names (`architectures`): a language model, a classifier, a bare encoder;
    where it names none that transformers has, a causal language model. Weights that are all stored in float32, bfloat16
    or float16 stay in their memory-mapped files; others become float32 copies. Tensors that are not the model's are
    refused, but for heads of other tasks, which are named and left out, and buffers that transformers makes anew.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM

    named, dtypes = _named_class(metadata.config), metadata.dtypes
    stored = getattr(torch, next(iter(dtypes))) if len(dtypes) == 1 else torch.float32
    stored = stored if stored in HALVES else torch.float32
    try:
        _refuse_absurd_size(named or MODEL_FOR_CAUSAL_LM_MAPPING.get(type(metadata.config), None), metadata, call)
        model, info = load_pretrained(
            named or AutoModelForCausalLM,
            metadata.files,
            call,
            dtype=stored,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to name them ourselves
            key_mapping={WRAPPED.pattern: ""} if metadata.wrapped else None,
        )
    except CheckpointError:
        raise
    except Exception as error:
        what = named.__name__ if named else "causal language model"
        raise CheckpointError(
            f"{call}: transformers cannot load it as a {what}.\n  {first_line(error)}\n"
            "A checkpoint is what save_pretrained of such a model writes."
        ) from error
    of = type(model).__name__
    unknown = sorted(name for name in info["unexpected_keys"] if not OLD_BUFFERS.search(name))
    heads = [name for name in unknown if OTHER_HEADS.search(name)]
    odd = [f"{name}: not in the files" for name in sorted(info["missing_keys"])]
    odd += [f"{name}: in the files, not in {of}" for name in unknown if name not in heads]
    odd += [f"{name}: files {tuple(a)}, model {tuple(b)}" for name, a, b in sorted(info["mismatched_keys"])]
    if odd:
        raise CheckpointError(
            f"{call}: its tensors are not those of a {of}.\n{few(odd)}\n"
            "Missing ones would be made up at random: copy or download the folder again, or save the whole model."
        )
    if stored != torch.float32:
        _restore_float32(model)
    if heads:
        print(f"{call}: {listed(heads)} left out, which a {of} does not have.", flush=True)
    ends = getattr(model.generation_config, "eos_token_id", None) if model.can_generate() else None
    if any(not isinstance(token, int) for token in (ends if isinstance(ends, list) else [ends or 0])):
        raise CheckpointError(
            f"{call}: its generation_config.json has eos_token_id {ends!r}, expected a token's id or several.\n"
            "Save or download the checkpoint again."
        )
    if metadata.wrapped:  # else save_pretrained would wrap the names again
        model._weight_conversions = [c for c in model._weight_conversions if WRAPPED.pattern not in c.source_patterns]
    model.requires_grad_(False)
    admit_untied(model)
    return model.eval()


def _restore_float32(model: Any) -> None:
    """What a model computes from its configuration, such as positions, as one that is made in float32 has it."""
    _name_float32(model.config)
    modules = [
        (module, vars(module), module._buffers, module._non_persistent_buffers_set) for module in model.modules()
    ]
    rounded = [
        (i, part, name)
        for i, (_, own, buffers, computed) in enumerate(modules)
        for part, names in ((own, own), (buffers, computed))
        for name in names
        if isinstance(part.get(name), torch.Tensor) and part[name].dtype in HALVES
    ]
    if rounded:
        from accelerate import init_empty_weights
        from transformers.initialization import no_init_weights

        with quiet(), no_init_weights(), init_empty_weights(include_buffers=False):
            made = list(type(model)(model.config).modules())
        for i, part, name in rounded:
            part[name] = getattr(made[i], name)
    for _, _, buffers, _ in modules:  # the stored ones
        buffers |= {name: buffer.float() for name, buffer in buffers.items() if getattr(buffer, "dtype", 0) in HALVES}


def _name_float32(config: Any) -> None:
    from transformers import PreTrainedConfig

    config.dtype = torch.float32
    for part in vars(config).values():
        if isinstance(part, PreTrainedConfig):
            _name_float32(part)


def _named_class(config: Any) -> Any:
    """The class that a configuration names, if transformers itself has it: a folder's own code never runs."""
    import transformers

    kinds = (getattr(transformers, str(name), None) for name in config.architectures or ())
    return next((kind for kind in kinds if getattr(kind, "config_class", None) is type(config)), None)


def _refuse_absurd_size(kind: Any, metadata: CheckpointMetadata, call: str) -> None:
    """Refuse a configuration of a far larger model than the files hold, before any memory is taken for it."""
    if kind is None:
        return  # transformers says why
    from transformers.initialization import no_init_weights

    with quiet(), no_init_weights(), torch.device("meta"):  # as from_pretrained does
        model = kind(copy.deepcopy(metadata.config))
        model.tie_weights()
    declared = sum(tensor.numel() for tensor in named_tensors(model).values())
    held = sum(math.prod(shape) for shape in metadata.shapes.values())
    if declared > 2 * held + SLACK:
        raise CheckpointError(
            f"{call}: config.json declares a model of {declared:,} numbers, and the files hold {held:,}.\n"
            "Copy or download the folder again."
        )


def write_folder(
    model: nn.Module,
    tokenizer: Any,
    to: str | Path,
    dtype: torch.dtype | str | None = None,
    card: str = "",
    overwrite: bool = False,
    settings: tuple[Any, Any] | None = None,
) -> Path:
    """Write safetensors shards, configuration, generation configuration, tokenizer and model card; returns the folder.

    Everything goes to a temporary folder beside `to`, which is then renamed: `to` is whole or untouched. The model is
    not changed, nor its configuration.

    Args:
        dtype: of the saved weights, say `"bfloat16"`; None keeps the model's.
        card: the text of README.md; empty writes none.
        overwrite: replace a model folder, once the new one is whole; any other folder that holds something is kept.
        settings: configuration and generation configuration to write instead of the model's own.

    Raises:
        CheckpointError: the folder holds something else or `overwrite` is not given, no such dtype, a full disk.
    """
    to = assets.place(to)
    call = f"write_folder(to={str(to)!r})"
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        raise CheckpointError(f"{call}: dtype {dtype!r}, expected float32, bfloat16 or float16.")
    shared = shared_copy(model, kind or next(model.parameters()).dtype)
    if settings:
        tied = getattr(shared.config, "tie_word_embeddings", False)
        shared.config, shared.generation_config = copy.deepcopy(settings)
        shared.config.tie_word_embeddings = tied
    with written(to, "config.json", overwrite, call) as work:
        shared.save_pretrained(work)
        if tokenizer is not None:
            tokenizer.save_pretrained(work)
        if card:
            (work / "README.md").write_text(card, encoding="utf-8")
    return to


@contextmanager
def written(to: Path, marker: str, overwrite: bool, call: str) -> Iterator[Path]:
    """A new folder, which takes the place of `to` when the block ends well.

    Raises:
        CheckpointError: `to` holds something and `overwrite` is not given, or something without the file that marks
            such a folder; or the disk refuses.
    """
    to = to.resolve()  # through a link that is there now: what it points to is replaced
    if to.is_file() or (to.is_dir() and any(to.iterdir()) and not overwrite):
        what = "a file of that name is" if to.is_file() else f"{len(list(to.iterdir()))} files are"
        raise CheckpointError(f"{call}: {what} there already.\nTake another folder, or pass overwrite=True.")
    if to.is_dir() and any(to.iterdir()) and not (to / marker).is_file():
        raise CheckpointError(
            f"{call}: overwrite=True, but what is there is no model folder: it has no {marker}.\n"
            "Take another folder, or empty this one."
        )
    way_out = "Nothing was changed there. Make room, or take another folder."
    with disk_errors(CheckpointError, call, to, way_out), atomic_folder(to) as work, quiet():
        yield work
