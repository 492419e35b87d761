"""What `ln.` and Tab show: public names, each with a first line that says what it does and an example that runs."""

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import lerpnb as ln
from lerpnb.errors import LerpError
from lerpnb.utils.public import described, fits, words

PACKAGES = [name for name in ln.NAMESPACES if hasattr(getattr(ln, name), "__path__")]
MODULES = {"errors", "training"}  # namespaces that are one module each
PUBLIC = [f"lerpnb.{name}" for name in ln.__all__]
PUBLIC += [f"lerpnb.{package}.{name}" for package in PACKAGES for name in getattr(ln, package).__all__]
PUBLIC.remove("lerpnb.plots.template")  # an object of Plotly's
# Protocols, a module, and what a function makes: the example stands at the function.
NO_EXAMPLE = {"lerpnb.data.demo", "lerpnb.probes.Probe", "lerpnb.probes.LMEval", "lerpnb.probes.TextProbe"}
NO_EXAMPLE |= {f"lerpnb.results.{kind}Comparison" for kind in ("Direction", "Path", "Run")}
NO_EXAMPLE |= {"lerpnb.results.Barrier", "lerpnb.results.Best", "lerpnb.results.Slice", "lerpnb.results.WeightDeltas"}


def thing_of(name: str):
    package, _, last = name.rpartition(".")
    return getattr(import_module(package), last)


def test_tab_shows_public_names_and_namespaces():
    assert dir(ln) == sorted([*ln.__all__, *ln.NAMESPACES])
    assert ln.__all__ == sorted(ln.__all__) and len(ln.__all__) <= 25
    assert set(PACKAGES) == set(ln.NAMESPACES) - MODULES
    for package in PACKAGES:
        assert dir(getattr(ln, package)) == getattr(ln, package).__all__
    assert not [name for name in PUBLIC if name.rpartition(".")[2].startswith("_")]


@pytest.mark.parametrize("package", ["", *PACKAGES])
def test_the_stub_that_editors_read_lists_what_is_there(package):
    """`from x import y as y` is what a type checker takes for public."""
    tree = ast.parse((Path(ln.__file__).parent / package / "__init__.pyi").read_text(encoding="utf-8"))
    imported = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert all(alias.name == alias.asname for alias in aliases)
    module = getattr(ln, package) if package else ln
    assert imported == set(dir(module))
    assert ast.literal_eval(next(n.value for n in tree.body if isinstance(n, ast.Assign))) == module.__all__


def test_a_name_at_the_top_is_the_same_thing_in_its_namespace():
    for package in PACKAGES:
        for name in set(getattr(ln, package).__all__) & set(ln.__all__):
            assert getattr(getattr(ln, package), name) is getattr(ln, name)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_name_says_what_it_does_and_shows_it(name):
    thing, last = thing_of(name), name.rpartition(".")[2]
    assert inspect.isclass(thing) or inspect.isroutine(thing) or name in NO_EXAMPLE
    text = inspect.getdoc(thing) or ""
    first = text.partition("\n\n")[0]
    assert thing.__doc__ and not (inspect.isclass(thing) and "__doc__" not in vars(thing))
    assert first[0].isupper() or first[0] == "`" or first.startswith(last) or " = " in first
    assert first.rstrip().endswith((".", ":"))
    assert len(first.split()) > 3
    assert ">>> " in text or name in NO_EXAMPLE, "no example that runs"


# What takes anything, and says itself what it cannot use.
ANYTHING = {"Checkpoint(model)", "Checkpoint(tokenizer)", "Measurement(values)", "Measurement(weights)"}
ANYTHING |= {"greedy_soup(probe)", "Adaptive(domain)"}
CALLABLES = [*PUBLIC, *(f"lerpnb.training.{name}" for name in ("FineTuneConfig", "fine_tune", "train"))]


class Wrong:
    """No argument is of this kind."""


@pytest.mark.parametrize("name", CALLABLES)
def test_a_wrong_kind_is_refused_by_the_arguments_name(name):
    thing, last = thing_of(name), name.rpartition(".")[2]
    if not callable(thing) or inspect.isclass(thing) and (issubclass(thing, Exception) or "Probe" == last[-5:] == last):
        return
    function = inspect.unwrap(thing.__init__ if inspect.isclass(thing) else thing)
    signature, hints = described(function)
    own = [p.name for p in signature.parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert not inspect.isfunction(function) or set(own) - {"self"} <= hints.keys()
    for argument in hints:
        if f"{last}({argument})" not in ANYTHING:
            with pytest.raises(LerpError, match=rf"{last}\({argument}\): got .*Wrong object.*\nIt takes "):
                thing(**{argument: Wrong()})


@pytest.mark.parametrize(
    ("name", "near"), [("Lines", "Line"), ("Los", "Loss"), ("evalute", "evaluate"), ("paths.Pane", "Plane")]
)
def test_a_mistyped_name_is_answered_with_the_nearest(name, near):
    package, _, last = f"lerpnb.{name}".rpartition(".")
    with pytest.raises(AttributeError, match=rf"module '{package}' has no attribute '{last}'. Did you mean '{near}'\?"):
        thing_of(f"lerpnb.{name}")


def test_kinds_are_taken_leniently():
    for value, hint in (
        (np.float32(1), float), (np.int64(2), int), (3, float), (np.arange(3), Sequence[float]), (("a",), list[str]),
        ({"a": 1}, Mapping[str, int]), (len, Callable[[str], int]), (Path("a"), str | Path), (None, int | None),
        ([0, 1], np.ndarray), ("a", Literal["b"]), ([], Sequence[str]), (np.bool_(True), bool),
    ):  # fmt: skip
        assert fits(value, hint), (value, hint)
    for value, hint in (("a", Sequence[str]), (True, int), (0.5, int), ("1", float), (3, bool), ([1], list[str])):
        assert not fits(value, hint), (value, hint)
    assert words(Literal["a", "b"] | None) == "'a' or 'b' or None"
