"""How many inputs go through the encoder at once: as told, or found by trying, and halved when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from features import FeatureError
from features.device import free_memory, is_out_of_memory
from pipeline.log import warn

T = TypeVar("T")
Views = dict[str, np.ndarray]

START = {"cpu": 8, "cuda": 64, "mps": 16}
LARGEST = 1024
_GAIN = 1.05
_TRIES = 3


class BatchSize:
    """The size in use. Unless it was given, it doubles while that makes inputs at least 5 % faster.

    A size is judged by the fastest of three full batches; one that is no better is given up for the size before.
    """

    def __init__(self, given: int | None, device: str) -> None:
        self.size = given or START.get(device.split(":")[0], START["cpu"])
        self._searching = given is None
        self._best = (self.size, 0.0)
        self._rates: list[float] = []

    def run(self, encode: Callable[[Sequence[T]], Views], batch: Sequence[T]) -> Views:
        """`encode(batch)`, in halves when memory runs out. Raises `FeatureError` when one input is too much."""
        started = time.perf_counter()
        views = None
        try:
            views = encode(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        if views is None:
            # only here, outside the handler, has the failed pass let go of what it held
            return self._halved(encode, batch)
        if self._searching and len(batch) == self.size:
            self._judge(len(batch) / (time.perf_counter() - started))
        return views

    def _halved(self, encode: Callable[[Sequence[T]], Views], batch: Sequence[T]) -> Views:
        if len(batch) == 1:
            raise FeatureError("There is not enough memory for even one input at a time; use a smaller model.")
        free_memory()
        half = len(batch) // 2
        if half < self.size:
            self.size = half
            self._searching = False
            warn(f"memory ran out; going on with batches of {half}")
        parts = [self.run(encode, batch[:half]), self.run(encode, batch[half:])]
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
        if self.size >= LARGEST:
            self._searching = False
        else:
            self.size *= 2
