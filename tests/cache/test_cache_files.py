"""A small file is written whole and durable, or what was there before stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cache import files

STEPS = ("create", "write_at", "sync", "close", "rename", "sync_folder")


def test_a_file_is_written_synced_and_named_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    for name in STEPS:
        real = getattr(files, name)
        monkeypatch.setattr(files, name, lambda *given, name=name, real=real: (done.append(name), real(*given))[1])
    files.write_whole(tmp_path / "one.json", b"1")
    assert tuple(done) == STEPS
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("one.json", b"1")]


@pytest.mark.parametrize("name", STEPS[:-1])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.json"
    files.write_whole(path, b"before")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files, name, full)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"after")
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == [("one.json", b"before")]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".one.json.{os.getpid()}.tmp").write_bytes(b"half")
    files.write_whole(tmp_path / "one.json", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "one.json", b"again")
