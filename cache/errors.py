"""What can go wrong with a feature cache, each told in one sentence."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crisis_errors import CrisisError


class CacheError(CrisisError):
    """A cache file cannot be read or written; the message says what is wrong and what to do."""


class CacheBusy(CacheError):
    """Another process is writing this cache file."""


class CacheDamaged(CacheError):
    """The bytes on disk are not those that were written."""


class CacheWarning(UserWarning):
    """The file system promises less than the cache would like; the message says what, and what is done instead."""


def mend(path: Path | str) -> str:
    """What to run for a damaged cache file, given its path or that of one of its parts."""
    path = Path(path)
    if path.parent.suffix == ".parts":
        path = path.parent.with_suffix("")
    return f"mend it with: crisis cache salvage {shlex.quote(str(path))}"


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a CacheError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CacheError(
                f"The disk is full, so {path} could not be written; free some space and run the same command again, "
                "nothing that was committed is lost."
            ) from error
        raise CacheError(
            f"{path} could not be changed on disk ({error.strerror or error}); mend that and run it again."
        ) from error
