"""Files and folders that are whole or absent, whatever ends the process that writes them."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TRIES = 10  # to put a folder in place while other processes do the same


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there takes its place when the block ends well.

    It is not forced to the disk (fsync): a machine that loses power may lose the last files, a killed process none.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting"
    >>> with atomic_file(path) as temporary:
    ...     temporary.write_text("hello")
    5
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('hello', 1)
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a text file by `atomic_file`, in UTF-8."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path, keep: str | None = None) -> Iterator[Path]:
    """Yield a path for a new folder beside `path`; what is made there takes its place when the block ends well.

    `keep` is a file that marks a whole folder: where another process has put one there meanwhile, that one stays.
    Without it the new folder replaces whatever is there.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting"
    >>> with atomic_folder(path) as temporary:
    ...     temporary.mkdir()
    ...     (temporary / "text").write_text("hello")
    5
    >>> (path / "text").read_text(), len(list(path.parent.iterdir()))
    ('hello', 1)
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        try:
            (os.replace if keep else replace_folder)(temporary, path)
        except OSError:
            if not keep or not (path / keep).is_file():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, path: Path) -> None:
    """Put the folder `new` in place of `path`, which is set aside until then; of two at once the later stays."""
    aside: list[Path] = []
    placed = False
    try:
        for attempt in range(TRIES):
            aside.append(path.with_name(f".{path.name}.old-{uuid.uuid4().hex[:8]}"))
            with suppress(FileNotFoundError):
                os.replace(path, aside[-1])
            try:
                os.replace(new, path)
                placed = True
                return
            except OSError as error:  # another process may have put its own there in between
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or attempt == TRIES - 1:
                    raise
    finally:
        last = next((old for old in reversed(aside) if old.exists()), None)
        if last and not placed and not path.exists():
            with suppress(OSError):
                os.replace(last, path)
        if placed or path.exists():
            for old in aside:
                shutil.rmtree(old, ignore_errors=True)
