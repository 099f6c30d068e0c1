"""Finding a vector that exists already: every distinct input is encoded once, however many posts share it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cache import FeatureFile, FeatureWriter, Rows, Status


class VectorStore:
    """Vectors by the hash of their input: of committed rows, and of rows that wait for the next commit.

    Only hashes and row numbers are kept in memory; the vectors are read back from where they lie.
    """

    def __init__(self, writer: FeatureWriter, modalities: Sequence[str], ignore: np.ndarray) -> None:
        """`ignore`: rows (int64) whose vectors are to be computed again and must not be found."""
        self._writer = writer
        self._snapshot: FeatureFile | None = writer.committed
        self._rows: dict[str, dict[bytes, int]] = {modality: {} for modality in modalities}
        self.waiting: list[Rows] = []
        self.waiting_from = 0
        if self._snapshot is not None:
            for modality in modalities:
                good = self._snapshot.status_of(modality) == Status.OK
                good[ignore[ignore < len(good)]] = False
                hashes = self._snapshot.hashes(modality)
                rows = np.flatnonzero(good)
                self._rows[modality] = {hashes[row].tobytes(): int(row) for row in rows}

    def find(self, modality: str, digest: bytes) -> int | None:
        """The row that holds the vector of this input, or None."""
        return self._rows[modality].get(digest)

    def take(self, view: str, rows: np.ndarray) -> np.ndarray:
        """Vectors [n, ...] of `rows` (int64 [n]) in the stored dtype."""
        held_back = [batch.views[view] for batch in self.waiting]
        waiting_to = self.waiting_from + sum(map(len, held_back))
        waits = (rows >= self.waiting_from) & (rows < waiting_to)
        if waits.all() and held_back:
            return np.concatenate(held_back)[rows - self.waiting_from]
        assert self._snapshot is not None
        if not waits.any():
            return self._snapshot.take(view, rows)
        committed = self._snapshot.take(view, rows[~waits])
        result = np.empty((len(rows), *committed.shape[1:]), committed.dtype)
        result[~waits] = committed
        result[waits] = np.concatenate(held_back)[rows[waits] - self.waiting_from]
        return result

    def caption(self, name: str, row: int) -> str:
        """The caption of one row, committed or waiting."""
        offset = row - self.waiting_from
        for batch in self.waiting if self.waiting and offset >= 0 else ():
            if offset < len(batch.ids):
                return batch.captions[name][offset]
            offset -= len(batch.ids)
        assert self._snapshot is not None
        return self._snapshot.captions(name)[row]

    def committed(self) -> FeatureFile:
        """The committed rows as of the last commit."""
        assert self._snapshot is not None
        return self._snapshot

    def add(self, start: int, rows: Rows) -> None:
        """Hold rows back for the next commit; they follow those that wait already."""
        if not self.waiting:
            self.waiting_from = start
        self.waiting.append(rows)
        for modality, found in self._rows.items():
            status, hashes = rows.status[modality], rows.hashes[modality]
            for offset in np.flatnonzero(status == Status.OK).tolist():
                found.setdefault(hashes[offset].tobytes(), start + offset)

    def commit(self) -> None:
        """Write what waits as one part."""
        if self.waiting:
            self._writer.commit(self.waiting_from, concatenate(self.waiting))
            self.waiting = []
            self._snapshot = self._writer.committed


def concatenate(batches: Sequence[Rows]) -> Rows:
    """Rows that follow one another, as one."""
    first = batches[0]
    if len(batches) == 1:
        return first

    def joined(table: str) -> dict[str, np.ndarray]:
        return {
            name: np.concatenate([getattr(batch, table)[name] for batch in batches]) for name in getattr(first, table)
        }

    return Rows(
        ids=[post for batch in batches for post in batch.ids],
        groups=[group for batch in batches for group in batch.groups],
        views=joined("views"),
        status=joined("status"),
        hashes=joined("hashes"),
        stamps=joined("stamps"),
        captions={name: [c for batch in batches for c in batch.captions[name]] for name in first.captions},
    )
