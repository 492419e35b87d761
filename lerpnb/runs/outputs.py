"""What is kept of a cell's texts: a notebook that prints 100 MB must not become one that nobody can open."""

MOST = 1_000_000  # characters of one cell's prints, or of one value


TAIL = 10_000  # of them from the end, where there were more


class OutputCap:
    """What one cell prints, as it comes: all of it up to `MOST` characters, then its last `TAIL`.

    >>> printed = OutputCap()
    >>> [len(part) for part in printed.split("a" * 2_000_000)]
    [990000, 1010000]
    >>> printed.rest()[:50]
    '\\n[1,000,000 characters are left out here]\\naaaaaaaa'
    """

    def __init__(self) -> None:
        self.kept, self.left, self.tail = 0, 0, ""
        self.note: dict | None = None  # the output that holds `rest()`

    def split(self, text: str) -> tuple[str, str]:
        """The part of a new text that is kept as it is, and what goes into the rest."""
        room = MOST - TAIL - self.kept
        kept, rest = text[:room], text[room:]
        self.kept += len(kept)
        self.left += len(rest)
        self.tail = (self.tail + rest[-TAIL:])[-TAIL:]
        return kept, rest

    def rest(self) -> str:
        """What stands in place of all that was not kept."""
        out = self.left - len(self.tail)
        return f"\n[{out:,} characters are left out here]\n{self.tail}" if out else self.tail


def joined(outputs: list[dict]) -> list[dict]:
    """A cell's outputs with one of stdout and one of stderr, in which a redrawn line is as it was last drawn.

    nbclient can do this too, in a time that grows with the square of a line's length.

    >>> joined([{"output_type": "stream", "name": "stdout", "text": text} for text in ("a\\n1 %\\r", "2 %\\nb")])
    [{'output_type': 'stream', 'name': 'stdout', 'text': 'a\\n2 %\\nb'}]
    """
    streams: dict[str, list[dict]] = {}
    for output in outputs:
        if output["output_type"] == "stream":
            streams.setdefault(output["name"], []).append(output)
    later = {id(output) for same in streams.values() for output in same[1:]}
    for same in streams.values():
        same[0]["text"] = "\n".join(map(_last_drawn, "".join(output["text"] for output in same).split("\n")))
    kept = [output for output in outputs if id(output) not in later]
    for i in range(len(kept) - 1):  # which of the two came first is chance
        if [output.get("name") for output in kept[i : i + 2]] == ["stderr", "stdout"]:
            kept[i : i + 2] = kept[i + 1], kept[i]
    return kept


def _last_drawn(line: str) -> str:
    return line[line.rfind("\r", 0, max(len(line) - 1, 0)) + 1 :]


def shorten(content: dict) -> None:
    """Shorten, in place, what is too long of a kernel's message: a value as plain text, an error and its traceback."""
    data = content.get("data")
    for part, key in ((data, "text/plain"), (content, "evalue")):
        if isinstance(part, dict) and isinstance(part.get(key), str):
            part[key] = _short(part[key])
    if isinstance(content.get("traceback"), list):
        content["traceback"] = [_short(line) for line in content["traceback"]]


def _short(text: str) -> str:
    printed = OutputCap()
    kept, rest = printed.split(text)
    return kept + printed.rest() if rest else text
