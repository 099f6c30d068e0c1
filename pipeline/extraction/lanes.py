"""Lanes: forward passes that run side by side, a bounded number of batches waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from features import Encoder
from features.device import lanes, threads_restored, use_threads

R = TypeVar("R")


class Lanes:
    """`count` threads that encode; with one, each batch is encoded where it is handed in, before `submit` returns."""

    def __init__(self, pool: ThreadPoolExecutor | None, count: int) -> None:
        self.count = count
        self._pool = pool
        # one batch waits, so that no lane does
        self._room = threading.Semaphore(count + 1)

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """What `work()` gives or raises, once there is room for it."""
        if self._pool is None:
            done: Future[R] = Future()
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)
            return done
        self._room.acquire()
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        return future


@contextmanager
def open_lanes(encoder: Encoder, device: str) -> Iterator[Lanes]:
    """The lanes that `device` has for `encoder`; left for whatever reason, they do not work off what is waiting."""
    count, threads = lanes(device) if encoder.parallel else (1, None)
    if count == 1:
        yield Lanes(None, 1)
        return
    start = partial(use_threads, threads) if threads else None
    with threads_restored():
        pool = ThreadPoolExecutor(count, thread_name_prefix="lane", initializer=start)
        try:
            yield Lanes(pool, count)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
