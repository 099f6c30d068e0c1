"""Lays a snapshot into ONE plain HDF5 file with contiguous datasets, in bounded memory, published by one rename.

Every block is checked against its checksum on the way, so that damage is never copied under a fresh checksum.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cache import files
from cache.build import plan, raw_bytes, write_table
from cache.header import Header, pack, skeleton_digest
from cache.memory import map_file
from cache.schema import Sizes
from cache.snapshot import Segment
from cache.stored import Image


def temporary_path(path: Path) -> Path:
    """Where a sealed file grows before it gets its name."""
    return path.with_name(path.name + ".tmp")


def with_counts(provenance: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]] | None) -> dict[str, Any]:
    """The provenance with these counts over all rows in the place of others."""
    said = {name: value for name, value in provenance.items() if name != "counts"}
    return {**said, "counts": counts} if counts else said


def added_counts(every: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The sums of the counts of several provenances; of those that each of them has."""
    counts = [_plain(provenance.get("counts")) for provenance in every]
    shared = [kind for kind in counts[0] if all(one.get(kind, {}).keys() == counts[0][kind].keys() for one in counts)]
    return {kind: {name: sum(one[kind][name] for one in counts) for name in counts[0][kind]} for kind in shared}


def _plain(counts: Any) -> dict[str, dict[str, int]]:
    """Counts as `FeatureWriter.seal` takes them; what a file says otherwise is left out."""
    found = counts.items() if isinstance(counts, dict) else ()
    return {kind: of for kind, of in found if isinstance(of, dict) and all(type(n) is int for n in of.values())}


def write_sealed(path: Path, segments: Sequence[Segment], sequence: int, provenance: Mapping[str, Any]) -> None:
    """Write all rows of ``segments`` as the sealed file ``path``, durable when this returns.

    sequence: number of the last commit the file holds. Raises CacheDamaged when a source block is damaged, OSError
    when the disk does not take it; the temporary file is gone then, and ``path`` is as it was.
    """
    schema = segments[0].image.header.schema
    planned = plan(schema, _sizes(segments), 0, sequence, provenance)
    temporary = temporary_path(path)
    files.unlink(temporary)
    descriptor = files.create(temporary)
    try:
        try:
            _fill(descriptor, temporary, planned.header, planned.pieces, segments)
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        files.rename(temporary, path)
    except BaseException:
        remove_quietly(temporary)
        raise
    files.sync_folder(path.parent)


def remove_quietly(path: Path) -> None:
    """Delete a leftover file if the disk lets us: the error that made it a leftover is the one to tell."""
    with suppress(OSError):
        files.unlink(path)


def _fill(
    descriptor: int, temporary: Path, header: Header, pieces: list[tuple[int, bytes]], segments: Sequence[Segment]
) -> None:
    files.set_length(descriptor, header.length)
    for offset, piece in pieces:
        files.write_at(descriptor, offset, piece)
    for path in header.tables:
        if not path.startswith("checksums/"):
            write_table(descriptor, header, path, _chunks(segments, header, path))
    reading = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest = skeleton_digest(map_file(reading, header.length), header)
    finally:
        os.close(reading)
    files.write_at(descriptor, 0, pack(replace(header, digest=digest)))


def _sizes(segments: Sequence[Segment]) -> Sizes:
    sizes = [segment.image.header.sizes for segment in segments]
    caption_bytes = {
        name: sum(high - low for low, high in (_blob_span(segment, name) for segment in segments))
        for name in segments[0].image.header.schema.captions
    }
    return Sizes(
        rows=segments[-1].stop,
        id_width=max(one.id_width for one in sizes),
        group_width=max(one.group_width for one in sizes),
        caption_bytes=caption_bytes,
    )


def _blob_span(segment: Segment, name: str) -> tuple[int, int]:
    offsets = segment.image.array(f"captions/{name}/offsets")
    return int(offsets[segment.first]), int(offsets[segment.first + segment.stop - segment.start])


def _chunks(segments: Sequence[Segment], header: Header, path: str) -> Iterator[np.ndarray]:
    """A table of the sealed file as chunks of bytes, checked against the sources' checksums."""
    if path.startswith("captions/") and path.endswith("/offsets"):
        yield from _offset_chunks(segments, path)
        return
    dtype = header.tables[path].dtype
    for segment in segments:
        begin, end = segment.first, segment.first + segment.stop - segment.start
        if path.startswith("captions/"):
            begin, end = _blob_span(segment, path.split("/")[1])
        for rows in _sound_rows(segment.image, path, begin, end):
            yield raw_bytes(rows.astype(dtype, copy=False))


def _offset_chunks(segments: Sequence[Segment], path: str) -> Iterator[np.ndarray]:
    total = 0
    yield raw_bytes(np.zeros(1, "<u8"))
    for segment in segments:
        begin, end = segment.first, segment.first + segment.stop - segment.start
        base = int(segment.image.array(path)[begin])
        for rows in _sound_rows(segment.image, path, begin + 1, end + 1):
            yield raw_bytes((rows - np.uint64(base) + np.uint64(total)).astype("<u8", copy=False))
        total += int(segment.image.array(path)[end]) - base


def _sound_rows(image: Image, path: str, begin: int, end: int) -> Iterator[np.ndarray]:
    for low, high, rows in image.sound_blocks(path, begin, end):
        yield rows[max(low, begin) - low : min(high, end) - low]
