"""What the headers of a folder's tensors say, in one file or in shards, and sizes that contradict them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from lerpnb.errors import CheckpointError
from lerpnb.utils.text import few, first_line

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
CONVERT = {
    "model": "Convert it once where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder).",
    "adapter_model": "Convert it once where you trust it: PeftModel.from_pretrained(base, ...).save_pretrained(to).",
}

# What wraps a model in torch.compile, FSDP or DataParallel, in the names of its tensors.
WRAPPED = re.compile(r"^(?:(?:module|_orig_mod|_fsdp_wrapped_module)\.)+|(?<=\.)(?:_orig_mod|_fsdp_wrapped_module)\.")
# Masks and rotary frequencies that older models kept in their files, and transformers makes anew.
OLD_BUFFERS = re.compile(
    r"(^|\.)(((self_|cross)?(attn|attention)\.((masked_)?bias|causal_mask|embed_positions))|position_ids"
    r"|rotary_emb(eddings)?\.(inv_freq|(cos|sin)_cached))$"
)
COUNTS = re.compile(
    r"n_layers?|(num|encoder|decoder)(_hidden|_encoder|_decoder)?_layers|(num|n)(_local|_routed|_shared)?_experts"
)


def tensors(folder: Path, stem: str, call: str) -> tuple[dict[str, tuple[int, ...]], frozenset[str], bool]:
    """Shapes, dtypes and whether names were wrapped, from `<stem>.safetensors` or the shards that its index names."""
    index = folder / f"{stem}.safetensors.index.json"
    files = [folder / f"{stem}.safetensors"]
    if not files[0].is_file() and index.is_file():
        files = _shards(index, call)
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise CheckpointError(
                f"{call}: {len(missing)} of {len(files)} shards {'is' if len(missing) == 1 else 'are'} missing.\n"
                + few(missing)
                + "\nCopy or download the folder again."
            )
    if not files or not files[0].is_file():
        refuse_pickles(folder, stem, call)
        raise CheckpointError(
            f"{call}: no {stem}.safetensors in the folder.\nA checkpoint is what save_pretrained writes."
        )
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: set[str] = set()
    wrapped = False
    for file in files:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as opened:  # compares the header with the file's length
                for stored in opened.keys():
                    part, name = opened.get_slice(stored), WRAPPED.sub("", stored)
                    shapes[name], kind, wrapped = tuple(part.get_shape()), part.get_dtype(), wrapped or name != stored
                    if kind != "I64" and not OLD_BUFFERS.search(name):
                        dtypes.add(DTYPES.get(kind, kind))  # the others are counters, places, masks: never a weight
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{call}: {file.name} ({file.stat().st_size:,} bytes) is truncated or corrupt: {first_line(error)}\n"
                "Copy or download it again."
            ) from error
    return shapes, frozenset(dtypes), wrapped


def _shards(index: Path, call: str) -> list[Path]:
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return [index.parent / file for file in sorted(set(named))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{call}: {index.name} cannot be read: {first_line(error)}\nCopy or download the folder again."
        ) from error


def refuse_pickles(folder: Path, stem: str, call: str) -> None:
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{call}: only pickled weights, and opening a pickle can run code.\n{few(pickles)}\n" + CONVERT[stem]
        )


def refuse_absurd_ranks(settings: dict, shapes: Mapping[str, tuple[int, ...]], call: str) -> None:
    """Refuse a LoRA's rank above all its tensors' sizes, before peft makes factors of it."""
    most = max((size for shape in shapes.values() for size in shape), default=0)
    pattern = settings.get("rank_pattern")
    for rank in [settings.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]:
        if isinstance(rank, int) and rank > most:
            raise CheckpointError(
                f"{call}: adapter_config.json declares rank {rank:,}, which none of its tensors has.\n"
                "Copy or download the adapter again."
            )


def refuse_absurd_counts(raw: dict, shapes: Mapping[str, tuple[int, ...]], call: str) -> None:
    """Refuse far more layers or experts than there are tensors, before transformers goes through them one by one."""
    most = max([256, len(shapes), *(size for shape in shapes.values() for size in shape)])
    for field, value in raw.items():
        if isinstance(value, dict):
            refuse_absurd_counts(value, shapes, call)
        elif COUNTS.fullmatch(field) and isinstance(value, int) and value > min(most, 4096):
            raise CheckpointError(
                f"{call}: config.json declares {field} {value:,}, and the files hold {len(shapes):,} tensors.\n"
                "Copy or download the folder again."
            )
