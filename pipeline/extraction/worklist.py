"""What an extraction has to do: which rows of the cache file are missing, changed or to be done again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cache import FeatureFile, Status
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError
from pipeline.extraction.options import Options
from pipeline.inputs.freshness import CHANGED, GONE, input_states
from pipeline.inputs.inputs import Inputs
from pipeline.log import say

MANY = 10
BAD_PHOTO = (Status.IMAGE_MISSING, Status.IMAGE_UNDECODABLE, Status.IMAGE_TOO_LARGE, Status.IMAGE_OUTSIDE)
SAMPLED = 100
"""Posts that are looked at when a file knows none of the ids."""
JOIN_GAP = 256
"""Changed rows nearer than this are written as one part, with the unchanged rows between them copied."""


@dataclass(frozen=True)
class Plan:
    """Rows to write, sorted: `rows` and `posts` int64 [n] (post -1: a cached row whose post is gone from the
    dataset), `fresh` bool [n] (False: copied unchanged). `stale` counts changed inputs that were left alone, `gone`
    posts whose photo is no longer there and whose row is kept.
    """

    rows: np.ndarray
    posts: np.ndarray
    fresh: np.ndarray
    stale: int
    gone: int

    @property
    def todo(self) -> int:
        return int(self.fresh.sum())

    def runs(self) -> Iterator[slice]:
        """The stretches of the plan whose rows follow one another without a gap."""
        if len(self.rows):
            edges = np.flatnonzero(np.diff(self.rows) != 1) + 1
            bounds = [0, *edges.tolist(), len(self.rows)]
            yield from (slice(a, b) for a, b in pairwise(bounds))


def make_plan(posts: Posts, inputs: Sequence[Inputs], cached: FeatureFile | None, options: Options) -> Plan:
    """Posts keep the row they have in the file; new ones follow after it, in the dataset's order.

    Raises `CrisisError` when the file holds other posts, or most inputs changed: both look like another dataset
    under the same name.
    """
    rows = _rows_of(posts, inputs, cached)
    fresh = np.ones(len(posts), dtype=bool)
    stale = gone = 0
    if cached is not None and options.overwrite != "always":
        known = np.flatnonzero(rows < cached.n)
        states = [
            input_states(inputs_one, cached, rows[known], known, options.recheck == "content") for inputs_one in inputs
        ]
        changed = np.any([state == CHANGED for state in states], axis=0)
        gone = int(np.any([state == GONE for state in states], axis=0).sum())
        if options.overwrite == "only-missing":
            _refuse_other_dataset(posts, cached, changed)
            fresh[known] = changed | _other_policy(inputs, cached, rows[known], options.on_error)
        else:
            fresh[known] = False
            stale = int(changed.sum())
    todo = np.flatnonzero(fresh)
    wanted = _join(np.sort(rows[todo]))
    post_at = np.full(int(max(rows.max(initial=-1), wanted.max(initial=-1))) + 1, -1, dtype=np.int64)
    post_at[rows] = np.arange(len(posts))
    chosen = post_at[wanted]
    return Plan(wanted, chosen, np.where(chosen >= 0, fresh[chosen], False), stale, gone)


def _rows_of(posts: Posts, inputs: Sequence[Inputs], cached: FeatureFile | None) -> np.ndarray:
    if cached is None or cached.n == 0:
        return np.arange(len(posts), dtype=np.int64)
    rows = np.asarray(cached.rows_of(posts.ids), dtype=np.int64).copy()
    new = np.flatnonzero(rows < 0)
    if len(new) == len(posts):
        if not _has_their_inputs(cached, inputs, len(posts)):
            raise CrisisError(
                f"The cache file {cached.path} holds none of these posts: it belongs to another dataset named "
                f"'{posts.name}'; give this one a name of its own with --name."
            )
        say(
            f"{cached.path.name} knows these texts and photos under other ids (another --id-column): their rows are "
            "added, and nothing is encoded twice"
        )
    rows[new] = cached.n + np.arange(len(new))
    return rows


def _has_their_inputs(cached: FeatureFile, inputs: Sequence[Inputs], posts: int) -> bool:
    """Whether the file has most of the inputs of some posts, evenly taken, under whatever ids."""
    known = there = 0
    for one in inputs:
        digests = {digest.tobytes() for digest in cached.hashes(one.modality)}
        for post in np.unique(np.linspace(0, posts - 1, SAMPLED, dtype=np.int64)).tolist():
            found = one.examine(post)
            if found.status == Status.OK:
                there += 1
                known += found.hash in digests
    return known > there / 2


def _refuse_other_dataset(posts: Posts, cached: FeatureFile, changed: np.ndarray) -> None:
    if changed.sum() > MANY and changed.mean() > 0.5:
        raise CrisisError(
            f"{int(changed.sum())} of {len(changed)} posts that {cached.path.name} knows by id have other inputs now: "
            f"if this is another dataset than '{posts.name}', give it a name of its own with --name (and ids with "
            "--id-column); if everything really changed, use --overwrite always."
        )


def _other_policy(inputs: Sequence[Inputs], cached: FeatureFile, rows: np.ndarray, on_error: str) -> np.ndarray:
    """bool [n]: rows whose bad photo was treated otherwise than `on_error` asks for now."""
    other = np.zeros(len(rows), dtype=bool)
    for modality in {one.modality for one in inputs} & {"image", "joint"}:
        status = cached.status_of(modality)[rows]
        other |= np.isin(status, BAD_PHOTO) if on_error == "blank" else status == Status.BLANK
    return other


def _join(rows: np.ndarray) -> np.ndarray:
    """Sorted rows with every gap shorter than `JOIN_GAP` filled."""
    if len(rows) < 2:
        return rows
    gap = np.diff(rows)
    near = (gap > 1) & (gap <= JOIN_GAP)
    fill = [np.arange(rows[i] + 1, rows[i + 1]) for i in np.flatnonzero(near)]
    return np.sort(np.concatenate([rows, *fill])) if fill else rows
