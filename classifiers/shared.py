"""Views that several processes read from one place: a memory-mapped file, never a copy per process."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


@contextlib.contextmanager
def laid_out(views: Mapping[str, np.ndarray]) -> Iterator[dict[str, Place]]:
    """Where each view lies for as long as the context lasts.

    A view that is a whole memory map already stays where it is; the others are written once into a temporary
    file (not into /dev/shm, which containers keep small and which kills a process that overfills it).
    """
    with tempfile.TemporaryDirectory(prefix="crisis-views-") as folder:
        path, places, end = Path(folder) / "views", {}, 0
        with path.open("wb") as file:
            for name, array in views.items():
                places[name] = _mapped(array) or Place(str(path), end, array.dtype.str, array.shape)
                if places[name].path == str(path):
                    file.seek(end)
                    np.ascontiguousarray(array).tofile(file)
                    end = -(-file.tell() // _PAGE) * _PAGE
        yield places


def _mapped(array: np.ndarray) -> Place | None:
    """Where `array` lies when it is a memory map of a file as a whole; None for any other array."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous or array.filename is None:
        return None
    # a slice of a map keeps the map's own offset, so only a whole map says where it lies
    if array.base is None or isinstance(array.base, np.ndarray):
        return None
    return Place(str(array.filename), array.offset, array.dtype.str, array.shape)
