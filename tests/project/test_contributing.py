"""CONTRIBUTING.md: its examples run in order, and every file that it names is there."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_examples_run():
    found = importlib.util.spec_from_file_location("examples", ROOT / "lerpnb" / "conftest.py")
    makers = importlib.util.module_from_spec(found)
    found.loader.exec_module(makers)
    names = {name: getattr(makers, name) for name in dir(makers) if name.startswith("tiny_")}
    names["__name__"] = "contributing"
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) == 8
    for number, block in enumerate(blocks):
        exec(compile(block, f"CONTRIBUTING.md, example {number}", "exec"), names)


def test_every_kind_of_addition_has_its_page():
    for kind in ("probe", "merging method", "path", "plot"):
        page = TEXT.partition(f"## To add a {kind}\n")[2].partition("\n## ")[0]
        assert page.count("```python") == 2 and "Then: " in page


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:lerpnb|tests|notebooks|data)/[\w/.]*)`", TEXT))))
def test_what_it_names_is_there(path):
    new = ("entropy", "normalized", "bezier", "change", "x")  # the examples' own files
    assert (ROOT / path).exists() or any(Path(path).stem.removeprefix("test_") == name for name in new)


def test_the_layers_are_those_of_the_contract():
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("layers = [")[2].partition("]")[0]
    layers = [set(re.findall(r"lerpnb\.(\w+)", line)) for line in contract.splitlines() if "lerpnb." in line]
    drawn = TEXT.partition("## Layers")[2].partition("\n## ")[0]
    rows = [line for line in drawn.splitlines() if line.startswith("    ")]
    assert [set(row.split()) & set.union(*layers) >= layer for row, layer in zip(rows, layers, strict=True)] == [
        True
    ] * len(layers)
