"""The widget in the browser, and whether a person is there to see it."""

import sys
from pathlib import Path

import anywidget

from lerpnb.utils.progress import is_batch

STATIC = Path(__file__).parent / "static"


class ExplorerWidget(anywidget.AnyWidget):
    """The widget: it carries messages, and has no state that a saved notebook could hold."""

    _esm = STATIC / "widget.js"
    _css = STATIC / "widget.css"


def is_interactive() -> bool:
    """Whether a person is at this kernel: no runner started it, and the cell's front end could ask for input.

    nbconvert, papermill and other programs that execute notebooks say to the kernel that they take no input.

    >>> is_interactive()
    False
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None or is_batch():
        return False
    return bool((kernel.get_parent("shell") or {}).get("content", {}).get("allow_stdin"))
