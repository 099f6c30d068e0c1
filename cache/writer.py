"""Writing a cache file: immutable parts while extracting, one sealed file at the end, one writer at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cache import files
from cache.build import part_bytes
from cache.errors import CacheError, sentences
from cache.header import canonical_json
from cache.index import GrowingIds
from cache.lock import acquire
from cache.reader import FeatureFile
from cache.rows import Rows, tables_of
from cache.schema import Schema, ViewSpec
from cache.seal import remove_quietly, temporary_path, with_counts, write_sealed
from cache.snapshot import Snapshot, list_parts, open_part, overlay, part_name, parts_folder, take_snapshot


class FeatureWriter:
    """The one writer of a cache file. A context manager; a row is either committed for good or not there.

    path: of the sealed file to be. views, modalities, captions: what every row has. provenance: plain JSON with the
    ``"fingerprint"`` of all that decides a vector. Raises CacheBusy when another writer has the file, CacheError when
    what is there comes from another encoder or is damaged; nothing is touched then.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        views: Mapping[str, ViewSpec],
        modalities: Sequence[str],
        provenance: Mapping[str, Any],
        captions: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        self._schema = Schema.of(views, modalities, captions)
        self._provenance = json.loads(canonical_json(provenance))
        if not isinstance(self._provenance.get("fingerprint"), str) or not self._provenance["fingerprint"]:
            raise CacheError("The provenance of a cache needs a 'fingerprint'.")
        self._snapshot: Snapshot | None = None
        self._committed: FeatureFile | None = None
        self._ids = GrowingIds()
        with sentences(self.path):
            files.make_folders(self.path.parent)
        self._lock = acquire(self.path)
        try:
            with sentences(self.path):
                self._load()
                self._recover()
        except BaseException:
            self._lock.release()
            raise
        self._stale = False
        self._closed = False

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; what is committed stays."""
        self._closed = True
        self._lock.release()

    @property
    def committed(self) -> FeatureFile | None:
        """What is committed so far, as it is now; None before the first commit."""
        self._refresh()
        if self._committed is None and self._snapshot is not None:
            self._committed = FeatureFile(self.path, self._snapshot)
        return self._committed

    def commit(self, start: int, rows: Rows) -> None:
        """Commit rows [start, start + n), durable when this returns.

        Rows that are committed already are replaced; their ids must be the same. Raises CacheError when that or
        anything else about the rows is wrong, or when the disk does not take them; nothing is lost then.
        """
        self._refresh()
        tables = tables_of(rows, self._schema)
        self._ids.check(start, tables["posts/id"])
        sequence = (self._snapshot.newest.header.sequence if self._snapshot else 0) + 1
        image = part_bytes(self._schema, tables, start, sequence, self._provenance)
        target = parts_folder(self.path) / part_name(sequence, start, start + len(rows.ids))
        self._stale = True
        with sentences(self.path):
            self._publish(target, image)
        part = open_part(target, sequence)
        before = self._snapshot.segments if self._snapshot else ()
        self._snapshot = Snapshot(overlay(before, part), part, sealed=False)
        self._committed = None
        self._ids.put(start, tables["posts/id"])
        self._stale = False

    def seal(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> Path:
        """Lay everything committed into one sealed file and drop the parts; does nothing if that is so already.

        counts: numbers over all its rows, known only now; they stand under ``"counts"`` in the file's provenance.

        Needs as much free disk as the file is large. Raises CacheError when nothing is committed, when the disk does
        not take it, or when a block turns out damaged; the parts stay then.
        """
        self._refresh()
        if self._snapshot is None:
            raise CacheError(f"Nothing is committed to {self.path} yet, so there is nothing to seal.")
        if not self._snapshot.sealed:
            self._stale = True
            with sentences(self.path):
                sequence = self._snapshot.newest.header.sequence
                provenance = with_counts(self._snapshot.newest.provenance, counts)
                write_sealed(self.path, self._snapshot.segments, sequence, provenance)
                self._drop_parts(sequence)
            self._refresh()
        return self.path

    def _publish(self, target: Path, image: bytearray) -> None:
        """Write a part under a temporary name, make it durable, give it its name, make that durable."""
        if not target.parent.is_dir():
            files.make_folder(target.parent)
            files.sync_folder(self.path.parent)
        temporary = target.with_name(target.name + ".tmp")
        descriptor = files.create(temporary)
        try:
            try:
                files.write_at(descriptor, 0, image)
                files.sync(descriptor)
            finally:
                files.close(descriptor)
            files.rename(temporary, target)
        except BaseException:
            remove_quietly(temporary)
            raise
        files.sync_folder(target.parent)

    def _refresh(self) -> None:
        """After anything went wrong, what counts is what is on disk."""
        if self._closed:
            raise CacheError(f"The writer of {self.path} was closed; open a new one.")
        if self._stale:
            with sentences(self.path):
                self._load()
                self._recover()
            self._stale = False

    def _load(self) -> None:
        self._snapshot = take_snapshot(self.path)
        self._committed = None
        self._ids = GrowingIds()
        if self._snapshot is None:
            return
        found = self._snapshot.newest.header
        if found.fingerprint != self._provenance["fingerprint"] or found.schema != self._schema:
            raise CacheError(
                f"{self.path} was made by another encoder or with other settings (fingerprint "
                f"{found.fingerprint[:8]}); write to another file or drop this one with 'crisis cache drop'."
            )
        self._ids.put(0, FeatureFile(self.path, self._snapshot).ids)
        self._ids.require_distinct(self.path)

    def _recover(self) -> None:
        """Remove what a killed writer left: temporary files, and parts that the sealed file holds already.

        The names a killed writer gave may not be durable yet, so that comes first.
        """
        files.sync_folder(self.path.parent)
        files.unlink(temporary_path(self.path))
        folder = parts_folder(self.path)
        if folder.is_dir():
            files.sync_folder(folder)
            for leftover in folder.glob("*.tmp"):
                files.unlink(leftover)
        if self._snapshot is not None and self._snapshot.segments[0].image.path == self.path:
            self._drop_parts(self._snapshot.segments[0].image.header.sequence)

    def _drop_parts(self, sealed: int) -> None:
        """Delete parts up to the sealed number, oldest first, so that what is left is always a whole end."""
        for sequence, part in list_parts(self.path):
            if sequence <= sealed:
                files.unlink(part)
        files.remove_folder(parts_folder(self.path))
