"""The explorer: what `ln.explore` returns, and its conversation with the face in the browser."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lerpnb.errors import AlphaError, LerpError, ProbeError
from lerpnb.explorer.axes import FixedAxes
from lerpnb.explorer.background import ONE_AT_A_TIME, BackgroundJob, in_turn
from lerpnb.explorer.diff import ends, word_diff, words
from lerpnb.explorer.engine import Bars, Engine, Page
from lerpnb.explorer.static_figure import static_figure
from lerpnb.explorer.widget import ExplorerWidget, is_interactive, lines_of
from lerpnb.generation.continuations import Continuations
from lerpnb.paths.line import Line
from lerpnb.paths.multiline import MultiLine
from lerpnb.results.curve import Curve
from lerpnb.utils.coordinates import alpha_grid, number
from lerpnb.utils.environment import RUN_DIR
from lerpnb.utils.text import show

KEPT = ["alpha", "prompt", "text", "seed", "temperature", "top_p", "max_new_tokens"]


def explore(
    line: Line | MultiLine,
    prompt: str = "The film",
    *,
    alphas: Sequence[float] | None = None,
    curve: Curve | None = None,
    max_new_tokens: int = 40,
    temperature: float = 1.0,
    top_p: float = 0.9,
    seed: int = 0,
    out: str | Path = "runs/live",
) -> "Explorer":
    """Look at a line by hand: move alpha and see what the model there writes after a prompt of yours.

    In a live notebook it is a widget: all alphas write side by side, a token a step, in a thread beside the kernel; the
    slider then moves in the browser alone. Words are marked that differ from the neighbouring alpha's and from either
    end's, and bars show the next token's probability at every alpha, at a place of the text that one chooses. Where
    nobody is at the kernel (a batch run, nbconvert) it is a figure with its own slider. The line's live model is left
    where it stands.

    A `MultiLine` has a slider for each of its lines: the first slides over texts that are there already; moving another
    one writes them all anew, and drops what was being written.

    Args:
        line: with a tokenizer; or a product.
        prompt: what to continue at first.
        alphas: the slider's steps; by default the curve's, else `alpha_grid(-1, 2, 13)`.
        curve: of a walk on this line, to be drawn with a marker at the slider's alpha.
        max_new_tokens, temperature, top_p, seed: as of `Continuations`, to begin with.
        out: the folder of `kept.csv`, where no runner gives one.

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
    return Explorer(
        line,
        alphas=_grid(alphas, curve),
        curve=curve,
        spec=Continuations([_asked(prompt)], 1, max_new_tokens, top_p, temperature, seed),
        out=out,
    )


