"""The house: a room (a module of lerpnb) imports only rooms on its own floor or below, never in a circle.

Some rooms must also stay light: they never bring in torch. Every check is fed a house that breaks it, too.
"""

import ast
import graphlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "lerpnb"

FLOORS = {
    0: "errors once progress alpha bootstrap measure barrier samples curve chief placement crossing "
    "entanglement frames spline refinement surface",
    1: "assets parameters safe shelf lease results picture texttable plots panels trade_off by_item "
    "texts heatmap comparison drawing twins trade_offs gaps tangents two_strengths contour relief "
    "fan",
    2: "live halving folder header adapter mixable checkpoint heads ends corpus splits continuations pairs plain",
    3: "mixture paths layers mixer rowweight rows noise sampling training fine_tunes backdoor probes "
    "probes.* ensemble blank slopes curvature simplex derived product plane directions",
    4: "store points walks kin kin.* many_paths overhead study crosswalks surveys",
    5: "explorer explorer.* files recording runfolder kernel_main outputs watch kernel runs report gallery "
    "attempt identity plan sweepview sweeps",
    6: "cli cli_runs __init__",
}
HEAVY = {"explorer", "explorer.*", "assets"}  # of the floors that are light otherwise
NO_TORCH = [room for floor in (0, 1, 5) for room in FLOORS[floor].split() if room not in HEAVY]
NO_TORCH += "explorer.turns explorer.marks explorer.twin explorer.face cli_runs __init__".split()


