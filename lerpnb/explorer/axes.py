"""The fixed axes: where the further lines of a `MultiLine` stand while the first one is explored."""

from collections.abc import Sequence

from lerpnb.errors import AlphaError
from lerpnb.paths.line import Line
from lerpnb.paths.multiline import MultiLine
from lerpnb.utils.text import show


class FixedAxes:
    """The lines of a `MultiLine` besides its first, each at a step of its slider; none for a single line.

    first: name of the line that is explored, "" where it is the only one; at: name -> alpha of the others.
    """

    def __init__(self, path: Line | MultiLine, alphas: Sequence[float]):
        self.path, self.alphas = path, list(alphas)
        names = path.names if isinstance(path, MultiLine) else ("",)
        self.first = names[0]
        self.at = dict.fromkeys(names[1:], min(self.alphas, key=lambda alpha: abs(alpha - 0.5)))
        self._line: tuple[dict, Line] | None = None

    def move(self, name: str, alpha: float) -> None:
        """Put a slider at the step nearest to an alpha."""
        if name not in self.at:
            known = ", ".join(self.at) or "none, since the path is a single line"
            raise AlphaError(f"explore(): there is no other line {name!r}. The others are: {known}.")
        self.at = self.at | {name: min(self.alphas, key=lambda step: abs(step - alpha))}

    def line(self) -> Line:
        """The first line, with the others where they stand now; the same object until one of them is moved."""
        if not isinstance(self.path, MultiLine):
            return self.path
        if self._line is None or self._line[0] != self.at:
            self._line = self.at, self.path.line((None, *self.at.values()))
        return self._line[1]

    def steps(self) -> list[dict]:
        """Name and step of each, for the widget."""
        return [{"name": name, "index": self.alphas.index(alpha)} for name, alpha in self.at.items()]

    def __str__(self) -> str:
        return "".join(f" and {name} {show(alpha)}" for name, alpha in self.at.items())
