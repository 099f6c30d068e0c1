"""Whole cache files: listing a folder of them, merging, dropping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cache import files
from cache.errors import CacheError, sentences
from cache.integrity import Report, verify_images
from cache.lock import acquire
from cache.ours import require_ours
from cache.reader import FeatureFile
from cache.rows import Status
from cache.schema import ViewSpec
from cache.seal import added_counts, temporary_path, with_counts, write_sealed
from cache.snapshot import Segment, list_parts, parts_folder, require_same
from cache.stored import map_image

_PARTS = ".parts"


@dataclass
class Info:
    """One line of ``crisis cache ls``. bad: reason -> rows. bytes: on disk, parts included. error: why unreadable."""

    path: Path
    dataset: str
    encoder: str
    fingerprint: str = ""
    rows: int = 0
    ok: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    views: dict[str, ViewSpec] = field(default_factory=dict)
    bytes: int = 0
    sealed: bool = False
    parts: int = 0
    error: str = ""


def list_files(folder: str | Path) -> list[Info]:
    """Every cache file under ``folder``, sorted by path; unreadable ones carry their error."""
    folder = Path(folder)
    sealed = [path for path in folder.rglob("*.h5") if path.parent.suffix != _PARTS and path.is_file()]
    parts = [path.with_name(path.name.removesuffix(_PARTS)) for path in folder.rglob("*.h5" + _PARTS)]
    return [describe(path) for path in sorted({*sealed, *(path for path in parts if list_parts(path))})]


def describe(path: str | Path) -> Info:
    """What one cache file holds."""
    path = Path(path)
    parts = [part for _, part in list_parts(path)]
    info = Info(path, path.parent.name, path.stem.rpartition("@")[0] or path.stem, parts=len(parts))
    info.bytes = sum(one.stat().st_size for one in (path, *parts) if one.exists())
    try:
        with FeatureFile.open(path) as opened:
            counts = np.bincount(opened.status, minlength=len(Status))
            info.fingerprint, info.rows, info.sealed = opened.fingerprint, opened.n, opened.sealed
            info.ok = int(counts[Status.OK])
            info.bad = {status.reason: int(counts[status]) for status in Status if status and counts[status]}
            info.views = opened.views
    except CacheError as error:
        info.error = str(error)
    return info


def verify(path: str | Path) -> Report:
    """Check a cache file on disk, also one that ``FeatureFile.open`` refuses. Raises CacheError if there is none."""
    path = Path(path)
    report, last, images = Report(), 0, []
    for file in [path, *(part for _, part in list_parts(path))]:
        try:
            image = map_image(file)
        except FileNotFoundError:
            continue
        except CacheError as error:
            report.sentences.append(str(error))
            continue
        if file == path:
            last = image.header.sequence
        if file == path or image.header.sequence > last:
            images.append(image)
    found = verify_images(images)
    report.rows, report.damage = found.rows, found.damage
    report.sentences += found.sentences
    if report.ok:
        try:
            FeatureFile.open(path).close()
        except CacheError as error:
            if not images:
                raise
            report.sentences.append(str(error))
    return report


def merge(paths: Sequence[str | Path], output: str | Path) -> Path:
    """Lay several cache files of one encoder, one after the other, into a new sealed file.

    Raises CacheError when they come from different encoders or settings, share a post, or ``output`` exists.
    """
    output = Path(output)
    if not paths:
        raise CacheError("There is nothing to merge; name at least one cache file.")
    inputs = [FeatureFile.open(path) for path in paths]
    with sentences(output):
        files.make_folders(output.parent)
    lock = acquire(output)
    try:
        if output.exists() or list_parts(output):
            raise CacheError(f"{output} exists already; merge into a new file.")
        segments: list[Segment] = []
        for one in inputs:
            require_same(inputs[0].segments[0].image, one.segments[0].image)
            at = segments[-1].stop if segments else 0
            segments += [Segment(at + old.start, at + old.stop, old.image, old.first) for old in one.segments]
        _require_distinct(inputs)
        with sentences(output):
            counts = added_counts([one.provenance for one in inputs])
            write_sealed(output, segments, 0, with_counts(inputs[0].provenance, counts))
    finally:
        lock.release()
    return output


def drop(path: str | Path) -> None:
    """Delete a cache file and its parts, newest first, so that an interrupted drop leaves an older whole state.

    Raises CacheBusy while it is being written, CacheError when there is none, or another file.
    """
    path = Path(path)
    require_ours(path)
    with sentences(path):
        lock = acquire(path)
        try:
            for _, part in reversed(list_parts(path)):
                files.unlink(part)
            for leftover in parts_folder(path).glob("*.tmp"):
                files.unlink(leftover)
            files.unlink(temporary_path(path))
            files.unlink(path)
            files.remove_folder(parts_folder(path))
        finally:
            lock.release()


def _require_distinct(inputs: Sequence[FeatureFile]) -> None:
    for number, one in enumerate(inputs):
        for other in inputs[number + 1 :]:
            shared = other.ids[one.rows_of(other.ids) >= 0]
            if len(shared):
                raise CacheError(f"{one.path} and {other.path} both hold the post {shared[0].decode()}.")
