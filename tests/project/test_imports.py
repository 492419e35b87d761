"""What an import brings in, and that the layers of pyproject.toml are kept: `lint-imports` holds them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOAD = """
import importlib, json, sys, time
start = time.perf_counter()
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
print(json.dumps([sorted({name.partition(".")[0] for name in sys.modules}), time.perf_counter() - start]))
"""


def load(*modules: str) -> tuple[set[str], float]:
    """Import modules in a fresh interpreter: the packages that it then holds, and the seconds it took."""
    command = [sys.executable, "-c", LOAD, json.dumps(modules)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packages, seconds = json.loads(done.stdout.splitlines()[-1])
    return set(packages), seconds


@pytest.mark.slow
def test_import_lerpnb_is_light():
    brought, seconds = zip(*(load("lerpnb") for _ in range(3)), strict=True)
    assert not brought[0] & {"torch", "transformers", "peft", "papermill", "plotly", "pandas"}
    assert min(seconds) < 1


@pytest.mark.slow
def test_a_kernel_that_records_brings_in_nothing_that_reads_or_runs_notebooks():
    """nbformat alone takes more than a second, of every kernel."""
    brought, _ = load("lerpnb.runs.recording", "lerpnb.explorer", "lerpnb.evaluation.loop", "lerpnb.plots.curve")
    assert not brought & {"nbformat", "jsonschema", "papermill", "nbconvert"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("results/curve", "import lerpnb.evaluation.loop", "layers"),
        ("checkpoints/vectors", "def later():\n    from lerpnb.paths import line", "layers"),
        ("plots/theme", "import torch", "these stay light"),
        ("errors", "from lerpnb import assets", "layers"),
        ("utils/text", "", ""),
    ],
)
def test_an_import_upwards_is_caught(tmp_path, module, line, broken):
    shutil.copytree(ROOT / "lerpnb", tmp_path / "lerpnb", ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.css"))
    with (tmp_path / f"lerpnb/{module}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--config", ROOT / "pyproject.toml"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "--cache-dir", tmp_path / "cache"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode != 0) == (f"{broken} BROKEN" in done.stdout) == bool(broken), done.stdout + done.stderr