def rooms_of(package: Path) -> dict[str, Path]:
    """Room name -> file: 'curve', 'probes' (its `__init__`), 'probes.loss', and '__init__' for the package itself."""
    rooms = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        rooms[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = file
    return rooms


def floor_of(room: str) -> int | None:
    listed = {name: floor for floor, names in FLOORS.items() for name in names.split()}
    return listed.get(room, listed.get(room.partition(".")[0] + ".*"))


def imports(room: str, rooms: dict[str, Path]) -> Iterator[tuple[str, int]]:
    """(room, line) of each import of lerpnb in `room`, those inside functions and `if TYPE_CHECKING` included."""
    inside = ["lerpnb", *room.split(".")] if rooms[room].name == "__init__.py" else ["lerpnb", *room.split(".")[:-1]]
    inside = ["lerpnb"] if room == "__init__" else inside
    for node in ast.walk(ast.parse(rooms[room].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else []
            start = [*start, *([node.module] if node.module else [])]
            names = [".".join([*start, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            top, *parts = name.split(".")
            if top == "lerpnb":
                known = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
                yield next((name for name in known if name in rooms), "__init__"), node.lineno


def faults(package: Path) -> list[str]:
    """What breaks the floors, a sentence each."""
    rooms = rooms_of(package)
    found = [
        f"{room} has no floor: add it to FLOORS in tests/test_floors.py, above or beside all that it imports."
        for room in rooms
        if floor_of(room) is None
    ]
    if found:
        return found
    graph = {}
    for room in rooms:
        links = list(imports(room, rooms))
        graph[room] = {other for other, _ in links}
        for other, line in links:
            if floor_of(other) > floor_of(room):
                here, there = f"{room} (floor {floor_of(room)})", f"{other} (floor {floor_of(other)})"
                found.append(f"{here}, line {line}, imports {there}, which is above it.")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append("A circle of imports: " + ", ".join(reversed(error.args[1])) + ".")
    return found


LOAD = """
import importlib, json, sys, time
rooms, heavy = json.loads(sys.argv[1])
brought, start = {}, time.perf_counter()
for room in rooms:
    importlib.import_module(room)
    new = [name for name in heavy if name in sys.modules and not any(name in names for names in brought.values())]
    if new:
        brought[room] = new
print(json.dumps([brought, time.perf_counter() - start]))
"""


def load(package: Path, rooms: list[str], heavy: list[str]) -> tuple[dict[str, list[str]], float]:
    """Import rooms in a fresh interpreter: the first room to bring in each of `heavy`, and the seconds it took."""
    names = ["lerpnb" if room == "__init__" else f"lerpnb.{room}" for room in rooms]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps([names, heavy])],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    brought, seconds = json.loads(done.stdout.splitlines()[-1])
    return brought, seconds


def seconds_to_import(package: Path, tries: int = 3) -> float:
    return min(load(package, ["__init__"], [])[1] for _ in range(tries))


@pytest.fixture
def house(tmp_path: Path):
    """Write a made-up package (and an empty torch beside it) from {room: source}."""

    def build(**sources: str) -> Path:
        for room, source in {"__init__": "", "probes__init": "", **sources}.items():
            file = tmp_path / "lerpnb" / {"probes__init": "probes/__init__.py"}.get(room, f"{room}.py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        (tmp_path / "torch.py").write_text("", encoding="utf-8")
        return tmp_path / "lerpnb"

    return build


def test_every_room_imports_only_what_stands_below_or_beside_it():
    assert faults(PACKAGE) == []


@pytest.mark.slow
def test_rooms_marked_light_do_not_bring_in_torch():
    rooms = [room for room in NO_TORCH if room in rooms_of(PACKAGE)]
    assert load(PACKAGE, rooms, ["torch", "transformers", "peft"])[0] == {}


def test_import_lerpnb_is_light():
    assert load(PACKAGE, ["__init__"], ["torch", "transformers", "peft", "papermill"])[0] == {}
    assert seconds_to_import(PACKAGE) < 1


@pytest.mark.slow
def test_a_notebook_brings_in_nothing_that_reads_or_runs_notebooks():
    """nbformat alone takes more than a second, of every kernel."""
    rooms = ["recording", "explorer", "walks", "plots"]
    assert load(PACKAGE, rooms, ["nbformat", "jsonschema", "papermill", "nbconvert"])[0] == {}


@pytest.mark.parametrize(
    "source",
    [
        "import lerpnb.walks",
        "import lerpnb.walks as w",
        "from lerpnb.walks import walks",
        "from lerpnb import errors, walks",
        "from . import walks",
        "from .walks import walks",
        "def later():\n    from lerpnb import walks",
    ],
)
def test_an_import_upwards_is_caught(house, source):
    line = len(source.splitlines())
    package = house(curve=source, errors="", walks="")
    assert faults(package) == [f"curve (floor 0), line {line}, imports walks (floor 4), which is above it."]


def test_an_import_upwards_from_a_probe_is_caught(house):
    package = house(
        **{"probes/loss": "from ..errors import LerpError\nfrom .. import walks", "errors": "", "walks": ""}
    )
    assert faults(package) == ["probes.loss (floor 3), line 2, imports walks (floor 4), which is above it."]


def test_a_name_taken_from_the_package_itself_is_caught(house):
    assert faults(house(curve="from lerpnb import Line")) == [
        "curve (floor 0), line 1, imports __init__ (floor 6), which is above it."
    ]


def test_a_circle_on_one_floor_is_caught(house):
    package = house(store="from lerpnb.walks import walks", walks="from lerpnb import store")
    assert [fault.partition(":")[0] for fault in faults(package)] == ["A circle of imports"]


def test_a_circle_between_the_probes_and_their_package_is_caught(house):
    package = house(**{"probes__init": "from .loss import Loss", "probes/loss": "from lerpnb.probes import Probe"})
    assert [fault.partition(":")[0] for fault in faults(package)] == ["A circle of imports"]


def test_a_room_without_a_floor_is_caught(house):
    assert faults(house(cellar="")) == [
        "cellar has no floor: add it to FLOORS in tests/test_floors.py, above or beside all that it imports."
    ]


def test_a_sound_house_passes(house):
    package = house(
        curve="from .errors import LerpError", errors="", walks="from lerpnb import curve, probes, store", store=""
    )
    assert faults(package) == []


def test_torch_through_another_room_is_caught_and_named(house):
    package = house(curve="from lerpnb import errors, checkpoint", errors="", checkpoint="import torch")
    assert load(package, ["errors", "curve", "__init__"], ["torch"])[0] == {"lerpnb.results.curve": ["torch"]}


def test_a_slow_import_is_caught(house):
    assert seconds_to_import(house(__init__="import time\ntime.sleep(1)"), tries=1) > 1
