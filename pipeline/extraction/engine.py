"""The seam of stage one: an engine takes a worklist and gives its rows, part by part.

`extract` decides what there is to do, and afterwards commits what comes and says how it went; it does not know how an
engine computes. The one here does it in this process, on one device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from cache import Rows
from pipeline.extraction.infer import Inference
from pipeline.extraction.lanes import Lanes, open_lanes
from pipeline.extraction.read import Reader, Window
from pipeline.extraction.work import Work
from pipeline.extraction.worklist import Plan
from pipeline.extraction.write import RowLayout

WINDOW_SECONDS = 3.0
WINDOW_ROWS = (64, 8192)
WINDOW_BYTES = 4 << 20


@dataclass(frozen=True)
class Part:
    """Consecutive rows from `start` on; `fresh` of them were computed, the others are as they were. `ends_run`: the row
    behind them is not in the worklist.
    """

    start: int
    rows: Rows
    fresh: int
    ends_run: bool


class Engine(Protocol):
    """Whatever computes rows. It is made with a `Work`, which says from what.

    `encoded` counts, per modality, the distinct inputs that went through the encoder.
    """

    @property
    def encoded(self) -> Mapping[str, int]: ...

    def parts(self, plan: Plan, stop: Callable[[], bool]) -> Generator[Part, None, None]:
        """Every row of the plan, in its order, each once.

        The taker has put a part into the `VectorStore` of the work when it asks for the next one: an input whose vector
        is there, or claimed for a row that came before, is not encoded again. When `stop()` says so, what is under way
        is finished and given, and nothing is begun. A bad input costs its row, which says why; any other failure is
        raised, `DataError` with one sentence for what the user must mend. Closing the generator early ends it.
        """
        ...


class LocalEngine:
    """Windows of rows in three steps that overlap: while one is read, the one before it is encoded, and the one before
    that is laid out. All windows take each step in the same order.
    """

    def __init__(self, work: Work, pool: ThreadPoolExecutor, lanes: Lanes) -> None:
        self._work = work
        self._reader = Reader(work, pool)
        self._inference = Inference(work, lanes)
        self._layout = RowLayout(work, self._inference)

    @property
    def encoded(self) -> Mapping[str, int]:
        return self._inference.encoded

    def parts(self, plan: Plan, stop: Callable[[], bool]) -> Generator[Part, None, None]:
        pace = _Pace(plan, self._work.row_bytes)
        finished = time.monotonic()

        def begin(cut: tuple[slice, bool]) -> tuple[slice, bool, Future[Window]]:
            at = cut[0]
            return *cut, thread.submit(self._reader.begin, plan.rows[at], plan.posts[at], plan.fresh[at])

        with _threads(1) as thread:
            upcoming = map(begin, pace.cuts())
            following = next(upcoming, None)
            encoding: tuple[slice, bool, Window] | None = None
            while following is not None or encoding is not None:
                before, encoding = encoding, None
                if following is not None:
                    at, ends_run, future = following
                    window = future.result()
                    following = next(upcoming, None)
                    self._inference.send(window)
                    encoding = at, ends_run, window
                if before is not None:
                    at, ends_run, window = before
                    rows = self._layout.rows(window)
                    yield Part(int(plan.rows[at.start]), rows, int(plan.fresh[at].sum()), ends_run)
                    now = time.monotonic()
                    pace.took(len(rows.ids), now - finished)
                    finished = now
                if stop():
                    following = None


@contextmanager
def local_engine(work: Work) -> Iterator[LocalEngine]:
    """An engine with the threads and lanes that the options ask for."""
    with _threads(work.options.num_workers) as pool, open_lanes(work.encoder, work.options.device) as lanes:
        yield LocalEngine(work, pool, lanes)


class _Pace:
    """Cuts a plan into windows that take about `WINDOW_SECONDS` each: a window is what a signal waits for."""

    def __init__(self, plan: Plan, row_bytes: int) -> None:
        self._plan = plan
        self._size = WINDOW_ROWS[0]
        self._largest = max(WINDOW_ROWS[0], min(WINDOW_ROWS[1], WINDOW_BYTES // row_bytes))

    def cuts(self) -> Iterator[tuple[slice, bool]]:
        """Stretches of the plan, each with whether it is the last one before a gap in the rows."""
        for run in self._plan.runs():
            start = run.start
            while start < run.stop:
                stop = min(start + self._size, run.stop)
                yield slice(start, stop), stop == run.stop
                start = stop

    def took(self, rows: int, seconds: float) -> None:
        """A window of `rows` took `seconds`; the next ones grow or shrink by that, at most to double."""
        wanted = int(rows * min(2.0, WINDOW_SECONDS / max(seconds, 1e-3)))
        self._size = min(max(wanted, WINDOW_ROWS[0]), self._largest)


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that, left for whatever reason, does not first work off what was queued."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
