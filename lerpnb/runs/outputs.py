"""What a batch run keeps of its cells' outputs: bounded in length, one stream each, no value that is endless."""

MOST = 1_000_000  # characters of one cell's prints, or of one value
TAIL = 10_000  # of them from the end, where there were more


class OutputCap:
    """What one cell prints, as it comes: all of it up to `MOST` characters, then its last `TAIL`.

    >>> cap = OutputCap()
    >>> [len(part) for part in cap.split("a" * 2_000_000)]
    [990000, 1010000]
    >>> cap.rest()[:50]
    '\\n[1,000,000 characters are left out here]\\naaaaaaaa'
    """

    def __init__(self) -> None:
        self.kept, self.left, self.tail = 0, 0, ""
        self.note: dict | None = None  # the output that holds `rest()`

    def split(self, text: str) -> tuple[str, str]:
        """The part of a new text that is kept as it is, and what goes into the rest."""
        room = MOST - TAIL - self.kept
        kept, rest = text[:room], text[room:]
        self.kept, self.left, self.tail = self.kept + len(kept), self.left + len(rest), (self.tail + rest)[-TAIL:]
        return kept, rest

    def rest(self) -> str:
        """What stands in place of all that was not kept."""
        out = self.left - len(self.tail)
        return f"\n[{out:,} characters are left out here]\n{self.tail}" if out else self.tail


def joined(outputs: list[dict]) -> list[dict]:
    """A cell's outputs with one of stdout and one of stderr, in which a redrawn line is as it was last drawn.

    nbclient's coalesce_streams takes a time that grows with the square of a line's length: minutes for a million.

    >>> joined([{"output_type": "stream", "name": "stdout", "text": text} for text in ("a\\n1 %\\r", "2 %\\nb")])
    [{'output_type': 'stream', 'name': 'stdout', 'text': 'a\\n2 %\\nb'}]
    """
    texts: dict[str, list[str]] = {}
    kept, streams = [], []
    for output in outputs:
        if output["output_type"] != "stream":
            kept.append(output)
            continue
        if output["name"] not in texts:
            kept.append(output)
            streams.append(output)
        texts.setdefault(output["name"], []).append(output["text"])
    for output in streams:
        lines = "".join(texts[output["name"]]).split("\n")
        output["text"] = "\n".join(line[line.rfind("\r", 0, max(len(line) - 1, 0)) + 1 :] for line in lines)
    for i in range(len(kept) - 1):  # which of the two came first is chance
        if [output.get("name") for output in kept[i : i + 2]] == ["stderr", "stdout"]:
            kept[i : i + 2] = kept[i + 1], kept[i]
    return kept


def shorten(content: dict) -> None:
    """Shorten, in place, what is too long of a kernel's message: a value as plain text, an error and its traceback."""
    for part, key in ((content.get("data"), "text/plain"), (content, "evalue")):
        if isinstance(part, dict) and isinstance(part.get(key), str):
            part[key] = short(part[key])
    if isinstance(content.get("traceback"), list):
        content["traceback"] = [short(line) for line in content["traceback"]]


def short(text: str) -> str:
    """A text of at most `MOST` characters, and what says how many are left out of its middle."""
    cap = OutputCap()
    kept, rest = cap.split(text)
    return kept + cap.rest() if rest else text
