"""A run's folder on disk: written under a hidden name and renamed when whole, every file listed with its SHA-256.

What is seen is durable: every file and folder is on the medium before the name is.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from cache import files
from pipeline.errors import DataError, UsageError

# the name and form that the command sha256sum writes and, with --check, reads
SUMS = "SHA256SUMS"
LONGEST = 60

_LEFTOVER = re.compile(r"\.\d{8}T\d{6}-.*\.\d+")


def plain_name(*parts: str) -> str:
    """The parts with "-" between, as every file system takes them: each at most `LONGEST` plain characters."""
    return "-".join(re.sub(r"[^A-Za-z0-9._-]+", "_", part)[:LONGEST] for part in parts)


def write_folder(runs: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Have `fill` write files into a hidden folder of `runs`, make them durable, and give the folder its name: `name`,
    or the next one after it that is free (`name`+, `name`++, ...). Returns the folder.

    Hidden folders of writers that were killed are cleared away first. Raises `UsageError` where `runs` is a file, and
    what `fill` and the system raise; nothing is left of the new folder then.
    """
    if runs.exists() and not runs.is_dir():
        raise UsageError(f"{runs} is not a folder; choose another --output for the runs.")
    files.make_folders(runs)
    for leftover in runs.iterdir():
        if _LEFTOVER.fullmatch(leftover.name):
            _clear(leftover)
    building, held = _claim(runs, name)
    try:
        fill(building)
        _make_durable(building)
        return _publish(building, runs, name)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    finally:
        os.close(held)


def read_file(folder: Path, name: str, sums: Mapping[str, str] | None) -> bytes:
    """The file `name` of a run's folder, checked against `sums` where there are any.

    Raises `DataError` where it is absent, a link or a pipe, not readable, or not what was written.
    """
    data = _read(folder, name)
    if sums is not None and hashlib.sha256(data).hexdigest() != sums.get(name):
        raise not_whole(folder, f"{name} is not what was written; its SHA-256 in {SUMS} is another")
    return data


def read_sums(folder: Path) -> dict[str, str] | None:
    """Per file of the run its SHA-256, 64 hex digits; None for a run of an earlier version, which has no such list.

    Raises `DataError` where the list is damaged.
    """
    if not os.path.lexists(folder / SUMS):
        return None
    sums = {}
    for line in _read(folder, SUMS).decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if not (name and re.fullmatch("[0-9a-f]{64}", digest)):
            raise not_whole(folder, f"{SUMS} is damaged")
        sums[name] = digest
    return sums


def not_whole(folder: Path, why: str) -> DataError:
    """The error to raise where `folder` is not a run, or lacks something of one."""
    return DataError(f"{folder} holds no whole run ({why}).")


def _read(folder: Path, name: str) -> bytes:
    try:
        # a pipe is opened without waiting for its other end, and refused below
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise not_whole(folder, f"{name} is not a regular file")
            return stream.read()
    except OSError as error:
        why = "is a link" if error.errno == errno.ELOOP else type(error).__name__
        raise not_whole(folder, f"{name}: {why}") from error


def _claim(runs: Path, name: str) -> tuple[Path, int]:
    """A hidden folder that only this writer has, and the descriptor whose lock says so as long as it lives."""
    for number in itertools.count():
        building = runs / f".{name}{'+' * number}.{os.getpid()}"
        try:
            building.mkdir()
        except FileExistsError:
            continue
        try:
            held = os.open(building, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another writer took it for a leftover before it was locked
        if _locked(held) and _is_at(building, held):
            return building, held
        os.close(held)
    raise AssertionError


def _locked(descriptor: int) -> bool:
    """Whether nobody else holds the folder, as who takes it for a leftover does while removing it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # where the file system knows no locks, nobody clears anything away either
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the opened folder is still the one of this name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _clear(leftover: Path) -> None:
    """Remove a hidden folder whose writer is gone: its lock can be had. One that is being written stays."""
    with suppress(OSError):
        descriptor = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover)
        finally:
            os.close(descriptor)


def _make_durable(folder: Path) -> None:
    """Put every file below `folder` on the medium, and beside them the list of their digests."""
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        lines.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    files.write_new(folder / SUMS, "".join(lines).encode())
    for path in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        files.sync_folder(path)


def _publish(building: Path, runs: Path, name: str) -> Path:
    """Rename to the first of the names that nobody has, also where another job takes one in the same moment."""
    for number in itertools.count():
        target = runs / (name + "+" * number)
        if os.path.lexists(target):
            continue
        try:
            files.rename(building, target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                continue
            raise
        files.sync_folder(runs)
        return target
    raise AssertionError
