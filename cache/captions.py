"""Captions read from one blob of UTF-8 and an array of offsets, never all at once unless asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

import numpy as np

from cache.errors import CacheError
from cache.snapshot import Segment

_CHUNK = 1 << 16


class Captions(Sequence[str]):
    """The captions of all rows of a snapshot, as a read-only sequence of strings."""

    def __init__(self, name: str, segments: Sequence[Segment]) -> None:
        self._name = name
        self._starts = np.array([segment.start for segment in segments])
        self._stop = segments[-1].stop
        self._sources = [
            (one.image.array(f"captions/{name}/offsets"), one.image.array(f"captions/{name}/blob"), one)
            for one in segments
        ]

    def __len__(self) -> int:
        return self._stop

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            begin, end, step = index.indices(len(self))
            return list(self._range(begin, end)) if step == 1 else [self[row] for row in range(begin, end, step)]
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return next(self._range(row, row + 1))

    def __iter__(self) -> Iterator[str]:
        return self._range(0, len(self))

    def to_list(self) -> list[str]:
        """All captions as a list of ``n`` strings."""
        return list(self)

    def _range(self, begin: int, end: int) -> Iterator[str]:
        first = max(0, int(np.searchsorted(self._starts, begin, "right")) - 1)
        for offsets, blob, segment in self._sources[first:]:
            low, high = max(begin, segment.start), min(end, segment.stop)
            for start in range(low, high, _CHUNK):
                shift = segment.first - segment.start
                yield from self._decode(offsets[start + shift : min(start + _CHUNK, high) + shift + 1], blob)

    def _decode(self, offsets: np.ndarray, blob: np.ndarray) -> list[str]:
        raw = blob[int(offsets[0]) : int(offsets[-1])].tobytes()
        ends = (offsets - offsets[0]).tolist()
        spans = pairwise(ends)
        try:
            if raw.isascii():
                text = raw.decode("ascii")
                return [text[low:high] for low, high in spans]
            return [raw[low:high].decode() for low, high in spans]
        except UnicodeDecodeError as error:
            raise CacheError(f"The captions '{self._name}' are not proper UTF-8; see 'crisis cache verify'.") from error
