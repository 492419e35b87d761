"""The explorer: what `ln.explore` returns, and how it answers the widget in the browser."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.data.chat import Prompt
from lerpnb.errors import AlphaError, LerpError
from lerpnb.explorer.axes import FixedAxes
from lerpnb.explorer.kept import KeptTexts
from lerpnb.explorer.messages import checked_prompt, error_message, setup_message, spec_from
from lerpnb.explorer.session import Session
from lerpnb.explorer.static_figure import static_figure
from lerpnb.explorer.widget import ExplorerWidget, is_interactive
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.line import Line
from lerpnb.paths.multiline import MultiLine
from lerpnb.results.curve import Curve
from lerpnb.runs.recording import recording_folder
from lerpnb.utils.coordinates import alpha_grid, number
from lerpnb.utils.text import show


def explore(
    line: Line | MultiLine,
    prompt: Prompt | list = "The film",
    *,
    alphas: Sequence[float] | None = None,
    curve: Curve | None = None,
    max_new_tokens: int = 40,
    temperature: float = 1.0,
    top_p: float = 0.9,
    seed: int = 0,
    out: str | Path = "",
) -> "Explorer":
    """Explore a line by hand: move alpha and see what the model there writes after a prompt of yours.

    In a live notebook it is a widget: all alphas write side by side, a token a step, in a thread beside the kernel; the
    slider then moves in the browser alone. Words that differ from the neighboring alpha's text and from either end's
    are marked. All texts stand in a strip below; two alphas can be pinned to compare them. Bars show the next token's
    probability at every alpha, at a place of the text that you choose. In a non-interactive run (a batch run,
    nbconvert) it is a figure with its own slider. The line's live model stays where it stands.

    A `MultiLine` has a slider for each of its lines. The first one moves through texts that are written already; moving
    another one stops what is being written and writes all texts anew.

    Args:
        line: a `Line` or a `MultiLine`, with a tokenizer.
        prompt: the first prompt: a text, or a `Chat` (a list of messages), whose last message the text box holds.
        alphas: the slider's steps, without unit; by default the curve's, else `alpha_grid(-1, 2, 13)`.
        curve: a `Curve` of this line, drawn with a marker at the slider's alpha.
        max_new_tokens, temperature, top_p, seed: the first settings, as of `Continuations`.
        out: the folder of `kept.csv`, empty for that of `record`; a run uses its run folder instead.

    Returns:
        The explorer: the last line of a cell shows it.

    Raises:
        AlphaError: fewer than two alphas, one twice, or one that is not a finite number.
        ProbeError: no tokenizer, an empty prompt, one too long for the model, a number out of range.

    Example:
        >>> import lerpnb as ln
        >>> ends = [tiny_checkpoint() for _ in range(2)]
        >>> explorer = ln.explore(ln.Line(*ends, device="cpu"), "a film", alphas=[0, 1], max_new_tokens=2)
        >>> len(explorer.texts())  # the same as a table; the explorer itself goes last in a cell
        2
    """
    spec = Continuations((checked_prompt(prompt),), 1, max_new_tokens, top_p, temperature, seed)
    return Explorer(line, alphas=_grid(alphas, curve), curve=curve, spec=spec, out=out)


class Explorer:
    """A line being explored. `ln.explore` makes one.

    alphas: the slider's steps; index: which of them it stands at; axes: where the other lines of a `MultiLine` stand;
    session: the work behind it, and the texts as far as they are written; send: sends a message to the widget.
    """

    def __init__(
        self, line: Line | MultiLine, *, alphas: list[float], curve: Curve | None, spec: Continuations, out: str | Path
    ):
        self.alphas, self.curve, self.axes = alphas, curve, FixedAxes(line, alphas)
        self.index = min(range(len(alphas)), key=lambda i: abs(alphas[i] - 0.5))
        self.send: Callable[[dict], None] = lambda message: None  # until there is a widget
        self.session = Session(self.axes, alphas, spec, lambda message: self.send(message))
        self._kept = KeptTexts(recording_folder(out), self.axes)
        self._widget: ExplorerWidget | None = None

    @property
    def alpha(self) -> float:
        """Where the slider stands."""
        return self.alphas[self.index]

    @property
    def kept(self) -> pd.DataFrame:
        """What 'Keep this alpha' recorded, as the file: alpha (and those of other lines), prompt, text, sampling."""
        return self._kept.frame()

    def fix(self, name: str, alpha: float) -> None:
        """Move another line's slider to the step nearest to an alpha: all texts are written anew.

        Raises:
            AlphaError: the `MultiLine` has no other line of this name.
        """
        self.axes.move(name, alpha)
        self.session.rewrite(self.index)

    def texts(self, prompt: Prompt | None = None) -> pd.DataFrame:
        """What each alpha writes, as a table: alpha, prompt, text, n_tokens. Waits until all is written.

        Args:
            prompt: another prompt than the widget's, which stays as it is.
        """
        page = self.session.finished(prompt, self.index)
        columns = {"alpha": self.alphas, **self.axes.at, "prompt": str(page.spec.prompts[0]), "text": page.texts}
        return pd.DataFrame({**columns, "n_tokens": [len(ids) for ids in page.tokens]})

    def plot(self, prompt: Prompt | None = None) -> Any:
        """The texts and the next-token bars as a Plotly figure that needs no kernel. Waits as `texts` does."""
        page = self.session.finished(prompt, self.index)
        bars = self.session.bars_after(page)
        return static_figure(str(page.spec.prompts[0]), self.alphas, page.texts, bars.labels, bars.p, str(self.axes))

    def keep(self) -> Path:
        """Record the text at the slider's alpha in `kept`, and as a row of kept.csv (of a `MultiLine`: kept_NAMES.csv).

        Returns:
            The path of the file.

        Raises:
            LerpError: the texts are being written.
        """
        page = self.session.page
        if self.session.writing.working and not page.done:
            raise LerpError("explore(): the texts are being written.\nWait until they are done, or press Stop first.")
        self._kept.add(self.alpha, page.texts[self.index], page.spec)
        return self._kept.path

    @property
    def widget(self) -> ExplorerWidget:
        """The live widget, for a layout of one's own."""
        if self._widget is None:
            self._widget = ExplorerWidget()
            self._widget.on_msg(lambda _, message, buffers: self.receive(message))
            self.send = self._widget.send
        return self._widget

    def receive(self, message: dict) -> None:
        """Answer a message of the widget; errors are shown there."""
        try:
            getattr(self, f"_on_{message['kind']}")(message)
        except Exception as error:
            self.send(error_message(error))

    def close(self) -> None:
        """Stop all work and remove the widget."""
        self.session.stop()
        if self._widget is not None:
            self._widget.close()

    def _on_hello(self, message: dict) -> None:
        """A widget has appeared: the first one, or one after the page was loaded again."""
        setup = setup_message(self.alphas, self.index, self.axes, self.session.spec, self.curve)
        self.send({**setup, "unsupported": self.session.engine.unsupported, "kept": len(self._kept)})
        if self.session.page.done or self.session.writing.working:
            self.session.resend()
        else:
            self.session.write(self.session.spec, self.index)

    def _on_write(self, message: dict) -> None:
        self.session.writing.stop()
        self.session.write(spec_from(message, self.session.spec.prompts[0]), self.index)

    def _on_stop(self, message: dict) -> None:
        self.session.writing.stop()
        self.send({"kind": "stopped"})

    def _on_at(self, message: dict) -> None:
        self.index = int(message["index"])

    def _on_fix(self, message: dict) -> None:
        self.fix(message["name"], self.alphas[int(message["index"])])

    def _on_cursor(self, message: dict) -> None:
        self.session.look(int(message["index"]), int(message["word"]))

    def _on_keep(self, message: dict) -> None:
        self.index = int(message["index"])
        path = self.keep()
        self.send({"kind": "kept", "count": len(self._kept), "path": str(path), "alpha": show(self.alpha)})

    def _on_save(self, message: dict) -> None:
        self.session.save(self.alphas[int(message["index"])], str(message["to"]).strip())

    def __repr__(self) -> str:
        low, high = show(self.alphas[0]), show(self.alphas[-1])
        return f"Explorer: {len(self.alphas)} alphas from {low} to {high}. It needs a running notebook: run the cell."

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if not is_interactive():
            return self.plot()._repr_mimebundle_()
        bundle: Any = self.widget._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": repr(self)}, metadata


def _grid(alphas: Sequence[float] | None, curve: Curve | None) -> list[float]:
    default: Any = alpha_grid(-1, 2, 13) if curve is None else curve.alphas
    grid = sorted(
        number(alpha, "explore(alphas)") for alpha in np.atleast_1d(default if alphas is None else alphas).tolist()
    )
    twice = [show(alpha) for alpha in sorted(set(grid)) if grid.count(alpha) > 1]
    if twice:
        raise AlphaError(f"explore(alphas): {', '.join(twice[:3])} is given twice.\nGive each alpha once.")
    if len(grid) < 2:
        raise AlphaError(f"explore(alphas): got {len(grid)}.\nIt takes two or more, such as alpha_grid(-1, 2, 13).")
    return grid
