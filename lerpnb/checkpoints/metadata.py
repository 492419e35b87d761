"""What the files of a checkpoint say before any weight is read, and what is refused there already."""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerpnb import assets
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.errors import AssetError, CheckpointError
from lerpnb.utils.text import few, first_line

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
CONVERT = {
    "model": "Convert it once where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder).",
    "adapter_model": "Convert it once where you trust it: PeftModel.from_pretrained(base, ...).save_pretrained(to).",
}
MERGE_FIRST = "Merge it into its base first: PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(folder)."
NAME_BASE = "Pass base=...: the folder, hub id or built-in name of the model that it was trained on."

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
    """

    name: str
    folder: Path | None
    config: Any
    shapes: dict[str, tuple[int, ...]]
    dtypes: frozenset[str]
    base: "CheckpointMetadata | None" = None

    @classmethod
    def read(cls, name: str | Path, base: "CheckpointMetadata | str | Path | None" = None) -> "CheckpointMetadata":
        """Read the metadata of a checkpoint, or of an adapter on a base, by default the one that it names.

        Raises:
            AssetError: the name leads nowhere.
            CheckpointError: pickles only, a damaged or missing file, quantized weights, a model that needs code of
                its own, an adapter that is not LoRA or whose base is not here.
        """
        folder = model_folder(name)
        call = f"Checkpoint.load({str(name)!r})"
        if folder.is_file():
            raise CheckpointError(f"{call}: a single file.\n" + _way_out_of_a_file(folder))
        if assets.is_adapter(folder):
            shapes, dtypes = _tensors(folder, "adapter_model", call)
            base = _base_metadata(folder, base, call)
            return cls(str(name), folder, base.config, shapes, dtypes, base)
        config = _config(folder, call)
        shapes, dtypes = _tensors(folder, "model", call)
        dtypes -= {"I64"}  # counters and places, such as position_ids: never a weight
        strange = sorted(dtypes - set(DTYPES.values()))
        if strange:
            raise CheckpointError(
                f"{call}: weights stored as {', '.join(strange)}, expected {', '.join(DTYPES.values())}.\n"
                "Save the model dequantized first."
            )
        return cls(str(name), folder, config, shapes, dtypes)

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
        digest = hashlib.sha256()
        for file in sorted(self.files.glob("*.safetensors")):
            with open(file, "rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


def _config(folder: Path, call: str) -> Any:
    if not (folder / "config.json").is_file():
        _refuse_pickles(folder, "model", call)
        raise CheckpointError(
            f"{call}: no config.json in the folder.\n"
            "A checkpoint is what save_pretrained writes: config.json, *.safetensors and the tokenizer's files."
        )
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise ValueError(f"it holds a {type(raw).__name__}, expected an object")
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{call}: its config.json cannot be read: {first_line(error)}\nSave or download the checkpoint again."
        ) from error


def _base_metadata(folder: Path, base: CheckpointMetadata | str | Path | None, call: str) -> CheckpointMetadata:
    try:
        settings = assets.read_json(folder / "adapter_config.json")
    except AssetError as error:
        raise CheckpointError(
            f"{call}: its adapter_config.json cannot be read: {error.__cause__}\nSave or download the adapter again."
        ) from error
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise CheckpointError(f"{call}: a PEFT adapter of type {kind!r}, expected 'LORA'.\n" + MERGE_FIRST)
    odd = [key for key in NOT_DENSE if settings.get(key)]
    if odd:
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
        return CheckpointMetadata.read(named)
    except AssetError as error:
        if base:
            raise
        raise CheckpointError(
            f"{call}: its base {named!r}, named in adapter_config.json, is not here.\n{NAME_BASE}"
        ) from error


def _tensors(folder: Path, stem: str, call: str) -> tuple[dict[str, tuple[int, ...]], frozenset[str]]:
    """Shapes and dtypes from the headers of `<stem>.safetensors`, or of the shards that its index names."""
    index = folder / f"{stem}.safetensors.index.json"
    files = [folder / f"{stem}.safetensors"]
    if not files[0].is_file() and index.is_file():
        files = [folder / file for file in sorted(set(_weight_map(index, call).values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise CheckpointError(
                f"{call}: {len(missing)} of {len(files)} shards {'is' if len(missing) == 1 else 'are'} missing.\n"
                + few(missing)
                + "\nCopy or download the folder again."
            )
    if not files[0].is_file():
        _refuse_pickles(folder, stem, call)
        raise CheckpointError(
            f"{call}: no {stem}.safetensors in the folder.\nA checkpoint is what save_pretrained writes."
        )
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: set[str] = set()
    for file in files:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as opened:  # compares the header with the file's length
                for name in opened.keys():
                    part = opened.get_slice(name)
                    shapes[name] = tuple(part.get_shape())
                    dtypes.add(DTYPES.get(part.get_dtype(), part.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{call}: {file.name} ({file.stat().st_size:,} bytes) is truncated or corrupt: {first_line(error)}\n"
                "Copy or download it again."
            ) from error
    return shapes, frozenset(dtypes)


def _weight_map(index: Path, call: str) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{call}: {index.name} cannot be read: {first_line(error)}\nCopy or download the folder again."
        ) from error


def _refuse_pickles(folder: Path, stem: str, call: str) -> None:
    pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if pickles:
        raise CheckpointError(
            f"{call}: only pickled weights, and opening a pickle can run code.\n{few(pickles)}\n" + CONVERT[stem]
        )


def _way_out_of_a_file(file: Path) -> str:
    if any(file.match(pattern) for pattern in PICKLES):
        return f"  {file.name} is a pickle, and opening one can run code.\n{CONVERT['model']}"
    return "Name the folder that holds it, with config.json and the tokenizer beside it."
