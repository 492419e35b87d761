"""What the explorer computes: the texts of all alphas, a token a step, and the next token's probabilities over alpha.

The line's own live model is left to the cells of the notebook: rows have a structure of their own on the same weights,
and where a model cannot be computed so, the explorer moves a second live model.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from lerpnb.errors import NotFiniteError
from lerpnb.generation.batched_line import BatchedLine, unsupported_reason
from lerpnb.generation.continuations import Continuations, context_ids
from lerpnb.generation.sampling import Decoder
from lerpnb.paths.line import Line

TOKENS = 5  # of which the probabilities are shown


UNUSABLE = "No text: the weights at this alpha give NaN or infinite logits."


@dataclass
class Page:
    """What stands written after a prompt: at alpha i texts[i], of tokens[i]; or notes[i], why there is none."""

    spec: Continuations
    texts: list[str]
    tokens: list[list[int]]
    notes: list[str]
    done: bool = False

    @classmethod
    def empty(cls, spec: Continuations, n: int) -> "Page":
        return cls(spec, [""] * n, [[] for _ in range(n)], [""] * n)


@dataclass(frozen=True)
class Bars:
    """The next token after a context: p[t][i] is the probability of labels[t] at alpha i, None where not finite."""

    context: str
    labels: list[str] = field(default_factory=list)
    p: list[list[float | None]] = field(default_factory=list)


class Engine:
    """All alphas of a line at once, or one after the other where `unsupported_reason` says why.

    Args:
        line: with a tokenizer.
        alphas: ascending, each once.
    """

    def __init__(self, line: Line, alphas: Sequence[float]):
        self.line, self.alphas, self.tokenizer = line, tuple(alphas), line.tokenizer
        stood = line.here
        self.refusal = unsupported_reason(line)
        if line.here != stood:  # the check has moved it
            line.at(0.0 if stood is None else stood)
        self.rows = None if self.refusal else BatchedLine(line, check=False)
        self._own: Line | None = None

    def another_line(self) -> Line:
        """The same line with a live model of its own: the caller's stays where it stands."""
        line = self.line
        return Line(line.minus, line.plus, line.base, device=str(line.device), dtype=line.dtype)

    def check(self, spec: Continuations) -> None:
        """Raise what `write` would, without work."""
        Decoder(self.rows or self.line.model, self.tokenizer, spec, self.alphas if self.rows else (None,))

    def write(self, spec: Continuations, first: int = 0) -> Iterator[Page]:
        """The page after each decoding step; one alpha at a time begins with alphas[first] and goes outwards."""
        page = Page.empty(spec, len(self.alphas))
        if self.rows:
            writing = Decoder(self.rows, self.tokenizer, spec, self.alphas)
            for _ in writing:
                for i, alpha in enumerate(self.alphas):
                    self._put(page, i, writing, alpha)
                yield page
        else:
            for i in sorted(range(len(self.alphas)), key=lambda i: abs(i - first)):
                writing = Decoder(self._at(i), self.tokenizer, spec)
                steps = iter(writing)
                try:
                    while next(steps, self) is not self:
                        self._put(page, i, writing, None)
                        yield page
                        self._at(i)  # bars may have moved it meanwhile
                except NotFiniteError:
                    page.notes[i] = UNUSABLE
        page.done = True
        yield page

    @torch.inference_mode()
    def bars(self, page: Page, i: int = 0, letters: int = 0) -> Bars:
        """The likeliest next tokens at every alpha, after the prompt and the first `letters` of alpha i's text."""
        prompt, written = context_ids(self.tokenizer, page.spec.prompts[0]), page.tokens[i]
        start = len(self._text(prompt))
        n = max(k for k in range(len(written) + 1) if not k or len(self._text(prompt + written[:k])) <= start + letters)
        context = prompt + written[:n]
        ids = torch.tensor([context], device=self.line.device)
        if self.rows:
            self.rows.alphas = self.alphas
            logits = _last_logits(self.rows.model, ids.expand(len(self.alphas), -1))
        else:
            logits = torch.cat([_last_logits(self._at(j), ids) for j in range(len(self.alphas))])
        p = torch.softmax(logits.float(), -1)
        chosen = p.nan_to_num(0.0).amax(0).topk(min(TOKENS, p.shape[-1])).indices.tolist()
        if n < len(written) and written[n] not in chosen:
            chosen[-1] = written[n]  # what the text says next is always among them
        before = self._text(context)
        return Bars(
            before[-60:],
            [self._label(before, context, token) for token in chosen],
            [[round(v, 5) if v == v else None for v in p[:, token].tolist()] for token in chosen],
        )

    def _at(self, i: int) -> torch.nn.Module:
        self._own = self._own or self.another_line()
        return self._own.model if self._own.here == self.alphas[i] else self._own.at(self.alphas[i])

    def _put(self, page: Page, i: int, writing: Decoder, alpha: float | None) -> None:
        page.texts[i] = writing.frame(alpha)["continuation"][0]
        page.tokens[i] = list(writing.tokens[alpha, 0, 0])
        if alpha in writing.unusable:
            page.notes[i] = UNUSABLE

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def _label(self, before: str, context: list[int], token: int) -> str:
        """A token as a person reads it: what it adds to the text, else its name."""
        text = self._text([*context, token])[len(before) :] or self.tokenizer.convert_ids_to_tokens(token)
        return str(text)


def _last_logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    return model(input_ids=ids, use_cache=False, **keep).logits[:, -1]
