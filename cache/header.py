"""The 4096 or more bytes in front of the HDF5 data (an HDF5 user block, which every HDF5 reader skips).

They let a reader judge a file before the HDF5 library sees a byte of it: its length (truncation), a digest over every
byte that is not bulk data, and where each table lies. Layout, little-endian::

    0  16  magic            24  4  format version    40  16  xxh3-128 of all bytes outside header and bulk
    16  8  xxh3-64 of the   28  4  header size       56   4  length of the JSON
           bytes from 24    32  8  file length       60  ..  JSON, then zeros

The JSON says rows, start, sequence, fingerprint, schema, sizes and the offset of each table.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xxhash

from cache.errors import CacheDamaged, CacheError, mend
from cache.schema import GROUP_STEP, ID_STEP, Schema, Sizes, Table, is_bulk

MAGIC = b"crisis-cache\r\n\x1a\n"
VERSION = 1
SMALLEST = 4096
LARGEST = 1 << 20
_FIELDS = struct.Struct("<16sQIIQ16sI")


@dataclass(frozen=True)
class Header:
    """What one stored file says of itself.

    start: dataset row of its first row. sequence: number of the last commit it holds. offsets: table path -> byte
    offset in the file (0 for an empty table). size: bytes of the header. length: bytes of the whole file.
    """

    schema: Schema
    sizes: Sizes
    start: int
    sequence: int
    fingerprint: str
    offsets: dict[str, int]
    size: int
    length: int
    digest: bytes = bytes(16)

    @cached_property
    def tables(self) -> dict[str, Table]:
        return self.schema.tables(self.sizes)

    def bulk(self) -> list[tuple[int, int]]:
        """Byte ranges [begin, end) of the bulk tables, in file order."""
        spans = ((self.offsets[path], table.nbytes) for path, table in self.tables.items() if is_bulk(path))
        return sorted((begin, begin + size) for begin, size in spans if size)


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Raises CacheError if it is not plain."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CacheError(f"The provenance is not plain JSON: {error}.") from error


def pack(header: Header) -> bytes:
    """The header's bytes, ``header.size`` of them. Raises CacheError when they do not fit."""
    text = _describe(header).encode()
    if _FIELDS.size + len(text) > header.size:
        raise CacheError(f"The cache has too many views to list in a header of {header.size} bytes.")
    fields = _FIELDS.pack(MAGIC, 0, VERSION, header.size, header.length, header.digest, len(text))
    raw = bytearray((fields + text).ljust(header.size, b"\0"))
    raw[16:24] = xxhash.xxh3_64_intdigest(memoryview(raw)[24:]).to_bytes(8, "little")
    return bytes(raw)


def size_for(header: Header) -> int:
    """The power of two from 4096 up that holds this header with offsets of any size."""
    widest = dict.fromkeys(header.tables, 1 << 62)
    needed = _FIELDS.size + len(_describe(replace(header, offsets=widest)).encode())
    return max(SMALLEST, 1 << (needed - 1).bit_length())


def _describe(header: Header) -> str:
    sizes = header.sizes
    return canonical_json(
        {
            "schema": header.schema.as_json(),
            "sizes": [sizes.rows, sizes.id_width, sizes.group_width, sizes.caption_bytes],
            "start": header.start,
            "sequence": header.sequence,
            "fingerprint": header.fingerprint,
            "offsets": header.offsets,
        }
    )


