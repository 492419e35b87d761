"""What `ln.` and Tab show: public names, each with a first line that says what it does and an example that runs."""

import inspect

import pytest

import lerpnb as ln


def test_tab_shows_public_names_alone():
    assert dir(ln) == ln.__all__ == sorted(ln.__all__)
    assert not [name for name in ln.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", ln.__all__)
def test_a_name_says_what_it_does_and_shows_it(name):
    thing = getattr(ln, name)
    assert inspect.isclass(thing) or inspect.isroutine(thing)
    told = inspect.getdoc(thing) or ""
    first = told.partition("\n\n")[0]
    assert thing.__doc__ and not (inspect.isclass(thing) and "__doc__" not in vars(thing))
    assert first[0].isupper() or first[0] == "`" or first.startswith(f"{name}")
    assert first.rstrip().endswith((".", ":"))
    assert len(first.split()) > 3
    assert ">>> " in told, "no example that runs"
