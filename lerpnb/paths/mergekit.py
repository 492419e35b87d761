"""A point of a path as a recipe for mergekit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lerpnb.assets import BUILT_IN
from lerpnb.checkpoints.metadata import CheckpointMetadata
from lerpnb.errors import AlphaError, CheckpointError

if TYPE_CHECKING:
    from lerpnb.paths.base import BasePath


def recipe_yaml(path: "BasePath", point: Any) -> str:
    """What `BasePath.recipe_yaml` returns."""
    call = f"{type(path).__name__}.recipe_yaml({path.coordinate})"
    coefficients = path.coefficients(path.checked(point, call))
    if callable(coefficients) or not path._is_sum:
        raise AlphaError(
            f"{call}: the point is no sum of the checkpoints with one number for each, as mergekit's linear merge is.\n"
            "Write the model itself: path.save(point, folder)."
        )
    used = [(end, c) for end, c in zip(path.checkpoints.values(), coefficients, strict=True) if c]
    models = [{"model": _reference(end.metadata, call), "parameters": {"weight": float(c)}} for end, c in used]
    merge = {"merge_method": "linear", "models": models, "parameters": {"normalize": False}, "dtype": "float32"}
    return yaml.safe_dump(merge, sort_keys=False, default_flow_style=None)


def _reference(metadata: CheckpointMetadata, call: str) -> str:
    """What mergekit calls a checkpoint: a folder or a hub id, an adapter behind its base and a plus sign."""
    if metadata.base:
        return f"{_reference(metadata.base, call)}+{_name(metadata, call)}"
    return _name(metadata, call)


def _name(metadata: CheckpointMetadata, call: str) -> str:
    if metadata.folder is None:
        raise CheckpointError(f"{call}: {metadata.name} is a live model.\nSave it to a folder and load it from there.")
    local = Path(metadata.name).expanduser()
    on_hub = not local.exists() and metadata.name not in BUILT_IN and not metadata.name.startswith("data/")
    name = metadata.name if on_hub else str(local if local.is_dir() else metadata.folder)
    if "+" in name or "@" in name:
        raise CheckpointError(f"{call}: mergekit takes the + or @ in {name!r} for its own.\nRename the folder.")
    return name
