"""One stored file, sealed or part, mapped into memory and checked."""

from __future__ import annotations

import ctypes
import mmap
import os
import stat
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cache import guard
from cache.errors import CacheDamaged, CacheError
from cache.header import LARGEST, Header, skeleton_digest, unpack
from cache.rows import Status
from cache.schema import block_count, block_rows

_READ = 1 << 26

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


@dataclass(frozen=True, eq=False)
class Image:
    """A file's header, its bytes (uint8 [length], read-only), its provenance, and which inode it is.

    The file's name may go, or be given to another file, while an image stays what it was when it was opened.
    descriptor: open for plain reads of a sealed file, else None.
    """

    path: Path
    header: Header
    buffer: np.ndarray
    provenance: dict[str, Any]
    identity: tuple[int, ...]
    descriptor: int | None = None

    def array(self, path: str) -> np.ndarray:
        """A table as a read-only array over the mapped bytes."""
        table = self.header.tables[path]
        return np.ndarray(table.shape, table.dtype, self.buffer, self.header.offsets[path])

    def blocks(self, path: str, begin: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """The checksum blocks over rows [begin, end) of a table: first row, end row, whether the bytes are sound."""
        table = self.header.tables[path]
        rows, sums, start = block_rows(path, table), self.array(f"checksums/{path}"), self.header.offsets[path]
        first, last = begin // rows, min(-(-end // rows), block_count(path, table))
        for index in range(first, last):
            low, high = index * rows, min((index + 1) * rows, table.shape[0])
            raw = self.buffer[start + low * table.row_bytes : start + high * table.row_bytes]
            yield low, high, xxhash.xxh3_64_intdigest(raw.data) == int(sums[index])

    def require(self, path: str, begin: int, end: int) -> None:
        """Raise CacheDamaged unless rows [begin, end) of a table are what was written."""
        for low, high, sound in self.blocks(path, begin, end):
            if not sound:
                raise CacheDamaged(
                    f"Rows {self.header.start + low} to {self.header.start + high - 1} of '{path}' in {self.path} are "
                    "damaged; see 'crisis cache verify' and extract them again."
                )

    def copy_rows(self, path: str, begin: int, end: int, out: np.ndarray) -> None:
        """Copy rows [begin, end) of a table into the contiguous array ``out``."""
        if self.descriptor is None:
            np.copyto(out, self.array(path)[begin:end])
            return
        left = out.reshape(-1).view(np.uint8).data
        offset = self.header.offsets[path] + begin * self.header.tables[path].row_bytes
        while len(left):
            count = os.preadv(self.descriptor, [left[:_READ]], offset)
            if count == 0:
                raise CacheDamaged(f"{self.path} was cut short while it was read; extract it again.")
            left, offset = left[count:], offset + count


def identity_of(path: Path) -> tuple[int, ...] | None:
    """What tells one file under this name from another; None if there is none."""
    try:
        return _identity(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def map_image(path: Path, keep_open: bool = False) -> Image:
    """Map a file and check its header and length, nothing else: for ``verify``, which must look at damaged files.

    Raises FileNotFoundError, CacheError, CacheDamaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise CacheError(f"{path} cannot be opened: {error.strerror}.") from error
    kept = False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CacheError(f"{path} is not a file; give the path of a feature cache.")
        header = unpack(os.pread(descriptor, LARGEST, 0), found.st_size, str(path))
        buffer = map_file(descriptor, found.st_size)
        image = Image(path, header, buffer, {}, _identity(found), descriptor if keep_open else None)
        if keep_open:
            weakref.finalize(image, os.close, descriptor)
            kept = True
        return image
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        if not kept:
            os.close(descriptor)


def open_image(path: Path, keep_open: bool = False) -> Image:
    """Map a file and check all of it but the bulk data: digest, HDF5 structure, tables.

    Raises FileNotFoundError, CacheError, CacheDamaged.
    """
    image = map_image(path, keep_open)
    if skeleton_digest(image.buffer, image.header) != image.header.digest:
        raise CacheDamaged(
            f"{path} is damaged: ids, tables or metadata changed on disk; see 'crisis cache verify', then drop it and "
            "extract again."
        )
    image.provenance.update(guard.read_provenance(image.buffer, image.header, str(path)))
    _check_tables(image)
    return image


def _check_tables(image: Image) -> None:
    """Refuse contents that no writer of this project makes, whatever their digest says."""
    name, header = image.path, image.header
    if image.provenance.get("fingerprint") != header.fingerprint:
        raise CacheError(f"{name} is refused: its provenance carries another fingerprint than its header.")
    if (image.array("posts/id") == b"").any():
        raise CacheError(f"{name} is refused: a post has an empty id.")
    for path in ("status", *(f"inputs/{one}/status" for one in header.schema.modalities)):
        if image.array(path).max() > max(Status):
            raise CacheError(f"{name} is refused: '{path}' holds a status this program does not know; update it.")
    for one in header.schema.captions:
        offsets = image.array(f"captions/{one}/offsets")
        if offsets[0] != 0 or offsets[-1] != header.sizes.caption_bytes[one] or (offsets[1:] <= offsets[:-1]).any():
            raise CacheError(f"{name} is refused: the offsets of the captions '{one}' make no sense.")


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
