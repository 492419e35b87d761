"""A run: one notebook executed by papermill into a folder that appears whole or not at all. It knows no torch.

The folder holds executed.ipynb, report.html, curve.parquet and samples.parquet where the notebook recorded a curve, and
run.json, which is written last and is the mark that a run is whole. A run that fails leaves NAME.failed beside it.
"""

import ast
import difflib
import functools
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import re
import shutil
import signal
import sys
import threading
import time
import tokenize
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil
import yaml
from nbformat import NotebookNode

from .assets import project_root
from .curve import Curve
from .errors import RunError
from .progress import FILE, time_text

RUN_DIR = "LERPNB_RUN_DIR"  # environment variable: the folder into which a batch run's notebook records
KERNEL = "python3"
KEPT = 86_400  # seconds for which a killed run's temporary folder is left alone
CLEAR = "\r\x1b[2K"  # a terminal's line, emptied
PACKAGES = "lerpnb torch transformers peft tokenizers numpy pandas pyarrow plotly papermill nbconvert ipykernel".split()
ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}
WAY_OUT = {
    "bool": "Pass true or false.",
    "int": "Pass a whole number.",
    "float": "Pass a number.",
    "str": "Pass a text; in YAML, put it in quotes.",
    "list": "Pass a list, in YAML as [1, 2].",
    "dict": "Pass a mapping, in YAML as {a: 1}.",
}


def run(
    notebook: str | Path, parameters: dict[str, Any] | None = None, name: str | None = None, to: str | Path = "runs"
) -> Path:
    """Execute a notebook with papermill and return its run folder, `to`/`name`.

    Parameters are checked against the notebook's own parameters cell before a kernel starts. The kernel stands in the
    notebook's folder. A run of the same name is replaced when this one has succeeded, not before.

    Args:
        notebook: a path, or the name of one of the project's notebooks.
        parameters: name -> value; a text is converted to the declared type where nothing is lost, else refused.
        name: of the run; by default the notebook's.
        to: the folder of runs.

    Raises:
        RunError: no such notebook, an unknown parameter or a wrong type, a name that would leave `to`, a cell that
            failed, a kernel that died. What was done until then is in `to`/`name`.failed.

    >>> run("02_walk_the_line", {"n_point": 5})
    Traceback (most recent call last):
    lerpnb.errors.RunError: run("02_walk_the_line"): no parameter 'n_point'. Did you mean 'n_points'?
    It takes: minus, plus, ...
    """
    source = find_notebook(notebook)
    call = f'run("{source.stem}")'
    node = _read(source, call)
    takes = parameters_of(node, call)
    given = _checked(parameters or {}, takes, call)
    folder = _place(source.stem if name is None else name, Path(to), call)
    failed = folder.with_name(f"{folder.name}.failed")
    work = _workshop(folder, call)
    started = time.time()
    cells = sum(map(_runs, node.cells)) + bool(given)  # papermill adds a cell for what is given
    with _Watch(folder.name, cells, work / ".progress.json") as watch:
        error = _execute(source, given, work, watch)
    facts = {
        "status": "failed" if error else "done",
        "name": folder.name,
        "notebook": {"name": source.name, "sha256": source_hash(node)},
        "parameters": {key: parameter.default for key, parameter in takes.items()} | given,
        "started": _clock(started),
        "finished": _clock(started + watch.seconds()),
        "seconds": round(watch.seconds(), 1),
        "peak_memory_bytes": watch.peak,
        "platform": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": _versions(),
        "error": error,
    }
    try:
        error = _finish(work, folder, facts)
        _swap(work, failed if error else folder)
    except OSError as trouble:  # a full disk, say: what was done stays where it is
        told = f"cannot write the run: {trouble.strerror}.\nWhat was done until then is in {work}."
        raise RunError(f"{call}: {told}") from trouble
    if not error:
        shutil.rmtree(failed, ignore_errors=True)  # an older attempt's, which this run has made good
        return folder
    if error["kind"] == "KeyboardInterrupt":
        raise KeyboardInterrupt
    where = f"cell [{error['cell']}] failed: " if error["cell"] else ""
    raise RunError(f"{call}: {where}{error['why'].splitlines()[0]}\nWhat was done until then is in {failed}.")


def record(curve: Curve, to: str | Path = "runs/live") -> Path:
    """Keep a curve beside the notebook that made it: in a batch run its run folder, else `to`. Returns the folder.

    >>> import tempfile
    >>> from lerpnb.measure import Measure
    >>> folder = record(Curve.from_measures({0.0: {"loss/x": Measure([1.0])}}), tempfile.mkdtemp())
    >>> sorted(file.name for file in folder.iterdir())
    ['curve.parquet', 'samples.parquet']
    """
    return curve.save(os.environ.get(RUN_DIR) or to)


