"""Hashes of files are those of their content now, whatever was noted, and are taken once."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from lerpnb.utils import file_hashes
from lerpnb.utils.file_hashes import file_sha256


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    """A file that counts as large and as old, with a cache of its own."""
    monkeypatch.setenv("LERPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(file_hashes, "LARGE", 8)
    monkeypatch.setattr(file_hashes, "SETTLED", -1.0)
    monkeypatch.setattr(file_hashes, "_known", {})
    (tmp_path / "weights").write_bytes(b"a" * 100)
    return tmp_path / "weights"


def notes(file: Path) -> list[Path]:
    return list((file.parent / "cache" / "hashes").glob("*"))


def of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_another_process_reads_the_note_and_not_the_file(file, monkeypatch):
    assert file_sha256(file) == of(b"a" * 100) and len(notes(file)) == 1
    monkeypatch.setattr(file_hashes, "_known", {})  # as a new process has it
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert file_sha256(file) == of(b"a" * 100)


def test_a_small_file_has_no_note_and_is_read_once(file, monkeypatch):
    monkeypatch.setattr(file_hashes, "LARGE", 1000)
    assert file_sha256(file) == of(b"a" * 100) and notes(file) == []
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert file_sha256(file) == of(b"a" * 100)


def test_another_content_of_the_same_size_and_time_is_seen(file):
    file_sha256(file)
    before = file.stat()
    file.write_bytes(b"b" * 100)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file_sha256(file) == of(b"b" * 100)


def test_a_file_put_in_its_place_is_seen(file):
    file_sha256(file)
    before = file.stat()
    (other := file.with_name("other")).write_bytes(b"b" * 100)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert file_sha256(file) == of(b"b" * 100)


def test_a_young_file_is_neither_noted_nor_remembered(file, monkeypatch):
    monkeypatch.setattr(file_hashes, "SETTLED", 3600.0)
    assert file_sha256(file) == of(b"a" * 100)
    assert notes(file) == [] and file_hashes._known == {}


def test_one_that_is_written_to_meanwhile_is_not_noted(file, monkeypatch):
    digest = hashlib.file_digest

    def late(stream, name):
        found = digest(stream, name)
        file.write_bytes(b"c" * 101)
        return found

    monkeypatch.setattr(hashlib, "file_digest", late)
    assert file_sha256(file) == of(b"a" * 100) and notes(file) == []
    monkeypatch.setattr(hashlib, "file_digest", digest)
    assert file_sha256(file) == of(b"c" * 101)


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"file": 1}', "\0"])
def test_a_damaged_note_is_passed_over(file, monkeypatch, damage):
    file_sha256(file)
    notes(file)[0].write_text(damage)
    monkeypatch.setattr(file_hashes, "_known", {})
    assert file_sha256(file) == of(b"a" * 100)


def test_a_note_with_half_a_hash_is_passed_over(file, monkeypatch):
    file_sha256(file)
    note = json.loads(notes(file)[0].read_text())
    notes(file)[0].write_text(json.dumps(note | {"sha256": note["sha256"][:10]}))
    monkeypatch.setattr(file_hashes, "_known", {})
    assert file_sha256(file) == of(b"a" * 100)


def test_without_a_folder_for_notes_the_hash_is_the_same(file):
    (file.parent / "cache").write_text("a file, where a folder would be")
    assert file_sha256(file) == of(b"a" * 100)
