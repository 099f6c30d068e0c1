"""Finding a vector that exists already: every distinct input is encoded once, however many posts share it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from cache import FeatureFile, FeatureWriter, Rows, Status

LATEST = 8192


class HashIndex:
    """Rows by their 16-byte hash: sorted by the first half, told apart by the whole (12 bytes per row in memory)."""

    def __init__(self, hashes: np.ndarray, good: np.ndarray) -> None:
        """`hashes` uint8 [N, 16]; only rows where `good` (bool [N]) are found."""
        self._hashes = hashes
        rows = np.flatnonzero(good)
        heads = np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[rows, 0]
        order = np.argsort(heads, kind="stable")
        self._heads, self._rows = heads[order], rows[order].astype(np.int32 if len(good) < 2**31 else np.int64)

    def find(self, digest: bytes) -> int | None:
        """The first row with this hash, or None."""
        head = np.frombuffer(digest[:8], np.uint64)[0]
        position = int(np.searchsorted(self._heads, head))
        while position < len(self._heads) and self._heads[position] == head:
            row = int(self._rows[position])
            if self._hashes[row].tobytes() == digest:
                return row
            position += 1
        return None


class Claims:
    """Rows by the hash of their input, growing: 28 bytes for each beside a dictionary of the latest, which would take
    some 200 for each of them all.
    """

    def __init__(self) -> None:
        self._latest: dict[bytes, int] = {}
        self._hashes = np.empty((0, 16), np.uint8)
        self._rows = np.empty(0, np.int64)
        self._index: HashIndex | None = None

    def find(self, digest: bytes) -> int | None:
        """The row that claimed this hash, or None."""
        row = self._latest.get(digest)
        if row is None and self._index is not None:
            position = self._index.find(digest)
            return None if position is None else int(self._rows[position])
        return row

    def add(self, digest: bytes, row: int) -> None:
        """`row` claims a hash that no row has claimed."""
        self._latest[digest] = row
        if len(self._latest) >= max(LATEST, len(self._rows) // 16):
            new = np.frombuffer(b"".join(self._latest), np.uint8).reshape(-1, 16)
            self._hashes = np.concatenate([self._hashes, new])
            self._rows = np.concatenate([self._rows, np.fromiter(self._latest.values(), np.int64)])
            self._index = HashIndex(self._hashes, np.ones(len(self._rows), dtype=bool))
            self._latest.clear()


class VectorStore:
    """Vectors by the hash of their input: of committed rows, and of rows held back for the next commit.

    Of committed rows only hashes and row numbers are kept in memory; their vectors are read back from where they
    lie. Commits are written by a thread of their own, so that the encoder does not wait for the disk; at most
    one is under way. A context manager: leaving it waits for that one.
    """

    def __init__(self, writer: FeatureWriter, modalities: Sequence[str], ignore: np.ndarray) -> None:
        """`ignore`: rows (int64) whose vectors are to be computed again and must not be found."""
        self._writer = writer
        self._base: FeatureFile | None = writer.committed
        self._snapshot: FeatureFile | None = self._base
        self._new = {modality: Claims() for modality in modalities}
        self._old: dict[str, HashIndex] = {}
        self._waiting: list[tuple[int, Rows]] = []
        self._flying: list[tuple[int, Rows]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._flight: Future[None] | None = None
        if self._base is not None:
            for modality in modalities:
                good = self._base.status_of(modality) == Status.OK
                good[ignore[ignore < len(good)]] = False
                self._old[modality] = HashIndex(self._base.hashes(modality), good)

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)

    def find(self, modality: str, digest: bytes) -> int | None:
        """Where the vector of this input is, for `take`, or None when it has to be computed.

        A row number for a vector of this run; the row's complement (~row) for one that was committed before this
        run began: that row may hold another input's vector by now, so it is read as it was then.
        """
        row = self._new[modality].find(digest)
        if row is None and modality in self._old:
            old = self._old[modality].find(digest)
            return None if old is None else ~old
        return row

    def claim(self, modality: str, digest: bytes, row: int) -> None:
        """From now on the vector of this input is the one that `row` will hold."""
        self._new[modality].add(digest, row)

    def take(self, view: str, rows: np.ndarray) -> np.ndarray:
        """Vectors [n, ...] of what `find` gave (int64 [n]), in the stored dtype."""
        pieces: list[tuple[np.ndarray, np.ndarray]] = []
        before = np.flatnonzero(rows < 0)
        if len(before):
            assert self._base is not None
            pieces.append((before, self._base.take(view, ~rows[before], verify=True)))
        left = np.flatnonzero(rows >= 0)
        for start, batch in (*self._waiting, *self._flying):
            inside = (rows[left] >= start) & (rows[left] < start + len(batch.ids))
            if inside.any():
                pieces.append((left[inside], batch.views[view][rows[left[inside]] - start]))
                left = left[~inside]
        if len(left):
            pieces.append((left, self.committed().take(view, rows[left], verify=True)))
        result = np.empty((len(rows), *pieces[0][1].shape[1:]), pieces[0][1].dtype)
        for at, values in pieces:
            result[at] = values
        return result

    def caption(self, name: str, row: int) -> str:
        """The caption where `find` said."""
        if row < 0:
            assert self._base is not None
            return self._base.captions(name, verify=True)[~row]
        for start, batch in (*self._waiting, *self._flying):
            if start <= row < start + len(batch.ids):
                return batch.captions[name][row - start]
        return self.committed().captions(name, verify=True)[row]

    def committed(self) -> FeatureFile:
        """The committed rows as of the last commit that was waited for."""
        assert self._snapshot is not None
        return self._snapshot

    def waiting_bytes(self) -> int:
        """Bytes of the vectors that wait for the next commit."""
        return sum(view.nbytes for _, batch in self._waiting for view in batch.views.values())

    def add(self, start: int, rows: Rows) -> None:
        """Hold rows back for the next commit; they follow those that wait already."""
        self._waiting.append((start, rows))

    def commit(self) -> None:
        """Start writing what waits as one part, once the part before it is committed."""
        self.settle()
        if self._waiting:
            start = self._waiting[0][0]
            rows = concatenate([batch for _, batch in self._waiting])
            self._flying, self._waiting = [(start, rows)], []
            self._flight = self._thread.submit(self._writer.commit, start, rows)

    def settle(self) -> None:
        """Wait until every commit that was started is durable. Raises what it raised."""
        if self._flight is not None:
            flight, self._flight = self._flight, None
            flight.result()
            self._flying = []
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
