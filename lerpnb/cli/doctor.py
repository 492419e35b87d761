"""`lerpnb doctor`: what an issue should say of a machine, in 15 lines at most."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path

PACKAGES = ("transformers", "peft", "plotly", "papermill", "jupyterlab")


def diagnosis() -> list[str]:
    """One line a fact: versions, device, browser, folders, hub."""
    import psutil
    import torch

    from lerpnb import __version__, assets
    from lerpnb.evaluation.cache import Cache
    from lerpnb.plots.image import find_chrome
    from lerpnb.project import project_root

    store, root = Cache(), project_root()
    missing = [name for name, (module, _) in assets.BUILT_IN.items() if importlib.util.find_spec(module) is None]
    demo = f"without {', '.join(missing)}: run `lerpnb assets`" if missing else "its wheels are installed"
    versions = (f"{name} {version}" for name in PACKAGES if (version := _version(name)))
    return [
        f"lerpnb       {__version__}, in {Path(__file__).resolve().parents[1]}",
        f"Python       {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"torch        {torch.__version__}, device {_device()}",
        f"packages     {', '.join(versions)}",
        f"constraints  {against(root / 'constraints.txt')}",
        f"Chrome       {find_chrome() or 'none: `lerpnb picture` and still images need one (plotly_get_chrome)'}",
        f"project      {root}",
        f"demo         {demo}",
        f"cache        {assets.cache_dir()}",
        f"store        {store.folder}: {len(store)} points",
        f"disk         {shutil.disk_usage(root).free / 2**30:.1f} GiB free",
        f"memory       {psutil.virtual_memory().available / 2**30:.1f} GiB free, {os.cpu_count()} cores",
        f"hub          {_hub()}",
    ]


def _device() -> str:
    import torch

    from lerpnb.checkpoints.devices import pick_device

    device = str(pick_device("auto"))
    if device.startswith("cuda"):
        return f"{device}, {torch.cuda.get_device_name()}"
    return f"{device}, {torch.get_num_threads()} threads"


def _hub() -> str:
    from lerpnb import assets

    started = time.monotonic()
    answers = assets.hub_answers()
    said = f"answers in {time.monotonic() - started:.1f} s" if answers else "does not answer, or HF_HUB_OFFLINE is set"
    return f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')} {said}"


def against(constraints: Path) -> str:
    """Which installed versions are not those of constraints.txt."""
    if not constraints.is_file():
        return "no constraints.txt here, as in every project but a checkout"
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", constraints.read_text(encoding="utf-8"), re.MULTILINE))
    have = {name: _version(name) for name in pins}
    other = [
        f"{name} {have[name]}, not {pins[name]}" for name in pins if have[name] and _differs(have[name], pins[name])
    ]
    more = f" and {len(other) - 3} more" if len(other) > 3 else ""
    return f"{len(pins)} pins; " + ("; ".join(other[:3]) + more if other else "all installed versions are these")


def _differs(version: str, pin: str) -> bool:
    return version.partition("+")[0] != pin  # 2.13.0+cpu is a build of 2.13.0


def _version(name: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""
