"""Encoding one window of rows: look at the inputs, encode the distinct new ones, lay the vectors out by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from cache import Rows, Status
from features import Encoder
from features.images import BadImage, blank
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError
from pipeline.inputs import Input, Inputs, PairInputs
from pipeline.vectors import VectorStore


class WindowEncoder:
    """Turns stretches of a plan into rows of the cache; `encoded` counts distinct inputs encoded, per modality."""

    def __init__(
        self,
        posts: Posts,
        encoder: Encoder,
        inputs: Sequence[Inputs],
        store: VectorStore,
        pool: ThreadPoolExecutor,
        *,
        dtype: str,
        batch_size: int,
        on_error: str,
    ) -> None:
        self._posts = posts
        self._encoder = encoder
        self._inputs = inputs
        self._store = store
        self._pool = pool
        self._dtype = np.dtype(dtype)
        self._batch_size = batch_size
        self._on_error = on_error
        self._blank: dict[str, Any] | None = None
        self.encoded = {modality.modality: 0 for modality in inputs}

    def rows(self, rows: np.ndarray, posts: np.ndarray, fresh: np.ndarray) -> Rows:
        """The cache rows `rows` (int64 [n], consecutive): computed where `fresh`, else copied as they are."""
        n = len(rows)
        old = np.flatnonzero(~fresh)
        result = Rows(
            ids=[self._posts.ids[p] if p >= 0 else "" for p in posts],
            groups=[self._posts.groups[p] if p >= 0 else "" for p in posts],
            views={name: np.full((n, *shape), np.nan, self._dtype) for name, shape in self._encoder.views.items()},
            status={m: np.zeros(n, np.uint8) for m in self.encoded},
            hashes={m: np.zeros((n, 16), np.uint8) for m in self.encoded},
            stamps={m: np.zeros(n, np.uint64) for m in self.encoded},
            captions={name: [""] * n for name in self._encoder.captions},
        )
        if len(old):
            self._copy(result, rows, old)
        where = np.flatnonzero(fresh)
        for inputs in self._inputs:
            self._fill(result, inputs, where, posts[where])
        return result

    def _copy(self, result: Rows, rows: np.ndarray, old: np.ndarray) -> None:
        cached = self._store.committed()
        for names, column in ((result.ids, cached.ids), (result.groups, cached.groups)):
            for position in old.tolist():
                names[position] = column[rows[position]].decode()
        for name, array in result.views.items():
            array[old] = cached.take(name, rows[old])
        for name, texts in result.captions.items():
            kept = cached.captions(name)
            for position in old.tolist():
                texts[position] = kept[int(rows[position])]
        for modality in self.encoded:
            result.status[modality][old] = cached.status_of(modality)[rows[old]]
            result.hashes[modality][old] = cached.hashes(modality)[rows[old]]
            result.stamps[modality][old] = cached.stamps(modality)[rows[old]]

    def _fill(self, result: Rows, inputs: Inputs, where: np.ndarray, posts: np.ndarray) -> None:
        """Compute one modality of the rows at positions `where`."""
        modality = inputs.modality
        found = self._examine(inputs, posts)
        status, hashes = result.status[modality], result.hashes[modality]
        first: dict[bytes, int] = {}
        for position, post, (state, stamp) in zip(where.tolist(), posts.tolist(), found, strict=True):
            status[position] = state.status
            hashes[position] = np.frombuffer(state.hash, np.uint8)
            result.stamps[modality][position] = stamp
            if state.status == Status.OK:
                first.setdefault(state.hash, post)
        known = {digest: self._store.find(modality, digest) for digest in first}
        new = [digest for digest, row in known.items() if row is None]
        vectors, failed = self._encode(inputs, [first[digest] for digest in new])
        self.encoded[modality] += len(new) - len(failed)
        slot = {digest: position for position, digest in enumerate(new)}
        names = [name for name in result.views if name.split("/")[0] == modality]
        captions = [name for name, of in self._encoder.captions.items() if of == modality]
        by_row: list[tuple[int, int]] = []
        by_slot: list[tuple[int, int]] = []
        for position in where[status[where] == Status.OK].tolist():
            digest = hashes[position].tobytes()
            row = known[digest]
            if row is not None:
                by_row.append((position, row))
            elif slot[digest] in failed:
                status[position] = failed[slot[digest]]
            else:
                by_slot.append((position, slot[digest]))
        for name in names:
            for pairs, source in ((by_slot, vectors.get(name)), (by_row, None)):
                if pairs:
                    at, of = np.array(pairs, dtype=np.int64).T
                    result.views[name][at] = self._store.take(name, of) if source is None else source[of]
        for name in captions:
            for position, row in by_row:
                result.captions[name][position] = self._store.caption(name, row)
            for position, chosen in by_slot:
                result.captions[name][position] = str(vectors[f"captions/{name}"][chosen])
        self._settle_bad(result, modality, [*names, *(f"captions/{name}" for name in captions)], where, posts)

    def _examine(self, inputs: Inputs, posts: np.ndarray) -> list[tuple[Input, int]]:
        """State and stamp of each post's input; each distinct one is looked at once."""
        first: dict[str, int] = {}
        keys = [inputs.key(post) for post in posts.tolist()]
        for key, post in zip(keys, posts.tolist(), strict=True):
            first.setdefault(key, post)
        # the stamp is taken before the bytes are read: a file that changes in between is seen again next time
        states = dict(
            zip(first, self._pool.map(lambda p: (inputs.stamp(p), inputs.examine(p)), first.values()), strict=True)
        )
        return [(states[key][1], states[key][0]) for key in keys]

    def _encode(self, inputs: Inputs, posts: list[int]) -> tuple[dict[str, np.ndarray], dict[int, Status]]:
        """Vectors of distinct inputs by view, in the order of `posts`, and the status of those that failed."""
        failed: dict[int, Status] = {}
        vectors: dict[str, np.ndarray] = {}
        batches = self._texts(inputs, posts) if inputs.modality == "text" else self._images(inputs, posts, failed)
        for slots, views in batches:
            for name, values in views.items():
                if name.startswith("captions/"):
                    vectors.setdefault(name, np.full(len(posts), "", object))[slots] = values
                    continue
                # a value beyond the stored dtype's range becomes infinite here and is caught below
                with np.errstate(over="ignore"):
                    stored = values.astype(self._dtype)
                if name not in vectors:
                    vectors[name] = np.full((len(posts), *stored.shape[1:]), np.nan, self._dtype)
                vectors[name][slots] = stored
                finite = np.isfinite(stored).reshape(len(stored), -1).all(axis=1)
                for slot in np.asarray(slots)[~finite].tolist():
                    failed[slot] = Status.NON_FINITE
        return vectors, failed

    def _texts(self, inputs: Inputs, posts: list[int]) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        """Batches of texts of like length, the longest first, so that little is padded."""
        texts = [inputs.load(post) for post in posts]
        order = sorted(range(len(texts)), key=lambda slot: -self._encoder.text_length(texts[slot]))
        for start in range(0, len(order), self._batch_size):
            slots = order[start : start + self._batch_size]
            yield slots, self._encoder.encode_texts([texts[slot] for slot in slots])

    def _images(
        self, inputs: Inputs, posts: list[int], failed: dict[int, Status]
    ) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        """Batches of photos, or of photos with their texts, decoded ahead of the encoder; a bad photo costs only its
        own row. Pairs that share a photo stand next to one another and share what was prepared.
        """
        pairs = inputs.modality == "joint"

        def read(post: int) -> np.ndarray:
            return self._encoder.prepare(inputs.load(post))

        order = list(enumerate(posts))
        if pairs:
            order.sort(key=lambda item: (inputs.key(item[1]).partition("\0")[0], item[0]))
        ahead: deque[tuple[int, int, Future[Any]]] = deque()
        upcoming = iter(order)
        last: tuple[str, Future[Any]] | None = None
        slots: list[int] = []
        batch: list[np.ndarray] = []
        texts: list[Any] = []
        while True:
            while len(ahead) < 2 * self._batch_size and (item := next(upcoming, None)) is not None:
                slot, post = item
                photo = inputs.key(post).partition("\0")[0]
                if not pairs or last is None or last[0] != photo:
                    last = (photo, self._pool.submit(read, post))
                ahead.append((slot, post, last[1]))
            if ahead:
                slot, post, future = ahead.popleft()
                try:
                    batch.append(future.result())
                    slots.append(slot)
                    texts += [inputs.text(post)] if isinstance(inputs, PairInputs) else []
                except BadImage as bad:
                    failed[slot] = Status.from_reason(bad.reason)
            if slots and (len(slots) == self._batch_size or not ahead):
                stacked = np.stack(batch)
                yield (
                    slots,
                    (self._encoder.encode_pairs(stacked, texts) if pairs else self._encoder.encode_images(stacked)),
                )
                slots, batch, texts = [], [], []
            if not ahead and not slots:
                return

    def _settle_bad(self, result: Rows, modality: str, names: list[str], where: np.ndarray, posts: np.ndarray) -> None:
        """What happens to bad rows: left as NaN with their reason, a stop, or a blank photo in their place."""
        status = result.status[modality]
        bad = np.flatnonzero(status[where] != Status.OK)
        if not len(bad):
            return
        if self._on_error == "stop":
            post = int(posts[bad[0]])
            reason = Status(int(status[where[bad[0]]])).reason
            raise DataError(f"The post '{self._posts.ids[post]}' is bad: {reason} (--on-error stop).")
        if self._on_error == "blank" and modality == "image":
            if self._blank is None:
                prepared = self._encoder.prepare(blank())[None]
                views = self._encoder.encode_images(prepared)
                self._blank = {
                    name: views[name][0] if name.startswith("captions/") else views[name][0].astype(self._dtype)
                    for name in names
                }
            at = where[bad]
            for name in names:
                if name.startswith("captions/"):
                    for position in at.tolist():
                        result.captions[name.removeprefix("captions/")][position] = str(self._blank[name])
                else:
                    result.views[name][at] = self._blank[name]
            status[at] = Status.BLANK
