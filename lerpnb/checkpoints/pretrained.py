"""Configurations, tokenizers and models as transformers reads them from a folder: code in the folder never runs."""

import json
from pathlib import Path
from typing import Any

from lerpnb.checkpoints.quiet import quiet
from lerpnb.errors import CheckpointError


def load_pretrained(loader: Any, folder: Path, call: str, **settings: Any) -> Any:
    """`loader.from_pretrained(folder, **settings)`, from local files; a `CheckpointError` where those need own code.

    By default transformers asks on the terminal whether to run the code that an `auto_map` names, and waits.
    """
    files = ["config.json"]
    if loader.__name__ == "AutoTokenizer":
        files.insert(0, "tokenizer_config.json")
        if _needs_own_tokenizer(folder):
            raise _refusal(folder, files, call)
    try:
        with quiet():
            return loader.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **settings)
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise _refusal(folder, files, call) from error


def _needs_own_tokenizer(folder: Path) -> bool:
    """Whether the tokenizer's class is in the folder and not in transformers, which would silently take another."""
    settings = _settings(folder / "tokenizer_config.json")
    auto_map, kind = settings.get("auto_map"), settings.get("tokenizer_class")
    own = auto_map.get("AutoTokenizer") if isinstance(auto_map, dict) else auto_map
    if not own or not isinstance(kind, str):
        return False
    import transformers

    return not any(hasattr(transformers, name) for name in (kind, kind.removesuffix("Fast"), f"{kind}Fast"))


def _refusal(folder: Path, files: list[str], call: str) -> CheckpointError:
    auto_maps = {file: _settings(folder / file).get("auto_map") for file in files}
    file = next((file for file in files if auto_maps[file]), files[0])
    values = found.values() if isinstance(found := auto_maps[file], dict) else [found]
    names = [str(name) for value in values for name in (value if isinstance(value, list) else [value]) if name]
    return CheckpointError(
        f"{call}: {file} asks for code of the checkpoint's own ({', '.join(dict.fromkeys(names))}).\n"
        "Code inside a checkpoint is never run: take one whose classes transformers has, or save it with those."
    )


def _settings(file: Path) -> dict:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