def unpack(head: bytes, length: int, name: str) -> Header:
    """Read a header from the first ``LARGEST`` bytes (or all) of a file of ``length`` bytes.

    Raises CacheError for a file of another kind and CacheDamaged for one that is cut short or changed.
    """
    if length == 0:
        raise CacheDamaged(f"{name} is empty; {mend(name)}.")
    if head[: len(MAGIC)] != MAGIC[: len(head)]:
        raise CacheError(f"{name} is not a feature cache of this project (or its first bytes are damaged).")
    if len(head) < SMALLEST:
        raise CacheDamaged(f"{name} is cut short: {len(head)} bytes are not even a header; {mend(name)}.")
    _, check, version, size, expected, digest, text_length = _FIELDS.unpack_from(head)
    sound = SMALLEST <= size <= LARGEST and size & (size - 1) == 0 and text_length <= size - _FIELDS.size
    if sound and len(head) < size:
        raise CacheDamaged(f"{name} is cut short: {len(head)} bytes are not even a header; {mend(name)}.")
    if not sound or xxhash.xxh3_64_intdigest(head[24:size]) != check:
        raise CacheDamaged(f"The header of {name} is damaged; {mend(name)}.")
    if version != VERSION:
        raise CacheError(f"{name} has the format version {version}, this program reads {VERSION}; update it.")
    if length != expected:
        verb = "is cut short" if length < expected else "has grown"
        raise CacheDamaged(f"{name} {verb}: it has {length} bytes instead of {expected}; {mend(name)}.")
    try:
        plain = json.loads(head[_FIELDS.size : _FIELDS.size + text_length])
    except (ValueError, RecursionError) as error:
        raise CacheError(f"The header of {name} makes no sense ({error!r}); do not use this file.") from error
    return from_plain(plain, size, length, name, digest)


def declared_length(head: bytes) -> int:
    """The length that a file's first bytes say it has; -1 where they say nothing."""
    return int(_FIELDS.unpack_from(head)[4]) if len(head) >= _FIELDS.size else -1


def from_plain(plain: Any, size: int, length: int, name: str, digest: bytes = bytes(16)) -> Header:
    """A header of the JSON that stands in it. Raises CacheError for one that makes no sense."""
    try:
        header = _from_json(plain, size, length, digest)
        _check_extents(header)
    except (CacheError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise CacheError(f"The header of {name} makes no sense ({error!r}); do not use this file.") from error
    return header


def _from_json(plain: dict[str, Any], size: int, length: int, digest: bytes) -> Header:
    rows, id_width, group_width, caption_bytes = plain["sizes"]
    schema = Schema.from_json(plain["schema"])
    header = Header(
        schema=schema,
        sizes=Sizes(rows, id_width, group_width, {name: caption_bytes[name] for name in schema.captions}),
        start=plain["start"],
        sequence=plain["sequence"],
        fingerprint=plain["fingerprint"],
        offsets=plain["offsets"],
        size=size,
        length=length,
        digest=digest,
    )
    numbers = (rows, id_width, group_width, header.start, header.sequence, *header.sizes.caption_bytes.values())
    if any(type(number) is not int or not 0 <= number < 1 << 48 for number in numbers):
        raise ValueError("a size is no number")
    widths = ((id_width, ID_STEP), (group_width, GROUP_STEP))
    if rows < 1 or any(width % step or not step <= width <= 4096 for width, step in widths):
        raise ValueError("no rows, or strings of an odd width")
    if type(header.fingerprint) is not str:
        raise ValueError("the fingerprint is no text")
    return header


def _check_extents(header: Header) -> None:
    """Every table lies inside the file, behind the header, and none over another."""
    tables = header.tables
    if set(header.offsets) != set(tables) or any(type(begin) is not int for begin in header.offsets.values()):
        raise ValueError("the tables are not those of the schema")
    if any(header.offsets[path] for path, table in tables.items() if not table.nbytes):
        raise ValueError("an empty table has a place")
    spans = sorted((header.offsets[path], table.nbytes) for path, table in tables.items() if table.nbytes)
    end = header.size
    for begin, size in spans:
        if begin < end:
            raise ValueError("tables overlap")
        end = begin + size
    if end > header.length:
        raise ValueError("a table reaches beyond the end of the file")


def skeleton_digest(buffer: np.ndarray, header: Header) -> bytes:
    """xxh3-128 of every byte of the file (uint8 [length]) that is neither header nor bulk, in file order."""
    state = xxhash.xxh3_128()
    begin = header.size
    for bulk_begin, bulk_end in (*header.bulk(), (header.length, header.length)):
        state.update(buffer[begin:bulk_begin].data)
        begin = bulk_end
    return state.digest()
