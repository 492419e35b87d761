"""What is private: secrets, which no file of a run holds, and whose machine it was, which nothing shared says."""

import ast
import base64
import getpass
import html
import json
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lerpnb.runs.pictures import without_notes

if TYPE_CHECKING:  # a kernel that records reads no notebook
    from nbformat import NotebookNode

HIDDEN = "***"
SECRET = set("token secret secrets password passwd passphrase pass pwd pat key apikey credential credentials".split())
SPECIAL = {f"{what}_token" for what in "pad eos bos unk sep cls mask stop end start".split()}  # of a tokenizer
# Names that say nothing about a person or a machine, and are words of other paths.
NOBODY = set("root user users home admin ubuntu debian runner jovyan vscode nobody test data work shared".split())
NOWHERE = {"localhost", "host", "node", "server", "main", "demo", "test"}
ESCAPE = r"\x1b\[[\d;]*m"  # a terminal's color; it ends in a letter, and a path may follow at once
SEPARATOR = r"(?:/|%2F|\\/|\\u002f|\\{1,2}|&#x2F;|&#47;)"  # as it is, and as addresses, JSON and HTML spell it
WRITTEN = rf"{ESCAPE}|\\[nrt]|\\u00[\da-f]{{2}}|&#?\w+;"  # what ends in a letter, and a text may follow at once
END = r"(?![\w-]|\.\w)"


def is_secret(name: str) -> bool:
    """Whether what is called so is secret: GITHUB_PAT, myPassword, DATABASE_URL; not MAX_TOKENS, not pad_token.

    >>> [is_secret(name) for name in ("hf_token", "apiKey", "MAX_TOKENS", "monkey", "eos_token")]
    [True, True, False, False, False]
    """
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    address = words & {"database", "db"} and words & {"url", "uri", "dsn"}
    return bool(words & SECRET or address) and name.lower() not in SPECIAL


