"""The bytes of a stored file in memory: bulk is mapped, everything else is read.

A page of a map that the disk cannot give kills the process, so what every opening looks at is read with plain reads,
which answer with an error instead. What is mapped is read that way, too, before anything relies on it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import weakref
from collections.abc import Iterable, Iterator

import numpy as np

_READ = 1 << 26
_PAGE = mmap.PAGESIZE

# A night of extraction leaves about a thousand parts, and the `mmap` module keeps one file descriptor per map (until
# Python 3.13), which is more than many systems allow a process; a map made by the C library keeps none.
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t,
]  # fmt: skip
_LIBC.munmap.restype = ctypes.c_int
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value
_FIXED = 0x10  # MAP_FIXED is not among the names of the `mmap` module

Span = tuple[int, int]


def read_at(descriptor: int, target: memoryview, offset: int) -> None:
    """Fill ``target`` (bytes) from ``offset`` on. Raises OSError, also (ENODATA) where the file ends before that."""
    while len(target):
        count = os.preadv(descriptor, [target[:_READ]], offset)
        if count == 0:
            raise OSError(errno.ENODATA, "it was cut short")
        target, offset = target[count:], offset + count


def map_file(descriptor: int, length: int) -> np.ndarray:
    """Map ``length`` > 0 bytes of an open file: uint8 [length], never writable.

    The map outlives the descriptor and the file's name, and goes when the last array over it goes. Raises OSError.
    """
    return _array(_map(descriptor, length))


def load_file(
    descriptor: int, length: int, bulk: Iterable[Span], writable: bool = False
) -> tuple[np.ndarray, tuple[Span, ...]]:
    """The ``length`` > 0 bytes of an open file, uint8 [length], the pages inside ``bulk`` (byte ranges
    in file order) mapped, all others read; and the ranges among these that the disk did not give, which are zeros.

    writable: what was read may be changed, in memory alone. Raises OSError when there is no memory for it.
    """
    region = _map(descriptor, length)
    failed: list[Span] = []
    for begin, end in _around(bulk, length):
        address = ctypes.addressof(region) + begin
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _FIXED
        _call_mmap(address, end - begin, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1)
        stop = min(end, length)
        failed += _read_pages(descriptor, memoryview(region).cast("B")[begin:stop], begin)
    return np.frombuffer(memoryview(region), np.uint8) if writable else _array(region), tuple(failed)


def _around(bulk: Iterable[Span], length: int) -> Iterator[Span]:
    """Whole pages around those that lie inside ``bulk`` altogether."""
    at = 0
    for begin, end in (*bulk, (length, length + 2 * _PAGE)):
        first, last = -(-begin // _PAGE) * _PAGE, end // _PAGE * _PAGE
        if last > first:
            if first > at:
                yield at, first
            at = last


def _read_pages(descriptor: int, target: memoryview, offset: int) -> Iterator[Span]:
    """Fill ``target``; where that fails page by page, and the pages that cannot be read are given."""
    try:
        read_at(descriptor, target, offset)
        return
    except OSError:
        pass
    for begin in range(0, len(target), _PAGE):
        page = target[begin : begin + _PAGE]
        try:
            read_at(descriptor, page, offset + begin)
        except OSError as error:
            page[:] = bytes(len(page))
            if error.errno == errno.ENODATA:
                yield offset + begin, offset + len(target)
                return
            yield offset + begin, offset + begin + len(page)


def _map(descriptor: int, length: int) -> ctypes.Array[ctypes.c_ubyte]:
    address = _call_mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor)
    region = (ctypes.c_ubyte * length).from_address(address)
    weakref.finalize(region, _LIBC.munmap, address, length).atexit = False
    return region


def _array(region: ctypes.Array[ctypes.c_ubyte]) -> np.ndarray:
    return np.frombuffer(memoryview(region).toreadonly(), np.uint8)


def _call_mmap(address: int | None, length: int, protection: int, flags: int, descriptor: int) -> int:
    found = _LIBC.mmap(address, length, protection, flags, descriptor, 0)
    if found == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)
