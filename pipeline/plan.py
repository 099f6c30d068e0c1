"""What an extraction has to do: which rows of the cache file are missing, changed or to be done again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cache import FeatureFile, Status
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError
from pipeline.inputs import Inputs

JOIN_GAP = 256
"""Changed rows nearer than this are written as one part, with the unchanged rows between them copied."""


@dataclass(frozen=True)
class Plan:
    """Rows to write, sorted: `rows` and `posts` int64 [n] (post -1: a cached row whose post is gone from the
    dataset), `fresh` bool [n] (False: copied unchanged). `stale` counts changed inputs that were left alone.
    """

    rows: np.ndarray
    posts: np.ndarray
    fresh: np.ndarray
    stale: int

    @property
    def todo(self) -> int:
        return int(self.fresh.sum())

    def runs(self) -> Iterator[slice]:
        """The stretches of the plan whose rows follow one another without a gap."""
        if len(self.rows):
            edges = np.flatnonzero(np.diff(self.rows) != 1) + 1
            bounds = [0, *edges.tolist(), len(self.rows)]
            yield from (slice(a, b) for a, b in pairwise(bounds))


def make_plan(
    posts: Posts, inputs: Sequence[Inputs], cached: FeatureFile | None, overwrite: str, on_error: str
) -> Plan:
    """Posts keep the row they have in the file; new ones follow after it, in the dataset's order.

    Raises `CrisisError` when the file holds other posts altogether.
    """
    rows = _rows_of(posts, cached)
    fresh = np.ones(len(posts), dtype=bool)
    stale = 0
    if cached is not None and overwrite != "always":
        known = np.flatnonzero(rows < cached.n)
        changed = _changed(posts, inputs, cached, rows, known, on_error)
        fresh[known] = changed if overwrite == "only-missing" else False
        stale = int(changed.sum()) if overwrite == "never" else 0
    todo = np.flatnonzero(fresh)
    wanted = _join(np.sort(rows[todo]))
    post_at = np.full(int(max(rows.max(initial=-1), wanted.max(initial=-1))) + 1, -1, dtype=np.int64)
    post_at[rows] = np.arange(len(posts))
    chosen = post_at[wanted]
    return Plan(wanted, chosen, np.where(chosen >= 0, fresh[chosen], False), stale)


def _rows_of(posts: Posts, cached: FeatureFile | None) -> np.ndarray:
    if cached is None or cached.n == 0:
        return np.arange(len(posts), dtype=np.int64)
    rows = np.asarray(cached.rows_of(posts.ids), dtype=np.int64).copy()
    new = np.flatnonzero(rows < 0)
    if len(new) == len(posts):
        raise CrisisError(
            f"The cache file {cached.path} holds none of these posts: it belongs to another dataset named "
            f"'{posts.name}'; give this one a name of its own with --name."
        )
    rows[new] = cached.n + np.arange(len(new))
    return rows


def _changed(
    posts: Posts, inputs: Sequence[Inputs], cached: FeatureFile, rows: np.ndarray, known: np.ndarray, on_error: str
) -> np.ndarray:
    """bool [len(known)]: whether any input of the post differs from the one its row was computed from."""
    changed = np.zeros(len(known), dtype=bool)
    for modality in inputs:
        changed |= changed_inputs(posts, modality, cached, rows[known], known)
        if modality.modality == "image":
            status = cached.status_of("image")[rows[known]]
            blank = status == Status.BLANK
            unreadable = (status == Status.IMAGE_UNDECODABLE) | (status == Status.IMAGE_TOO_LARGE)
            missing = (status == Status.IMAGE_MISSING) | (status == Status.IMAGE_OUTSIDE)
            changed |= (unreadable | missing) if on_error == "blank" else blank
    return changed


def changed_inputs(
    posts: Posts, inputs: Inputs, cached: FeatureFile, rows: np.ndarray, which: np.ndarray
) -> np.ndarray:
    """bool [len(which)]: whether the input of post `which[i]` is another than that of row `rows[i]`.

    A cheap stamp decides where it is equal; only inputs whose stamp differs are read and hashed.
    """
    stamps = cached.stamps(inputs.modality)[rows]
    hashes = cached.hashes(inputs.modality)[rows]
    changed = np.zeros(len(which), dtype=bool)
    seen: dict[str, tuple[int, bytes | None]] = {}
    for position, post in enumerate(which.tolist()):
        key = inputs.key(post)
        stamp, digest = seen.get(key) or (inputs.stamp(post), None)
        if stamp != int(stamps[position]):
            digest = digest if digest is not None else inputs.examine(post).hash
            changed[position] = digest != hashes[position].tobytes()
        seen[key] = (stamp, digest)
    return changed


def _join(rows: np.ndarray) -> np.ndarray:
    """Sorted rows with every gap shorter than `JOIN_GAP` filled."""
    if len(rows) < 2:
        return rows
    gap = np.diff(rows)
    near = (gap > 1) & (gap <= JOIN_GAP)
    fill = [np.arange(rows[i] + 1, rows[i + 1]) for i in np.flatnonzero(near)]
    return np.sort(np.concatenate([rows, *fill])) if fill else rows
