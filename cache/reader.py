"""Reading a cache file: the same for a sealed file, for parts, for both, and while they are being written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cache.captions import Captions
from cache.errors import CacheError
from cache.index import IdIndex, as_ids
from cache.integrity import Report, verify_images
from cache.schema import ViewSpec, block_rows
from cache.snapshot import Snapshot, take_snapshot

MAP_ABOVE = 1 << 31


class FeatureFile:
    """What a cache file held at the moment it was opened; later commits and sealing do not change it.

    Arrays are aligned by row. ``n``: rows. ``sealed``: all of it is one sealed file. Made by ``FeatureFile.open``.
    """

    def __init__(self, path: Path, snapshot: Snapshot, map_above: int = MAP_ABOVE) -> None:
        newest = snapshot.newest
        self.path = path
        self.n = snapshot.rows
        self.sealed = snapshot.sealed
        self.views: dict[str, ViewSpec] = newest.header.schema.views
        self.modalities: tuple[str, ...] = newest.header.schema.modalities
        self.caption_names: tuple[str, ...] = newest.header.schema.captions
        self.provenance: dict[str, Any] = newest.provenance
        self.fingerprint: str = newest.header.fingerprint
        self.segments = snapshot.segments
        self._starts = np.array([segment.start for segment in snapshot.segments])
        self._map_above = map_above
        self._maps: dict[str, np.ndarray] = {}

    @classmethod
    def open(cls, path: str | Path, map_above: int = MAP_ABOVE) -> FeatureFile:
        """Open a cache file by the path of its sealed file, whether or not that exists yet.

        map_above: views of more bytes than this are mapped by ``read``, not loaded. Raises CacheError when there is no
        cache or it is refused, CacheDamaged when its bytes changed on disk.
        """
        path = Path(path)
        snapshot = take_snapshot(path)
        if snapshot is None:
            raise CacheError(f"There is no feature cache at {path}; make it with 'crisis extract'.")
        opened = cls(path, snapshot, map_above)
        opened._index.require_distinct(path)
        return opened

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; arrays that were read stay valid, also mapped ones."""
        self.segments = ()
        self._maps.clear()
        self.__dict__.pop("_index", None)

    @cached_property
    def ids(self) -> np.ndarray:
        """Post ids as UTF-8 bytes, dtype ``S<width>`` [n]."""
        return self._table("posts/id")

    @cached_property
    def groups(self) -> np.ndarray:
        """Group ids as UTF-8 bytes, dtype ``S<width>`` [n]."""
        return self._table("posts/group")

    @cached_property
    def status(self) -> np.ndarray:
        """Overall status, uint8 [n]: the first that is not ok over the sorted modalities."""
        return self._table("status")

    def id_list(self) -> list[str]:
        """Post ids as ``n`` strings."""
        return self._texts(self.ids)

    def group_list(self) -> list[str]:
        """Group ids as ``n`` strings."""
        return self._texts(self.groups)

    def status_of(self, modality: str) -> np.ndarray:
        """Status of one modality, uint8 [n]."""
        return self._input(modality, "status")

    def hashes(self, modality: str) -> np.ndarray:
        """Hash of each row's input, uint8 [n, 16]."""
        return self._input(modality, "hash")

    def stamps(self, modality: str) -> np.ndarray:
        """Cheap change stamp of each row's input, uint64 [n]; 0 = none."""
        return self._input(modality, "stamp")

    def captions(self, name: str, verify: bool = False) -> Captions:
        """The captions of this name as a lazy sequence of ``n`` strings.

        verify: whatever is asked of it is compared with its checksums; CacheDamaged names what does not fit.
        """
        if name not in self.caption_names:
            raise CacheError(f"{self.path} has no captions {name!r}; it has {list(self.caption_names)}.")
        self._require_open()
        return Captions(name, self.segments, verify)

    def rows_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row of each post id (strings, or an ``S`` array), int64 [len(ids)]; -1 where absent."""
        self._require_open()
        return self._index.rows_of(as_ids(ids))

    def read(self, view: str, out: np.ndarray | None = None, verify: bool = False) -> np.ndarray:
        """All rows of a view, [n, *shape] of its declared dtype.

        out: filled and returned if given (same shape and dtype, contiguous). Without it, a sealed view larger than
        ``map_above`` comes back as a read-only map of the file, so memory stays bounded. verify: compare every block
        with its checksum and raise CacheDamaged naming the rows.
        """
        spec = self._spec(view)
        shape, dtype, path = (self.n, *spec.shape), np.dtype(spec.dtype), f"views/{view}"
        mapped = out is None and len(self.segments) == 1 and np.prod(shape) * dtype.itemsize > self._map_above
        if mapped:
            out = self._map(view)
        elif out is None:
            out = np.empty(shape, dtype)
        elif out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
            raise CacheError(f"The array to read {view!r} into must be contiguous, writable, {dtype}{shape}.")
        for one in self.segments:
            first, last = one.first, one.first + one.stop - one.start
            if not mapped:
                one.image.copy_rows(path, first, last, out[one.start : one.stop], verify)
            elif verify:
                one.image.require(path, first, last)
        return out

    def take(self, view: str, rows: Sequence[int] | np.ndarray, verify: bool = False) -> np.ndarray:
        """The given rows of a view in the given order, [len(rows), *shape].

        Raises CacheError for a row outside [0, n): -1 means "absent" here, never "the last".
        """
        index = rows if type(rows) is np.ndarray and rows.dtype == np.int64 else _row_numbers(rows)
        if index.ndim != 1:
            raise CacheError("Rows to take are a list of row numbers.")
        # Seen as unsigned, a negative row is a huge one, so one maximum checks both ends.
        if len(index) and np.maximum.reduce(index.view(np.uint64)) >= self.n:
            raise CacheError(f"Rows to take must lie between 0 and {self.n - 1}; {self.path} has {self.n} rows.")
        if verify:
            self._spec(view)
            self._require_rows(f"views/{view}", index)
        if len(self.segments) == 1:
            return self._map(view).take(index, 0, None, "clip")
        spec = self._spec(view)
        out = np.empty((len(index), *spec.shape), spec.dtype)
        if not len(index):
            return out
        owners = np.searchsorted(self._starts, index, "right") - 1
        order = np.argsort(owners, kind="stable")
        used, begins = np.unique(owners[order], return_index=True)
        for owner, chosen in zip(used, np.split(order, begins[1:]), strict=True):
            one = self.segments[owner]
            out[chosen] = one.image.array(f"views/{view}")[index[chosen] - one.start + one.first]
        return out

    def require(self, view: str, rows: np.ndarray) -> None:
        """Compare the given rows (int64) of a view with their checksums; CacheDamaged names rows that do not fit."""
        self._spec(view)
        self._require_rows(f"views/{view}", rows)

    def place(self, view: str) -> tuple[Path, int] | None:
        """Where the rows of a view lie one after the other: a file and the first row's offset in bytes.

        None when they lie in several files, as they do until an extraction is sealed.
        """
        spec = self._spec(view)
        if len(self.segments) != 1:
            return None
        one = self.segments[0]
        row_bytes = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
        return one.image.path, one.image.header.offsets[f"views/{view}"] + one.first * row_bytes

    def verify(self) -> Report:
        """Compare everything with its checksums; see ``Report``."""
        self._require_open()
        return verify_images(list({id(one.image): one.image for one in self.segments}.values()))

    @cached_property
    def _index(self) -> IdIndex:
        return IdIndex(self.ids)

    def _map(self, view: str) -> np.ndarray:
        """A view of a snapshot that is one segment, as a read-only map of the file."""
        if view not in self._maps:
            self._spec(view)
            one = self.segments[0]
            self._maps[view] = one.image.array(f"views/{view}")[one.first : one.first + self.n]
        return self._maps[view]

    def _require_rows(self, path: str, index: np.ndarray) -> None:
        for one in self.segments:
            inside = index[(index >= one.start) & (index < one.stop)] - one.start + one.first
            size = block_rows(path, one.image.header.tables[path])
            blocks = np.unique(inside // size)
            for run in np.split(blocks, np.flatnonzero(np.diff(blocks) > 1) + 1):
                if len(run):
                    one.image.require(path, int(run[0]) * size, (int(run[-1]) + 1) * size)

    def _table(self, path: str) -> np.ndarray:
        self._require_open()
        arrays = [one.image.array(path)[one.first : one.first + one.stop - one.start] for one in self.segments]
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

    def _input(self, modality: str, kind: str) -> np.ndarray:
        if modality not in self.modalities:
            raise CacheError(f"{self.path} has no modality {modality!r}; it has {list(self.modalities)}.")
        return self._table(f"inputs/{modality}/{kind}")

    def _spec(self, view: str) -> ViewSpec:
        self._require_open()
        if view not in self.views:
            raise CacheError(f"{self.path} has no view {view!r}; it has {list(self.views)}.")
        return self.views[view]

    def _texts(self, array: np.ndarray) -> list[str]:
        try:
            return [text.decode() for text in array.tolist()]
        except UnicodeDecodeError as error:
            raise CacheError(f"{self.path} is refused: an id is not proper UTF-8.") from error

    def _require_open(self) -> None:
        if not self.segments:
            raise CacheError(f"{self.path} was closed; open it again.")


def _row_numbers(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Rows as int64. Raises CacheError for anything but whole numbers."""
    index = np.asarray(rows)
    if index.size and index.dtype.kind not in "iu":
        raise CacheError("Rows to take are a list of row numbers.")
    return index.astype(np.int64)
