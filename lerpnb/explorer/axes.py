"""The other lines: where a product's second slider, and any further one, stands while the first is explored."""

from collections.abc import Sequence

from lerpnb.errors import AlphaError
from lerpnb.paths.line import Line
from lerpnb.paths.multiline import MultiLine
from lerpnb.utils.text import show


class FixedAxes:
    """The lines of a product besides its first, each at a step of the slider; of a single line there are none.

    Args:
        path: a product, whose first line is explored, or a line.
        alphas: the steps, the same for all lines.

    Attributes:
        first: what the line that is explored is called; "" where it is the only one.
        at: name -> alpha of the others.
    """

    def __init__(self, path: Line | MultiLine, alphas: Sequence[float]):
        self.path, self.alphas = path, list(alphas)
        names = path.names if isinstance(path, MultiLine) else ("",)
        self.first = names[0]
        middle = min(self.alphas, key=lambda alpha: abs(alpha - 0.5))
        self.at = dict.fromkeys(names[1:], middle)
        self._line: tuple[dict, Line] | None = None

    def move(self, name: str, alpha: float) -> None:
        """Put a slider at the step nearest to an alpha.

        Raises:
            AlphaError: no such line, or the one that is explored.
        """
        if name not in self.at:
            known = ", ".join(self.at) or "none, for the path is a single line"
            raise AlphaError(f"explore(): no other line {name!r}. There are: {known}.")
        self.at = self.at | {name: min(self.alphas, key=lambda step: abs(step - alpha))}

    def line(self) -> Line:
        """The first line, with the others where they stand now; the same object until one of them is moved."""
        if not isinstance(self.path, MultiLine):
            return self.path
        at = self.at
        if self._line is None or self._line[0] != at:
            self._line = at, self.path.line((None, *at.values()))
        return self._line[1]

    def told(self) -> list[dict]:
        """For the face: name and step of each."""
        return [{"name": name, "index": self.alphas.index(alpha)} for name, alpha in self.at.items()]

    def __str__(self) -> str:
        return "".join(f" and {name} {show(alpha)}" for name, alpha in self.at.items())
