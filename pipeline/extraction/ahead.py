"""Working ahead: a few items are always under way in a pool, in order, never more than a bounded number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Ahead(Generic[T, R]):
    """`work(item)` for every item, in order; `depth` of them are started at once and as many kept under way.

    Iterating gives each item's future as it is needed; at most `depth` finished results wait in memory.
    """

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], depth: int) -> None:
        self._pool = pool
        self._work = work
        self._items = iter(items)
        self._under_way: deque[Future[R]] = deque()
        for _ in range(depth):
            self._start()

    def _start(self) -> None:
        try:
            item = next(self._items)
        except StopIteration:
            return
        self._under_way.append(self._pool.submit(self._work, item))

    def __iter__(self) -> Iterator[Future[R]]:
        while self._under_way:
            yield self._under_way.popleft()
            self._start()
