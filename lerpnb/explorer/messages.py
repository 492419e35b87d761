"""Messages between the explorer and its widget, as dictionaries of what JSON can hold; each has a "kind"."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lerpnb.data.chat import Chat, Prompt
from lerpnb.errors import LerpError, ProbeError
from lerpnb.explorer.axes import FixedAxes
from lerpnb.explorer.diff import word_diff, words
from lerpnb.explorer.engine import Bars, Page
from lerpnb.generation.continuations import Continuations
from lerpnb.plots.theme import ends
from lerpnb.results.curve import Curve
from lerpnb.results.quantity import ATTRIBUTES
from lerpnb.utils.text import show

MAX_LINES = 6  # of a curve, that are drawn
SETTINGS: dict[str, Any] = {"max_new_tokens": int, "temperature": float, "top_p": float, "seed": int}


def setup_message(
    alphas: Sequence[float], index: int, axes: FixedAxes, spec: Continuations, curve: Curve | None
) -> dict[str, Any]:
    """What the widget shows before the first text."""
    return {
        "kind": "setup",
        "alphas": alphas,
        "labels": [show(alpha).replace("-", "−") for alpha in alphas],
        "index": index,
        "axis": axes.first,
        "others": axes.steps(),
        "ends": ends(alphas),
        "prompt": str(spec.prompts[0]),
        "settings": {name: getattr(spec, name) for name in SETTINGS},
        "curve": curve_lines(curve),
        "to": f"out/alpha_{show(alphas[index])}",
    }


def page_message(page: Page, alphas: Sequence[float]) -> dict[str, Any]:
    """The texts as far as they are written, with the words that differ."""
    split = [words(text) for text in page.texts]
    return {
        "kind": "page",
        "prompt": str(page.spec.prompts[0]),
        "words": split,
        "diff": word_diff(split, ends(alphas)),
        "notes": page.notes,
        "tokens": sum(map(len, page.tokens)),
        "step": max(map(len, page.tokens)),
        "of": page.spec.max_new_tokens,
        "done": page.done,
    }


def bars_message(index: int, word: int, bars: Bars) -> dict[str, Any]:
    return {"kind": "bars", "index": index, "word": word, "context": bars.context, "labels": bars.labels, "p": bars.p}


def error_message(error: Exception, kind: str = "error") -> dict[str, Any]:
    text = str(error) if isinstance(error, LerpError) else f"{type(error).__name__}: {error}"
    return {"kind": kind, "text": text}


def spec_from(message: dict[str, Any], before: Prompt = "") -> Continuations:
    """The prompt and the sampling that the widget asks for."""
    settings, prompt = {}, checked_prompt(message["prompt"], before)
    for name, kind in SETTINGS.items():
        value = message[name]
        if not isinstance(value, int | float) or kind is int and value != int(value):
            raise ProbeError(f"explore({name}): got {value!r}.\nIt takes a {'whole ' if kind is int else ''}number.")
        settings[name] = kind(value)
    return Continuations((prompt,), n_samples=1, **settings)


def checked_prompt(prompt: Any, before: Prompt = "") -> Prompt:
    """A prompt without the space at its end: tokenizers put a word's space before it. After a chat before it, a text is
    the last message of the same chat.

    >>> checked_prompt("The film ")
    'The film'
    """
    if isinstance(prompt, Chat) or isinstance(prompt, list):
        return prompt if isinstance(prompt, Chat) else Chat.of(prompt)
    if not isinstance(prompt, str) or not prompt.strip():
        raise ProbeError(f"explore(prompt): got {prompt!r}.\nType one or more words for the model to continue.")
    text = re.sub(r"\s+$", "", prompt)
    return before.asking(text) if isinstance(before, Chat) else text


def curve_lines(curve: Curve | None) -> list[dict[str, Any]]:
    """Strengths and losses of a curve, else its first quantity and those that share its unit; None for NaN."""
    if curve is None:
        return []
    names = curve.of_kind(*ATTRIBUTES, "loss")
    names = names or [q for q in curve.quantities if curve.unit(q) == curve.unit(curve.quantities[0])]
    lines = []
    for name in names[:MAX_LINES]:
        columns = {column: [v if np.isfinite(v) else None for v in curve[name][column]] for column in curve[name]}
        lines.append({"name": name, "unit": curve.unit(name), **columns})
    return lines
