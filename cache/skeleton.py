"""Lets the HDF5 library lay out a file without writing any of its data.

The library writes into a sparse image in memory that keeps only the pages it touches, all of it metadata; the datasets
are allocated but not filled. What comes out is the metadata and the offset of every table, however large the file
will be, so that this project writes every byte itself, in the order and with the syncs it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from cache.errors import CacheError
from cache.schema import Table
from cache.seeking import SeekableFile

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_PAGE = 4096
ATTRIBUTE = "crisis"
STATUS_ATTRIBUTE = "codes"
# The HDF5 format keeps attributes of up to 64 KiB, its own bookkeeping included.
LONGEST_TEXT = 64_000


class SparseImage(SeekableFile):
    """A file in memory that keeps only the pages written to; the rest reads as zeros."""

    def __init__(self) -> None:
        super().__init__(0)
        self.pages: dict[int, bytearray] = {}

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        for page, inside, begin, count in _pages(self.position, len(target)):
            source = self.pages.get(page)
            target[begin : begin + count] = source[inside : inside + count] if source else bytes(count)
        self.position += len(target)
        return len(target)

    def write(self, data: ReadableBuffer) -> int:
        source = memoryview(data).cast("B")
        for page, inside, begin, count in _pages(self.position, len(source)):
            target = self.pages.setdefault(page, bytearray(_PAGE))
            target[inside : inside + count] = source[begin : begin + count]
        self.position += len(source)
        self.length = max(self.length, self.position)
        return len(source)

    def truncate(self, size: int | None = None) -> int:
        self.length = self.position if size is None else size
        return self.length


@dataclass(frozen=True)
class Skeleton:
    """HDF5 metadata as (offset, bytes) pieces, the offset of each table, and the file's length in bytes."""

    pieces: list[tuple[int, bytes]]
    offsets: dict[str, int]
    length: int


def build(tables: dict[str, Table], provenance: str, codes: str, header_size: int) -> Skeleton:
    """Lay out contiguous datasets for ``tables`` behind a user block of ``header_size`` bytes.

    provenance: canonical JSON, stored as the root attribute ``crisis``. codes: JSON list of the status names.
    """
    image = SparseImage()
    file = h5py.File(
        image,
        "w",
        libver=("earliest", "v110"),
        userblock_size=header_size,
        alignment_threshold=1,
        alignment_interval=64,
    )
    try:
        _set_text(file.attrs, ATTRIBUTE, provenance)
        offsets = {path: _allocate(file, path, table) for path, table in tables.items()}
        _set_text(file["status"].attrs, STATUS_ATTRIBUTE, codes)
    finally:
        file.close()
    pieces = [(page * _PAGE, bytes(content)) for page, content in sorted(image.pages.items())]
    pieces = [(offset, content[: image.length - offset]) for offset, content in pieces if offset >= header_size]
    return Skeleton(pieces, offsets, image.length)


def stored_type(path: str, table: Table) -> np.dtype:
    """The dtype as HDF5 stores it: ids and groups are marked as UTF-8 text."""
    return h5py.string_dtype("utf-8", table.dtype.itemsize) if table.dtype.kind == "S" else table.dtype


def _allocate(file: h5py.File, path: str, table: Table) -> int:
    folder, _, name = path.rpartition("/")
    group = file.require_group(folder) if folder else file
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)
    kind = h5py.h5t.py_create(stored_type(path, table), logical=True)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple(table.shape), settings)
    return dataset.get_offset() if table.nbytes else 0


def _set_text(attributes: h5py.AttributeManager, name: str, text: str) -> None:
    raw = text.encode()
    if len(raw) > LONGEST_TEXT:
        raise CacheError(f"The provenance is {len(raw)} bytes of JSON; an HDF5 attribute holds {LONGEST_TEXT}.")
    attributes.create(name, np.array(raw, dtype=h5py.string_dtype("utf-8", len(raw))))


def _pages(position: int, length: int) -> Iterator[tuple[int, int, int, int]]:
    """Split a byte range into (page, offset in the page, offset in the range, count)."""
    begin = 0
    while begin < length:
        page, inside = divmod(position + begin, _PAGE)
        count = min(_PAGE - inside, length - begin)
        yield page, inside, begin, count
        begin += count
