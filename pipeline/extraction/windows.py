"""Encoding windows of rows: look at the inputs ahead of time, encode the distinct new ones, lay vectors out by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cache import Rows, Status
from features import Encoder
from features.device import is_out_of_memory
from features.images import BadImage, blank
from features.text import Text
from pipeline.datasets.posts import Posts
from pipeline.errors import DataError
from pipeline.extraction.ahead import Ahead
from pipeline.extraction.batching import TEXT_TOKENS, BatchSize, Views, of_like_length
from pipeline.extraction.lanes import Lanes
from pipeline.extraction.vectors import VectorStore
from pipeline.inputs.inputs import NO_HASH, Input, Inputs, PairInputs

Answer = tuple[list[int], Future[Views]]
Loaded = Ahead[tuple[bytes, int], Any]
AHEAD = 64
"""Photos that are read, decoded and resized ahead of the encoder."""


@dataclass
class _Pending:
    """One modality of a window whose inputs were looked at: `row_of` says for each distinct usable input which row
    holds its vector, or None when it is among the `new` ones. Of those, photos are being loaded (`sharing` says for
    each which of the new ones it belongs to: one for a photo by itself, several for pairs) and texts are `tokens`.
    `answers` are batches of positions among the new ones, each with its vectors to come.
    """

    inputs: Inputs
    states: list[tuple[Input, int]]
    row_of: dict[bytes, int | None]
    new: dict[bytes, int]
    loaded: Loaded | None = None
    sharing: list[list[int]] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Window:
    """Consecutive cache rows (int64 [n]) on their way: `posts` (-1: gone) and whether each is `fresh`."""

    rows: np.ndarray
    posts: np.ndarray
    fresh: np.ndarray
    pending: list[_Pending]


class WindowEncoder:
    """Turns stretches of a plan into rows of the cache, in three steps that overlap.

    `begin` looks at a window's inputs, tokenizes texts and starts decoding photos; it may run in a thread of its own.
    `encode` hands the window's batches to the lanes and returns while the last ones are still under way; `finish` waits
    for them, and is best called when the next window is being encoded. All windows take each step in the same order.
    `encoded` counts distinct inputs that went through the encoder, per modality.
    """

    def __init__(
        self,
        posts: Posts,
        encoder: Encoder,
        inputs: Sequence[Inputs],
        store: VectorStore,
        pool: ThreadPoolExecutor,
        lanes: Lanes,
        *,
        dtype: str,
        batch_size: int | None,
        device: str,
        on_error: str,
    ) -> None:
        self._posts = posts
        self._encoder = encoder
        self._inputs = inputs
        self._store = store
        self._pool = pool
        self._lanes = lanes
        self._dtype = np.dtype(dtype)
        self._sizes = {modality.modality: BatchSize(batch_size, device) for modality in inputs}
        self._tokens = BatchSize(None, device, TEXT_TOKENS) if batch_size is None else None
        self._on_error = on_error
        self._blank: np.ndarray | None = None
        self._failed: dict[str, dict[bytes, Status]] = {modality.modality: {} for modality in inputs}
        self._passing: set[bytes] = set()
        self.encoded = {modality.modality: 0 for modality in inputs}

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's vectors as stored."""
        return self._dtype.itemsize * sum(math.prod(shape) for shape in self._encoder.views.values())

    def begin(self, rows: np.ndarray, posts: np.ndarray, fresh: np.ndarray) -> Window:
        """Look at the inputs of the fresh rows and start loading those that no row has a vector of yet."""
        where = np.flatnonzero(fresh)
        return Window(rows, posts, fresh, [self._look(inputs, rows[where], posts[where]) for inputs in self._inputs])

    def encode(self, window: Window) -> None:
        """Hand the window's new inputs to the encoder, batch by batch."""
        for pending in window.pending:
            if pending.inputs.modality == "text":
                self._send_texts(pending)
            else:
                self._send_photos(pending)

    def finish(self, window: Window) -> Rows:
        """The window's rows: computed where fresh, else copied as they are in the file."""
        n = len(window.rows)
        ids, groups = self._posts.ids, self._posts.groups
        result = Rows(
            ids=[ids[p] if p >= 0 else "" for p in window.posts.tolist()],
            groups=[groups[p] if p >= 0 else "" for p in window.posts.tolist()],
            views={name: np.full((n, *shape), np.nan, self._dtype) for name, shape in self._encoder.views.items()},
            status={m: np.zeros(n, np.uint8) for m in self.encoded},
            hashes={m: np.zeros((n, 16), np.uint8) for m in self.encoded},
            stamps={m: np.zeros(n, np.uint64) for m in self.encoded},
            captions={name: [""] * n for name in self._encoder.captions},
        )
        old = np.flatnonzero(~window.fresh)
        if len(old):
            self._copy(result, window.rows, old)
        where = np.flatnonzero(window.fresh)
        for pending in window.pending:
            self._fill(result, pending, where, window.posts[where])
        return result

    def _look(self, inputs: Inputs, rows: np.ndarray, posts: np.ndarray) -> _Pending:
        modality = inputs.modality
        states = self._examine(inputs, posts)
        row_of: dict[bytes, int | None] = {}
        new: dict[bytes, int] = {}
        for row, post, (state, _) in zip(rows.tolist(), posts.tolist(), states, strict=True):
            if state.status != Status.OK or state.hash in row_of:
                continue
            row_of[state.hash] = self._store.find(modality, state.hash)
            if row_of[state.hash] is None:
                self._store.claim(modality, state.hash, row)
                new[state.hash] = post
        if modality == "text":
            texts = [inputs.load(post, digest) for digest, post in new.items()]
            return _Pending(inputs, states, row_of, new, tokens=self._encoder.tokenize(texts))
        sharing: dict[str | int, list[int]] = {}
        for slot, post in enumerate(new.values()):
            photo = inputs.photo(post) if isinstance(inputs, PairInputs) else slot
            sharing.setdefault(photo, []).append(slot)
        items = list(new.items())
        photos = [items[slots[0]] for slots in sharing.values()]
        loaded = Ahead(self._pool, partial(self._load, inputs), photos, AHEAD)
        return _Pending(inputs, states, row_of, new, loaded, list(sharing.values()))

    def _load(self, inputs: Inputs, item: tuple[bytes, int]) -> Any:
        digest, post = item
        return self._encoder.prepare(inputs.load(post, digest, self._encoder.decode_size))

    def _examine(self, inputs: Inputs, posts: np.ndarray) -> list[tuple[Input, int]]:
        """State and stamp of each post's input; each distinct one is looked at once."""
        first: dict[str, int] = {}
        keys = [inputs.key(post) for post in posts.tolist()]
        for key, post in zip(keys, posts.tolist(), strict=True):
            first.setdefault(key, post)

        def look(post: int) -> tuple[Input, int]:
            # the stamp is taken before the bytes are read: a file that changes in between is seen again next time
            stamp = inputs.stamp(post)
            return inputs.examine(post), stamp

        # a text is looked at in less time than a thread takes to hear of it
        found = map(look, first.values()) if inputs.modality == "text" else self._pool.map(look, first.values())
        states = dict(zip(first, found, strict=True))
        return [states[key] for key in keys]

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

    def _fill(self, result: Rows, pending: _Pending, where: np.ndarray, posts: np.ndarray) -> None:
        """Encode what is new in one modality and lay its vectors out over the rows at positions `where`."""
        modality = pending.inputs.modality
        status, hashes = result.status[modality], result.hashes[modality]
        failed = self._failed[modality]
        slots = {digest: slot for slot, digest in enumerate(pending.new)}
        vectors = self._gather(pending, list(slots), failed)
        by_row: list[tuple[int, int]] = []
        by_slot: list[tuple[int, int]] = []
        for position, (state, stamp) in zip(where.tolist(), pending.states, strict=True):
            if state.hash != NO_HASH and state.hash not in self._passing:
                # without hash and stamp a row is looked at again by the next run
                hashes[position] = np.frombuffer(state.hash, np.uint8)
                result.stamps[modality][position] = stamp
            status[position] = failed.get(state.hash, state.status) if state.status == Status.OK else state.status
            if status[position] == Status.OK:
                row = pending.row_of[state.hash]
                (by_slot if row is None else by_row).append((position, slots[state.hash] if row is None else row))
        names = [name for name in result.views if name.split("/")[0] == modality]
        for name in names:
            for pairs, new in ((by_slot, True), (by_row, False)):
                if pairs:
                    at, of = np.array(pairs, dtype=np.int64).T
                    result.views[name][at] = vectors[name][of] if new else self._store.take(name, of)
        for name in [name for name, of in self._encoder.captions.items() if of == modality]:
            for position, row in by_row:
                result.captions[name][position] = self._store.caption(name, row)
            for position, slot in by_slot:
                result.captions[name][position] = str(vectors[f"captions/{name}"][slot])
        self._settle_bad(result, pending.inputs, where, posts)

    def _gather(self, pending: _Pending, digests: list[bytes], failed: dict[bytes, Status]) -> dict[str, np.ndarray]:
        """Vectors by view in the order of `digests`; those that are not finite are put into `failed`."""
        vectors: dict[str, np.ndarray] = {}
        for slots, answer in pending.answers:
            good = np.ones(len(slots), dtype=bool)
            for name, values in answer.result().items():
                if name.startswith("captions/"):
                    vectors.setdefault(name, np.full(len(digests), "", object))[slots] = values
                    continue
                # a value beyond the stored dtype's range becomes infinite here and is caught below
                with np.errstate(over="ignore"):
                    stored = values.astype(self._dtype)
                if name not in vectors:
                    vectors[name] = np.full((len(digests), *stored.shape[1:]), np.nan, self._dtype)
                vectors[name][slots] = stored
                good &= np.isfinite(stored).reshape(len(stored), -1).all(axis=1)
            failed.update({digests[slots[at]]: Status.NON_FINITE for at in np.flatnonzero(~good).tolist()})
            self.encoded[pending.inputs.modality] += int(good.sum())
        pending.answers.clear()
        return vectors

    def _send(self, pending: _Pending, slots: list[int], work: Callable[[], Views]) -> None:
        pending.answers.append((slots, self._lanes.submit(work)))

    def _send_texts(self, pending: _Pending) -> None:
        """Batches of texts of like length, so that little or nothing is padded."""
        lengths = [self._encoder.text_length(tokens) for tokens in pending.tokens]
        size = self._tokens
        if size is None or not any(lengths):
            # all cost the same, or the number of texts in a batch was given
            size, lengths = self._sizes["text"], [1] * len(lengths)
        for slots, cost in of_like_length(lengths, size):
            batch = [pending.tokens[slot] for slot in slots]
            self._send(pending, slots, partial(size.run, self._encoder.encode_tokens, batch, cost))
        pending.tokens.clear()

    def _send_photos(self, pending: _Pending) -> None:
        """Batches of photos, or of photos with their texts; a bad photo costs only the rows it belongs to."""
        assert pending.loaded is not None
        inputs, failed = pending.inputs, self._failed[pending.inputs.modality]
        items = list(pending.new.items())
        size = self._sizes[inputs.modality]
        encode = self._encode_pairs if isinstance(inputs, PairInputs) else self._encode_images
        slots: list[int] = []
        batch: list[Any] = []
        left = len(items)
        for sharing, future in zip(pending.sharing, pending.loaded, strict=True):
            array = self._arrived(future, [items[slot][0] for slot in sharing], failed)
            for slot in sharing:
                if array is not None:
                    slots.append(slot)
                    batch.append((array, inputs.text(items[slot][1])) if isinstance(inputs, PairInputs) else array)
                left -= 1
                if batch and self._is_due(len(batch), left, size.size):
                    self._send(pending, slots, partial(size.run, encode, batch))
                    slots, batch = [], []

    def _is_due(self, batch: int, left: int, size: int) -> bool:
        """Whether a batch goes now: full, or the lane's share of what is left, so that the lanes end together."""
        share = batch * self._lanes.count >= batch + left and batch * 4 >= size
        return batch >= size or left == 0 or share

    def _encode_images(self, batch: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return self._encoder.encode_images(np.stack(batch))

    def _encode_pairs(self, batch: Sequence[tuple[np.ndarray, Text]]) -> dict[str, np.ndarray]:
        return self._encoder.encode_pairs(np.stack([photo for photo, _ in batch]), [text for _, text in batch])

    def _arrived(
        self, future: Future[np.ndarray], digests: list[bytes], failed: dict[bytes, Status]
    ) -> np.ndarray | None:
        """The prepared photo; where there is none, what shares it has failed."""
        try:
            return future.result()
        except BadImage as bad:
            reason, passing = Status.from_reason(bad.reason), bad.passing
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # a transform that fails on one odd photo costs that photo, not the night
            reason, passing = Status.IMAGE_UNDECODABLE, True
        failed.update(dict.fromkeys(digests, reason))
        self._passing.update(digests if passing else ())
        return None

    def _settle_bad(self, result: Rows, inputs: Inputs, where: np.ndarray, posts: np.ndarray) -> None:
        """What happens to bad rows: left as NaN with their reason, a stop, or a blank photo in their place."""
        modality = inputs.modality
        status = result.status[modality]
        bad = np.flatnonzero(status[where] != Status.OK)
        if not len(bad):
            return
        if self._on_error == "stop":
            post = int(posts[bad[0]])
            reason = Status(int(status[where[bad[0]]])).reason
            raise DataError(f"The post '{self._posts.ids[post]}' is bad: {reason} (--on-error stop).")
        if self._on_error == "blank" and modality != "text":
            self._put_blank(result, inputs, where[bad], posts[bad])

    def _put_blank(self, result: Rows, inputs: Inputs, at: np.ndarray, posts: np.ndarray) -> None:
        """The white photo's answer in rows `at`, by itself or with each post's own text; bad texts stay bad."""
        sharing: dict[Text, list[int]] = {}
        for position, post in zip(at.tolist(), posts.tolist(), strict=True):
            if not isinstance(inputs, PairInputs):
                sharing.setdefault("", []).append(position)
            elif inputs.text_status(post) == Status.OK:
                sharing.setdefault(inputs.text(post), []).append(position)
        if not sharing:
            return
        if self._blank is None:
            try:
                self._blank = self._encoder.prepare(blank())
            except BadImage:
                # supplied region features know no white photo
                return
        white = self._blank
        left, size = list(sharing), self._sizes[inputs.modality]
        while left:
            texts, left = left[: size.size], left[size.size :]
            if isinstance(inputs, PairInputs):
                views = size.run(self._encode_pairs, [(white, text) for text in texts])
            else:
                views = size.run(self._encode_images, [white])
            for slot, text in enumerate(texts):
                self._lay_blank(result, inputs.modality, {n: v[slot] for n, v in views.items()}, sharing[text])

    def _lay_blank(self, result: Rows, modality: str, views: dict[str, Any], at: list[int]) -> None:
        with np.errstate(over="ignore"):
            stored = {n: v.astype(self._dtype) for n, v in views.items() if not n.startswith("captions/")}
        if not all(np.isfinite(value).all() for value in stored.values()):
            return
        for name, value in stored.items():
            result.views[name][at] = value
        for name in views.keys() - stored.keys():
            for position in at:
                result.captions[name.removeprefix("captions/")][position] = str(views[name])
        result.status[modality][at] = Status.BLANK