def hidden(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named values, those within them too, in which each text of a secret one is ***."""

    def hide(value: Any, secret: bool) -> Any:
        if isinstance(value, dict):
            return {key: hide(inner, secret or is_secret(str(key))) for key, inner in value.items()}
        if isinstance(value, list):
            return [hide(inner, secret) for inner in value]
        return HIDDEN if secret and value and isinstance(value, str) else value

    return hide(dict(values), False)


def secrets_in(values: Mapping[str, Any]) -> set[str]:
    """The texts of secret values that look like secrets: no word, no number and no path, which other texts may hold.

    >>> secrets_in({"API_KEY": "sk-0123456789", "KEY": "positive", "MAX_TOKENS": "100000000", "ID": "a-b-c-d-1"})
    {'sk-0123456789'}
    """
    texts = list(_texts(dict(values), False))
    passwords = (password for text, _ in texts for password in _passwords(text))
    return {text for text, secret in texts if secret and _looks_secret(text)} | set(passwords)


class Redactor:
    """Takes what is private out of JSON-like data and counts it: secrets, the home folder (it becomes ~), whole names
    of the user and the machine in paths, and what pictures say in words. Other words stay, and so do pixels. `also` has
    further texts to replace, and what by.

    >>> redactor = Redactor()
    >>> redactor({"model": f"{Path.home()}/models/a"}), redactor.counts
    ({'model': '~/models/a'}, Counter({'home folder': 1}))
    """

    def __init__(self, secrets: Iterable[str] = (), also: Mapping[str, str] | None = None):
        self.counts: Counter[str] = Counter()
        texts = {form for secret in secrets for form in (*_forms(secret), _base64(secret))}
        self._rules = [(re.compile(f"(){re.escape(old)}"), new, "") for old, new in (also or {}).items()]
        self._rules += [
            (
                re.compile(rf"({WRITTEN}|%[\dA-F]{{2}}|(?<![A-Za-z0-9])){re.escape(text)}(?![A-Za-z0-9])"),
                HIDDEN,
                "secret",
            )
            for text in sorted(texts, key=len, reverse=True)
        ]
        self._rules += _whose()

    def __call__(self, value: Any, name: str = "") -> Any:
        """A copy of the value; `name` is its key."""
        if isinstance(value, str) and name in ("image/png", "image/jpeg"):
            return self._picture(value)
        if isinstance(value, str) and not (name == "bdata" or name.startswith("image/") and name != "image/svg+xml"):
            for pattern, new, kind in self._rules:
                value, count = pattern.subn("\\g<1>" + new.replace("\\", r"\\"), value)
                if count and kind:
                    self.counts[kind] += count
        elif isinstance(value, dict):
            return type(value)({self(key): self(inner, key) for key, inner in value.items()})
        elif isinstance(value, list | tuple):
            return [self(inner, name) for inner in value]
        return value

    def notebook(self, node: "NotebookNode") -> "NotebookNode":
        """A copy of a notebook, in which the given parameters show no secret either, whatever it looks like."""
        node = self(node)
        given = node.metadata.get("papermill")
        if isinstance(given, dict) and isinstance(given.get("parameters"), dict):
            given["parameters"] = hidden(given["parameters"])
        for cell in node.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                cell.source = "\n".join(map(_hidden_line, cell.source.split("\n")))
        return node

    def _picture(self, text: str) -> str:
        with suppress(ValueError):
            picture = base64.b64decode(text)
            if (bare := without_notes(picture)) != picture:
                self.counts["words in a picture"] += 1
                return base64.b64encode(bare).decode()
        return text


def _hidden_line(line: str) -> str:
    """A line of a cell that papermill wrote: NAME = VALUE."""
    name, _, text = line.partition(" = ")
    if is_secret(name):
        return f'{name} = "{HIDDEN}"' if re.search("['\"]", text) else line
    with suppress(ValueError, SyntaxError):
        value = ast.literal_eval(text)
        clean = hidden({name: value})[name]
        return line if clean == value else f"{name} = {clean!r}"
    return line


def _forms(text: str) -> set[str]:
    """A text as it is, and as addresses, JSON, Python and HTML spell it."""
    quoted = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}
    escaped = {form.replace("/", slash) for form in quoted for slash in (r"\/", r"\u002f")}
    return {text, quote(text), quote(text, safe=""), html.escape(text), *quoted, *escaped}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def _any(text: str) -> str:
    """A pattern of a name however it is spelled; in an address a capital Ë has other bytes than ë."""
    forms = sorted(_forms(text) | _forms(text.upper()), key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, forms))})"


def _texts(value: Any, secret: bool) -> Iterator[tuple[str, bool]]:
    """Each text in a value, and whether it, or what it is in, is called like a secret."""
    if isinstance(value, str):
        yield value, secret
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, secret or is_secret(str(name)))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, secret)


def _passwords(text: str) -> list[str]:
    """The password in a text that is an address with one."""
    return [word for word in re.findall(r"\w://[^/\s:@]*:([^/\s@]+)@", text) if len(word) > 3]


def _looks_secret(text: str) -> bool:
    letters, digits = re.search(r"[A-Za-z]", text), re.search(r"\d", text)
    mixed = digits or re.search(r"[a-z][A-Z]", text) or ("/" not in text and re.search(r"\W|_", text))
    path = text.startswith(("/", "~", ".")) and "://" not in text
    return len(text) >= 8 and bool(letters and mixed) and not path and not re.search(r"\s", text)


def _whose() -> list[tuple[re.Pattern, str, str]]:
    home, user, host = Path.home(), "", socket.gethostname()
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    rules = []
    for folder in {home, home.resolve()}:
        if folder.parts[1:]:
            path = "".join(SEPARATOR + _any(part) for part in folder.parts[1:])
            start = rf"({WRITTEN}|%[\dA-F]{{2}}|(?<![\w.~-]))"
            rules.append((re.compile(start + path + END, re.I), "~", "home folder"))
    names = {name: "host" for name in (host, host.split(".")[0]) if name.lower() not in NOWHERE}
    names |= {name: "user" for name in (user, home.name) if name.lower() not in NOBODY}
    # Not behind the address of a machine: a name on a hub is public.
    start = rf"(?:{WRITTEN}|%(?:3D|20|22|27|0A)|(?<![\w.~/:-])|(?<=file://)|(?<=file%3A//)|(?<=file%3A%2F%2F))"
    for name, new in names.items():
        if len(name) > 2:
            inside = rf"({start}(?:{SEPARATOR}[\w.%+-]+?)+{SEPARATOR}){_any(name)}{END}"
            rules.append((re.compile(inside, re.I), new, f"name of the {'user' if new == 'user' else 'machine'}"))
    return rules
