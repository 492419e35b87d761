"""Files and folders that are whole or absent, whatever ends the process that writes them; a disk's errors in words."""

import ctypes
import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lerpnb.errors import LerpError

try:
    import fcntl
except ImportError:  # on Windows, where what a killed process left stays
    fcntl = None  # type: ignore[assignment]

TRIES = 10  # to put a folder in place while other processes do the same
HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2
WAY_OUT = "Make room there, or name another place. What was there before is as it was."


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; what is written there takes its place when the block ends well.

    It is not forced to the disk (fsync): a machine that loses power may lose the last files, a killed process none.
    What a killed process left of the same file is removed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting"
    >>> with atomic_file(path) as temporary:
    ...     temporary.write_text("hello")
    5
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('hello', 1)
    """
    with temporary_beside(path, Path.touch) as temporary:
        yield temporary
        os.replace(temporary, path)
    _sweep(path)


def write_whole(path: Path, text: str) -> None:
    """Write a text file by `atomic_file`, in UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path, keep: str | None = None) -> Iterator[Path]:
    """Yield a new folder beside `path`; it takes that place, with what is put in it, when the block ends well.

    `keep` is a file that marks a whole folder: where another process has put one there meanwhile, that one stays.
    Without it the new folder replaces whatever is there. What a killed process left of the same folder is removed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting"
    >>> with atomic_folder(path) as temporary:
    ...     (temporary / "text").write_text("hello")
    5
    >>> (path / "text").read_text(), len(list(path.parent.iterdir()))
    ('hello', 1)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path, Path.mkdir) as temporary:
        yield temporary
        try:
            (os.replace if keep else replace_folder)(temporary, path)
        except OSError:
            if not keep or not (path / keep).is_file():  # else another process was faster
                raise
    _sweep(path)


def replace_folder(new: Path, path: Path) -> None:
    """Put the folder `new` in place of `path`; of two at once the later stays.

    Linux exchanges the two, so that one of them is there at every moment; elsewhere the old one is set aside first. A
    link is never replaced: `OSError`.
    """
    for attempt in range(TRIES):
        if path.is_symlink():
            raise OSError(errno.ELOOP, f"{path.name} has become a link to elsewhere")
        try:
            if not path.exists():
                os.replace(new, path)
            elif not _exchange(new, path):
                _set_aside_and_replace(new, path)
            elif new.is_symlink():  # put there since
                _exchange(new, path)
                continue
            break
        except FileNotFoundError:
            if not new.exists() or attempt == TRIES - 1:
                raise
        except OSError as error:  # another process may have put its own there in between
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == TRIES - 1:
                raise
    with suppress(OSError):  # where nothing was there before, or another process has swept it away
        drop_folder(new, path)
    _sweep(path)


def drop_folder(folder: Path, of: Path | None = None) -> None:
    """Delete a folder that nobody is to see half deleted: it is hidden first, as a rest of `of`. A link is an error."""
    hidden = _name(of or folder)
    os.replace(folder, hidden)
    if hidden.is_symlink():
        os.replace(hidden, folder)
        raise OSError(errno.ELOOP, f"{folder.name} is a link to elsewhere")
    shutil.rmtree(hidden, ignore_errors=True)


def refuse_links(path: Path) -> None:
    """Refuse a path that was resolved before and leads through a link by now: whoever follows it writes elsewhere."""
    if path.resolve() != path:
        raise OSError(errno.ELOOP, f"a link to elsewhere has taken the place of {path.name} or of a folder above it")


@contextmanager
def disk_errors(kind: type[LerpError], call: str, path: Path | str, way_out: str = WAY_OUT) -> Iterator[None]:
    """What the disk refuses in this block is told as a `kind`: the call, the path, why, and the way out.

    >>> with disk_errors(LerpError, "save()", "runs/demo"):
    ...     raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    Traceback (most recent call last):
    lerpnb.errors.LerpError: save(): cannot write runs/demo: No space left on device.
    Make room there, or name another place. What was there before is as it was.
    """
    try:
        yield
    except LerpError:
        raise
    except Exception as error:
        if (reason := disk_reason(error)) is None:
            raise
        raise kind(f"{call}: cannot write {path}: {reason}.\n{way_out}") from error


def disk_reason(error: Exception) -> str | None:
    """Why a disk refuses, in words; None of another error. Of a library in Rust only the text tells the number.

    >>> disk_reason(Exception("I/O error: (os error 28)"))
    'No space left on device'
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(found[1])
    if number == errno.ELOOP and isinstance(error, OSError):  # our own words
        return error.strerror
    return None if number is None else os.strerror(number)


def _name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextmanager
def temporary_beside(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A temporary file or folder beside `path`, with a lock that ends with this process; gone when the block ends."""
    while True:
        temporary = _name(path)
        make(temporary)
        handle = _lock(temporary, wait=True)
        if temporary.exists():
            break
        _unlock(handle)  # another process has taken it for a rest: it looked just before the lock
    try:
        yield temporary
    finally:
        _remove(temporary)
        _unlock(handle)


def _sweep(path: Path) -> None:
    """Remove what processes left of `path` that were killed while they wrote it: nobody has a lock on it."""
    rest = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}}\.tmp|old-[0-9a-f]{{8}})")
    with suppress(OSError):
        for left in [path.with_name(name) for name in os.listdir(path.parent) if rest.fullmatch(name)]:
            if (handle := _lock(left, wait=False)) is not None:
                _remove(left)
                _unlock(handle)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()


def _lock(path: Path, wait: bool) -> int | None:
    """A lock on a file or a folder; None where another process has it, or the system has no such locks."""
    if fcntl is None:
        return None
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return handle
        except OSError:
            os.close(handle)
    return None


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        return False
    if rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    if ctypes.get_errno() == errno.ENOENT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(other))
    return False


def _set_aside_and_replace(new: Path, path: Path) -> None:
    aside = path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:8]}")
    os.replace(path, aside)
    try:
        os.replace(new, path)
    finally:
        if path.exists():
            _remove(aside)
        else:
            with suppress(OSError):
                os.replace(aside, path)
