"""The store: killed at any moment it loses nothing and pays nothing twice; damage, full disks, two at once."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lerpnb.errors import LerpError
from lerpnb.evaluation.cache import Cache
from lerpnb.results.measurement import Measurement
from lerpnb.utils import progress

ALPHAS = [round(-1 + i / 8, 3) for i in range(25)]


def put_slowly(monkeypatch) -> None:
    """Make a record's file grow in pieces, so that a kill meets it half written."""

    def slowly(self, text, encoding=None):
        with open(self, "w", encoding=encoding) as file:
            for start in range(0, len(text), 2000):
                file.write(text[start : start + 2000])
                file.flush()
                time.sleep(0.0005)

    monkeypatch.setattr(Path, "write_text", slowly)


def walked(line, folder: Path, log: Path):
    from lerpnb.evaluation.loop import evaluate

    def logged(model, tokenizer):
        """Many items, so that a record is long; one line in the log a computation."""
        with open(log, "a") as file:
            file.write(f"{line.here!r}\n")
        time.sleep(0.002)
        return (model.get_output_embeddings().weight.flatten() * 1.1).tolist()

    class Probe:
        name, cache_key = "logged", "1"

        def identity(self):
            return {"probe": "logged"}

        def measure(self, model, tokenizer):
            return {"logged": Measurement(logged(model, tokenizer), unit="x", items="values")}

    return evaluate(line, ALPHAS, [Probe()], store=folder, check=False)


def finished_alphas(store: Cache) -> set[float]:
    return {json.loads(file.read_text().rsplit("\n", 1)[0])["key"]["alpha"] for file in store._files()}


@pytest.mark.slow
def test_thirty_kills_lose_no_finished_point_and_compute_none_twice(tiny_llama_pair, tmp_path, monkeypatch):
    import torch

    from lerpnb.paths.line import Line

    line = Line(*tiny_llama_pair[1:], device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has no threads of its parent's
    undisturbed = walked(line, tmp_path / "undisturbed", tmp_path / "undisturbed.log")
    assert len((tmp_path / "undisturbed.log").read_text().splitlines()) == len(ALPHAS)
    put_slowly(monkeypatch)
    # tqdm's own lock is shared with forks: one that is killed while it draws its bar would hold it for ever.
    monkeypatch.setattr(progress.tqdm, "_lock", threading.RLock(), raising=False)

    moments, store, log, kills, halves, wasted = random.Random(0), Cache(tmp_path / "store"), tmp_path / "log", 0, 0, 0
    log.touch()
    while kills < 30 or not (wasted and halves):  # kills come in the middle of points, and of writing them
        assert kills < 300
        if len(store) >= len(ALPHAS) - 3:
            store.clear()
        kept = finished_alphas(store)
        log.write_text("")
        child = multiprocessing.get_context("fork").Process(target=walked, args=(line, store.folder, log))
        child.start()
        time.sleep(moments.uniform(0.02, 0.12) * max(1, kills / 30))  # later where a fork is slow to start
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        kills += child.exitcode == -signal.SIGKILL
        halves += len(list(store.folder.glob("points/*/.*")))
        computed, now = [float(line) for line in log.read_text().splitlines()], finished_alphas(store)
        assert kept <= now <= kept | set(computed)  # no finished point is lost
        assert len(computed) == len(set(computed)) and not kept & set(computed)  # and none is computed twice
        assert len(set(computed) - now) <= 1  # only the point in the making is
        wasted += len(set(computed) - now)
    kept = finished_alphas(store)
    log.write_text("")
    finished = walked(line, store.folder, log)
    torch.set_num_threads(threads)

    assert {float(line) for line in log.read_text().splitlines()} == set(ALPHAS) - kept
    assert finished.to_frame().equals(undisturbed.to_frame())
    items = [curve.frame["item_values"].map(lambda v: v.tobytes()).tolist() for curve in (finished, undisturbed)]
    assert items[0] == items[1]


def hammer(folder: str, seed: int) -> None:
    store, order = Cache(folder), list(range(40))
    random.Random(seed).shuffle(order)
    for i in order:
        store.put({"i": i}, {"x": Measurement(np.arange(300.0) * i)})
        assert store.get({"i": i})[0]["x"].values[2] == 2.0 * i


@pytest.mark.slow
def test_two_processes_on_one_store_do_no_harm(tmp_path):
    fork = multiprocessing.get_context("fork")
    both = [fork.Process(target=hammer, args=(tmp_path, seed)) for seed in (1, 2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0] and len(Cache(tmp_path)) == 40
    for i in range(40):
        assert Cache(tmp_path).get({"i": i})[0]["x"].values.tolist() == (np.arange(300.0) * i).tolist()


FULL = """
import resource, sys, numpy as np
from lerpnb.results.measurement import Measurement
from lerpnb.evaluation.cache import Cache
store = Cache(sys.argv[1])
store.put({"i": 0}, {"x": Measurement(np.arange(10.0))})
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.put({"i": 1}, {"x": Measurement(np.random.default_rng(0).random(1000))})
except Exception as error:
    print(type(error).__name__, error)
print(len(store), store.get({"i": 0})[0]["x"].value(), store.get({"i": 1}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True)
    said, way, rest = done.stdout.splitlines()
    assert said.startswith("LerpError Cache: cannot write ") and said.endswith(f" in {tmp_path.name}: File too large.")
    assert way == "Finished points stay. Make room, or give evaluate(store=...) another folder."
    assert rest == "1 4.5 None" and not list(tmp_path.glob("points/*/.*"))


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text[: len(text) // 3], lambda text: ""])
def test_a_truncated_record_is_said_and_not_used(tmp_path, damage):
    store = Cache(tmp_path)
    store.put({"a": 1}, {"x": Measurement([0.1, 0.2])}, pd.DataFrame({"text": ["ä", "b"]}))
    (file,) = tmp_path.glob("points/*/*.json")
    assert store.get({"a": 1})[1]["text"].tolist() == ["ä", "b"]
    file.write_text(damage(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.warns(UserWarning) as said:
        assert store.get({"a": 1}) is None
    assert str(said[0].message) == f"The store's record {file.name} is damaged: its point is computed again."


def test_a_record_under_another_key_is_not_used(tmp_path):
    store = Cache(tmp_path)
    store.put({"a": 1}, {"x": Measurement([0.1])})
    (file,) = tmp_path.glob("points/*/*.json")
    other = store._path({"a": 2})
    other.parent.mkdir(exist_ok=True)
    file.rename(other)
    with pytest.warns(UserWarning, match="is damaged: its point is computed again"):
        assert store.get({"a": 2}) is None


def test_an_unwritable_store_is_said(tmp_path):
    (tmp_path / "points").write_text("a file in the way")
    with pytest.raises(LerpError, match="Finished points stay. Make room, or give evaluate"):
        Cache(tmp_path).put({"a": 1}, {})


def test_a_file_where_the_folder_should_be_is_said_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(LerpError, match=rf"Cache\({folder.name}\): file is a file.\nGive it a folder."):
            Cache(folder)
