"""A full disk in each writer: an error in words, what was there before whole, and no part of a file left.

RLIMIT_FSIZE stands for the disk: the system itself refuses what goes beyond, to every library, without rights.
"""

import errno
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lerpnb import assets, project
from lerpnb.errors import AssetError, LerpError, RunError
from lerpnb.evaluation.cache import Cache
from lerpnb.explorer.kept import KeptTexts
from lerpnb.generation.continuations import Continuations
from lerpnb.plots import image
from lerpnb.plots.figure import Figure
from lerpnb.results.curve import Curve
from lerpnb.results.measurement import Measurement
from lerpnb.results.surface import Surface
from lerpnb.runs import execution, preflight
from lerpnb.runs.directory import RunDirectory
from lerpnb.runs.recording import record
from lerpnb.runs.report.exporter import write_report
from lerpnb.runs.sweeps.lock import RunLock
from lerpnb.utils import progress, verification
from lerpnb.utils.atomic import write_whole
from lerpnb.utils.environment import FILE

Write = Callable[[Path, int], object]


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def check(write: Write, folder: Path, again: bool = True) -> None:
    """Write once; with room for nothing, for half and for all but a byte of the largest file; and with room again.

    `again`: it writes over what it wrote before.
    """
    (folder / "room").mkdir()
    write(folder / "room", 1)
    largest = max(map(len, files(folder / "room").values()))
    for size in (0, largest // 2, largest - 1):
        places = [folder / f"new-{size}", *([folder / "room"] if again else [])]
        for place in places:
            place.mkdir(exist_ok=True)
            before = files(place)
            with full_disk(size), pytest.raises(LerpError) as error:
                write(place, 2)
            first, way_out = str(error.value).split("\n", 1)
            assert ": cannot write " in first and first.endswith(": File too large.") and way_out
            assert place.name in first or "store" in first
            assert files(place) == before
    write(folder / "room", 2) if again else write(folder / "more", 2)
    hidden = [name for name in files(folder) if Path(name).name.startswith(".")]
    assert not hidden and (not again or files(folder / "room") != before)


def curve_of(n: int) -> Curve:
    texts = [dict(alpha=a, prompt_id=0, draw=0, prompt="A film", continuation=f"{n} " * 99, n_tokens=3) for a in (0, 1)]
    points = {float(a): {"loss/x": Measurement([a + n] * 99, unit="nats/token")} for a in range(2)}
    return Curve.from_measures(points, pd.DataFrame(texts))


def surface(folder: Path, n: int) -> None:
    Surface.from_measures({(x, 0.0): {"loss/x": Measurement([x + n] * 99)} for x in (0.0, 1.0)}).save(folder)


def recorded(folder: Path, n: int) -> None:
    os.chdir(folder)
    record(curve_of(n))


def stored(folder: Path, n: int) -> None:
    Cache(folder / "store").put({"alpha": 0}, {"x": Measurement([n + 0.5] * 500)}, pd.DataFrame({"text": ["a"] * 99}))


def page(folder: Path, n: int) -> None:
    write_report(folder.parent / f"page{n}.ipynb", folder / "page.html")


def picture(folder: Path, n: int) -> None:
    image.save_image(Figure.blank(100, "x"), folder / "curve.png")


def html(folder: Path, n: int) -> None:
    Figure.blank(100 + n, "x").write_html(folder / "figure.html", include_plotlyjs=False)


def kept(folder: Path, n: int) -> None:
    kept = KeptTexts(folder, SimpleNamespace(first="", at={}))
    kept.add(0.5, f"text {n}\nof two lines", Continuations(("A film",)))


LIGHT = {
    "Curve.save": lambda folder, n: curve_of(n).save(folder),
    "Surface.save": surface,
    "record": recorded,
    "record(to)": lambda folder, n: record(curve_of(n), folder),
    "store": stored,
    "write_report": page,
    "save_image": picture,
    "write_html": html,
    "kept texts": kept,
}


@pytest.mark.slow
@pytest.mark.parametrize("write", LIGHT.values(), ids=LIGHT)
def test_a_writer_of_files(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        nbformat.write(new_notebook(cells=[new_markdown_cell(f"# Page {n}")]), tmp_path / f"page{n}.ipynb")
    drawn = iter([b"a" * 99, *[b"b" * 99] * 99])
    monkeypatch.setattr(image, "find_chrome", lambda: "chrome")
    monkeypatch.setattr(image, "draw", lambda *_: [next(drawn)])
    check(write, tmp_path)


def test_a_lock(tmp_path):
    lock = RunLock(RunDirectory(tmp_path), "demo")
    with full_disk(0), pytest.raises(RunError) as error, lock:
        pass
    assert str(error.value) == (
        f"sweep(): cannot write {tmp_path}/.demo.lock: File too large.\nMake room there. Nothing was run."
    )
    assert not files(tmp_path)
    with RunLock(RunDirectory(tmp_path), "demo") as lock:  # the next does not wait
        assert lock.holds()


@pytest.mark.slow
def test_a_project_goes_on_where_it_was_stopped(tmp_path):
    with full_disk(2000), pytest.raises(RunError) as error:
        project.init(tmp_path / "mine")
    assert f"lerpnb init {tmp_path / 'mine'}: cannot write {tmp_path / 'mine'}/" in str(error.value)
    assert str(error.value).endswith("Make room there and call it again: it writes what is missing.")
    half = files(tmp_path / "mine")
    (tmp_path / "mine" / "notebooks").mkdir(exist_ok=True)
    (tmp_path / "mine" / "notebooks" / ".README.md.0123abcd.tmp").write_text("as a killed process leaves it")
    whole = files(project.init(tmp_path / "mine"))
    assert half.items() <= whole.items() and whole == files(project.init(tmp_path / "other")) | {
        name: whole[name] for name in ("README.md", "environment.yml")
    }


def test_what_only_tells_of_the_work_does_not_stop_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(FILE, str(tmp_path / "progress.json"))
    with full_disk(0):
        assert list(progress.track("ab", label="walk")) == ["a", "b"]
    assert not files(tmp_path)
    monkeypatch.setenv(verification.REPORT, str(tmp_path / "report.jsonl"))
    with full_disk(0), pytest.raises(LerpError, match="store verify: cannot write .*report.jsonl: File too large"):
        verification.write_report(1, [])


def test_a_download(tmp_path, monkeypatch):
    """The hub's client writes by itself: what it raises is told."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot(name, local_files_only=False, **_):
        raise LocalEntryNotFoundError("none") if local_files_only else OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.setattr(assets, "hub_answers", lambda: True)
    with pytest.raises(AssetError) as error:
        assets.resolve("somebody/some-model")
    assert str(error.value) == (
        "resolve('somebody/some-model'): cannot write the hub's cache: No space left on device.\n"
        "Make room there, or name another folder in $HF_HOME. What was downloaded stays."
    )


# ---------------------------------------------------------------- runs


@pytest.fixture
def cells(monkeypatch):
    """In place of a kernel: what it would write, as long as the disk lets it."""

    def work(source, given, folder, monitor, environment):
        try:
            made = new_notebook(cells=[new_code_cell(f"n = {given['n']}"), new_markdown_cell("word " * 2000)])
            write_whole(folder / "executed.ipynb", nbformat.writes(made))  # as papermill does here
            curve_of(given["n"]).save(folder)
        except (OSError, LerpError) as error:
            return {"cell": 1, "kind": type(error).__name__, "why": str(error)}

    monkeypatch.setattr(execution, "run_cells", work)
    monkeypatch.setattr(preflight, "ROOM", 0)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.5, 0.9])
def test_a_run(cells, tmp_path, monkeypatch, share):
    """The last good run stays whole; what was done of the new one is where the message says."""
    monkeypatch.chdir(tmp_path)
    notebook = new_notebook(cells=[new_code_cell("n: int = 0", metadata={"tags": ["parameters"]})])
    nbformat.write(notebook, tmp_path / "night.ipynb")
    good = execution.run("night.ipynb", {"n": 1})
    before = files(good)
    with full_disk(int(share * max(map(len, before.values())))), pytest.raises(RunError) as error:
        execution.run("night.ipynb", {"n": 2}, force=True)
    message = str(error.value)
    assert message.startswith('run("night"): ') and "File too large" in message and "runs" in message
    assert files(good) == before and Curve.load(good).value("loss/x")[0] == 1
    rests = [p for p in (tmp_path / "runs").iterdir() if p.name != "night"]
    if rests:
        assert f"What was done until then is in {rests[0]}" in message.replace("in runs/", f"in {tmp_path}/runs/")
        for file in rests[0].rglob("*.json"):
            json.loads(file.read_text())
        for file in rests[0].glob("*.ipynb"):
            nbformat.read(file, 4)
    assert len(rests) <= 1 and not list((tmp_path / "runs").rglob("*.tmp"))
    execution.run("night.ipynb", {"n": 3}, force=True)
    assert Curve.load(good).value("loss/x")[0] == 3


# ---------------------------------------------------------------- models


def point(tiny, pairs, monkeypatch) -> Write:
    from lerpnb.paths.line import Line

    line = Line(*pairs.llama[1:], device="cpu")
    return lambda folder, n: line.save(n / 4, folder / "model", overwrite=True)


def adapter(tiny, pairs, monkeypatch) -> Write:
    from lerpnb.paths.line import Line

    line = Line(*pairs.adapters[1:], device="cpu")
    return lambda folder, n: line.save(n / 4, folder / "adapter", overwrite=True, as_adapter=True)


def fine_tuned(tiny, pairs, monkeypatch, **cache: str) -> Write:
    from lerpnb.data.corpus import Corpus
    from lerpnb.training import FineTuneConfig, fine_tune

    config = FineTuneConfig(str(pairs.llama.base), rank=2, steps=1, batch_size=2)
    texts = Corpus(("a film", "film a"), (0, 0), ("x",), "two texts")
    if cache:
        return lambda folder, n: fine_tune(config, texts, cache_dir=folder / "kept")
    return lambda folder, n: fine_tune(config, texts, folder / "out")


def small(tiny, pairs, monkeypatch) -> Write:
    from lerpnb.checkpoints.initialization import small_model

    return lambda folder, n: small_model(["a film"], vocabulary=258, width=8, layers=1, heads=1, folder=folder)


def blank(tiny, pairs, monkeypatch) -> Write:
    from lerpnb.checkpoints.initialization import untrained

    return lambda folder, n: untrained(pairs.llama.base, folder=folder)


def converted(tiny, pairs, monkeypatch) -> Write:
    from lerpnb.checkpoints import gguf

    def convert(path: Path, folder: Path) -> None:  # its reader is tested elsewhere; it writes so
        tiny.save(tiny.llama(), folder, tiny.tokenizer())

    def write(folder: Path, n: int) -> None:
        monkeypatch.setenv("LERPNB_CACHE", str(folder))
        gguf.model_folder(file)

    (file := pairs.room / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(gguf, "_convert", convert)
    return write


MODELS = {"path.save": point, "path.save(as_adapter)": adapter, "fine_tune(out)": fine_tuned}
MODELS |= {"fine_tune(cache_dir)": partial(fine_tuned, cache="yes"), "small_model": small, "untrained": blank}
MODELS |= {"GGUF": converted}


@pytest.mark.slow
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_writer_of_models(make, tiny, tiny_llama_pair, tiny_adapter_pair, tmp_path, monkeypatch, capsys):
    given = SimpleNamespace(llama=tiny_llama_pair, adapters=tiny_adapter_pair, room=tmp_path)
    write = make(tiny, given, monkeypatch)
    check(write, tmp_path, again=make in (point, adapter))
