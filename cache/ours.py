"""Whether a file is a feature cache at all, however damaged: before anything is deleted or set aside."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cache.errors import CacheError
from cache.header import LARGEST, MAGIC, SMALLEST
from cache.snapshot import list_parts
from cache.stored import open_regular

_NAME = re.compile(r".+@[0-9a-f]{8}\.h5")
_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_ours(path: Path) -> bool:
    """Whether ``path`` has our first bytes, or has parts; or our name, with HDF5 data behind a lost header, or no bytes
    that could be read at all. Raises CacheError for what is not a file.
    """
    if list_parts(path):
        return True
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return False
    try:
        if _read(descriptor, len(MAGIC), 0) == MAGIC:
            return True
        named = _NAME.fullmatch(path.name) is not None
        places = (SMALLEST << shift for shift in range((LARGEST // SMALLEST).bit_length()))
        return named and (not _read(descriptor, 1, 0) or any(_read(descriptor, 8, place) == _HDF5 for place in places))
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, size, offset)
    except OSError:
        return b""


def require_ours(path: Path) -> None:
    """Raise CacheError unless ``path`` is a feature cache, or what is left of one."""
    if not os.path.lexists(path) and not list_parts(path):
        raise CacheError(f"There is no feature cache at {path}.")
    if not is_ours(path):
        raise CacheError(f"{path} is not a feature cache of this project; nothing was done.")
