"""Which row may stand in for which: uniform draws inside a class and outside it."""

from __future__ import annotations

import numpy as np


class Donors:
    """Rows by class, over `targets` int64 [n] of 0..`classes`-1; rows that are not in `pool` bool [n] never give.

    A draw takes uniform numbers from 0 to 1, one per asking row, and gives row numbers, so that what was drawn
    can be told again from the same numbers.
    """

    def __init__(self, targets: np.ndarray, classes: int, pool: np.ndarray | None = None) -> None:
        pool = np.ones(len(targets), dtype=bool) if pool is None else pool
        rows = np.flatnonzero(pool)
        self._targets = targets
        self._sorted = rows[np.argsort(targets[rows], kind="stable")]
        self._count = np.bincount(targets[rows], minlength=classes)
        self._start = np.cumsum(self._count) - self._count
        # a row's place among its own class's givers, -1 where it does not give
        self._rank = np.full(len(targets), -1, dtype=np.int64)
        self._rank[self._sorted] = np.arange(len(rows)) - self._start[targets[self._sorted]]

    def same_count(self, rows: np.ndarray) -> np.ndarray:
        """How many other rows of its own class could give to each of `rows`, int64 [m]."""
        result: np.ndarray = self._count[self._targets[rows]] - (self._rank[rows] >= 0)
        return result

    def other_count(self, rows: np.ndarray) -> np.ndarray:
        """How many rows of other classes could give to each of `rows`, int64 [m]."""
        result: np.ndarray = len(self._sorted) - self._count[self._targets[rows]]
        return result

    def same(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Another row of the same class for each of `rows`, each as likely; the row itself where there is none."""
        count = self.same_count(rows)
        place = _floor(uniform, count)
        rank = self._rank[rows]
        # the row's own place is stepped over
        place += (rank >= 0) & (place >= rank)
        return np.where(count > 0, self._take(self._start[self._targets[rows]] + place), rows)

    def other(self, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A row of another class for each of `rows`, each as likely; the row itself where there is none."""
        own = self._targets[rows]
        count = self.other_count(rows)
        place = _floor(uniform, count)
        place = np.where(place >= self._start[own], place + self._count[own], place)
        return np.where(count > 0, self._take(place), rows)

    def _take(self, places: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._sorted[np.minimum(places, len(self._sorted) - 1)]
        return result


def _floor(uniform: np.ndarray, count: np.ndarray) -> np.ndarray:
    """uniform x count rounded down: 0..count-1, each as likely; 0 where count is 0."""
    result: np.ndarray = np.minimum((uniform * count).astype(np.int64), np.maximum(count - 1, 0))
    return result
