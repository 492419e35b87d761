"""Words for messages and tables: coordinates, short lists of names, the first line of an error, a text on one line."""

import re
import unicodedata
from collections.abc import Iterable


def show(alpha: float | tuple) -> str:
    """An alpha, or another coordinate, as people write it.

    >>> show(0.30000000000000004), show((0.5, -1.0))
    ('0.3', '(0.5, -1)')
    """
    return f"({', '.join(map(show, alpha))})" if isinstance(alpha, tuple) else f"{alpha:.10g}"


def number(value: float, digits: int = 3, zeros: bool = False) -> str:
    """A value in so many significant digits, with a true minus sign; NaN is "NaN". zeros: keep those at the end.

    >>> number(-0.03792), number(1234.5), number(float("nan")), number(4.3), number(4.3, zeros=True)
    ('−0.0379', '1234', 'NaN', '4.3', '4.30')
    """
    if value != value:
        return "NaN"
    form = f"{'#' * zeros}.{digits}g"
    text = f"{value:.0f}" if 10**digits - 0.5 <= abs(value) < 1e6 else f"{value + 0.0:{form}}".rstrip(".")
    return text.replace("-", "−")


def hundredths(value: float) -> str:
    """A value to two decimals, with a true minus sign, for cells of a table; NaN is "NaN".

    >>> hundredths(-0.136), hundredths(float("nan"))
    ('−0.14', 'NaN')
    """
    return "NaN" if value != value else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def listed(names: Iterable[str]) -> str:
    """At most three names, and how many more there are.

    >>> listed("abcde")
    'a, b, c and 2 more'
    """
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def few(lines: list[str]) -> str:
    """At most three lines, indented, and how many more there are."""
    more = [f"and {len(lines) - 3} more"] if len(lines) > 3 else []
    return "\n".join(f"  {line}" for line in lines[:3] + more)


def first_line(error: BaseException | None) -> str:
    """The first line of an error, and the second where the first announces it."""
    first, *more = (str(error).strip() or type(error).__name__).splitlines()
    return " ".join([first, more[0].strip()] if more and first.endswith(":") else [first])


WORD = 40  # letters of a word before it is broken


def printable(text: str) -> str:
    r"""A text without what steers a terminal: control characters, but for line breaks and tabs, and lone surrogates.

    >>> printable("a\x1b]8;;https://x\x07b\n")
    'a]8;;https://xb\n'
    """
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def plain(text: str, letters: int = 300) -> str:
    """A text on one line: no control character, no mark that turns its direction, no endless word; cut, with a …."""
    text = re.sub(r"\s*\n\s*", " ↵ ", text[: 4 * letters].strip())
    text = "".join(c for c in re.sub(r"\s", " ", text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    text = re.sub(rf"(\S{{{WORD}}})(?=\S)", r"\1 ", text)
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
