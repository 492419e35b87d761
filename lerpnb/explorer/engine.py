"""The engine: computes the texts of all alphas, token by token, and the next token's probabilities over alpha.

The line's own live model is left to the cells of the notebook: a `BatchedLine` has a structure of its own on the same
weights, and for a model that it does not support, the engine moves a second live model.
"""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from lerpnb.errors import NotFiniteError, ProbeError
from lerpnb.generation.batched_line import BatchedLine, unsupported_reason
from lerpnb.generation.continuations import Continuations, context_ids
from lerpnb.generation.decoder import Decoder
from lerpnb.paths.line import Line

N_TOKENS = 5  # whose probabilities are shown
UNUSABLE = "No text: the weights at this alpha give NaN or infinite logits."


@dataclass
class Page:
    """The texts after a prompt as far as they are written: at alpha i texts[i], of tokens[i]; or notes[i], why none."""

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
    """All alphas of a line, ascending, side by side; one after the other where `unsupported_reason` says why."""

    def __init__(self, line: Line, alphas: Sequence[float]):
        if line.tokenizer is None:
            raise ProbeError(
                "explore(line): the line has no tokenizer.\nWrap live models: Checkpoint.from_model(model, tokenizer)."
            )
        self.line, self.alphas, self.tokenizer = line, tuple(alphas), line.tokenizer
        before = line.here
        self.unsupported = unsupported_reason(line)
        if line.here != before:  # the check has moved it
            line.at(0.0 if before is None else before)
        self.batched = None if self.unsupported else BatchedLine(line, check=False)
        self._own: Line | None = None

    def another_line(self) -> Line:
        """The same line with a live model of its own: the caller's stays where it stands."""
        it = self.line
        return Line(it.minus, it.plus, it.base, device=str(it.device), dtype=it.dtype)

    def check(self, spec: Continuations) -> None:
        """Raise what `write` would, without work."""
        Decoder(self.batched or self.line.model, self.tokenizer, spec, self.alphas if self.batched else (None,))

    def write(self, spec: Continuations, first: int = 0) -> Iterator[Page]:
        """The page after each decoding step; one alpha at a time begins with alphas[first] and goes outwards."""
        page = Page.empty(spec, len(self.alphas))
        if self.batched:
            decoder = Decoder(self.batched, self.tokenizer, spec, self.alphas, check_every=1)
            for _ in decoder:
                for i, alpha in enumerate(self.alphas):
                    self._update(page, i, decoder, alpha)
                yield page
        else:
            for i in sorted(range(len(self.alphas)), key=lambda i: abs(i - first)):
                decoder = Decoder(self._at(i), self.tokenizer, spec, check_every=1)
                steps = iter(decoder)
                try:
                    while next(steps, self) is not self:
                        self._update(page, i, decoder, None)
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
        if self.batched:
            self.batched.alphas = self.alphas
            logits = _last_logits(self.batched.model, ids.expand(len(self.alphas), -1))
        else:
            logits = torch.cat([_last_logits(self._at(j), ids) for j in range(len(self.alphas))])
        p = torch.softmax(logits.float(), -1)
        chosen = p.nan_to_num(0.0).amax(0).topk(min(N_TOKENS, p.shape[-1])).indices.tolist()
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

    def _update(self, page: Page, i: int, decoder: Decoder, alpha: float | None) -> None:
        page.texts[i] = decoder.frame(alpha)["continuation"][0]
        page.tokens[i] = list(decoder.tokens[alpha, 0, 0])
        if alpha in decoder.unusable:
            page.notes[i] = UNUSABLE

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _label(self, before: str, context: list[int], token: int) -> str:
        """A token as a person reads it: what it adds to the text, else its name."""
        return self._text([*context, token])[len(before) :] or str(self.tokenizer.convert_ids_to_tokens(token))


def _last_logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    return model(input_ids=ids, use_cache=False, **keep).logits[:, -1]
