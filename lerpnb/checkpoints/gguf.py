"""GGUF files: a model in one is converted once to a folder that transformers can read."""

from pathlib import Path

from lerpnb import assets
from lerpnb.checkpoints.pretrained import load_pretrained
from lerpnb.errors import CheckpointError
from lerpnb.utils.atomic import atomic_folder, disk_errors
from lerpnb.utils.file_hashes import file_sha256
from lerpnb.utils.text import first_line


def model_folder(name: str | Path) -> Path:
    """The folder or file that a model's name means, as `assets.resolve` has it, but a GGUF file as a folder.

    It is converted once, to safetensors of the dequantized weights in `assets.cache_dir()`.
    """
    path = assets.resolve(name)
    if path.suffix != ".gguf":
        return path
    folder, mark = assets.cache_dir() / f"{path.stem}-{file_sha256(path)[:16]}", "config.json"
    if not (folder / mark).is_file():
        way_out = "Make room there, or name another folder in $LERPNB_CACHE."
        with disk_errors(CheckpointError, f"Checkpoint.load({str(path)!r})", folder, way_out):
            with atomic_folder(folder, keep=mark) as work:
                _convert(path, work)
    return folder


def _convert(path: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"Converting {path.name} to safetensors, once (about half a minute) ...", flush=True)
    call = f"Checkpoint.load({str(path)!r})"
    try:
        model = load_pretrained(AutoModelForCausalLM, path.parent, call, gguf_file=path.name, dtype=torch.float32)
    except CheckpointError:
        raise
    except Exception as error:  # whatever its reader raises of a damaged header
        raise CheckpointError(
            f"{call}: it cannot be read as GGUF: {first_line(error)}\nCopy or download the file again."
        ) from error
    # The weights are dequantized: what still calls them quantized would make save_pretrained refuse.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.config._name_or_path = path.stem
    model.save_pretrained(folder)
    load_pretrained(AutoTokenizer, path.parent, call, gguf_file=path.name).save_pretrained(folder)
