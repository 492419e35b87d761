"""Files and folders that are whole or absent: errors, interrupts, two processes at once."""

import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from lerpnb.utils import atomic
from lerpnb.utils.atomic import atomic_file, atomic_folder, drop_folder, replace_folder


def write_many(folder: Path, letter: str) -> None:
    for _ in range(200):
        with atomic_file(folder / "file") as temporary:
            temporary.write_text(letter * 100_000)


def replace_many(folder: Path, letter: str) -> None:
    for _ in range(100):
        with atomic_folder(folder / "made") as temporary:
            for name in "ab":
                (temporary / name).write_text(letter)


def keep_one(folder: Path, letter: str) -> None:
    with atomic_folder(folder / "made", keep="a") as temporary:
        (temporary / "a").write_text(letter)


def both(work, folder: Path) -> list[int]:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(folder, letter)) for letter in "xy"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_is_not_finished_leaves_the_last_file_as_it_was(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), atomic_file(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("keep", [None, "a"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_is_not_finished_leaves_the_last_folder_as_it_was(tmp_path, error, keep):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a").write_text("old")
    with pytest.raises(error), atomic_folder(tmp_path / "made", keep) as temporary:
        (temporary / "a").write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["made"] and (tmp_path / "made" / "a").read_text() == "old"


def test_a_folder_that_cannot_be_put_in_place_brings_the_old_one_back(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)  # as on other systems than Linux
    (tmp_path / "made").mkdir()
    (tmp_path / "new").mkdir()
    replace, calls = os.replace, []

    def interrupted(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    (tmp_path / "made" / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "new", tmp_path / "made")
    assert (tmp_path / "made" / "a").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made", "new"]


def test_a_kept_folder_is_not_replaced_and_one_without_its_mark_is_an_error(tmp_path):
    keep_one(tmp_path, "x")
    keep_one(tmp_path, "y")
    assert (tmp_path / "made" / "a").read_text() == "x"
    (tmp_path / "made" / "a").rename(tmp_path / "made" / "other")
    with pytest.raises(OSError):
        keep_one(tmp_path, "z")
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another_or_of_none(tmp_path, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    for text in ("old", "new", "newer"):
        with atomic_folder(tmp_path / "made") as temporary:
            (temporary / "a").write_text(text)
        assert (tmp_path / "made" / "a").read_text() == text
        assert [p.name for p in tmp_path.iterdir()] == ["made"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders in one step")
def test_a_replaced_folder_is_there_at_every_moment(tmp_path, monkeypatch):
    """A break at any call of the system leaves the old folder or the new one in its place."""
    (tmp_path / "made").mkdir()
    seen = []
    for name in ("replace", "rmdir", "unlink", "stat", "lstat"):
        monkeypatch.setattr(os, name, watched(getattr(os, name), tmp_path / "made", seen))
    (tmp_path / "new").mkdir()
    replace_folder(tmp_path / "new", tmp_path / "made")
    assert len(seen) > 2 and all(seen)


def watched(call, path: Path, seen: list[bool]):
    listed = os.scandir

    def first(*args, **options):
        with listed(path.parent) as inside:
            seen.append(path.name in [entry.name for entry in inside])
        return call(*args, **options)

    return first


def test_a_link_is_neither_replaced_nor_followed(tmp_path):
    outside, link = tmp_path / "outside", tmp_path / "made"
    outside.mkdir()
    (outside / "precious").touch()
    link.symlink_to(outside)
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError, match="made has become a link to elsewhere"):
        replace_folder(tmp_path / "new", link)
    with pytest.raises(OSError, match="made is a link to elsewhere"):
        drop_folder(link)
    assert link.is_symlink() and [p.name for p in outside.iterdir()] == ["precious"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made", "new", "outside"]


def test_rests_of_a_killed_process_go_and_those_of_a_live_one_stay(tmp_path):
    (tmp_path / ".file.0123abcd.tmp").touch()
    (tmp_path / ".file.0123abce.tmp").mkdir()
    (tmp_path / ".file2.0123abcd.tmp").touch()  # of another file
    with atomic_file(tmp_path / "file") as first:
        first.write_text("first")
        with atomic_file(tmp_path / "file") as second:
            second.write_text("second")
        assert first.exists()
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([first.name, ".file2.0123abcd.tmp", "file"])
    assert (tmp_path / "file").read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".file2.0123abcd.tmp", "file"]


@pytest.mark.slow
def test_two_processes_leave_one_whole_file_or_folder(tmp_path):
    assert both(write_many, tmp_path) == [0, 0]
    assert (tmp_path / "file").read_text() in ("x" * 100_000, "y" * 100_000)
    assert both(replace_many, tmp_path) == [0, 0]
    assert len({(tmp_path / "made" / name).read_text() for name in "ab"}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "made"]
