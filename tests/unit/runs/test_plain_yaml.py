"""YAML as runs read it: the values of YAML 1.2, and no text that takes long or ends in a traceback."""

import math
import time

import pytest
import yaml

from lerpnb.errors import RunError
from lerpnb.runs.parameters import Parameter, Word, checked
from lerpnb.runs.plain_yaml import read_yaml

TENFOLD = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} {'[' * 40}*a{i - 1}{']' * 40}\n" for i in range(1, 99))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *{"010": 10, "0o10": 8, "0x1F": 31, "-3": -3, "1e-3": 1e-3, ".5": 0.5, "-.inf": -math.inf}.items(),
        *{"true": True, "False": False, "null": None, "~": None, "None": None, "": None}.items(),
        *((text, text) for text in ("1:30", "yes", "off", "2026-01-02", "1_000", "1e", "0b1", "none")),
        ("{a: &x {b: 1}, c: {<<: *x, d: 2}}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_a_scalar_is_what_yaml_1_2_and_python_say(text, value):
    assert read_yaml(text) == value and type(read_yaml(text)) is type(value)
    assert math.isnan(read_yaml(".nan"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TENFOLD, "it holds more than 20,000 values, those of aliases among them"),
        (CHAIN, "it holds more than 20,000 values|it is deeper than 50 levels"),
        ("&a [*a]", "it is deeper than 50 levels, or holds itself"),
        ("[" * 3000 + "]" * 3000, "it is deeper than 50 levels, or holds itself"),
        ("{a: " * 51 + "1" + "}" * 51, "it is deeper than 50 levels, or holds itself"),
        ("n: " + "1" * 5000, "value has 5000 digits"),
        ("x" * 200_001, "it has 200,001 characters, more than 200,000"),
        ("!!timestamp x", "groupdict"),
        ("!!python/name:os.system x", "could not determine a constructor"),
        ("{a: 1, a: 2}", "'a' stands twice in one mapping, line 1"),
    ],
)
def test_what_is_too_large_or_no_plain_value_is_refused_at_once(text, message):
    start = time.process_time()
    with pytest.raises(yaml.YAMLError, match=message):
        read_yaml(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        *(("str | None", typed, None) for typed in ("None", "null", "~")),
        *(("str", typed, typed) for typed in ("None", "010", "[1]", "yes", "a # b", "a: b", "")),
        *(("int", typed, value) for typed, value in {"010": 10, "0x1F": 31, "7": 7}.items()),
        *(("", typed, value) for typed, value in {"5": 5, "[1, 2]": [1, 2], "true": True, "a: b": "a: b"}.items()),
        *(("int | str", typed, value) for typed, value in {"5": 5, "x": "x"}.items()),
        *(("float | None", typed, value) for typed, value in {"1": 1.0, "1e-3": 1e-3, "None": None}.items()),
        ("list[float]", "[0, 1e-1]", [0.0, 0.1]),
    ],
)
def test_a_word_of_the_command_line_is_read_as_in_yaml_where_the_type_lets(kind, typed, value):
    found = checked({"x": Word(typed)}, {"x": Parameter("x", kind, None, "")}, "run")["x"]
    assert found == value and type(found) is type(value)


def test_a_text_of_python_is_no_word():
    takes = {"x": Parameter("x", "str | None", None, "")}
    assert checked({"x": "None"}, takes, "run") == {"x": "None"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("int", Word("1:30"), "came '1:30' (str)"),
        ("int", Word("1" * 5000), f"came '{'1' * 199}... (str)"),
        ("list", Word("[" * 3000), f"came '{'[' * 199}... (str)"),
        ("float", [10**5000], "came what is too large to show"),
    ],
)
def test_what_does_not_fit_is_shown_in_short(kind, value, words):
    with pytest.raises(RunError) as error:
        checked({"x": value}, {"x": Parameter("x", kind, None, "")}, "run")
    assert str(error.value).startswith(f"run: parameter 'x' takes {kind}, {words}.\n")
