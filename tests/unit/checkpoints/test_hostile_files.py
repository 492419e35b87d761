"""Files that a stranger made to do harm: each ends in an error of ours, at once, and leaves nothing behind."""

import json
import os
import resource
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from lerpnb import cli
from lerpnb.checkpoints.checkpoint import Checkpoint
from lerpnb.checkpoints.gguf import model_folder
from lerpnb.errors import LerpError
from lerpnb.evaluation.cache import Cache, _digest
from lerpnb.results.measurement import Measurement
from lerpnb.runs.execution import run


@contextmanager
def at_once() -> Iterator[None]:
    """Within 2 s of work and 500 MB of memory, after what is imported once."""
    start, held = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 500 * 1024  # KiB


def edit(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def sharded(folder: Path, weight_map) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


MODELS = {
    "a weight_map with lists": lambda folder: sharded(folder, {"lm_head.weight": ["model-00001-of-00001.safetensors"]}),
    "a weight_map that is a list": lambda folder: sharded(folder, ["model-00001-of-00001.safetensors"]),
    "a weight_map that leaves the folder": lambda folder: sharded(
        folder, {"lm_head.weight": "../../secret.safetensors"}
    ),
    "config.json that is a list": lambda folder: (folder / "config.json").write_text("[1, 2]"),
    "config.json too deep": lambda folder: (folder / "config.json").write_text("[" * 20_000 + "]" * 20_000),
    "a text for a number": lambda folder: edit(folder / "config.json", hidden_size="large"),
    "a list for a number": lambda folder: edit(folder / "config.json", num_hidden_layers=[1, 2]),
    "a million layers": lambda folder: edit(folder / "config.json", num_hidden_layers=1_000_000),
    "a huge vocabulary": lambda folder: edit(folder / "config.json", vocab_size=10**12),
    "an end of text that is a list of texts": lambda folder: (folder / "generation_config.json").write_text(
        '{"eos_token_id": ["end", "stop"]}'
    ),
    "an endless file": lambda folder: (
        (folder / "config.json").unlink() or (folder / "config.json").symlink_to("/dev/zero")
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", MODELS)
def test_a_models_files(tiny_llama_pair, tmp_path, what):
    folder = shutil.copytree(tiny_llama_pair[1], tmp_path / "model")
    MODELS[what](folder)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    Checkpoint.load(tiny_llama_pair[1])
    with at_once(), pytest.raises(LerpError):
        Checkpoint.load(folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


ADAPTERS = {
    "its own base": dict(base_model_name_or_path="."),
    "a regular expression that never ends": dict(target_modules="(([a-z_.0-9]+)+)+!"),
    "one among the ranks": dict(rank_pattern={"(([a-z_.0-9]+)+)+!": 3}),
    "rank ten million": dict(r=10_000_000),
    "a type that is none": dict(peft_type=["LORA"]),
    "no layers": dict(target_modules=["nothing"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ADAPTERS)
def test_an_adapters_files(tiny_adapter_pair, tmp_path, what, monkeypatch):
    base, minus, _ = tiny_adapter_pair
    folder = shutil.copytree(minus, tmp_path / "adapter")
    edit(folder / "adapter_config.json", **ADAPTERS[what])
    monkeypatch.chdir(folder)
    Checkpoint.load(minus, base)
    with at_once(), pytest.raises(LerpError, match="regular expression" if "(([" in str(ADAPTERS[what]) else None):
        Checkpoint.load(folder, base=None if what == "its own base" else base)


def gguf(version=3, tensors=1, keys=0, rest=b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + rest


HEADERS = {
    "empty": b"",
    "magic alone": b"GGUF",
    "no magic": b"LLAM" + b"\0" * 40,
    "version 0": gguf(version=0),
    "version 4 billion": gguf(version=2**32 - 1),
    "more tensors than bytes": gguf(tensors=2**60),
    "more keys than bytes": gguf(keys=2**60),
    "a key of 2^62 letters": gguf(keys=1, rest=struct.pack("<Q", 2**62)),
    "a value of no type": gguf(keys=1, rest=struct.pack("<Q", 1) + b"k" + struct.pack("<I", 99)),
    "an array of 2^60": gguf(keys=1, rest=struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 4, 2**60)),
    "nested arrays": gguf(keys=1, rest=struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 9, 1) * 2000),
    "a tensor of 2^32 dimensions": gguf(rest=struct.pack("<Q", 1) + b"t" + struct.pack("<I", 2**32 - 1)),
    "a tensor beyond the file": gguf(rest=struct.pack("<Q1sIQIQ", 1, b"t", 1, 2**40, 0, 0)),
    "no architecture": gguf(tensors=0),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_gguf_files_header(tmp_path, monkeypatch, what):
    monkeypatch.setenv("LERPNB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").write_bytes(HEADERS[what])
    import_module("gguf")  # which takes a second

    with at_once(), pytest.raises(LerpError):
        model_folder(tmp_path / "model.gguf")
    assert not list((tmp_path / "cache").rglob("*.safetensors")) if (tmp_path / "cache").exists() else True


def test_a_record_with_a_right_checksum_and_another_shape(tmp_path):
    store, key = Cache(tmp_path), {"alpha": 0.5}
    store.put(key, {"x": Measurement(np.array([1.0, 2.0]))})
    [path] = tmp_path.rglob("*.json")
    record = json.loads(path.read_text().rpartition("\n")[0])
    for change in (
        {"measures": {"x": {"values": [[1.0], [2.0]], "weights": [1.0, 1.0]}}},
        {"measures": {"x": {"values": [1.0], "weights": [1.0, 1.0]}}},
        {"measures": {"x": {"values": ["a"], "weights": [1.0]}}},
        {"measures": {"x": 3}},
        {"measures": ["x"]},
        {"samples": {"prompt": ["a"], "draw": []}},
        {"samples": 5},
    ):
        body = json.dumps(record | change)
        path.write_text(f"{body}\n{_digest(body)}")
        with pytest.warns(UserWarning, match="is damaged: its point is computed again"):
            assert store.get(key) is None, change


@pytest.mark.parametrize("name", ["n" * 255, "n" * 400, "a\0b", "a\nb", "..", ""])
def test_a_name_that_no_folder_can_have(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    with pytest.raises(LerpError):
        run("small.ipynb", {}, name or "/", tmp_path / "runs")
    assert not (tmp_path / "runs").exists() or not os.listdir(tmp_path / "runs")


def test_a_parameter_that_is_no_utf_8(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cell = {"cell_type": "code", "source": 'text: str = "a"', "metadata": {"tags": ["parameters"]}, "id": "a"}
    cell |= {"outputs": [], "execution_count": None}
    (tmp_path / "small.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "small.ipynb", "-p", "text", b"caf\xe9".decode("utf-8", "surrogateescape")])
    assert ended.value.code == 1 and "UTF-8" in capsys.readouterr().err


def test_a_pipe_beside_the_notebook_that_a_page_embeds(tmp_path):
    from lerpnb.runs.report.exporter import write_report

    os.mkfifo(tmp_path / "picture.png")
    cell = {"cell_type": "markdown", "source": "![a](picture.png)", "metadata": {}, "id": "a"}
    (tmp_path / "small.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    made = threading.Thread(target=lambda: write_report(tmp_path / "small.ipynb", tmp_path / "page.html"), daemon=True)
    made.start()
    made.join(20)
    assert not made.is_alive()
