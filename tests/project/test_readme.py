"""README, the guide, the changelog and the notebooks name what is there: public names, files, commands."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest

import lerpnb as ln
from lerpnb.cli import commands

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "notebooks/README.md"]
PAGES += ["tests/benchmarks/README.md"]
NOTEBOOKS = sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/studies/*.ipynb")])


def text_of(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
    text = path.read_text(encoding="utf-8")
    if path.name == "CHANGELOG.md":  # of a table of renames its last column
        rows = re.findall(r"^\| .* \| (.*) \|$", text, flags=re.MULTILINE)
        return "\n".join(rows)
    return text


def is_there(name: str) -> bool:
    found = ln
    for part in name.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("path", [ROOT / page for page in PAGES] + NOTEBOOKS, ids=lambda path: path.name)
def test_the_names_that_it_uses_are_public(path):
    names = set(re.findall(r"\bln\.(\w+(?:\.\w+)*)", text_of(path)))
    assert sorted(name for name in names if not is_there(name)) == []


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_to_files(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8"))
    local = {link for link in links if "://" not in link}
    assert sorted(link for link in local if not (path.parent / link).exists()) == []


@pytest.mark.parametrize("page", PAGES)
def test_its_anchors_are_headings(page):
    path = ROOT / page
    for link, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", path.read_text(encoding="utf-8")):
        target = (path.parent / link if link else path).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", target, flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["README.md", "notebooks/README.md"])
def test_its_commands_are_those_of_the_command_line(page):
    known = {command.name or command.callback.__name__ for command in commands.app.registered_commands}
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    used = set(re.findall(r"^(?:\.venv/bin/)?lerpnb (\w+)", "\n".join(blocks), flags=re.MULTILINE))
    assert {"run", "sweep"} <= used <= known


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_notebook_is_in_both_tables():
    for page in ("README.md", "notebooks/README.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for notebook in NOTEBOOKS:
            name = notebook.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
            assert f"`{name}`" in text or f"`notebooks/{name}.ipynb`" in text, (page, name)


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert versions[0] == tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