class Explorer:
    """A line being explored. `ln.explore` makes one.

    Attributes:
        alphas: the slider's steps.
        index: which of them it stands at.
        others: where a product's other lines stand.
        spec: the prompt and the sampling that the texts are of.
    """

    def __init__(
        self, line: Line | MultiLine, *, alphas: list[float], curve: Curve | None, spec: Continuations, out: str | Path
    ):
        if line.tokenizer is None:
            raise ProbeError(
                "explore(line): the line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
            )
        self.alphas, self.curve, self.spec, self.others = alphas, curve, spec, FixedAxes(line, alphas)
        self.index = min(range(len(alphas)), key=lambda i: abs(alphas[i] - 0.5))
        self.engine = Engine(self.others.line(), alphas)
        self.engine.check(spec)
        self.out = Path(os.environ.get(RUN_DIR) or out)
        self.tell: Callable[[dict], None] = lambda message: None  # until there is a face
        self._face: ExplorerWidget | None = None
        self._page = Page.empty(spec, len(alphas))
        self._bars: tuple[int, int, Bars] | None = None
        self._kept: list[dict] = []
        self._writing, self._looking, self._saving = (
            BackgroundJob(self._failed),
            BackgroundJob(self._failed),
            BackgroundJob(self._not_saved),
        )

    @property
    def alpha(self) -> float:
        """Where the slider stands."""
        return self.alphas[self.index]

    @property
    def kept(self) -> pd.DataFrame:
        """What 'Keep this alpha' recorded: alpha, prompt, text and the sampling; the file has the same rows.

        Of a product, the other lines' alphas stand behind the first's.
        """
        return pd.DataFrame(self._kept, columns=[KEPT[0], *self.others.at, *KEPT[1:]])

    def fix(self, name: str, alpha: float) -> None:
        """Move another line's slider to the step nearest to an alpha: all texts are written anew."""
        self.others.move(name, alpha)
        for turns in (self._writing, self._looking):
            turns.stop()
        self._page, self._bars = Page.empty(self.spec, len(self.alphas)), None
        self._writing.start(self._write(self.spec))

    def texts(self, prompt: str | None = None) -> pd.DataFrame:
        """What each alpha writes, as a table: alpha, prompt, text, n_tokens. Waits until all is written.

        Args:
            prompt: another one than the widget's, which is left alone.
        """
        page = self._finished(prompt)
        columns = {"alpha": self.alphas, **self.others.at, "prompt": page.spec.prompts[0], "text": page.texts}
        return pd.DataFrame({**columns, "n_tokens": [len(ids) for ids in page.tokens]})

    def plot(self, prompt: str | None = None) -> Any:
        """The static twin: the texts and the next-token bars as a figure that needs no kernel. Waits likewise."""
        page = self._finished(prompt)
        with ONE_AT_A_TIME:
            bars = self._aimed().bars(page)
        return static_figure(page.spec.prompts[0], self.alphas, page.texts, bars.labels, bars.p, str(self.others))

    def keep(self) -> Path:
        """Record what stands at the slider's alpha: in `kept`, and as a row of kept.csv, whose path is returned.

        Of a product it is kept_NAMES.csv, after its lines, for it has a column for each.

        Raises:
            LerpError: the texts are being written.
        """
        page, settings = self._page, self._page.spec
        if self._writing.working and not page.done:
            raise LerpError(
                "explore(): the texts are being written.\nKeep one when they are done, or press Stop first."
            )
        row = [self.alpha, settings.prompts[0], page.texts[self.index], settings.seed, settings.temperature]
        self._kept.append(
            dict(zip(KEPT, [*row, settings.top_p, settings.max_new_tokens], strict=True)) | self.others.at
        )
        self.out.mkdir(parents=True, exist_ok=True)
        names = [re.sub(r"\W+", "-", name) for name in (self.others.first, *self.others.at)]
        path = self.out / ("_".join(["kept", *filter(None, names)]) + ".csv")
        self.kept[-1:].to_csv(path, mode="a", header=not path.exists(), index=False)
        return path

    @property
    def widget(self) -> "ExplorerWidget":
        """The live widget, for a layout of one's own."""
        if self._face is None:
            self._face = ExplorerWidget()
            self._face.on_msg(lambda _, message, buffers: self.hear(message))
            self.tell = self._face.send
        return self._face

    def hear(self, message: dict) -> None:
        """Answer what the face says; what goes wrong is told there."""
        try:
            getattr(self, f"_hear_{message['kind']}")(message)
        except LerpError as error:
            self.tell({"kind": "error", "text": str(error)})
        except Exception as error:
            self._failed(error)

    def close(self) -> None:
        """Stop all work and take the widget away."""
        for turns in (self._writing, self._looking):
            turns.stop()
        if self._face is not None:
            self._face.close()

    def _hear_hello(self, message: dict) -> None:
        """A face has appeared: the first time, or again after the page was loaded anew."""
        settings = {name: getattr(self.spec, name) for name in ("max_new_tokens", "temperature", "top_p", "seed")}
        self.tell(
            {
                "kind": "setup",
                "alphas": self.alphas,
                "labels": [show(alpha).replace("-", "−") for alpha in self.alphas],
                "index": self.index,
                "axis": self.others.first,
                "others": self.others.told(),
                "ends": ends(self.alphas),
                "prompt": self.spec.prompts[0],
                "settings": settings,
                "curve": lines_of(self.curve),
                "refusal": self.engine.refusal,
                "to": f"out/alpha_{show(self.alpha)}",
                "kept": len(self._kept),
            }
        )
        if self._page.done or self._writing.working:
            self._show(self._page)
            self._show_bars()
        else:
            self._writing.start(self._write(self.spec))

    def _hear_write(self, message: dict) -> None:
        self._writing.stop()
        prompt, given = message["prompt"], {}
        for name, kind in (("max_new_tokens", int), ("temperature", float), ("top_p", float), ("seed", int)):
            value = message[name]
            if not isinstance(value, int | float) or kind is int and value != int(value):
                told = "a whole number" if kind is int else "a number"
                raise ProbeError(f"explore({name}): it takes {told}.")
            given[name] = kind(value)
        spec = Continuations([_asked(prompt)], 1, **given)
        self.engine.check(spec)
        self.spec = spec
        self._writing.start(self._write(spec))

    def _hear_stop(self, message: dict) -> None:
        self._writing.stop()
        self.tell({"kind": "stopped"})

    def _hear_at(self, message: dict) -> None:
        self.index = int(message["index"])

    def _hear_fix(self, message: dict) -> None:
        self.fix(message["name"], self.alphas[int(message["index"])])

    def _hear_cursor(self, message: dict) -> None:
        self._looking.start(self._look(self._page, int(message["index"]), int(message["word"])))

    def _hear_keep(self, message: dict) -> None:
        self.index = int(message["index"])
        path = self.keep()
        self.tell({"kind": "kept", "count": len(self._kept), "path": str(path), "alpha": show(self.alpha)})

    def _hear_save(self, message: dict) -> None:
        if self._saving.working:
            raise LerpError("explore(): a model is being saved.\nWait until it is done.")
        self._saving.start(self._save(self.alphas[int(message["index"])], str(message["to"]).strip()))

    def _write(self, spec: Continuations):
        """The job behind the texts: a step a token, and after the first one the bars."""
        looked = False
        for page in self._aimed().write(spec, self.index):
            yield  # a job that is not the newest any more ends here, and shows nothing
            self._page = page
            self._show(page)
            if not looked:
                looked = True
                yield from self._look(page, self.index, 0)

    def _look(self, page: Page, index: int, word: int):
        """The job behind the bars: one step."""
        letters = sum(map(len, words(page.texts[index])[:word]))
        bars = self._aimed().bars(page, index, letters)
        yield
        self._bars = (index, word, bars)
        self._show_bars()

    def _save(self, alpha: float, to: str):
        """The job behind 'Save model': by a line of its own, for the caller's may be at work in a cell."""
        if not to:
            raise LerpError("explore(): no folder to save to.\nName a new one, such as out/model.")
        if (there := Path(to).expanduser()).is_file() or there.is_dir() and any(there.iterdir()):
            raise LerpError(f"explore(): something lies in {to} already.\nName a new folder, such as out/model.")
        folder = self._aimed().another_line().save(alpha, to)
        size = sum(file.stat().st_size for file in folder.iterdir())
        self.tell({"kind": "saved", "text": f"Alpha {show(alpha)} is saved in {folder} ({size / 1e6:,.0f} MB)."})
        yield

    def _aimed(self) -> Engine:
        """The engine of where the other lines stand now; one's own turn, for a new one takes a moment."""
        if (line := self.others.line()) is not self.engine.line:
            self.engine = Engine(line, self.alphas)
        return self.engine

    def _show(self, page: Page) -> None:
        split = [words(text) for text in page.texts]
        self.tell(
            {
                "kind": "page",
                "prompt": page.spec.prompts[0],
                "words": split,
                "marks": word_diff(split, ends(self.alphas)),
                "notes": page.notes,
                "tokens": sum(map(len, page.tokens)),
                "step": max(map(len, page.tokens)),
                "of": page.spec.max_new_tokens,
                "done": page.done,
            }
        )

    def _show_bars(self) -> None:
        if self._bars:
            index, word, bars = self._bars
            told = {"index": index, "word": word, "context": bars.context, "labels": bars.labels, "p": bars.p}
            self.tell({"kind": "bars", **told})

    def _failed(self, error: Exception) -> None:
        told = str(error) if isinstance(error, LerpError) else f"{type(error).__name__}: {error}"
        self.tell({"kind": "error", "text": told})

    def _not_saved(self, error: Exception) -> None:
        told = str(error) if isinstance(error, LerpError) else f"{type(error).__name__}: {error}"
        self.tell({"kind": "not saved", "text": told})

    def _finished(self, prompt: str | None = None) -> Page:
        """The page of a prompt, by default the present one, written to its end."""
        if prompt is not None:
            spec = replace(self.spec, prompts=(_asked(prompt),))
            self.engine.check(spec)
            with ONE_AT_A_TIME:
                engine = self._aimed()
            *_, page = in_turn(engine.write(spec))
            return page
        if not self._writing.working and not (self._page.done and self._page.spec == self.spec):
            self._writing.start(self._write(self.spec))
        self._writing.wait()
        return self._page

    def __repr__(self) -> str:
        low, high = show(self.alphas[0]), show(self.alphas[-1])
        return (
            f"Explorer: {len(self.alphas)} alphas from {low} to {high}. It lives in a running notebook: run the cell."
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if not is_interactive():
            return self.plot()._repr_mimebundle_()
        shown = self.widget._repr_mimebundle_()
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return {**data, "text/plain": repr(self)}, metadata


def _grid(alphas: Sequence[float] | None, curve: Curve | None) -> list[float]:
    if alphas is None:
        alphas = curve.alphas if curve is not None else alpha_grid(-1, 2, 13)
    alphas = [alphas] if np.isscalar(alphas) else list(alphas)
    grid = sorted(number(alpha, "explore(alphas)") for alpha in alphas)
    twice = [show(alpha) for alpha in sorted(set(grid)) if grid.count(alpha) > 1]
    if twice:
        raise AlphaError(f"explore(alphas): {', '.join(twice[:3])} is given twice.\nGive each alpha once.")
    if len(grid) < 2:
        raise AlphaError(f"explore(alphas): got {len(grid)}.\nIt takes two or more, such as alpha_grid(-1, 2, 13).")
    return grid


def _asked(prompt: Any) -> str:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ProbeError(f"explore(prompt): got {prompt!r}.\nType a word or more for the model to continue.")
    return re.sub(r"\s+$", "", prompt)  # tokenizers put a word's space before it
