"""Views that several processes read from one place: a memory-mapped file, never a copy per process."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import numpy as np

from classifiers.errors import HeadError

_PAGE = 4096


@dataclass(frozen=True)
class Place:
    """Where an array lies in a file."""

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def open(self) -> np.ndarray:
        """The array, mapped read-only."""
        if 0 in self.shape:
            return np.zeros(self.shape, dtype=self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)


class FileRows:
    """Posts of a token view that stay in their file: row numbers, and nothing read until it is asked for.

    Stands for an array [n, T, D] of `place`'s dtype, post i being row `rows[i]` (int64) of the file, or zeros, an
    absent view, for -1. Indexed by row numbers it reads those rows, through no map, so that memory holds what was
    asked for and no more. It travels to other processes as the numbers alone.
    """

    ndim = 3

    def __init__(self, place: Place, rows: np.ndarray) -> None:
        self.place = place
        self.rows = rows
        self.dtype = np.dtype(place.dtype)
        self.shape = (len(rows), *place.shape[1:])
        self._stamp = _stamp(os.stat(place.path))
        self._file: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        """The posts `chosen` (int64 [m]), [m, T, D] in the stored dtype."""
        rows = self.rows[chosen]
        result = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        size = result[:1].nbytes
        for post, row in zip(result, rows.tolist(), strict=True):
            if (
                row >= 0
                and os.preadv(self._opened(), [memoryview(post).cast("B")], self.place.offset + row * size) < size
            ):
                raise HeadError(f"The file {self.place.path} ends before its row {row}; extract it anew.")
        return result

    def taking(self, places: np.ndarray) -> FileRows:
        """The posts `places` (int64, -1: absent) of this view as a view of its own."""
        return FileRows(self.place, np.where(places < 0, -1, self.rows[places]))

    def open(self) -> FileRows:
        """Itself: it may be read in any process."""
        return self

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self.place.path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            if _stamp(os.fstat(self._file)) != self._stamp:
                raise HeadError(f"The file {self.place.path} was changed while it was in use; run the command again.")
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@contextlib.contextmanager
def laid_out(views: Mapping[str, np.ndarray]) -> Iterator[dict[str, Place | FileRows]]:
    """Where each view lies for as long as the context lasts.

    A view that is a whole memory map or `FileRows` already stays where it is; the others are written once into a
    temporary file (not into /dev/shm, which containers keep small and which kills a process that overfills it).
    """
    with _scratch() as (file, path):
        places: dict[str, Place | FileRows] = {}
        end = 0
        for name, array in views.items():
            if isinstance(array, FileRows):  # stands for an array wherever views are read by rows
                places[name] = array
            elif (place := _mapped(array)) is not None:
                places[name] = place
            else:
                places[name] = Place(path, end, array.dtype.str, array.shape)
                file.seek(end)
                np.ascontiguousarray(array).tofile(file)
                end = -(-file.tell() // _PAGE) * _PAGE
        file.flush()
        yield places


@contextlib.contextmanager
def _scratch() -> Iterator[tuple[BinaryIO, str]]:
    """A temporary file, and the path under which other processes of the same user open it meanwhile.

    Where there is /proc the file has no name of its own, so that nothing of it is left however this process ends.
    """
    with tempfile.TemporaryFile(prefix="crisis-views-") as file:
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        if os.path.exists(path):
            yield cast(BinaryIO, file), path
            return
    with tempfile.NamedTemporaryFile(prefix="crisis-views-") as named:
        yield cast(BinaryIO, named.file), named.name


def _mapped(array: np.ndarray) -> Place | None:
    """Where `array` lies when it is a memory map of a file as a whole; None for any other array."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous or array.filename is None:
        return None
    # a slice of a map keeps the map's own offset, so only a whole map says where it lies
    if array.base is None or isinstance(array.base, np.ndarray):
        return None
    return Place(str(array.filename), array.offset, array.dtype.str, array.shape)
