"""The process of a batch kernel: ipykernel, which ends with its children when its runner is gone.

On Linux it adopts what its children leave behind, in whatever session, so that nothing that a notebook starts outlives
its run. Elsewhere what has left its parents before it was seen, within half a second, is not found again.
"""

import atexit
import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from lerpnb.utils.atomic import refuse_links
from lerpnb.utils.environment import DEVICE

PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl


def main() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    gc.set_threshold(20_000, 20, 20)  # most of what imports make stays: looking through it less often saves a second
    atexit.register(gc.freeze)  # and looking for what to free in a process that ends, two
    atexit.register(_end_children)
    runner = int(os.environ.get("JPY_PARENT_PID", 0))
    if runner > 1 and hasattr(os, "getpgrp"):
        os.environ["JPY_PARENT_PID"] = "1"  # ipykernel's own check would leave the kernel's children behind
        threading.Thread(target=_follow, args=(runner,), daemon=True).start()
    atexit.register(_note_device)
    if Path(sys.path[0] or ".").resolve() == Path.cwd():  # IPython adds it itself, where it belongs
        del sys.path[0]
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def _follow(runner: int) -> None:
    """End this process, and all that it started, once its runner is no longer its parent."""
    while os.getppid() == runner:
        time.sleep(0.5)
    _end_children()
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _end_children() -> None:
    with suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


def _note_device() -> None:
    torch, file = sys.modules.get("torch"), os.environ.get(DEVICE)
    if torch is None or not file:
        return
    with suppress(Exception):  # a note at the end must not spoil what was done
        note = {"device": f"cpu, {torch.get_num_threads()} threads"}
        if torch.cuda.is_initialized():
            note = {"device": torch.cuda.get_device_name(), "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated()}
        refuse_links(Path(file).parent)
        Path(file).write_text(json.dumps(note), encoding="utf-8")


if __name__ == "__main__":
    main()
