"""Reading: look at the inputs of a window of rows, tokenize its texts and start decoding its photos."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cache import Status
from pipeline.extraction.ahead import Ahead
from pipeline.extraction.batching import Views
from pipeline.extraction.work import Work
from pipeline.inputs.inputs import Input, Inputs, PairInputs

Answer = tuple[list[int], Future[Views]]
Loaded = Ahead[tuple[bytes, int], Any]
AHEAD = 64
"""Photos that are read, decoded and resized ahead of the encoder."""


@dataclass
class Pending:
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
    answers: list[Answer] = field(init=False, default_factory=list)


@dataclass
class Window:
    """Consecutive cache rows (int64 [n]) on their way: `posts` (-1: gone) and whether each is `fresh`."""

    rows: np.ndarray
    posts: np.ndarray
    fresh: np.ndarray
    pending: list[Pending]


class Reader:
    """The first of three steps; it may run in a thread of its own, but not in several."""

    def __init__(self, work: Work, pool: ThreadPoolExecutor) -> None:
        self._work = work
        self._pool = pool

    def begin(self, rows: np.ndarray, posts: np.ndarray, fresh: np.ndarray) -> Window:
        """Look at the inputs of the fresh rows and start loading those that no row has a vector of yet."""
        where = np.flatnonzero(fresh)
        return Window(
            rows, posts, fresh, [self._look(inputs, rows[where], posts[where]) for inputs in self._work.inputs]
        )

    def _look(self, inputs: Inputs, rows: np.ndarray, posts: np.ndarray) -> Pending:
        modality = inputs.modality
        states = self._examine(inputs, posts)
        row_of: dict[bytes, int | None] = {}
        new: dict[bytes, int] = {}
        for row, post, (state, _) in zip(rows.tolist(), posts.tolist(), states, strict=True):
            if state.status != Status.OK or state.hash in row_of:
                continue
            row_of[state.hash] = self._work.store.find(modality, state.hash)
            if row_of[state.hash] is None:
                self._work.store.claim(modality, state.hash, row)
                new[state.hash] = post
        if modality == "text":
            tokens = self._tokens(inputs, new)
            return Pending(inputs, states, row_of, new, tokens=tokens)
        if isinstance(inputs, PairInputs) and self._work.reads.wants(inputs):
            self._tokens(inputs, new)
        sharing: dict[str | int, list[int]] = {}
        for slot, post in enumerate(new.values()):
            photo = inputs.photo(post) if isinstance(inputs, PairInputs) else slot
            sharing.setdefault(photo, []).append(slot)
        items = list(new.items())
        photos = [items[slots[0]] for slots in sharing.values()]
        loaded = Ahead(self._pool, partial(self._load, inputs), photos, AHEAD)
        return Pending(inputs, states, row_of, new, loaded, list(sharing.values()))

    def _tokens(self, inputs: Inputs, new: dict[bytes, int]) -> list[Any]:
        """What the encoder makes of the new texts; how much of them it reads is noted."""
        if isinstance(inputs, PairInputs):
            texts = [inputs.text(post) for post in new.values()]
        else:
            texts = [inputs.load(post, digest) for digest, post in new.items()]
        tokens = self._work.encoder.tokenize(texts)
        if self._work.reads.wants(inputs):
            self._work.reads.note(list(new.values()), tokens)
        return tokens

    def _load(self, inputs: Inputs, item: tuple[bytes, int]) -> Any:
        digest, post = item
        return self._work.encoder.prepare(inputs.load(post, digest, self._work.encoder.decode_size))

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
