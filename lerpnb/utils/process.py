"""Processes: which one this is, in a form that another process on any machine can check."""

import functools
import hashlib
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil


def process_identity() -> dict:
    """This process: its machine, its number, and when it began.

    >>> is_gone(process_identity()), is_gone(process_identity() | {"pid": 2**22 + 1})
    (False, True)
    """
    return {"machine": machine(), "pid": os.getpid(), "born": _born(os.getpid())}


def is_gone(identity: dict) -> bool:
    """Whether a process of this machine no longer lives; False where it is another machine's, which nobody can tell."""
    return identity.get("machine") == machine() and _born(identity.get("pid", -1)) != identity.get("born")


@functools.cache
def machine() -> str:
    """This machine, this start of it and this namespace of process numbers; hashed, since it names a machine."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


def _born(pid: int) -> float | None:
    """When the process of that number began; None where there is none, or a zombie."""
    with suppress(OSError, IndexError):  # ticks since the machine's start: psutil's time moves when the clock is set
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else float(rest[18])
    with suppress(psutil.Error, ValueError, TypeError):
        return psutil.Process(pid).create_time()
    return None


def graphics_cards() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without torch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    asked = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return asked.stdout.split() if asked.returncode == 0 else []
