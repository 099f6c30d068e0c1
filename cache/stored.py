"""One stored file, sealed or part, in memory and checked."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from cache import guard
from cache.errors import CacheDamaged, CacheError, mend
from cache.header import LARGEST, SMALLEST, Header, skeleton_digest, unpack
from cache.memory import Span, load_file, read_at
from cache.rows import Status
from cache.schema import block_count, block_rows, is_bulk


@dataclass(frozen=True, eq=False)
class Image:
    """A file's header, its bytes (uint8 [length], read-only), its provenance, and which inode it is.

    The file's name may go, or be given to another file, while an image stays what it was when it was opened.
    unreadable: the byte ranges outside bulk that the disk did not give. descriptor: open for plain reads of a sealed
    file, else None.
    """

    path: Path
    header: Header
    buffer: np.ndarray
    provenance: dict[str, Any]
    identity: tuple[int, ...]
    unreadable: Sequence[Span] = ()
    descriptor: int | None = None

    def array(self, path: str) -> np.ndarray:
        """A table as a read-only array over the bytes in memory."""
        table = self.header.tables[path]
        return np.ndarray(table.shape, table.dtype, self.buffer, self.header.offsets[path])

    def blocks(self, path: str, begin: int, end: int) -> Iterator[tuple[int, int, np.ndarray | None]]:
        """The checksum blocks over rows [begin, end) of a table: first row, end row, and the rows as they were written;
        None where the disk has other bytes, or does not give them. The rows are good until the next block is asked for.
        """
        table = self.header.tables[path]
        rows, sums, start = block_rows(path, table), self.array(f"checksums/{path}"), self.header.offsets[path]
        with self._bytes_of(path) as read:
            for index in range(begin // rows, min(-(-end // rows), block_count(path, table))):
                low, high = index * rows, min((index + 1) * rows, table.shape[0])
                raw = read(start + low * table.row_bytes, (high - low) * table.row_bytes)
                if raw is None or xxhash.xxh3_64_intdigest(raw.data) != int(sums[index]):
                    yield low, high, None
                else:
                    yield low, high, raw.view(table.dtype).reshape(-1, *table.shape[1:])

    def sound_blocks(self, path: str, begin: int, end: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """As ``blocks``. Raises CacheDamaged where the bytes are not what was written."""
        for low, high, rows in self.blocks(path, begin, end):
            if rows is None:
                what, first = ("Bytes", low) if path.endswith("/blob") else ("Rows", self.header.start + low)
                raise CacheDamaged(
                    f"{what} {first} to {first + high - low - 1} of '{path}' in {self.path} are damaged; "
                    f"{mend(self.path)}."
                )
            yield low, high, rows

    def require(self, path: str, begin: int, end: int) -> None:
        """Raise CacheDamaged unless rows [begin, end) of a table are what was written."""
        for _ in self.sound_blocks(path, begin, end):
            pass

    def copy_rows(self, path: str, begin: int, end: int, out: np.ndarray, verify: bool = False) -> None:
        """Copy rows [begin, end) of a table into the contiguous array ``out``; with ``verify`` as ``require`` does."""
        if verify:
            for low, high, rows in self.sound_blocks(path, begin, end):
                first, last = max(low, begin), min(high, end)
                out[first - begin : last - begin] = rows[first - low : last - low]
            return
        offset = self.header.offsets[path] + begin * self.header.tables[path].row_bytes
        with self._reading() as descriptor:
            if descriptor is None:
                np.copyto(out, self.array(path)[begin:end])
                return
            try:
                read_at(descriptor, out.reshape(-1).view(np.uint8).data, offset)
            except OSError as error:
                raise CacheDamaged(f"{self.path} cannot be read ({error.strerror}); {mend(self.path)}.") from error

    @contextmanager
    def _bytes_of(self, path: str) -> Iterator[Callable[[int, int], np.ndarray | None]]:
        """How a table's bytes are had, by offset and count: bulk from the disk, the others from memory; None for what
        the disk does not give.
        """
        if not is_bulk(path):
            yield self._held
            return
        with self._reading() as descriptor:
            room = np.empty(0, np.uint8)

            def read(offset: int, count: int) -> np.ndarray | None:
                nonlocal room
                if descriptor is None:
                    return self.buffer[offset : offset + count]
                if len(room) < count:
                    room = np.empty(count, np.uint8)
                try:
                    read_at(descriptor, room[:count].data, offset)
                except OSError:
                    return None
                return room[:count]

            yield read

    def _held(self, offset: int, count: int) -> np.ndarray | None:
        if any(begin < offset + count and offset < end for begin, end in self.unreadable):
            return None
        return self.buffer[offset : offset + count]

    @contextmanager
    def _reading(self) -> Iterator[int | None]:
        """A descriptor of this very file; None when its name is gone, as a part's is once it was sealed away."""
        if self.descriptor is not None:
            yield self.descriptor
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            yield None
            return
        try:
            same = os.fstat(descriptor)
            yield descriptor if _inode(same) == self.identity[:2] else None
        finally:
            os.close(descriptor)


def identity_of(path: Path) -> tuple[int, ...] | None:
    """What tells one file under this name from another; None if there is none."""
    try:
        return _identity(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return *_inode(found), found.st_size, found.st_mtime_ns


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def open_regular(path: Path) -> int:
    """A descriptor of an ordinary file, never waiting. Raises FileNotFoundError, CacheError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise CacheError(f"{path} cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CacheError(f"{path} is not a file; give the path of a feature cache.")
    return descriptor


def read_head(descriptor: int, path: Path) -> bytes:
    """The first bytes of a file, up to ``LARGEST`` or to what the disk does not give. Raises CacheDamaged for none."""
    head = b""
    for size in (SMALLEST, LARGEST):
        try:
            head = os.pread(descriptor, size, 0)
        except OSError as error:
            if not head:
                raise CacheDamaged(f"The header of {path} cannot be read ({error.strerror}); {mend(path)}.") from error
    return head


def map_image(path: Path, keep_open: bool = False) -> Image:
    """Take a file into memory and check its header and length, nothing else: for ``verify``, which must look at damaged
    files.

    Raises FileNotFoundError, CacheError, CacheDamaged.
    """
    descriptor = open_regular(path)
    kept = False
    try:
        found = os.fstat(descriptor)
        header = unpack(read_head(descriptor, path), found.st_size, str(path))
        buffer, unreadable = load_file(descriptor, found.st_size, header.bulk())
        kept = keep_open
        image = Image(path, header, buffer, {}, _identity(found), unreadable, descriptor if keep_open else None)
        if keep_open:
            weakref.finalize(image, os.close, descriptor)
        return image
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        if not kept:
            os.close(descriptor)


def open_image(path: Path, keep_open: bool = False) -> Image:
    """Take a file into memory and check all of it but the bulk data: digest, HDF5 structure, tables.

    Raises FileNotFoundError, CacheError, CacheDamaged.
    """
    image = map_image(path, keep_open)
    if image.unreadable or skeleton_digest(image.buffer, image.header) != image.header.digest:
        what = "cannot be read from the disk" if image.unreadable else "changed on disk"
        raise CacheDamaged(f"{path} is damaged: ids, tables or metadata {what}; {mend(path)}.")
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
