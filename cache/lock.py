"""One writer per cache file, by an advisory lock that the kernel takes back from a dead owner.

The lock is on a file of its own beside the cache, so that asking for it never touches the cache. It is ``flock``: on a
network file system it works as far as that file system passes it on (NFS does between machines of a current Linux,
when its lock service runs); where it does not, let only one machine write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import weakref
from contextlib import suppress
from pathlib import Path

from cache.errors import CacheBusy, CacheError

_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A held lock; ``release`` gives it back."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        _held.add(self)

    def release(self) -> None:
        """Give the lock back and remove its file; a second call does nothing."""
        if self._descriptor is not None:
            with suppress(OSError):
                self.path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close this process's handle without giving the owner's lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def acquire(target: Path) -> Lock:
    """Lock the cache file ``target`` for writing.

    Raises CacheBusy when another writer, in this process or any other, has it, and CacheError when the lock file
    cannot be made.
    """
    path = target.with_name(target.name + ".lock")
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise CacheError(f"The lock file {path} cannot be made: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(descriptor, path):
                _sign(descriptor)
                return Lock(path, descriptor)
            os.close(descriptor)
        except OSError as error:
            owner = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise CacheBusy(f"{target} is being written by {owner}; wait for it to end or stop it.") from error
            raise CacheError(f"{path} cannot be locked: {error.strerror}.") from error


def _is_named(descriptor: int, path: Path) -> bool:
    """Whether the locked file still has its name: its last owner may have removed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Say who holds the lock; only a courtesy, so a full disk does not matter."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


# A forked child shares the lock: a worker that outlives its killed parent would keep everyone out.
os.register_at_fork(after_in_child=_forget_all)
