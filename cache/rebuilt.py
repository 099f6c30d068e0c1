"""What a damaged file says of itself in a second place: its header again from the HDF5 data, its provenance as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cache.errors import CacheError
from cache.header import Header, canonical_json, from_plain
from cache.memory import read_at
from cache.seeking import SeekableFile
from cache.skeleton import ATTRIBUTE
from cache.stored import Image

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PAGE = 4096


class _DiskFile(SeekableFile):
    """An open file for the HDF5 library; what the disk does not give, or what lies behind the end, is zeros."""

    def __init__(self, descriptor: int, length: int) -> None:
        super().__init__(length)
        self._descriptor = descriptor

    def readinto(self, target: WriteableBuffer) -> int:
        wanted = memoryview(target).cast("B")
        for begin in range(0, len(wanted), _PAGE):
            page = wanted[begin : begin + _PAGE]
            try:
                read_at(self._descriptor, page, self.position + begin)
            except OSError:
                page[:] = bytes(len(page))
        self.position += len(wanted)
        return len(wanted)


def header_from_hdf5(descriptor: int, length: int, path: Path, start: int, sequence: int) -> Header:
    """The header of a file of ``length`` bytes whose own is lost, without its digest. Raises CacheError.

    start, sequence: what the name of a part says; 0 and 0 for a sealed file.
    """
    try:
        with h5py.File(_DiskFile(descriptor, length), "r") as file:
            found = {name: (one.dtype, one.shape, one.id.get_offset() or 0) for name, one in _datasets(file)}
            raw = file.attrs[ATTRIBUTE]
            size = file.userblock_size
        names = sorted(path for path in found if not path.startswith("checksums/"))
        captions = sorted({name.split("/")[1] for name in names if name.startswith("captions/")})
        plain = {
            "schema": {
                "views": {
                    name.removeprefix("views/"): [found[name][0].name, *found[name][1][1:]]
                    for name in names
                    if name.startswith("views/")
                },
                "modalities": sorted({name.split("/")[1] for name in names if name.startswith("inputs/")}),
                "captions": captions,
            },
            "sizes": [
                found["posts/id"][1][0],
                found["posts/id"][0].itemsize,
                found["posts/group"][0].itemsize,
                {name: found[f"captions/{name}/blob"][1][0] for name in captions},
            ],
            "start": start,
            "sequence": sequence,
            "fingerprint": json.loads(raw)["fingerprint"],
            "offsets": {name: offset for name, (_, _, offset) in found.items()},
        }
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, MemoryError) as error:
        raise CacheError(f"{path} says nothing of itself any more ({error})") from error
    return from_plain(plain, size, length, str(path))


def _datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Datasets below a group by their path; links to elsewhere are not followed."""
    for name in group:
        if group.get(name, getlink=True).__class__ is not h5py.HardLink:
            continue
        one = group[name]
        if isinstance(one, h5py.Dataset):
            yield name, one
        elif isinstance(one, h5py.Group) and one.name.count("/") < 4:
            yield from ((f"{name}/{inner}", dataset) for inner, dataset in _datasets(one))


def provenance_of(image: Image) -> dict[str, Any] | None:
    """What made a file, as far as its own words can still be trusted: the fingerprint must be that of its content, and
    of the header. None where it cannot be read.
    """
    text = b"".join(piece.tobytes() for piece in _between_tables(image))
    begin = text.find(b'{"')
    while begin >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text[begin:].decode("utf-8", "surrogateescape"))
            if _trusted(found, image.header):
                return dict(found)
        except (ValueError, RecursionError):
            pass
        begin = text.find(b'{"', begin + 1)
    return None


def _trusted(found: Any, header: Header) -> bool:
    if not isinstance(found, dict) or found.get("fingerprint") != header.fingerprint:
        return False
    try:
        text = canonical_json(found.get("content")).encode()
        canonical_json(found).encode()
    except (CacheError, UnicodeEncodeError):
        return False
    return "content" not in found or hashlib.sha256(text).hexdigest() == header.fingerprint


def _between_tables(image: Image) -> Iterator[np.ndarray]:
    """The bytes behind the header that are in no table: HDF5's own, with the provenance among them."""
    at = image.header.size
    spans = ((image.header.offsets[path], table.nbytes) for path, table in image.header.tables.items() if table.nbytes)
    for begin, size in (*sorted(spans), (image.header.length, 0)):
        yield image.buffer[at:begin]
        at = begin + size
