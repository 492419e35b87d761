"""The widget in the browser, and whether there is one to see it. It knows no torch."""

import sys
from pathlib import Path

import anywidget
import numpy as np

from lerpnb.results.curve import Curve
from lerpnb.utils.progress import is_batch

HERE = Path(__file__).parent


MOST_LINES = 6  # of a walk, that are drawn


class ExplorerWidget(anywidget.AnyWidget):
    """The widget: it carries messages, and has no state that a saved notebook could hold."""

    _esm = HERE / "static" / "widget.js"
    _css = HERE / "static" / "widget.css"


def is_interactive() -> bool:
    """Whether a person is at this kernel: no runner started it, and the cell's front end could ask for input.

    nbconvert, papermill and other programs that execute notebooks tell the kernel that they take no input.

    >>> is_interactive()
    False
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None or is_batch():
        return False
    return bool((kernel.get_parent("shell") or {}).get("content", {}).get("allow_stdin"))


def lines_of(curve: Curve | None) -> list[dict]:
    """Strengths and losses of a curve, else its first quantity and those that share its unit, for the face to draw."""
    if curve is None:
        return []
    names = [q for kind in ("strength/", "loss/") for q in curve.quantities if q.startswith(kind)]
    names = names or [q for q in curve.quantities if curve.unit(q) == curve.unit(curve.quantities[0])]
    found = []
    for name in names[:MOST_LINES]:
        columns = {column: [v if np.isfinite(v) else None for v in curve[name][column]] for column in curve[name]}
        found.append({"name": name, "unit": curve.unit(name), **columns})
    return found
