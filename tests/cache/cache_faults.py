"""Stand-ins for ``cache.files``: count every operation, let one fail, or let one be the last of the process."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cache_support import make_rows, salts_of, settings

from cache import CacheError, FeatureFile, FeatureWriter, files

OPERATIONS = (
    "create",
    "write_at",
    "set_length",
    "sync",
    "rename",
    "set_aside",
    "unlink",
    "remove_folder",
    "make_folder",
    "sync_folder",
)
# (start, stop, salt) of each commit: growth, replacing rows across two parts, a grown dataset after a seal.
COMMITS = [(0, 4, 0), (4, 7, 0), (2, 6, 1), (7, 10, 0)]
FINAL_SALTS = [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


class Killed(BaseException):
    """The process is gone: nothing it does from here on happens."""


class Fault:
    """Acts at operation number ``at`` (from 0): before it, or halfway through it if it is a write."""

    def __init__(self, at: int, half: bool, error: int | None) -> None:
        self.at, self.half, self.error = at, half, error
        self.count = 0
        self.names: list[str] = []
        self.dead = False

    def wrap(self, name: str, real: Callable) -> Callable:
        def operation(*arguments):
            if self.dead:
                raise Killed
            self.names.append(name)
            self.count += 1
            if self.count - 1 != self.at:
                return real(*arguments)
            if self.half:
                descriptor, offset, data = arguments
                real(descriptor, offset, memoryview(data).cast("B")[: len(data) // 2])
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            self.dead = True
            raise Killed

        return operation


@contextmanager
def faulty(monkeypatch, at: int = -1, half: bool = False, error: int | None = None) -> Iterator[Fault]:
    """Run with the fault in place."""
    fault = Fault(at, half, error)
    with monkeypatch.context() as patch:
        for name in OPERATIONS:
            patch.setattr(files, name, fault.wrap(name, getattr(files, name)))
        yield fault


def run_all(path: Path, acknowledged: list[tuple[int, int, int]]) -> None:
    """A whole life of a cache file, from wherever it is: commits, a seal, a grown dataset, a second seal."""
    with FeatureWriter(path, **settings()) as writer:
        for number, (start, stop, salt) in enumerate(COMMITS):
            if not _is_there(writer.committed, start, stop, salt):
                writer.commit(start, make_rows(start, stop, salt))
            acknowledged.append((start, stop, salt))
            if number == 2:
                writer.seal()
        writer.seal()


def check_state(path: Path, acknowledged: list[tuple[int, int, int]]) -> None:
    """Readers see every acknowledged row, no garbage, and no state between two commits."""
    try:
        with FeatureFile.open(path) as file:
            salts = salts_of(file).tolist()
    except CacheError as error:
        assert "no feature cache" in str(error)
        salts = []
    states = [_after(count) for count in range(len(COMMITS) + 1)]
    assert salts in states[len(acknowledged) :], f"{salts} is no state at or after {acknowledged}"


def check_final(path: Path) -> None:
    """The arrays are those of an uninterrupted run and nothing lies about."""
    with FeatureFile.open(path) as file:
        assert file.sealed
        assert salts_of(file).tolist() == FINAL_SALTS
        assert file.verify().ok
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def _after(count: int) -> list[int]:
    salts: list[int] = []
    for start, stop, salt in COMMITS[:count]:
        salts[start:stop] = [salt] * (stop - start)
    return salts


def _is_there(file: FeatureFile | None, start: int, stop: int, salt: int) -> bool:
    """Whether rows are committed with this salt or a later one."""
    if file is None or file.n < stop:
        return False
    found = file.stamps("image")[start:stop].astype(int) - [row * 10 for row in range(start, stop)]
    return bool((found >= salt).all())


DISK_ERRORS = (errno.ENOSPC, errno.EIO)
