"""What the files of a checkpoint say before any weight is read, and what is refused there already."""

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerpnb import assets
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.headers import (
    CONVERT,
    DTYPES,
    PICKLES,
    refuse_absurd_counts,
    refuse_absurd_ranks,
    refuse_pickles,
    tensors,
)
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.errors import AssetError, CheckpointError
from lerpnb.utils.file_hashes import file_sha256
from lerpnb.utils.text import first_line, listed

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
MERGE_FIRST = "Merge it into its base first: PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(folder)."
NAME_BASE = "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."

UNREAD = ("training.json", "README.md")  # a record with times in it, and a card: no loader reads them
# Types that peft merges into the weights: `tests/benchmarks/peft_options.py` compares each with peft.
MERGED = {"LORA", "ADALORA", "BEFT", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA"}
MERGED |= {"HRA", "IA3", "LN_TUNING", "LOHA", "LOKR", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA"}
MERGED |= {"ROAD", "SHIRA", "SUPERTUNING", "TINYLORA", "TRAINABLE_TOKENS", "UNILORA", "VBLORA", "VERA", "WAVEFT"}

# LoRA variants whose effect is no change of the weights, or changes the architecture.
NOT_DENSE = ("layer_replication", "alora_invocation_tokens", "arrow_config")


@dataclass(frozen=True)
class CheckpointMetadata:
    """The configuration, tensor shapes and stored dtypes of one folder.

    Attributes:
        name: what the user wrote.
        folder: where the files are; None for a model that was live already.
        config: the transformers configuration (that of the base for an adapter).
        shapes: {tensor name: shape} as stored; the factors of an adapter.
        dtypes: the stored dtypes, e.g. `frozenset({"bfloat16"})`.
        base: the metadata of an adapter's base, else None.
        wrapped: whether the files' names have `module.` or `_orig_mod.`, which `shapes` leaves out.
    """

    name: str
    folder: Path | None
    config: Any
    shapes: dict[str, tuple[int, ...]]
    dtypes: frozenset[str]
    base: "CheckpointMetadata | None" = None
    wrapped: bool = False

    @classmethod
    def read(
        cls, name: str | Path, base: "CheckpointMetadata | str | Path | None" = None, above: tuple[Path, ...] = ()
    ) -> "CheckpointMetadata":
        """Read the metadata of a checkpoint, or of an adapter on a base, by default the one that it names.

        Args:
            above: the folders of the adapters whose base this is.

        Raises:
            AssetError: the name leads nowhere.
            CheckpointError: pickles only, a damaged or missing file, quantized weights, a model that needs code of
                its own, sizes that the files do not have, an adapter that peft cannot merge or whose base is not here.
        """
        folder = model_folder(name)
        call = f"Checkpoint.load({str(name)!r})"
        if folder.is_file():
            raise CheckpointError(f"{call}: a single file.\n" + _way_out_of_a_file(folder))
        if assets.is_adapter(folder):
            shapes, dtypes, _ = tensors(folder, "adapter_model", call)
            settings = _read_json(folder / "adapter_config.json", call, "adapter")
            if settings.get("peft_type") == "LORA":
                refuse_absurd_ranks(settings, shapes, call)
            base = _base_metadata(folder, settings, base, call, above)
            return cls(str(name), folder, base.config, shapes, dtypes, base)
        raw = _read_config(folder, call)
        shapes, dtypes, wrapped = tensors(folder, "model", call)
        refuse_absurd_counts(raw, shapes, call)
        strange = sorted(dtypes - set(DTYPES.values()))
        if strange:
            raise CheckpointError(
                f"{call}: weights stored as {', '.join(strange)}, expected {', '.join(DTYPES.values())}.\n"
                "Save the model dequantized first."
            )
        return cls(str(name), folder, _config(folder, raw, call), shapes, dtypes, wrapped=wrapped)

    @classmethod
    def of_model(cls, name: str, model: Any, dtypes: frozenset[str]) -> "CheckpointMetadata":
        """That of a live model."""
        return cls(name, None, model.config, {n: tuple(p.shape) for n, p in model.named_parameters()}, dtypes)

    @property
    def files(self) -> Path:
        """The folder of a checkpoint that was read from files."""
        assert self.folder is not None, f"{self.name} is a live model"
        return self.folder

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The folder's tokenizer; an adapter without one has its base's; None where there is none."""
        if self.folder is None or not any((self.folder / file).is_file() for file in TOKENIZERS):
            return self.base.tokenizer if self.base else None
        from transformers import AutoTokenizer

        call = f"Checkpoint.load({self.name!r})"
        try:
            return load_pretrained(AutoTokenizer, self.folder, call)
        except Exception as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{call}: its tokenizer does not load: {first_line(error)}\n"
                "Save it again beside the model: tokenizer.save_pretrained(folder)."
            ) from error

    @functools.cached_property
    def weights_digest(self) -> str:
        """SHA-256 over the weight files as they are stored, to see that two folders hold one model."""
        return _digest(sorted(self.files.glob("*.safetensors")))

    @property
    def files_digest(self) -> str:
        """SHA-256 over all files and their names, those of its base too; but not over what only people read."""
        files = sorted(file for file in self.files.rglob("*") if file.is_file())
        read = [file for file in files if file.name not in UNREAD]
        names = [file.relative_to(self.files).as_posix() for file in read]
        parts = [names, _digest(read), self.base and self.base.files_digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()


def _read_config(folder: Path, call: str) -> dict:
    if not (folder / "config.json").is_file():
        refuse_pickles(folder, "model", call)
        raise CheckpointError(f"{call}: no config.json in the folder.\n" + _inner_folders(folder))
    return _read_json(folder / "config.json", call, "checkpoint")


def _read_json(file: Path, call: str, what: str) -> dict:
    try:
        return assets.read_json(file)
    except AssetError as error:
        raise _unreadable(call, file.name, error.__cause__, what) from error


def _inner_folders(folder: Path) -> str:
    """The way out of a folder that holds neither a model nor an adapter."""
    marks = ("config.json", "adapter_config.json")
    inside = sorted({file.parent.name for mark in marks for file in folder.glob(f"*/{mark}")})
    if inside:
        return f"It holds several: {listed(inside)}. Name one of them, such as {str(folder / inside[0])!r}."
    return "A checkpoint is what save_pretrained writes: config.json, *.safetensors and the tokenizer's files."


def _config(folder: Path, raw: dict, call: str) -> Any:
    try:
        from transformers import CONFIG_MAPPING, AutoConfig

        kind = raw.get("model_type")
        if kind not in CONFIG_MAPPING:
            raise CheckpointError(
                f"{call}: transformers has no architecture {kind!r}.\n"
                "Code inside a checkpoint is never run; a newer transformers may know it."
            )
        if raw.get("quantization_config"):
            method = raw["quantization_config"].get("quant_method", "unknown")
            raise CheckpointError(
                f"{call}: quantized weights ({method}), expected float ones.\n"
                "Save the model dequantized first: model.dequantize().save_pretrained(folder)."
            )
        return load_pretrained(AutoConfig, folder, call)
    except Exception as error:  # whatever a wrong kind of value leads to
        if isinstance(error, CheckpointError):
            raise
        raise _unreadable(call, "config.json", error) from error


def _unreadable(call: str, file: str, error: BaseException | None, what: str = "checkpoint") -> CheckpointError:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else first_line(error)
    return CheckpointError(f"{call}: its {file} cannot be read: {reason}\nSave or download the {what} again.")


def _base_metadata(
    folder: Path, settings: dict, base: CheckpointMetadata | str | Path | None, call: str, above: tuple[Path, ...]
) -> CheckpointMetadata:
    kind = settings.get("peft_type")
    if not isinstance(kind, str) or kind not in MERGED:
        expected = "one that peft merges into the weights, such as 'LORA'"
        raise CheckpointError(f"{call}: a PEFT adapter of type {kind!r}, expected {expected}.\n" + MERGE_FIRST)
    if settings.get("init_lora_weights") == "corda":
        raise CheckpointError(
            f"{call}: an adapter that starts by CorDA, which peft cannot load without the texts of its start.\n"
            "Save it converted: save_pretrained(folder, path_initial_model_for_weight_conversion=start)."
        )
    if odd := [key for key in NOT_DENSE if settings.get(key)]:
        raise CheckpointError(
            f"{call}: an adapter with {odd[0]}, which no change of the base's weights equals.\n"
            "Train it without, or compare whole models."
        )
    if isinstance(base, CheckpointMetadata):
        return base
    named = base or settings.get("base_model_name_or_path")
    if not named:
        raise CheckpointError(f"{call}: an adapter, and its adapter_config.json names no base.\n{NAME_BASE}")
    try:
        above = (*above, folder.resolve())
        if model_folder(named).resolve() in above:
            raise CheckpointError(f"{call}: an adapter that is its own base: {str(named)!r}.\n{NAME_BASE}")
        return CheckpointMetadata.read(named, above=above)
    except AssetError as error:
        if base:
            raise
        raise CheckpointError(
            f"{call}: its base {named!r}, named in adapter_config.json, is not here.\n{NAME_BASE}"
        ) from error


def _way_out_of_a_file(file: Path) -> str:
    if any(file.match(pattern) for pattern in PICKLES):
        return f"  {file.name} is a pickle, and opening one can run code.\n{CONVERT['model']}"
    return "Name the folder that holds it, with config.json and the tokenizer beside it."
