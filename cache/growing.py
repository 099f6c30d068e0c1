"""The ids a writer has committed, checked against every new batch without sorting them all again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache.errors import CacheError
from cache.index import IdIndex


class GrowingIds:
    """Ids by row, with a few indexes over consecutive runs of rows, each at least twice as long as the next."""

    def __init__(self) -> None:
        self._ids = np.empty(0, "S8")
        self._count = 0
        self._runs: list[tuple[int, int, IdIndex]] = []

    def check(self, start: int, ids: np.ndarray) -> None:
        """Raise CacheError unless ``ids`` (bytes [n]) may stand in rows [start, start + n)."""
        if not 0 <= start <= self._count:
            raise CacheError(f"Rows from {start} on cannot be committed: {self._count} rows are there, without a gap.")
        known = self._ids[start : min(start + len(ids), self._count)]
        changed = np.flatnonzero(known != ids[: len(known)])
        if len(changed):
            row = start + int(changed[0])
            old, new = self._ids[row].decode(), ids[changed[0]].decode()
            raise CacheError(f"Row {row} belongs to post {old}, not {new}; rows can be replaced but not given away.")
        fresh = ids[len(known) :]
        for begin, _, index in self._runs:
            found = index.rows_of(fresh)
            if (found >= 0).any():
                place = int(np.argmax(found >= 0))
                row = begin + int(found[place])
                raise CacheError(f"The post {fresh[place].decode()} is in row {row} already; each post has one row.")

    def require_distinct(self, path: Path) -> None:
        """Raise CacheError if a run holds an id twice, as only a file made elsewhere can."""
        for _, _, index in self._runs:
            index.require_distinct(path)

    def put(self, start: int, ids: np.ndarray) -> None:
        """Note checked ids of rows [start, start + n)."""
        fresh = ids[self._count - start :]
        if not len(fresh):
            return
        end = self._count + len(fresh)
        width = max(self._ids.dtype.itemsize, fresh.dtype.itemsize)
        if end > len(self._ids) or width > self._ids.dtype.itemsize:
            grown = np.empty(max(end, len(self._ids) * 3 // 2), f"S{width}")
            grown[: self._count] = self._ids[: self._count]
            self._ids = grown
        self._ids[self._count : end] = fresh
        begin, self._count = self._count, end
        while self._runs and self._runs[-1][1] - self._runs[-1][0] < 2 * (end - begin):
            begin = self._runs.pop()[0]
        self._runs.append((begin, end, IdIndex(self._ids[begin:end].copy())))
