"""SIGKILL of a process that writes texts, curves, pages, models and runs: all that is there is whole and right."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lerpnb.evaluation.cache import Cache
from lerpnb.explorer.kept import KeptTexts
from lerpnb.generation.continuations import Continuations
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.runs import execution
from lerpnb.runs.report.exporter import write_report
from lerpnb.utils import atomic, progress
from lerpnb.utils.atomic import write_whole

KILLS = 30
KEPT = ("kept", "store", "curve", "page.html", "runs/night", "model")  # what is written in turn, in this order


def curve_of(n: int) -> Curve:
    texts = [
        dict(alpha=a, prompt_id=0, draw=0, prompt="A film", continuation=f"{n} " * 999, n_tokens=3) for a in (0, 1)
    ]
    points = {float(a): {"loss/x": Measurement([n + a] * 99, unit="nats/token")} for a in (0, 1)}
    return Curve.from_measures(points, pd.DataFrame(texts), {"n": n})


def work(source, given, folder, monitor, environment):
    """In place of a kernel: a notebook of the number, and its curve."""
    made = new_notebook(cells=[new_code_cell(f"n = {given['n']}"), new_markdown_cell("word " * 2000)])
    write_whole(folder / "executed.ipynb", nbformat.writes(made))
    curve_of(given["n"]).save(folder)


def fatal(at: int, after: bool) -> None:
    """Let this process end by SIGKILL right before, or after, its rename of that number."""
    left = [at]

    def deadly(call):
        def renamed(*args, **options):
            left[0] -= 1
            if left[0] < 0 and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            done = call(*args, **options)
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return renamed

    os.replace = deadly(os.replace)
    atomic._exchange = deadly(atomic._exchange)


def write(place: Path, model, first: int, last: int, rename: tuple[int, bool] | None = None) -> None:
    """Write the numbers from first to last into each place in turn, and note each in a log when it begins and ends."""
    from lerpnb.checkpoints.saving import write_folder

    if rename:
        fatal(*rename)
    kept = KeptTexts(place / "kept", SimpleNamespace(first="", at={}))
    store, asked = Cache(place / "store"), Continuations(("A film",))
    nbformat.write(new_notebook(), notebook := place / f"{first}.ipynb")
    writers = {
        "kept": lambda n: kept.add(n, f"{n}\n" * 99, asked),
        "store": lambda n: store.put({"texts": 1}, {}, curve_of(n).samples),
        "curve": lambda n: curve_of(n).save(place / "curve"),
        "page.html": lambda n: write_report(notebook, place / "page.html"),
        "runs/night": lambda n: execution.run(place / "night.ipynb", {"n": n}, to=place / "runs", force=True),
        "model": lambda n: write_folder(filled(model, n), None, place / "model", overwrite=True),
    }
    with open(place / "log", "a", buffering=1) as log:
        for n in range(first, last):
            nbformat.write(new_notebook(cells=[new_markdown_cell(f"# Page {n}\n" + "word " * 999)]), notebook)
            for name in KEPT:
                log.write(f"begins {name} {n}\n")
                writers[name](n)
                log.write(f"ended {name} {n}\n")
    notebook.unlink()


def filled(model, n: int):
    for parameter in model.parameters():
        parameter.data.fill_(n)
    return model


def read(place: Path) -> dict[str, set[int]]:
    """The numbers that each place holds, every part of it; empty where nothing is there."""
    from safetensors.torch import load_file

    found: dict[str, set[int]] = {name: set() for name in KEPT}
    if (place / "kept" / "kept.csv").exists():
        frame = pd.read_csv(place / "kept" / "kept.csv")
        assert [*frame["text"]] == [f"{n:.0f}\n" * 99 for n in frame["alpha"]]
        assert frame["alpha"].is_monotonic_increasing and set(frame["max_new_tokens"]) == {20}
        found["kept"] = {int(frame["alpha"].max())}
    if stored := Cache(place / "store").get({"texts": 1}):
        found["store"] = of_samples(stored[1])
    if (place / "curve" / "curve.parquet").exists():
        found["curve"] = of_curve(place / "curve")
    if (place / "page.html").exists():
        found["page.html"] = of_page(place / "page.html")
    if (night := place / "runs" / "night").exists():
        facts = json.loads((night / "run.json").read_text())
        cells = nbformat.read(night / "executed.ipynb", 4).cells
        found["runs/night"] = {facts["parameters"]["n"], int(cells[0].source.removeprefix("n = "))} | of_curve(night)
        assert facts["status"] == "done" and (night / "report.html").read_text().endswith("</html>\n")
    if (place / "model").exists():
        tensors = load_file(place / "model" / "model.safetensors").values()
        found["model"] = {int(value) for tensor in tensors for value in tensor.unique()}
        assert json.loads((place / "model" / "config.json").read_text())["model_type"] == "llama"
    return found


def of_samples(samples: pd.DataFrame) -> set[int]:
    assert len(samples) == 2
    return {int(number) for text in samples["continuation"] for number in text.split()}


def of_curve(folder: Path) -> set[int]:
    curve = Curve.load(folder)
    return {curve.provenance["n"], *(curve.value("loss/x") - curve.alphas).astype(int)} | of_samples(curve.samples)


def of_page(page: Path) -> set[int]:
    text = page.read_text()
    assert text.endswith("</html>\n")
    return {int(text.partition("<title>Page ")[2].partition("<")[0])}


@pytest.fixture
def slow_disk(monkeypatch):
    """Texts grow in pieces, so that a kill meets them half written; and no kernel."""

    def slowly(self, text, encoding=None, **_):
        with open(self, "w", encoding=encoding) as file:
            for start in range(0, len(text), 5000):
                file.write(text[start : start + 5000])
                file.flush()
                time.sleep(0.0005)

    monkeypatch.setattr(Path, "write_text", slowly)
    monkeypatch.setattr(execution, "run_cells", work)
    monkeypatch.setattr(execution, "_versions", dict)
    # tqdm's own lock is shared with forks: one that is killed while it draws its bar would hold it for ever.
    monkeypatch.setattr(progress.tqdm, "_lock", threading.RLock(), raising=False)


@pytest.mark.slow
def test_thirty_kills_leave_all_files_whole_and_nothing_behind(slow_disk, tiny, tmp_path, monkeypatch):
    """Half of them at a random moment, half right before or after a file or a folder takes its place."""
    monkeypatch.chdir(tmp_path)
    parameters = new_code_cell("n: int = 0", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters]), tmp_path / "night.ipynb")
    model, moments, log = tiny.llama(), random.Random(0), tmp_path / "log"
    log.touch()
    write(tmp_path, model, 0, 1)  # undisturbed, which also imports all that it needs
    held, last, met, hidden = dict.fromkeys(KEPT, 0), 0, set(), 0
    fork = multiprocessing.get_context("fork")
    for kill in range(KILLS):
        rename = (kill // 2, kill % 4 == 0) if kill % 2 == 0 else None
        child = fork.Process(target=write, args=(tmp_path, model, last + 1, last + 99, rename))
        child.start()
        if not rename:
            time.sleep(moments.uniform(0.02, 0.6))
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
        lines = [line.split() for line in log.read_text().splitlines()]
        begun, ended = ({name: int(n) for kind, name, n in lines if kind == word} for word in ("begins", "ended"))
        for name, numbers in read(tmp_path).items():
            old, new = max(held[name], ended[name]), begun[name]
            assert numbers in ({old}, {new}), f"{name} holds {numbers}, where {old} was whole and {new} begun"
            held[name] = numbers.pop()
        last = max(begun.values())
        met |= {name for name in KEPT if begun[name] != ended[name]}
        hidden += len(rests(tmp_path))
    write(tmp_path, model, last + 1, last + 3)
    assert read(tmp_path) == {name: {last + 2} for name in KEPT}
    assert not rests(tmp_path) and hidden > 5  # of what was half written when a kill came
    assert {"kept", "store", "curve", "page.html", "runs/night"} <= met  # while they were written


def rests(place: Path) -> list[Path]:
    return [path for path in place.rglob(".*")]
