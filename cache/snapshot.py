"""What a cache file holds at one moment: the sealed file and the parts committed since.

Parts are numbered without gaps from the sealed file's last number on, and a later part's rows replace earlier ones. A
snapshot that a writer changed while it was taken (a part sealed away, a listing that missed one) is taken again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cache.errors import CacheDamaged, CacheError
from cache.stored import Image, identity_of, open_image

PART = re.compile(r"(\d{6,12})-(\d{10,15})-(\d{10,15})\.h5")
_ATTEMPTS = 30


@dataclass(frozen=True, eq=False)
class Segment:
    """Dataset rows [start, stop), found in ``image`` from its row ``first`` on."""

    start: int
    stop: int
    image: Image
    first: int


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Segments in row order without gaps, the newest file, and whether all of it is one sealed file."""

    segments: tuple[Segment, ...]
    newest: Image
    sealed: bool

    @property
    def rows(self) -> int:
        return self.segments[-1].stop


def parts_folder(path: Path) -> Path:
    """Where the parts of a cache file are."""
    return path.with_name(path.name + ".parts")


def part_name(sequence: int, start: int, stop: int) -> str:
    """File name of a part that holds dataset rows [start, stop)."""
    return f"{sequence:06d}-{start:010d}-{stop:010d}.h5"


def list_parts(path: Path) -> list[tuple[int, Path]]:
    """Numbers and paths of the parts on disk, in order; other files are not looked at."""
    try:
        names = [entry for entry in parts_folder(path).iterdir() if PART.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CacheError(f"{parts_folder(path)} cannot be read: {error.strerror}.") from error
    return sorted((int(entry.name.split("-")[0]), entry) for entry in names)


def take_snapshot(path: Path) -> Snapshot | None:
    """The committed state of a cache file, None where there is none.

    Raises CacheError or CacheDamaged when a file is not to be trusted or a part is missing.
    """
    problem = ""
    for attempt in range(_ATTEMPTS):
        try:
            return _attempt(path)
        except _Moved as moved:
            problem = str(moved)
            time.sleep(0.001 * attempt)
    raise CacheDamaged(f"{path} cannot be read: {problem}; see 'crisis cache verify'.")


class _Moved(Exception):
    """The files changed while the snapshot was taken."""


def _attempt(path: Path) -> Snapshot | None:
    try:
        base = open_image(path, keep_open=True)
    except FileNotFoundError:
        base = None
    last = base.header.sequence if base else 0
    newer = [(sequence, part) for sequence, part in list_parts(path) if sequence > last]
    for expected, (sequence, part) in enumerate(newer, last + 1):
        if sequence != expected:
            raise _Moved(f"part {expected} is missing although {part.name} is there")
    images = []
    for sequence, part in newer:
        try:
            images.append(open_part(part, sequence))
        except FileNotFoundError:
            raise _Moved(f"part {sequence} is gone") from None
    if identity_of(path) != (base.identity if base else None):
        raise _Moved("the sealed file keeps changing")
    if base is None and not images:
        return None
    if base is None:
        return combine(images, sealed=False)
    return combine([base, *images], sealed=not images)


def open_part(path: Path, sequence: int) -> Image:
    """Open a part and check that it is the one its name says. Raises like ``open_image``."""
    image = open_image(path)
    header = image.header
    if path.name != part_name(sequence, header.start, header.start + header.sizes.rows):
        raise CacheError(f"{path} holds other rows than its name says; it was renamed or copied there.")
    if header.sequence != sequence:
        raise CacheError(f"{path} is part {header.sequence}, not {sequence}; it was renamed or copied there.")
    return image


def combine(images: list[Image], sealed: bool) -> Snapshot:
    """Lay images over one another in order. Raises CacheError when they do not belong together."""
    segments: tuple[Segment, ...] = ()
    for image in images:
        require_same(images[0], image)
        segments = overlay(segments, image)
    return Snapshot(segments, images[-1], sealed)


def require_same(one: Image, other: Image) -> None:
    """Raise CacheError unless two files hold the same views, modalities and captions under one fingerprint."""
    if one.header.fingerprint != other.header.fingerprint or one.header.schema != other.header.schema:
        raise CacheError(f"{other.path} and {one.path} come from different encoders or settings; keep them apart.")


def overlay(segments: Iterable[Segment], image: Image) -> tuple[Segment, ...]:
    """Put an image's rows over what is there. Raises CacheError when that leaves a gap."""
    start, stop = image.header.start, image.header.start + image.header.sizes.rows
    before, after, end = [], [], 0
    for old in segments:
        end = old.stop
        if old.start < start:
            before.append(Segment(old.start, min(old.stop, start), old.image, old.first))
        if old.stop > stop:
            begin = max(old.start, stop)
            after.append(Segment(begin, old.stop, old.image, old.first + begin - old.start))
    if start > end:
        raise CacheError(f"{image.path} begins at row {start}, but the rows before it end at {end}.")
    return (*before, Segment(start, stop, image, 0), *after)
