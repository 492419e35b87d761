"""Making texts and HTML safe to hand on: nothing in them names a machine or a person, runs, or asks for a file."""

import getpass
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import nh3

# Names that say nothing about a person or a machine, and are words of other texts.
NOBODY = {"root", "user", "users", "home", "admin", "ubuntu", "debian", "runner", "jovyan", "vscode", "nobody", "test"}
NOWHERE = {"localhost", "host", "node", "server", "main", "demo", "test"}
ESCAPE = r"\x1b\[[\d;]*m"  # a terminal's color; it ends in a letter, and a name may follow at once
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY", re.I)
DRAWING = set("svg g path rect circle ellipse line polyline polygon text tspan".split())
TAGS = nh3.ALLOWED_TAGS | DRAWING | set("section main button input label tfoot font meter progress style".split())
DROPPED = set("script noscript template iframe object embed title textarea select".split())  # with what is in them
EVERYWHERE = set("class id style title dir lang role hidden align valign width height start color scope".split())
PRESENTATION = set(
    "viewBox xmlns d x y x1 y1 x2 y2 cx cy r rx ry dx dy points transform fill fill-opacity stroke stroke-width "
    "stroke-opacity stroke-dasharray opacity text-anchor font-size font-family font-weight".split()
)

ATTRIBUTES = {
    "*": EVERYWHERE,
    "a": {"href", "name"},
    "img": {"src", "alt"},
    "details": {"open"},
    "input": {"type", "checked", "disabled"},
    "ol": {"reversed"},
    "td": {"colspan", "rowspan", "headers"},
    "th": {"colspan", "rowspan", "headers"},
    "table": {"border", "cellpadding", "cellspacing"},
    "col": {"span"},
    "colgroup": {"span"},
    "meter": {"value", "min", "max"},
    "progress": {"value", "max"},
} | dict.fromkeys(DRAWING, PRESENTATION)

FETCHES = re.compile(r"url\s*\(|@import|image-set\s*\(|\\", re.I)  # CSS that may ask for a file; \ can hide such a word
LINKS = ("#", "http://", "https://", "mailto:")


def redact(value: Any, also: dict[str, str] | None = None) -> Any:
    """A copy of JSON-like data in which no string says whose machine it came from.

    The home folder becomes ~, the user's and the machine's names become user and host, and values of environment
    variables called token, secret, password or key become ***. Images are left as they are.

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
                part = pattern.sub(lambda match, new=new: (match[1] if match.re.groups else "") + new, part)
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
    rules = [(re.compile(rf"({ESCAPE}|(?<![\w.~-])){re.escape(path)}(?![\w-])"), "~") for path in paths]
    secrets = {value for key, value in os.environ.items() if SECRET.search(key) and len(value) >= 8}
    rules += [(re.compile(re.escape(value)), "***") for value in secrets]
    names = [(name, "host") for name in (host, host.split(".")[0]) if name.lower() not in NOWHERE]
    names += [(name, "user") for name in (user, home.name) if name.lower() not in NOBODY]
    return rules + [
        (re.compile(rf"({ESCAPE}|(?<![A-Za-z0-9])){re.escape(name)}(?![A-Za-z0-9])"), new)
        for name, new in names
        if len(name) > 2
    ]


def sanitize(html: str) -> str:
    """The HTML with nothing in it that runs or asks for a file: only known tags and attributes stay.

    Inline SVG of plain shapes stays; of MathML only the text. An image is a data URL, a link leads to the web, to a
    mail address or to a place on the page.

    >>> sanitize("<b onclick='steal()'>bold</b><script>steal()</script><img src='https://example.com/pixel.png'>")
    '<b>bold</b><img>'
    """
    clean = nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=DROPPED,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        generic_attribute_prefixes={"aria-"},
        url_schemes={"http", "https", "mailto", "data"},
        url_relative=lambda url: url if url.startswith("#") else None,
    )
    return re.sub(
        r"<style\b[^>]*>(.*?)</style>", lambda style: "" if FETCHES.search(style[1]) else style[0], clean, flags=re.S
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute that may stay."""
    address = re.sub(r"[\x00-\x20]", "", value).lower()
    if name == "href":
        return value if address.startswith(LINKS) else None
    if name == "src":
        return value if address.startswith("data:image/") else None
    return None if (name == "style" or tag in DRAWING) and FETCHES.search(value) else value
