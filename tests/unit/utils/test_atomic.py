"""Files and folders that are whole or absent: errors, interrupts, two processes at once."""

import multiprocessing
import os
from pathlib import Path

import pytest

from lerpnb.utils.atomic import atomic_file, atomic_folder, replace_folder


def write_many(folder: Path, letter: str) -> None:
    for _ in range(200):
        with atomic_file(folder / "file") as temporary:
            temporary.write_text(letter * 100_000)


def replace_many(folder: Path, letter: str) -> None:
    for _ in range(100):
        with atomic_folder(folder / "made") as temporary:
            temporary.mkdir()
            for name in "ab":
                (temporary / name).write_text(letter)


def keep_one(folder: Path, letter: str) -> None:
    with atomic_folder(folder / "made", keep="a") as temporary:
        temporary.mkdir()
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
        temporary.mkdir()
        (temporary / "a").write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["made"] and (tmp_path / "made" / "a").read_text() == "old"


def test_a_folder_that_cannot_be_put_in_place_brings_the_old_one_back(tmp_path, monkeypatch):
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


@pytest.mark.slow
def test_two_processes_leave_one_whole_file_or_folder(tmp_path):
    assert both(write_many, tmp_path) == [0, 0]
    assert (tmp_path / "file").read_text() in ("x" * 100_000, "y" * 100_000)
    assert both(replace_many, tmp_path) == [0, 0]
    assert len({(tmp_path / "made" / name).read_text() for name in "ab"}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "made"]