def find_notebook(notebook: str | Path) -> Path:
    """The .ipynb that is meant: a path, with or without its ending, or a name in the project's notebooks folder."""
    path, shelf = Path(notebook), project_root() / "notebooks"
    for candidate in (path, Path(f"{path}.ipynb"), shelf / path.name, shelf / f"{path.name}.ipynb"):
        if candidate.is_file() and candidate.suffix == ".ipynb":
            return candidate.resolve()
    known = sorted(found.stem for found in shelf.glob("*.ipynb"))
    hint = f"\nThe project's notebooks: {', '.join(known)}." if known else ""
    raise RunError(f'run("{notebook}"): no such notebook.{hint}')


def source_hash(notebook: NotebookNode) -> str:
    """sha256 of a notebook's cells as their author wrote them: outputs, metadata and papermill's cells left out."""
    cells = [c for c in notebook.cells if not ADDED_BY_PAPERMILL & set(c.metadata.get("tags", []))]
    text = json.dumps([[cell.cell_type, cell.source] for cell in cells], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------- parameters


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's parameters cell."""

    name: str
    type: str  # as annotated, else as the default tells; "" where neither does
    default: Any  # its value; the source where that is no literal
    help: str  # the line's comment


def parameters_of(notebook: NotebookNode, call: str = "parameters_of(notebook)") -> dict[str, Parameter]:
    """What the cell tagged `parameters` assigns, by name.

    Python's own parser reads the cell: papermill's inspection loses `str | None` and a `=` in a comment.

    >>> cell = nbformat.v4.new_code_cell("n: int = 3  # points", metadata={"tags": ["parameters"]})
    >>> parameters_of(nbformat.v4.new_notebook(cells=[cell]))
    {'n': Parameter(name='n', type='int', default=3, help='points')}
    """
    cell = next((cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), None)
    if cell is None:
        return {}
    try:
        body = ast.parse(cell.source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(cell.source).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise RunError(f"{call}: the parameters cell is not plain Python: {error}.") from error
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for line in body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(line, ast.Assign | ast.AnnAssign) and line.value:
                try:
                    default = ast.literal_eval(line.value)
                    kind = "" if default is None else type(default).__name__
                except ValueError:
                    default, kind = ast.unparse(line.value), ""
                annotation = getattr(line, "annotation", None)
                if annotation is not None:
                    quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
                    kind = annotation.value if quoted else ast.unparse(annotation)
                found[target.id] = Parameter(target.id, kind, default, comments.get(line.end_lineno, ""))
    return found


def _checked(given: dict[str, Any], takes: dict[str, Parameter], call: str) -> dict[str, Any]:
    """The given values as the notebook declares them, or a RunError that names the first that does not fit."""
    values = {}
    for name, value in given.items():
        if name not in takes:
            near = difflib.get_close_matches(str(name), takes, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = f"It takes: {', '.join(takes)}." if takes else "It takes none: no cell is tagged 'parameters'."
            raise RunError(f"{call}: no parameter {name!r}.{hint}\n{known}")
        kind = takes[name].type
        try:
            values[name] = _fit(_plain(value), ast.parse(kind or "Any", mode="eval").body)
        except (ValueError, yaml.YAMLError) as error:
            hint = WAY_OUT.get(re.split(r"\W", kind)[0], "Pass a text, a number, true or false, a list or a mapping.")
            came = f"came {value!r} ({type(value).__name__})"
            raise RunError(f"{call}: parameter {name!r} takes {kind or 'plain values'}, {came}.\n{hint}") from error
    return values


def _plain(value: Any) -> Any:
    """The value as JSON knows it: a Path as text, numpy's numbers as Python's, a tuple as a list; else ValueError."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # numpy, without importing it
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(value)


def _fit(value: Any, kind: ast.expr, exactly: bool = False) -> Any:
    """The value as an annotation declares it, converted only where nothing is lost, else ValueError."""
    match kind:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            choices = [left, right]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            choices = [inner, ast.Constant(None)]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=choices)):
            pass
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return [_fit(item, inner, exactly) for item in _fit(value, ast.Name("list"), exactly)]
        case ast.Subscript(value=name):
            return _fit(value, name, exactly)
        case _:
            return _fit_one(value, getattr(kind, "id", "None" if isinstance(kind, ast.Constant) else ""), exactly)
    for strict in (True, False):  # of `int | str`, the text "1" stays a text
        for choice in choices:
            with suppress(ValueError):
                return _fit(value, choice, strict or exactly)
    raise ValueError(value)


def _fit_one(value: Any, kind: str, exactly: bool) -> Any:
    python = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict, "None": type(None)}
    if kind not in python or type(value) is python[kind]:
        return value
    if kind == "float" and type(value) is int:
        return float(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if exactly or not isinstance(value, str) or kind == "str":
        raise ValueError(value)
    if kind in ("int", "float"):
        return python[kind](value)
    read = yaml.safe_load(value)
    if type(read) is python[kind] and (kind != "bool" or value.lower() in ("true", "false")):
        return read
    raise ValueError(value)


# ---------------------------------------------------------------- execution


def _execute(source: Path, given: dict[str, Any], work: Path, watch: "_Watch") -> dict | None:
    """Run the notebook's cells, writing executed.ipynb as they end; None, or what went wrong and where."""
    import papermill  # takes seconds: not at the top, since notebooks import this module to record
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    environment = os.environ | {RUN_DIR: str(work), FILE: str(watch.file), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    package = Path(__file__).resolve().parent.parent
    if package.name not in ("site-packages", "dist-packages"):  # the kernel takes this very lerpnb
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    try:
        with open(work / "kernel.log", "w", encoding="utf-8") as log:
            papermill.execute_notebook(
                str(source).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
                str(work / "executed.ipynb").replace("{", "{{").replace("}", "}}"),
                parameters=given,
                engine_name=_engine(),
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                environment=environment,
                folder=source.parent,
                log=log,
                watch=watch,
            )
    except PapermillExecutionError as error:
        first = next((line for line in str(error.evalue).splitlines() if line.strip()), "no message")
        return {"cell": error.exec_count, "kind": error.ename, "why": f"{error.ename}: {first}"}
    except NoSuchKernel:
        why = f"there is no Jupyter kernel named {KERNEL}. Install ipykernel into this environment."
        return {"cell": None, "kind": "NoSuchKernel", "why": why}
    except (Exception, KeyboardInterrupt) as error:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nbclient leaves a task behind that complains later
        kind, died = type(error).__name__, isinstance(error, DeadKernelError) or "Kernel died" in str(error)
        why = watch.death(work / "kernel.log") if died else f"{kind}: {error}".strip(": ")
        return {"cell": watch.cell or None, "kind": kind, "why": why}
    return None


@functools.cache
def _engine() -> str:
    """Papermill's engine, with an environment, a folder and a log for the kernel, and somebody who watches it."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, environment, folder, log, watch, log_output=False, start_timeout=60, **_
        ):
            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                startup_timeout=start_timeout,
                iopub_timeout=60,
                store_widget_state=False,
                coalesce_streams=True,
                on_notebook_start=lambda notebook: watch.kernel_started(client.km.provisioner.process),
                on_cell_start=lambda cell, cell_index: watch.cell_started(cell),
            )
            client.execute(env=environment, cwd=str(folder), stderr=log)

    papermill_engines.register("lerpnb", Engine)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of parameters that only it could not read
    return "lerpnb"


class _Watch:
    """Watches a kernel from outside: its peak memory, and how far it is, drawn on stderr."""

    EVERY = 0.5  # seconds between two looks
    LINES = 15.0  # seconds between two lines of the same work, where stderr is no terminal

    def __init__(self, name: str, cells: int, file: Path):
        self.name, self.cells, self.file = name, cells, file
        self.cell, self.peak, self.process = 0, None, None
        self._stopped, self._start, self._end = threading.Event(), time.monotonic(), None
        self._drawn, self._said = False, ("", 0, 0.0)
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()
        self._end = time.monotonic()
        if self._drawn:
            print(CLEAR, end="", file=sys.stderr, flush=True)

    def seconds(self) -> float:
        return (self._end or time.monotonic()) - self._start

    def kernel_started(self, process: Any) -> None:
        self.process = process

    def cell_started(self, cell: NotebookNode) -> None:
        self.cell += _runs(cell)
        self._measure()

    def death(self, log: Path) -> str:
        """Why the kernel is gone, in words."""
        if self.process is None:
            words = log.read_text(encoding="utf-8", errors="replace").split("\n")
            return f"the kernel did not start: {next(filter(str.strip, reversed(words)), 'it said nothing')}"
        code = self.process.poll()
        if code == -signal.SIGKILL:
            peak = f"; it held {self.peak / 2**30:.2f} GiB" if self.peak else ""
            return f"the kernel was killed (SIGKILL), as a system does when memory runs out{peak}."
        if code is not None and code < 0:
            return f"the kernel crashed ({signal.Signals(-code).name})."
        return f"the kernel ended by itself, with exit code {code}."

    def _look_on(self) -> None:
        while not self._stopped.wait(self.EVERY):
            self._measure()
            with suppress(OSError):  # a closed terminal must not stop the run
                self._show()

    def _measure(self) -> None:
        if self.process is None:
            return
        with suppress(psutil.Error, OSError):
            memory = psutil.Process(self.process.pid).memory_info()
            now = getattr(memory, "peak_wset", memory.rss)
            status = Path(f"/proc/{self.process.pid}/status")
            if status.exists() and (kept := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
                now = int(kept[1]) * 1024  # Linux keeps the peak itself
            self.peak = max(self.peak or 0, now)

    def _show(self) -> None:
        state = None
        with suppress(OSError, ValueError):
            state = json.loads(self.file.read_text(encoding="utf-8"))
        done, total = (state["done"], state["total"]) if state else (max(self.cell - 1, 0), self.cells)
        where = text = f"{self.name}: cell {max(self.cell, 1)} of {self.cells}"
        if state:
            text += f", {state['label'] or 'work'} {done}" + (f" of {total}" if total else "")
            if done and total:
                left = (total / done - 1) * (state["now"] - state["started"]) - (time.time() - state["now"])
                text += f", about {time_text(max(left, 0))} left"
        if sys.stderr.isatty():
            full, empty = "█░" if (sys.stderr.encoding or "").lower().startswith("utf") else "#-"
            filled = round(20 * done / total) if total else 0
            line = f"{full * filled}{empty * (20 - filled)} {text}, {time_text(self.seconds())}"
            print(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif self.cell and (where != self._said[0] or self.seconds() - self._said[2] >= self.LINES):
            if (where, done) != self._said[:2]:
                self._said = (where, done, self.seconds())
                print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- the folder


def _read(source: Path, call: str) -> NotebookNode:
    try:
        return nbformat.read(source, as_version=4)
    except Exception as error:  # nbformat raises whatever its parts raise
        raise RunError(f"{call}: {source.name} is no notebook: {str(error).splitlines()[0]}") from error


def _place(name: str, to: Path, call: str) -> Path:
    """The run's folder, refused where the name would leave `to` or somebody else's folder would be replaced."""
    if not re.fullmatch(r"\w[\w .,=+-]*", name) or name.endswith((".failed", ".", " ")):
        raise RunError(
            f"{call}: {name!r} is no name for a run.\n"
            "It starts with a letter or digit, holds letters, digits, spaces and .,_-+= and does not end in .failed."
        )
    for folder in (to / name, to / f"{name}.failed"):
        if folder.exists() and not (folder / "run.json").is_file():
            raise RunError(f"{call}: {folder} is there and is no run: it holds no run.json.\nChoose another name.")
    return to / name


def _workshop(folder: Path, call: str) -> Path:
    """A new temporary folder beside the run's, after clearing up what a killed process left."""
    work = folder.with_name(f".{folder.name}.tmp-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for old in folder.parent.glob(f".{folder.name}.old-*"):
            if not folder.exists():  # killed between the two renames of _swap
                old.rename(folder)
        for left in folder.parent.glob(f".{folder.name}.tmp-*"):
            quiet = time.time() - max(file.stat().st_mtime for file in (left, *left.iterdir()))
            if left == work or quiet > KEPT:  # its process may run on another machine: only age tells
                shutil.rmtree(left)
        work.mkdir()
    except OSError as error:
        raise RunError(f"{call}: cannot write to {folder.parent}: {error.strerror}.") from error
    return work.resolve()


def _finish(work: Path, folder: Path, facts: dict) -> dict | None:
    """Clean the notebook, draw the page, write run.json last; the run's error, which may be that this failed."""
    from .report import render, scrub, write_whole

    also = {str(work): str(folder)}
    provenance: dict = {}
    try:
        notebook = work / "executed.ipynb"
        node = scrub(nbformat.read(notebook, as_version=4), also)
        node.metadata.setdefault("papermill", {}).update(
            input_path=facts["notebook"]["name"], output_path=notebook.name
        )
        write_whole(notebook, nbformat.writes(node))
        if (work / "curve.parquet").exists():
            provenance = Curve.load(work).provenance
        told = ("device", "dtype", "seeds", "hashes", "ends", "settings")
        facts |= {key: provenance[key] for key in told if key in provenance}
        if not facts["error"]:
            write_whole(work / "report.html", render(node, facts, work))
    except Exception as error:
        if not facts["error"]:
            facts["error"] = {"cell": None, "kind": type(error).__name__, "why": f"{type(error).__name__}: {error}"}
            facts["status"] = "failed"
    for leftover in (*work.glob(".progress.json*"), work / "kernel.log"):
        leftover.unlink(missing_ok=True)
    text = json.dumps(json.loads(json.dumps(scrub(facts, also)), parse_constant=str), indent=2, ensure_ascii=False)
    write_whole(work / "run.json", text + "\n")
    return facts["error"]


def _swap(work: Path, folder: Path) -> None:
    """Put a finished folder in place of the last one, which is set aside until then."""
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _runs(cell: NotebookNode) -> bool:
    """Whether a kernel gets this cell, and so counts it."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
