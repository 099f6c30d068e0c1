"""Stamps of inputs that were read again and found to be the same: so that what was copied is not read at every start.

They lie in a hidden file beside the cache file. It may be deleted at any time; what it says of a row holds only while
the row's digest is the one it was said of.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from cache import FeatureFile, files
from pipeline.inputs.hashing import SIZE
from pipeline.inputs.opened import opened

_ROW = np.dtype([("hash", "u1", SIZE), ("stamp", "<u8")])


class KnownStamps:
    """The stamps that the rows of `cached` are known by, for one modality: the file's own, and those found since."""

    def __init__(self, cached: FeatureFile, modality: str) -> None:
        path = cached.path
        self._path = path.with_name(f".{path.stem}.{modality}.stamps")
        self._own = cached.stamps(modality)
        self._hashes = cached.hashes(modality)
        self._found = self._read()
        self._new: dict[int, int] = {}

    def of(self, rows: np.ndarray) -> list[tuple[int, int]]:
        """The one or two stamps of each row, the file's own first."""
        own = self._own[rows]
        if self._found is None:
            return [(stamp, stamp) for stamp in own.tolist()]
        told = self._found[rows]
        holds = (told["hash"] == self._hashes[rows]).all(axis=1)
        return list(zip(own.tolist(), np.where(holds, told["stamp"], own).tolist(), strict=True))

    def add(self, row: int, stamp: int) -> None:
        """The input of `row` has this stamp now, and is what the row was made from."""
        self._new[row] = stamp

    def keep(self) -> None:
        """Write what was added; where that cannot be done, it is found anew next time."""
        rows = np.fromiter(self._new, np.int64, len(self._new))
        stamps = np.fromiter(self._new.values(), np.uint64, len(self._new))
        if not len(rows) or np.array_equal(self._own[rows], stamps):
            return
        found = np.zeros(len(self._own), _ROW) if self._found is None else self._found.copy()
        found["hash"][rows], found["stamp"][rows] = self._hashes[rows], stamps
        with suppress(OSError):
            files.write_whole(self._path, found.tobytes())

    def _read(self) -> np.ndarray | None:
        """What was found before, for as many rows as the file has now; None where nothing sound is there."""
        try:
            with opened(str(self._path)) as stream:
                found = stream.read(len(self._own) * _ROW.itemsize)
        except (OSError, ValueError):
            return None
        whole = np.zeros(len(self._own), _ROW)
        told = len(found) // _ROW.itemsize
        whole[:told] = np.frombuffer(found, _ROW, told)
        return whole
