"""The public names of a package: imported when first used, their arguments' kinds checked, a mistyped name answered."""

import contextlib
import difflib
import functools
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import lazy_loader

from lerpnb.errors import ArgumentError

Public = TypeVar("Public")
ABSTRACT = ("builtins", "collections.abc")
_CHECKED = "__lerpnb_checked__"
_FUNCTIONS: dict[Any, Any] = {}  # each with its checking one


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`lazy_loader.attach_stub` with callables that check their arguments and errors that name the nearest name."""
    get, listing, names = lazy_loader.attach_stub(package, file)

    def __getattr__(name: str) -> Any:
        try:
            value = get(name)
        except AttributeError:
            near = [] if name.startswith("_") else difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}.{hint}", name=name) from None
        if not getattr(value, "__module__", "").startswith("lerpnb.") or not callable(value):
            return value
        vars(sys.modules[package])[name] = public = checked(value)
        return public

    return __getattr__, listing, names


def checked(value: Public) -> Public:
    """A function that first checks its arguments' kinds, the same at each call; a class gets such a constructor."""
    if inspect.isfunction(value):
        return _FUNCTIONS.setdefault(value, _checking(value, value.__name__))
    made = getattr(value, "__init__")  # noqa: B009
    if isinstance(value, type) and inspect.isfunction(made) and not hasattr(made, _CHECKED):
        type.__setattr__(value, "__init__", _checking(made, value.__name__, hasattr(value, "__post_init__")))
    return value


def _checking(function: Callable[..., Any], name: str, own: bool = False) -> Callable[..., Any]:
    """The function, which refuses a wrong kind; `own`: by its own words where it has some, as cheap data classes do."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        signature, hints = described(function)
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:
            given = {}  # Python's own error says it
        for argument, value in given.items():
            for key, one in value.items() if argument == "options" and argument not in hints else [(argument, value)]:
                if key in hints and not fits(one, hints[key]):
                    if own:
                        with contextlib.suppress(TypeError, ValueError, AttributeError):
                            function(*args, **kwargs)
                    text = repr(one)
                    came = f"{text if len(text) <= 80 else text[:80] + '...'} ({type(one).__name__})"
                    raise ArgumentError(f"{name}({key}): got {came}.\nIt takes {words(hints[key])}.")
        return function(*args, **kwargs)

    setattr(call, _CHECKED, True)
    return call


@functools.cache
def described(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """A function's signature and the types of its arguments, those of an unpacked TypedDict among them."""
    try:
        hints = typing.get_type_hints(function)
    except NameError:
        hints = {}
    hints.pop("return", None)
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            unpacked = typing.get_args(hints.pop(parameter.name, None))
            if unpacked and typing.is_typeddict(unpacked[0]):
                hints |= typing.get_type_hints(unpacked[0])
        elif parameter.kind is parameter.VAR_POSITIONAL:
            hints.pop(parameter.name, None)
    return signature, hints


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a kind that a type means: leniently, as numpy's numbers and arrays are taken for Python's.

    >>> fits("a film", list[str]), fits(["a film"], list[str]), fits(3, float | None), fits("3", float | None)
    (False, True, True, False)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is typing.Literal:
        return any(type(value) is type(one) for one in inner)
    if origin is typing.Annotated:
        return fits(value, inner[0])
    kind = origin or hint
    if kind is None or kind is type(None):
        return value is None
    if kind is bool:
        return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's
    if kind in (int, float):
        number = isinstance(value, Integral if kind is int else Real) or kind is float and hasattr(value, "__float__")
        return number and not isinstance(value, bool)
    if not inspect.isclass(kind):
        return kind is not Callable or callable(value)
    if issubclass(kind, os.PathLike):
        return isinstance(value, os.PathLike)
    if kind is not str and issubclass(kind, Iterable) and not issubclass(kind, Mapping) and kind.__module__ in ABSTRACT:
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            return False
        if isinstance(value, Mapping) and kind in (list, tuple, Sequence):
            return False
        texts = inner[:1] == (str,) and isinstance(value, list | tuple)
        return not texts or all(isinstance(one, str) for one in value[:1])
    if kind.__module__ == "numpy":
        return hasattr(value, "__array__") or isinstance(value, list | tuple)
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be looked at
        return True


def words(hint: Any) -> str:
    """A type as an error says it.

    >>> words(str | list[str] | None)
    'a text, a list of texts or None'
    """
    inner = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    *most, last = dict.fromkeys(map(_words, inner))
    return f"{', '.join(most)} or {last}" if most else last


def _words(hint: Any) -> str:
    plain = {str: "a text", int: "a whole number", float: "a number", bool: "True or False", type(None): "None"}
    if hint in plain:
        return plain[hint]
    kind, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is typing.Literal:
        return " or ".join(map(repr, inner))
    if kind is Callable:
        return "a function"
    if inspect.isclass(kind) and issubclass(kind, Mapping):
        return "a mapping"
    if inspect.isclass(kind) and kind.__module__ in ABSTRACT and issubclass(kind, Iterable):
        return "a list of texts" if inner[:1] == (str,) else "a list"
    name = getattr(kind, "__name__", str(kind))
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name}"
