"""A file's bytes as a read-only array that holds no file descriptor.

A night of extraction leaves about a thousand parts, and the ``mmap`` module keeps one descriptor per map (until Python
3.13), which is more than many systems allow a process; a map made by the C library keeps none.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ssize_t,
]  # fmt: skip
_LIBC.munmap.restype = ctypes.c_int
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


def map_file(descriptor: int, length: int) -> np.ndarray:
    """Map ``length`` > 0 bytes of an open file: uint8 [length], never writable.

    The map outlives the descriptor and the file's name, and goes when the last array over it goes. Raises OSError.
    """
    address = _LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    region = (ctypes.c_ubyte * length).from_address(address)
    weakref.finalize(region, _LIBC.munmap, address, length).atexit = False
    return np.frombuffer(memoryview(region).toreadonly(), np.uint8)
