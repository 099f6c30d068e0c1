"""How many inputs go through the encoder at once: as told, or found by trying, and halved when memory runs out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from features import FeatureError
from features.device import free_memory, is_out_of_memory
from pipeline.log import warn

T = TypeVar("T")
Views = dict[str, np.ndarray]

START = {"cpu": 4, "cuda": 64, "mps": 16}
LARGEST = 1024
TEXT_TOKENS = 128
"""Tokens in the place of one photo, where the size of a batch of texts is counted in tokens."""
FILLED = 0.5
"""A batch of texts that is filled to this share ends where the texts get shorter, so that none of them is padded."""
_GAIN = 1.05
_TRIES = 3


class BatchSize:
    """The size in use, in inputs or (`each` > 1) in tokens. Unless it was given, it doubles while that makes inputs at
    least 5 % faster; several threads may encode by it.

    A size is judged by the fastest of three full batches; one that is no better is given up for the size before.
    """

    def __init__(self, given: int | None, device: str, each: int = 1) -> None:
        self.size = given or START.get(device.split(":")[0], START["cpu"]) * each
        self._largest = LARGEST * each
        self._searching = given is None
        self._best = (self.size, 0.0)
        self._rates: list[float] = []
        self._lock = threading.Lock()

    def run(self, encode: Callable[[Sequence[T]], Views], batch: Sequence[T], cost: int | None = None) -> Views:
        """`encode(batch)`, in halves when memory runs out; `cost` is what the batch counts (None: its length). Raises
        `FeatureError` when one input is too much.
        """
        cost = len(batch) if cost is None else cost
        size, started = self.size, time.perf_counter()
        views = None
        try:
            views = encode(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if views is None:
            # only here, outside the handler, has the failed pass let go of what it held
            return self._halved(encode, batch, cost)
        seconds = time.perf_counter() - started
        with self._lock:
            if self._searching and size == self.size and size * FILLED < cost <= size:
                self._judge(cost / seconds)
        return views

    def _halved(self, encode: Callable[[Sequence[T]], Views], batch: Sequence[T], cost: int) -> Views:
        if len(batch) == 1:
            raise FeatureError("There is not enough memory for even one input at a time; use a smaller model.")
        free_memory()
        half = len(batch) // 2
        with self._lock:
            if cost // 2 < self.size:
                self.size = cost // 2
                self._searching = False
                warn(f"memory ran out; going on with batches of {half}")
        parts = [self.run(encode, part, cost // 2) for part in (batch[:half], batch[half:])]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _judge(self, rate: float) -> None:
        self._rates.append(rate)
        if len(self._rates) < _TRIES:
            return
        best = max(self._rates)
        self._rates = []
        if best < self._best[1] * _GAIN:
            self._searching = False
            self.size = self._best[0]
            return
        self._best = (self.size, best)
        if self.size >= self._largest:
            self._searching = False
        else:
            self.size *= 2


def of_like_length(lengths: Sequence[int], size: BatchSize) -> Iterator[tuple[list[int], int]]:
    """Batches of positions, the longest texts first, and what each batch counts: its tokens, padding among them.

    A batch holds at most `size.size` tokens (or one text); one that is at least half full ends where texts get shorter.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * longest <= size.size:
            if lengths[order[stop]] < longest and (stop - start) * longest > size.size * FILLED:
                break
            stop += 1
        yield order[start:stop], (stop - start) * longest
        start = stop
