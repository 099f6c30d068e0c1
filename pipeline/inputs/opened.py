"""Opening what a stranger's path leads to."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO


def opened(file: str) -> BinaryIO:
    """An ordinary file, opened for reading; `OSError` for a pipe, a socket or a device, which could be waited for, or
    read, for ever.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(kind, os.strerror(kind), file)
    return open(descriptor, "rb")
