"""Captions read from one blob of UTF-8 and an array of offsets, never all at once unless asked for.

Each caption ends with a NUL that belongs to its span, so that a chunk of captions is decoded and split in one go; one
that holds a NUL itself shows in the number of pieces, and then its chunk is cut at the offsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import overload

import numpy as np

from cache.errors import CacheError
from cache.snapshot import Segment

_CHUNK = 1 << 10


class Captions(Sequence[str]):
    """The captions of all rows of a snapshot, as a read-only sequence of strings."""

    def __init__(self, name: str, segments: Sequence[Segment], verify: bool = False) -> None:
        self._name = name
        self._verify = verify
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
            return self._list(begin, end) if step == 1 else [self[row] for row in range(begin, end, step)]
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return self._list(row, row + 1)[0]

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._chunks(0, len(self)))

    def to_list(self) -> list[str]:
        """All captions as a list of ``n`` strings."""
        return self._list(0, len(self))

    def _list(self, begin: int, end: int) -> list[str]:
        found: list[str] = []
        for texts in self._chunks(begin, end):
            found += texts
        return found

    def _chunks(self, begin: int, end: int) -> Iterator[list[str]]:
        owner = max(0, int(np.searchsorted(self._starts, begin, "right")) - 1)
        for offsets, blob, segment in self._sources[owner:]:
            low, high = max(begin, segment.start), min(end, segment.stop)
            if low >= end:
                return
            shift = segment.first - segment.start
            if self._verify:
                first, last = int(offsets[low + shift]), int(offsets[high + shift])
                segment.image.require(f"captions/{self._name}/blob", first, last)
            for start in range(low, high, _CHUNK):
                yield self._decode(offsets[start + shift : min(start + _CHUNK, high) + shift + 1], blob)

    def _decode(self, offsets: np.ndarray, blob: np.ndarray) -> list[str]:
        """Texts of len(offsets) - 1 captions, each of which ends with a NUL in the blob."""
        if len(offsets) < 2:
            return []
        part = blob[int(offsets[0]) : int(offsets[-1])]
        ends = (offsets - offsets[0]).astype(np.int64)
        if part[ends[1:] - 1].any():
            raise CacheError(f"The captions '{self._name}' do not end where they should; see 'crisis cache verify'.")
        try:
            texts = str(part.data, "utf-8").split("\0")
            if len(texts) == len(ends):
                return texts[:-1]
            return [part[low : high - 1].tobytes().decode() for low, high in pairwise(ends.tolist())]
        except UnicodeDecodeError as error:
            raise CacheError(f"The captions '{self._name}' are not proper UTF-8; see 'crisis cache verify'.") from error
