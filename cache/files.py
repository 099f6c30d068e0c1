"""Every change the cache makes on disk goes through these few functions.

They are few so that a test can stand in for all of them and let each one fail, half-succeed or be the last thing a
process ever did. Callers write ``files.write_at(...)``, never ``from cache.files import write_at``.
"""

from __future__ import annotations

import errno
import functools
import os
import warnings
from contextlib import suppress
from pathlib import Path

from cache.errors import CacheError, CacheWarning

Buffer = bytes | bytearray | memoryview

_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)
"""What CIFS and some FUSE and network file systems answer when a folder is to be synced."""


def create(path: Path) -> int:
    """Open a new file for writing; an existing one is refused, so nothing is ever truncated."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def write_at(descriptor: int, offset: int, data: Buffer) -> None:
    """Write all of ``data`` at ``offset``, however many system calls it takes."""
    left = memoryview(data).cast("B")
    while len(left):
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def set_length(descriptor: int, length: int) -> None:
    """Give the file its final length; bytes not written yet read as zeros."""
    os.ftruncate(descriptor, length)


def sync(descriptor: int) -> None:
    """Return once the file's bytes are on the medium."""
    os.fsync(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor that ``create`` returned."""
    os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    """Publish ``source`` under the name ``target``, replacing what was there in one step."""
    os.replace(source, target)


def set_aside(path: Path, target: Path) -> None:
    """Give a file the name ``target``; where the disk has links it keeps its own as well, until that is given away."""
    try:
        os.link(path, target)
    except OSError:
        os.replace(path, target)


def unlink(path: Path) -> None:
    """Delete a file; one that is already gone is fine."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Delete an empty folder; one that is gone or not empty stays as it is."""
    with suppress(OSError):
        path.rmdir()


def make_folder(path: Path) -> None:
    """Create one folder; one that exists is fine."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)


def sync_folder(path: Path) -> None:
    """Return once the names in this folder are on the medium."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
        _warn_of_names(error.strerror or str(error))
    finally:
        os.close(descriptor)


@functools.cache
def _warn_of_names(why: str) -> None:
    """Once a process: what is promised without folders that can be synced."""
    warnings.warn(
        CacheWarning(f"this file system cannot sync folders ({why}): a kill loses nothing, a power cut may lose files"),
        stacklevel=2,
    )


def write_new(path: Path, data: Buffer) -> None:
    """Write ``data`` as a new file, on the medium when this returns; its name is durable once the folder is synced."""
    descriptor = create(path)
    try:
        write_at(descriptor, 0, data)
        sync(descriptor)
    finally:
        close(descriptor)


def write_whole(path: Path, data: Buffer) -> None:
    """Write ``data`` as the file ``path`` in one step, durable when this returns: readers see all of it, or what was
    there before.

    It grows beside ``path`` under a hidden name, which a failure removes again. Raises OSError as the system does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unlink(temporary)
    try:
        write_new(temporary, data)
        rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            unlink(temporary)
        raise
    sync_folder(path.parent)


def make_folders(path: Path) -> None:
    """Create ``path`` and its missing parents and make their names durable.

    The names of the last few levels are synced also when they exist: a killed process may have made them.
    """
    if path.exists() and not path.is_dir():
        raise CacheError(f"{path} is not a folder; choose another place for the cache.")
    for folder in reversed([path, *path.absolute().parents]):
        make_folder(folder)
    for folder in path.absolute().parents[:3]:
        with suppress(PermissionError):
            sync_folder(folder)
