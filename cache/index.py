"""Finding rows by post id: a sorted array of 64-bit hashes, exact because every hit is compared with the id itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache.errors import CacheError

_CHUNK = 1 << 18


def as_ids(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Ids given as strings, bytes or a numpy array, as a bytes array [n] of dtype ``S<width>``.

    An id that the cache could not hold (with a NUL, or no text at all) becomes the empty id, which no row has.
    """
    if isinstance(ids, np.ndarray) and ids.dtype.kind == "S":
        return ids
    plain = ids.tolist() if isinstance(ids, np.ndarray) else ids
    encoded = [_encode(one) for one in plain]
    return np.array(encoded, dtype=f"S{max(map(len, encoded), default=1) or 1}")


def _encode(one: str | bytes) -> bytes:
    raw = one.encode("utf-8", "surrogatepass") if isinstance(one, str) else bytes(one)
    return b"" if b"\0" in raw else raw


def hash_ids(ids: np.ndarray) -> np.ndarray:
    """A 64-bit hash per id, uint64 [n], whatever the width of the array.

    Each 8-byte word is multiplied by an odd number of its position and mixed (the finaliser of splitmix64, which maps
    0 to 0, so that padding does not count).
    """
    hashes = np.zeros(len(ids), np.uint64)
    width = -(-ids.dtype.itemsize // 8) * 8
    for begin in range(0, len(ids), _CHUNK):
        words = np.ascontiguousarray(ids[begin : begin + _CHUNK], dtype=f"S{width}").view("<u8").reshape(-1, width // 8)
        part = hashes[begin : begin + _CHUNK]
        for position in range(width // 8):
            odd = (0x9E3779B97F4A7C15 * (2 * position + 1)) & 0xFFFFFFFFFFFFFFFF | 1
            word = words[:, position] * np.uint64(odd)
            word ^= word >> np.uint64(30)
            word *= np.uint64(0xBF58476D1CE4E5B9)
            word ^= word >> np.uint64(27)
            word *= np.uint64(0x94D049BB133111EB)
            word ^= word >> np.uint64(31)
            part += word
    return hashes


class IdIndex:
    """Row numbers of the ids [n] of a cache."""

    def __init__(self, ids: np.ndarray) -> None:
        self._ids = ids
        hashes = hash_ids(ids)
        self._rows = np.argsort(hashes)
        self._hashes = hashes[self._rows]
        same = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        self._colliding = np.unique(np.concatenate([same, same + 1]))
        rows = self._rows[self._colliding]
        self._few = dict(zip(ids[rows].tolist(), rows.tolist(), strict=True))

    def require_distinct(self, path: Path) -> None:
        """Raise CacheError, naming the id, when one stands in more than one row of the cache file ``path``."""
        rows = self._rows[self._colliding]
        if len(self._few) < len(rows):
            found, counts = np.unique(self._ids[rows], return_counts=True)
            repeated = found[counts > 1][0].decode("utf-8", "replace")
            raise CacheError(f"{path} is refused: the post id {repeated!r} is there twice.")

    def rows_of(self, ids: np.ndarray) -> np.ndarray:
        """Row of each given id (bytes array [n]), int64 [n]; -1 where the cache does not hold it."""
        found = np.full(len(ids), -1, np.int64)
        shared = min(len(ids), len(self._ids))
        for begin in range(0, shared, _CHUNK):
            end = min(begin + _CHUNK, shared)
            in_place = ids[begin:end] == self._ids[begin:end]
            found[begin:end][in_place] = np.arange(begin, end)[in_place]
        rest = np.flatnonzero(found < 0)
        if len(rest) and len(self._ids):
            found[rest] = self._search(ids[rest])
        return found

    def _search(self, ids: np.ndarray) -> np.ndarray:
        hashes = hash_ids(ids)
        order = np.argsort(hashes)
        places = np.empty(len(ids), np.int64)
        places[order] = np.searchsorted(self._hashes, hashes[order])
        rows = self._rows[np.minimum(places, len(self._rows) - 1)]
        found = np.where(self._ids[rows] == ids, rows, -1)
        if self._few:
            for place in np.flatnonzero(found < 0):
                found[place] = self._few.get(ids[place], -1)
        return found


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
