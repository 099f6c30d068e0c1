"""Turns tables into the bytes of a stored file: a part in memory, a sealed file on disk, block by block."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xxhash

from cache import files, skeleton
from cache.header import Header, canonical_json, pack, size_for, skeleton_digest
from cache.rows import Status
from cache.schema import Schema, Sizes, Table, block_rows

_CODES = json.dumps([status.reason for status in Status])


@dataclass(frozen=True)
class Plan:
    """Where everything will lie: the header (its digest still missing) and the HDF5 metadata."""

    header: Header
    pieces: list[tuple[int, bytes]]


def plan(schema: Schema, sizes: Sizes, start: int, sequence: int, provenance: Mapping[str, Any]) -> Plan:
    """Lay out a file. provenance: plain JSON with ``"fingerprint"``."""
    header = Header(schema, sizes, start, sequence, provenance["fingerprint"], {}, 0, 0)
    size = size_for(header)
    laid = skeleton.build(header.tables, canonical_json(provenance), _CODES, size)
    return Plan(replace(header, offsets=laid.offsets, size=size, length=laid.length), laid.pieces)


def part_bytes(
    schema: Schema, tables: dict[str, np.ndarray], start: int, sequence: int, provenance: Mapping[str, Any]
) -> bytearray:
    """A whole part in memory. tables: path -> array, without checksums, as ``rows.tables_of`` makes them."""
    sizes = Sizes(
        rows=len(tables["posts/id"]),
        id_width=tables["posts/id"].dtype.itemsize,
        group_width=tables["posts/group"].dtype.itemsize,
        caption_bytes={name: len(tables[f"captions/{name}/blob"]) for name in schema.captions},
    )
    planned = plan(schema, sizes, start, sequence, provenance)
    header = planned.header
    image = bytearray(header.length)
    for offset, piece in planned.pieces:
        image[offset : offset + len(piece)] = piece
    for path, array in tables.items():
        table = header.tables[path]
        raw = raw_bytes(array.astype(table.dtype, copy=False))
        _put(image, header.offsets[path], raw)
        _put(image, header.offsets[f"checksums/{path}"], raw_bytes(block_sums(path, table, [raw])))
    digest = skeleton_digest(np.frombuffer(image, np.uint8), header)
    image[: header.size] = pack(replace(header, digest=digest))
    return image


def raw_bytes(array: np.ndarray) -> np.ndarray:
    """An array's bytes in row order, uint8 [nbytes], without a copy where it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def block_sums(path: str, table: Table, chunks: Iterable[np.ndarray]) -> np.ndarray:
    """xxh3-64 of each block of a table given as chunks of bytes, uint64 [blocks]."""
    sums = [xxhash.xxh3_64_intdigest(block.data) for block in reblock(path, table, chunks)]
    return np.array(sums, "<u8")


def reblock(path: str, table: Table, chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Cut a stream of byte chunks into the table's checksum blocks; only the last may be shorter."""
    size = block_rows(path, table) * table.row_bytes
    held = np.empty(0, np.uint8)
    for chunk in chunks:
        if len(held):
            needed = size - len(held)
            held, chunk = np.concatenate([held, chunk[:needed]]), chunk[needed:]
            if len(held) < size:
                continue
            yield held
        whole = len(chunk) // size * size
        for begin in range(0, whole, size):
            yield chunk[begin : begin + size]
        # a copy: whoever gives the chunks may use their memory again
        held = chunk[whole:].copy()
    if len(held):
        yield held


def write_table(descriptor: int, header: Header, path: str, chunks: Iterable[np.ndarray]) -> None:
    """Write a table given as chunks of bytes, and its checksums, into an open file."""
    table, offset, sums = header.tables[path], header.offsets[path], []
    for block in reblock(path, table, chunks):
        sums.append(xxhash.xxh3_64_intdigest(block.data))
        files.write_at(descriptor, offset, block.data)
        offset += len(block)
    if sums:
        files.write_at(descriptor, header.offsets[f"checksums/{path}"], np.array(sums, "<u8").tobytes())


def _put(image: bytearray, offset: int, raw: np.ndarray) -> None:
    memoryview(image)[offset : offset + len(raw)] = raw.data
