"""The session: the work behind an explorer, in jobs beside the kernel, and what they have computed so far."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lerpnb.data.chat import Prompt
from lerpnb.errors import LerpError
from lerpnb.explorer.axes import FixedAxes
from lerpnb.explorer.background import ONE_AT_A_TIME, BackgroundJob, in_turn
from lerpnb.explorer.diff import words
from lerpnb.explorer.engine import Bars, Engine, Page
from lerpnb.explorer.messages import bars_message, checked_prompt, error_message, page_message
from lerpnb.generation.continuations import Continuations
from lerpnb.utils.text import show


class Session:
    """Writes texts, computes bars and saves models, each in a `BackgroundJob`, and sends messages of what is done.

    spec: the present prompt and sampling; page: the texts as far as they are written; writing, looking, saving: jobs.
    """

    def __init__(self, axes: FixedAxes, alphas: Sequence[float], spec: Continuations, send: Callable[[dict], None]):
        self.axes, self.alphas, self.spec, self.send = axes, alphas, spec, send
        self.engine = Engine(axes.line(), alphas)
        self.engine.check(spec)
        self.page = Page.empty(spec, len(alphas))
        self._bars: tuple[int, int, Bars] | None = None
        self.writing, self.looking = (BackgroundJob(lambda error: send(error_message(error))) for _ in range(2))
        self.saving = BackgroundJob(lambda error: send(error_message(error, "not saved")))

    def write(self, spec: Continuations, first: int) -> None:
        """Write the texts of a prompt; one alpha at a time begins with alphas[first]."""
        self.engine.check(spec)
        self.spec = spec
        self.writing.start(self._write(spec, first))

    def rewrite(self, first: int) -> None:
        """Forget what is written, and write it anew: the further lines have moved."""
        self.stop()
        self.page, self._bars = Page.empty(self.spec, len(self.alphas)), None
        self.writing.start(self._write(self.spec, first))

    def look(self, index: int, word: int) -> None:
        """Compute the bars at a word of an alpha's text."""
        self.looking.start(self._look(self.page, index, word))

    def save(self, alpha: float, to: str) -> None:
        if self.saving.working:
            raise LerpError("explore(): a model is being saved.\nWait until it is done.")
        self.saving.start(self._save(alpha, to))

    def stop(self) -> None:
        """Stop writing and computing bars."""
        self.writing.stop()
        self.looking.stop()

    def finished(self, prompt: Prompt | None, first: int) -> Page:
        """The page of a prompt, by default the present one, written to its end."""
        if prompt is not None:
            spec = replace(self.spec, prompts=(checked_prompt(prompt, self.spec.prompts[0]),))
            self.engine.check(spec)
            with ONE_AT_A_TIME:
                engine = self._current_engine()
            *_, page = in_turn(engine.write(spec))
            return page
        if not self.writing.working and not (self.page.done and self.page.spec == self.spec):
            self.writing.start(self._write(self.spec, first))
        self.writing.wait()
        return self.page

    def bars_after(self, page: Page) -> Bars:
        """The bars after a page's prompt."""
        with ONE_AT_A_TIME:
            return self._current_engine().bars(page)

    def resend(self) -> None:
        """Send what is there, to a widget that has just appeared."""
        self.send(page_message(self.page, self.alphas))
        self._send_bars()

    def _write(self, spec: Continuations, first: int) -> Iterator[None]:
        """A step a token, and after the first one the bars."""
        for step, page in enumerate(self._current_engine().write(spec, first)):
            yield  # a job that is no longer the newest ends here, and shows nothing
            self.page = page
            self.send(page_message(page, self.alphas))
            if not step:
                yield from self._look(page, first, 0)

    def _look(self, page: Page, index: int, word: int) -> Iterator[None]:
        letters = sum(map(len, words(page.texts[index])[:word]))
        bars = self._current_engine().bars(page, index, letters)
        yield
        self._bars = (index, word, bars)
        self._send_bars()

    def _save(self, alpha: float, to: str) -> Iterator[None]:
        """By a line of its own: the caller's may be at work in a cell."""
        if not to:
            raise LerpError("explore(): no folder to save to.\nName a new one, such as out/model.")
        if (there := Path(to).expanduser()).is_file() or there.is_dir() and any(there.iterdir()):
            raise LerpError(f"explore(): there is something at {to} already.\nName a new folder, such as out/model.")
        folder = self._current_engine().another_line().save(alpha, to)
        size = sum(file.stat().st_size for file in folder.iterdir())
        self.send({"kind": "saved", "text": f"Alpha {show(alpha)} is saved in {folder} ({size / 1e6:,.0f} MB)."})
        yield

    def _current_engine(self) -> Engine:
        """The engine at the other lines' alphas; called within a job's turn, since a new one takes a moment."""
        if (line := self.axes.line()) is not self.engine.line:
            self.engine = Engine(line, self.alphas)
        return self.engine

    def _send_bars(self) -> None:
        if self._bars:
            self.send(bars_message(*self._bars))
