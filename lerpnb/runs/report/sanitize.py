"""What makes texts and HTML safe to hand on: nothing tells whose machine they are from, runs or asks for a file."""

import getpass
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup

# Names that say nothing about a person or a machine, and are words of other texts.
NOBODY = {"root", "user", "users", "home", "admin", "ubuntu", "debian", "runner", "jovyan", "vscode", "nobody", "test"}


NOWHERE = {"localhost", "host", "node", "server", "main", "demo", "test"}


COLOUR = r"\x1b\[[\d;]*m"  # of a terminal; it ends in a letter, and a name may follow at once


SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY", re.I)


REMOVED = "script iframe frame frameset object embed applet meta base link form noscript template portal".split()


ADDRESSES = set("href src srcset srcdoc action formaction data poster background ping cite xlink:href".split())


ASKS = re.compile(r"url\(|@import|image-set\(", re.I)  # what makes a style ask for a file


LINKS = ("#", "http://", "https://", "mailto:")


def redact(value: Any, also: dict[str, str] | None = None) -> Any:
    """A copy of JSON-like data in which no string tells whose machine it came from.

    The home folder becomes ~, the user's and the machine's names become user and host, and values of environment
    variables called token, secret, password or key become ***. Pictures are left as they are.

    Args:
        value: dicts, lists and strings, nested.
        also: further texts to replace, and what by.

    >>> redact({"model": f"{Path.home()}/models/a"})
    {'model': '~/models/a'}
    """
    rules = [(re.compile(re.escape(old)), new) for old, new in (also or {}).items()] + _private()

    def clean(part: Any, name: str = "") -> Any:
        if isinstance(part, str) and not (name == "bdata" or name.startswith("image/") and name != "image/svg+xml"):
            for pattern, new in rules:
                part = pattern.sub(lambda found, new=new: (found[1] if found.re.groups else "") + new, part)
        elif isinstance(part, dict):
            return type(part)({clean(key): clean(inner, key) for key, inner in part.items()})
        elif isinstance(part, list | tuple):
            return [clean(inner, name) for inner in part]
        return part

    return clean(value)


def _private() -> list[tuple[re.Pattern, str]]:
    home, user, host = Path.home(), "", socket.gethostname()
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    paths = {str(home), str(home.resolve())}
    rules = [(re.compile(rf"({COLOUR}|(?<![\w.~-])){re.escape(path)}(?![\w-])"), "~") for path in paths]
    secrets = {value for key, value in os.environ.items() if SECRET.search(key) and len(value) >= 8}
    rules += [(re.compile(re.escape(value)), "***") for value in secrets]
    names = [(name, "host") for name in (host, host.split(".")[0]) if name.lower() not in NOWHERE]
    names += [(name, "user") for name in (user, home.name) if name.lower() not in NOBODY]
    return rules + [
        (re.compile(rf"({COLOUR}|(?<![A-Za-z0-9])){re.escape(name)}(?![A-Za-z0-9])"), new)
        for name, new in names
        if len(name) > 2
    ]


def sanitize(page: str, twins: list[str | None]) -> str:
    """The page without anything that runs or asks for something; with the PNG twins, for readers without scripts."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.body.find_all(REMOVED) + soup.body.find_all("style", string=ASKS):
        element.decompose()
    for element in soup.body.find_all(True):
        for name in list(element.attrs):
            value = element.attrs[name]
            address = re.sub(r"[\x00-\x20]", "", value).lower() if isinstance(value, str) else ""
            link = element.name == "a" and name == "href" and address.startswith(LINKS)
            picture = name == "src" and address.startswith("data:image/")
            asks = name in ADDRESSES and not link and not picture or name == "style" and ASKS.search(value)
            if asks or name.startswith("on"):
                del element.attrs[name]
        if element.name == "a":
            element.attrs["rel"] = "noopener noreferrer"
    for number, png in enumerate(twins, start=1):
        if png and (place := soup.find(id=f"figure-{number}")):
            picture = soup.new_tag("img", src=f"data:image/png;base64,{''.join(png.split())}", alt=place["aria-label"])
            fallback = soup.new_tag("noscript")
            fallback.append(picture)
            place.append(fallback)
    return str(soup)
