"""Making a sound file of what is sound in a damaged one: rows whose every byte fits its checksums are kept.

What is damaged is set aside under a name of its own, never deleted. Rows that are not kept are simply not there, so
that the next extraction makes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cache import files
from cache.build import block_sums, raw_bytes
from cache.errors import CacheError, sentences
from cache.header import declared_length, unpack
from cache.integrity import rows_hit
from cache.lock import acquire
from cache.memory import load_file
from cache.ours import require_ours
from cache.rebuilt import header_from_hdf5, provenance_of
from cache.rows import overall_status
from cache.seal import with_counts, write_sealed
from cache.snapshot import PART, Segment, list_parts, parts_folder
from cache.stored import Image, open_image, open_regular, read_head

Trust = Callable[[Mapping[str, Any]], bool]

_LARGEST_LOSS = 64
"""A file that is shorter than this part of what its header says is not looked into."""


@dataclass
class Salvaged:
    """What ``salvage`` did. rows: that were there, as far as can be told; kept: of them; aside: where damaged files lie
    now; provenance: what made the file, None where nothing is kept.
    """

    path: Path
    rows: int = 0
    kept: int = 0
    aside: list[Path] = field(default_factory=list)
    provenance: dict[str, Any] | None = None


def salvage(path: str | Path, trust: Trust = lambda provenance: True) -> Salvaged:
    """Lay the sound rows of a cache file and its parts into a new sealed file; a sound cache stays as it is.

    trust: whether the words of a damaged file about what made it make sense. Raises CacheBusy while it is being
    written, CacheError when there is nothing of a cache there or the disk does not take the new file; what was there
    stays then.
    """
    path = Path(path)
    sources = [one for one in (path, *(part for _, part in list_parts(path))) if os.path.lexists(one)]
    if not sources:
        raise CacheError(f"There is no feature cache at {path}; make it with 'crisis extract'.")
    with sentences(path):
        lock = acquire(path)
        try:
            return _salvage(path, sources, trust)
        finally:
            lock.release()


def _salvage(path: Path, sources: Sequence[Path], trust: Trust) -> Salvaged:
    found = {source: _wreck(source) for source in sources}
    if not any(found.values()):
        require_ours(path)
    wrecks = [wreck for wreck in found.values() if wreck is not None]
    result = Salvaged(path, max((wreck.stop for wreck in wrecks), default=0))
    if all(wreck is not None and wreck.whole for wreck in found.values()):
        result.kept, result.provenance = result.rows, wrecks[-1].provenance
        return result
    trusted = [one for one in wrecks if one.provenance and (one.whole or trust(one.provenance))]
    segments = _segments(wrecks, trusted[-1].image) if trusted else []
    result.kept = segments[-1].stop if segments else 0
    damaged = [source for source, wreck in found.items() if wreck is None or not wreck.whole or not segments]
    for source in damaged:
        aside = _free_name(path, source)
        files.set_aside(source, aside)
        result.aside.append(aside)
    if segments:
        result.provenance = with_counts(trusted[-1].provenance or {}, None)
        numbers = [1, *(one.image.header.sequence for one in wrecks), *(number for number, _ in list_parts(path))]
        try:
            write_sealed(path, segments, max(numbers), result.provenance)
        except BaseException:
            for source, aside in zip(damaged, result.aside, strict=True):
                # where both are names of one file, a rename leaves both
                files.rename(aside, source)
                files.unlink(aside)
            raise
    for source in sources:
        if source != path or not segments:
            files.unlink(source)
    files.remove_folder(parts_folder(path))
    files.sync_folder(path.parent)
    return result


def _free_name(path: Path, source: Path) -> Path:
    """Where a damaged file is set aside: beside the cache file, with a number where it is a part."""
    name = path.name if source == path else f"{path.name}.{source.name.split('-')[0]}"
    for again in range(1 << 20):
        free = path.with_name(f"{name}.damaged{again or ''}")
        if not os.path.lexists(free):
            return free
    raise CacheError(f"Too many damaged files lie beside {path}; delete some.")


@dataclass(frozen=True, eq=False)
class _Wreck:
    """A file as far as it can be read. sound: bool [rows]; whole: whether every byte is what was written; provenance:
    None where it cannot be read.
    """

    image: Image
    sound: np.ndarray
    whole: bool
    provenance: dict[str, Any] | None

    @property
    def stop(self) -> int:
        return self.image.header.start + len(self.sound)


def _wreck(path: Path) -> _Wreck | None:
    """What can be read of a file; None where it says nothing of itself any more."""
    try:
        image = open_image(path)
        sound = _sound_rows(image)
        return _Wreck(image, sound, bool(sound.all()), image.provenance)
    except CacheError:
        pass
    try:
        image = _derive(_damaged_image(path))
    except (CacheError, OSError):
        return None
    return _Wreck(image, _sound_rows(image), False, provenance_of(image))


def _damaged_image(path: Path) -> Image:
    """A file that ``open_image`` refuses, its header read from the HDF5 data where it must be. Raises CacheError."""
    descriptor = open_regular(path)
    try:
        state = os.fstat(descriptor)
        try:
            head = read_head(descriptor, path)
            header = unpack(head, declared_length(head), str(path))
        except CacheError:
            part = PART.fullmatch(path.name)
            start, sequence = (int(part[2]), int(part[1])) if part else (0, 0)
            header = header_from_hdf5(descriptor, state.st_size, path, start, sequence)
        if header.length > max(_LARGEST_LOSS * state.st_size, 1 << 30):
            raise CacheError(f"{path} is cut so short that nothing is left.")
        buffer, unreadable = load_file(descriptor, header.length, header.bulk(), writable=True)
        return Image(path, header, buffer, {}, (state.st_dev, state.st_ino), unreadable)
    finally:
        os.close(descriptor)


def _derive(image: Image) -> Image:
    """Put back what follows from other tables, in memory: the overall status, and stamps, of which 0 means to look."""
    names = image.header.schema.modalities
    if all(_is_sound(image, f"inputs/{name}/status") for name in names) and not _is_sound(image, "status"):
        image.array("status")[:] = overall_status({name: image.array(f"inputs/{name}/status") for name in names})
        image = _seal_table(image, "status")
    for path in (f"inputs/{name}/stamp" for name in names):
        if not _is_sound(image, path):
            for low, high, rows in image.blocks(path, 0, image.header.sizes.rows):
                if rows is None:
                    image.array(path)[low:high] = 0
            image = _seal_table(image, path)
    return image


def _seal_table(image: Image, path: str) -> Image:
    """Give a table that was put back checksums that fit, in memory."""
    for one in (path, f"checksums/{path}"):
        begin = image.header.offsets[one]
        end = begin + image.header.tables[one].nbytes
        spans = [(low, min(high, begin)) for low, high in image.unreadable]
        spans += [(max(low, end), high) for low, high in image.unreadable]
        image = replace(image, unreadable=tuple(span for span in spans if span[0] < span[1]))
    image.array(f"checksums/{path}")[:] = block_sums(path, image.header.tables[path], [raw_bytes(image.array(path))])
    return image


def _is_sound(image: Image, path: str) -> bool:
    return all(rows is not None for _, _, rows in image.blocks(path, 0, image.header.tables[path].shape[0]))


def _sound_rows(image: Image) -> np.ndarray:
    """bool [rows]: whether every byte of the row, in every table, is what was written."""
    sound = np.ones(image.header.sizes.rows, bool)
    for path, table in image.header.tables.items():
        if path.startswith("checksums/"):
            continue
        for low, high, rows in image.blocks(path, 0, table.shape[0]):
            if rows is not None:
                continue
            if path.endswith("/blob") and not _is_sound(image, path.removesuffix("blob") + "offsets"):
                sound[:] = False
                continue
            first, last = rows_hit(image, path, low, high - 1)
            sound[first : last + 1] = False
    return sound


def _segments(wrecks: Sequence[_Wreck], like: Image) -> list[Segment]:
    """The sound rows of the files that go with ``like``, those of later files for those of earlier ones, every post
    once, without gaps.
    """
    wrecks = [one for one in wrecks if one.sound.any() and _alike(one.image, like)][::-1]
    if not wrecks:
        return []
    local = [np.flatnonzero(one.sound) for one in wrecks]
    of = np.repeat(np.arange(len(wrecks)), [len(rows) for rows in local])
    at = np.concatenate(local)
    row = np.concatenate([rows + one.image.header.start for rows, one in zip(local, wrecks, strict=True)])
    ids = np.concatenate([one.image.array("posts/id")[rows] for rows, one in zip(local, wrecks, strict=True)])
    first = np.unique(row, return_index=True)[1]
    kept = first[np.sort(np.unique(ids[first], return_index=True)[1])]
    of, at = of[kept], at[kept]
    edges = np.flatnonzero((np.diff(of) != 0) | (np.diff(at) != 1)) + 1
    bounds = [0, *edges.tolist(), len(of)]
    return [Segment(a, b, wrecks[int(of[a])].image, int(at[a])) for a, b in pairwise(bounds)]


def _alike(one: Image, other: Image) -> bool:
    return one.header.fingerprint == other.header.fingerprint and one.header.schema == other.header.schema
