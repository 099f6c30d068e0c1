"""One writer per cache file, by an advisory lock that the kernel takes back from a dead owner.

The lock is on a file of its own beside the cache, so that asking for it never touches the cache. It is ``flock``: on a
network file system it works as far as that file system passes it on (NFS does between machines of a current Linux,
when its lock service runs). Where the file system has no such lock, the owner is who created the file ``<name>.owner``,
which no two processes can; that of a process of this machine that is gone is taken over, that of another machine is
left to the user.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
import warnings
import weakref
from contextlib import suppress
from pathlib import Path

from cache.errors import CacheBusy, CacheError, CacheWarning

_NO_FLOCK = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

_SIGNED_WITHIN = 60.0
"""Seconds within which whoever creates an owner's file writes its name into it, if not killed in between."""

_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A held lock; ``release`` gives it back. Without a ``descriptor`` it is held by the existence of ``path``."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor
        self._ours = True
        _held.add(self)

    def release(self) -> None:
        """Give the lock back and remove its file; a second call does nothing."""
        if self._ours:
            with suppress(OSError):
                self.path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close this process's handle without giving the owner's lock back."""
        self._ours = False
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
            if error.errno not in _NO_FLOCK:
                raise CacheError(f"{path} cannot be locked: {error.strerror}.") from error
            with suppress(OSError):
                path.unlink()
            return _by_creation(target, error.strerror or str(error))


def _by_creation(target: Path, why: str) -> Lock:
    """The lock where there is no flock; see the head of this file."""
    path = target.with_name(target.name + ".owner")
    warnings.warn(
        CacheWarning(f"the file system of {target.parent} has no locks ({why}); {path.name} marks the one writer"),
        stacklevel=2,
    )
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except FileExistsError:
            _take_over(target, path)
            continue
        except OSError as error:
            raise CacheError(f"The lock file {path} cannot be made: {error.strerror}.") from error
        try:
            os.write(descriptor, f"{os.getpid()} {_started(os.getpid())} {socket.gethostname()}".encode())
        finally:
            os.close(descriptor)
        return Lock(path, None)


def _take_over(target: Path, path: Path) -> None:
    """Remove the mark of a dead owner of this machine; CacheBusy for any other."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise CacheError(f"{path} is not a file that a writer made; delete it.")
        said = path.read_text(encoding="utf-8", errors="replace")
        unsigned = not said and time.time() - path.stat().st_mtime > _SIGNED_WITHIN
    except FileNotFoundError:
        return
    process, _, rest = said.partition(" ")
    started, _, host = rest.partition(" ")
    here = host == socket.gethostname() and process.isdigit()
    if not unsigned and (not here or _started(int(process)) == started):
        raise CacheBusy(
            f"{target} is being written by process {process or '?'} on {host or 'an unknown machine'}; wait for it to "
            f"end, or, where it is gone for certain, delete {path}."
        )
    # under a name of its own first: whoever renames it away is the one who may delete it
    gone = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        os.rename(path, gone)
        if gone.read_text(encoding="utf-8", errors="replace") != said:
            # a new owner was quicker than this look at the old one: give it back
            with suppress(FileExistsError):
                os.link(gone, path)
        gone.unlink()


def _started(process: int) -> str:
    """When a running process of this machine started, in the kernel's own count; "" for one that is not there."""
    try:
        # behind the name in brackets, which may hold anything, the start is the 20th field
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass
    return "running"


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
