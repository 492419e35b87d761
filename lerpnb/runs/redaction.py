"""What is private: secrets, which no file of a run holds, and whose machine it was, which nothing shared says."""

import getpass
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:  # a kernel that records reads no notebook
    from nbformat import NotebookNode

HIDDEN = "***"
SECRET = set("token secret secrets password passwd passphrase pat key apikey credential credentials".split())
SPECIAL = {f"{what}_token" for what in "pad eos bos unk sep cls mask stop end start".split()}  # of a tokenizer
# Names that say nothing about a person or a machine, and are words of other paths.
NOBODY = set("root user users home admin ubuntu debian runner jovyan vscode nobody test data work shared".split())
NOWHERE = {"localhost", "host", "node", "server", "main", "demo", "test"}
ESCAPE = r"\x1b\[[\d;]*m"  # a terminal's color; it ends in a letter, and a path may follow at once
SEPARATOR = r"(?:/|%2F|\\{1,2})"
START, END = rf"({ESCAPE}|%2F|%3A|%3D|(?<![\w.~-]))", r"(?![\w-]|\.\w)"


def is_secret(name: str) -> bool:
    """Whether what is called so is secret: GITHUB_PAT, myPassword, DATABASE_URL; not MAX_TOKENS, not pad_token.

    >>> [is_secret(name) for name in ("hf_token", "apiKey", "MAX_TOKENS", "monkey", "eos_token")]
    [True, True, False, False, False]
    """
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    address = words & {"database", "db"} and words & {"url", "uri", "dsn"}
    return bool(words & SECRET or address) and name.lower() not in SPECIAL


def hidden(values: Mapping[str, Any]) -> dict[str, Any]:
    """Named values, in which each text of a secret one is ***, in mappings too."""

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hide(inner) for key, inner in value.items()}
        return [*map(hide, value)] if isinstance(value, list) else HIDDEN if value and isinstance(value, str) else value

    return {
        name: hide(value) if is_secret(name) else hidden(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def secrets_in(values: Mapping[str, Any]) -> set[str]:
    """The texts of secret values that look like secrets: no word, no number and no path, which other texts may hold.

    >>> secrets_in({"API_KEY": "sk-0123456789", "KEY": "positive", "MAX_TOKENS": "100000000", "ID": "a-b-c-d-1"})
    {'sk-0123456789'}
    """
    texts = {text for name, value in values.items() if is_secret(name) for text in _texts(value)}
    urls = (text for value in values.values() if isinstance(value, str) for text in _passwords(value))
    inside = (secrets_in(value) for value in values.values() if isinstance(value, dict))
    return {text for text in texts if _looks_secret(text)}.union(urls, *inside)


class Redactor:
    """Takes what is private out of JSON-like data and counts it: secrets, and with `whose` the home folder (it becomes
    ~) and whole names of the user and the machine in paths. Other words stay, and so do images. `also` has further
    texts to replace, and what by.

    >>> redactor = Redactor()
    >>> redactor({"model": f"{Path.home()}/models/a"}), redactor.counts
    ({'model': '~/models/a'}, Counter({'home folder': 1}))
    """

    def __init__(self, secrets: Iterable[str] = (), whose: bool = True, also: Mapping[str, str] | None = None):
        self.counts: Counter[str] = Counter()
        texts = {form for secret in secrets for form in (secret, quote(secret, safe=""))}
        self._rules = [(re.compile(f"(){re.escape(old)}"), new, "") for old, new in (also or {}).items()]
        self._rules += [
            (re.compile(rf"((?<![A-Za-z0-9])){re.escape(text)}(?![A-Za-z0-9])"), HIDDEN, "secret")
            for text in sorted(texts, key=len, reverse=True)
        ]
        self._rules += _whose() if whose else []

    def __call__(self, value: Any, name: str = "") -> Any:
        """A copy of the value; `name` is its key."""
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
        given = node.metadata.get("papermill", {})
        given["parameters"] = hidden(given.get("parameters", {}))
        for cell in node.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                lines = (re.match(r"(\w+) = .*['\"]", line) for line in cell.source.split("\n"))
                for line in filter(None, lines):
                    if is_secret(line[1]):
                        cell.source = cell.source.replace(line.string, f'{line[1]} = "{HIDDEN}"')
        return node


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


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
        parts = [f"(?:{re.escape(part)}|{re.escape(quote(part, safe=''))})" for part in folder.parts[1:]]
        if parts:
            path = "".join(SEPARATOR + part for part in parts)
            rules.append((re.compile(START + path + END, re.I), "~", "home folder"))
    names = {name: "host" for name in (host, host.split(".")[0]) if name.lower() not in NOWHERE}
    names |= {name: "user" for name in (user, home.name) if name.lower() not in NOBODY}
    for name, new in names.items():
        if len(name) > 2:
            inside = rf"((?<![\w.~/:-])(?:{SEPARATOR}[\w.-]+?)+{SEPARATOR}){re.escape(name)}{END}"
            rules.append((re.compile(inside, re.I), new, f"name of the {'user' if new == 'user' else 'machine'}"))
    return rules
