"""Is one run better than another? Paired tests over seeds and over posts, and intervals, on stored predictions.

Two heads that answer the same posts are compared post by post and seed by seed, never as independent samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classifiers.errors import HeadError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

METRICS = ("accuracy", "macro_f1", "weighted_f1")
DRAWS = 2000
_PER_COMPARISON = 50
# memory of one block of draws: draws times posts, or counts, of float32
_BLOCK = 1 << 24


@dataclass(frozen=True)
class Answers:
    """What a run said, one row per seed and post: `seeds` and `posts` int64 [m] (posts may be in several folds of a
    seed), `labels` and `predicted` int64 [m] from 0 to n_classes - 1.
    """

    seeds: np.ndarray
    posts: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    n_classes: int


def draws_for(comparisons: int) -> int:
    """How many draws `over_posts` needs so that Holm's correction for so many tests leaves a p of 0.02 within reach."""
    return max(DRAWS, _PER_COMPARISON * comparisons)


def over_seeds(first: Sequence[float], second: Sequence[float], test_to_train: float = 0.0) -> float | None:
    """p of a paired t-test, two-sided, over a figure of each seed (of the same seeds, in the same order).

    Student's where all seeds have the same test posts. Where each seed draws its own, seeds share posts and are not
    independent: `test_to_train`, the number of test posts over that of train posts, makes it the corrected resampled
    test of Nadeau and Bengio (2003, section 4), whose variance is s² (1/n + test_to_train) in the place of s²/n.

    None where the seeds cannot tell: fewer than two, or a difference that is the same for every seed, as between two
    heads that ignore it. 1.0 where there is no difference at all. Raises `HeadError` for lists of unequal length.
    """
    from scipy.special import stdtr

    if len(first) != len(second):
        raise HeadError(f"Seeds are compared in pairs, but there are {len(first)} and {len(second)}.")
    gaps = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if not gaps.any():
        return 1.0
    if len(gaps) < 2 or np.ptp(gaps) <= 1e-12 * np.abs(gaps).max():
        return None
    statistic = gaps.mean() / (gaps.std(ddof=1) * np.sqrt(1 / len(gaps) + test_to_train))
    return float(2 * stdtr(len(gaps) - 1, -abs(statistic)))


def over_posts(first: Answers, second: Answers, metric: str = "macro_f1", draws: int = DRAWS, seed: int = 0) -> float:
    """p of the paired randomisation test (Noreen 1989; Yeh 2000), two-sided, over the posts both runs answered.

    Were the runs alike, it would not matter which of them gave which answer: each draw swaps the two runs' answers to
    every post with chance 1/2 (to all of a post's seeds together, since a hard post is hard for every seed), and p is
    the share of draws, the observed one counted as well, whose difference in the metric's mean over seeds is no
    smaller than the observed one. Raises `HeadError` for an unknown metric, runs without a common post, and runs that
    know a post under different labels.
    """
    a, b = _common(first, second)
    post = np.unique(a.posts, return_inverse=True)[1]
    moved = np.flatnonzero(a.predicted != b.predicted)
    ours, theirs = _Counts(a), _Counts(b)
    observed = ours.metric(metric) - theirs.metric(metric)
    if len(moved) == 0:
        return 1.0
    # only posts that are answered differently change anything
    differ, place = np.unique(post[moved], return_inverse=True)
    change = theirs.table(moved, place, len(differ)) - ours.table(moved, place, len(differ))
    rng, extreme, done = np.random.default_rng(seed), 0, 0
    while done < draws:
        size = min(draws - done, max(1, _BLOCK // max(change.shape)))
        swapped = _times(rng.integers(0, 2, (size, len(differ)), dtype=np.int8), change)
        gaps = ours.metric(metric, swapped) - theirs.metric(metric, -swapped)
        # the observed difference itself comes up again, up to rounding
        extreme += int((np.abs(gaps) >= np.abs(observed) - 1e-9).sum())
        done += size
    return (1 + extreme) / (1 + draws)


def interval(
    answers: Answers, metric: str = "macro_f1", level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The bootstrap percentile interval of the metric's mean over seeds, posts drawn with replacement.

    A post is drawn with the answers of all its seeds. The interval tells how far other posts of the same kind could
    move the figure; the deviation over seeds is apart from that.
    """
    posts, post = np.unique(answers.posts, return_inverse=True)
    counts = _Counts(answers)
    by_post = counts.table(np.arange(len(post)), post, len(posts), support=True)
    rng = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    while (done := sum(map(len, found))) < draws:
        size = min(draws - done, max(1, _BLOCK // max(by_post.shape)))
        picked = rng.integers(0, len(posts), (size, len(posts))) + len(posts) * np.arange(size)[:, None]
        drawn = np.bincount(picked.ravel(), minlength=size * len(posts)).reshape(size, -1)
        found.append(counts.metric_of(metric, _times(drawn, by_post)))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p values of a family of tests; None stays None and does not count."""
    order = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


class _Counts:
    """Hits, answers and support per seed and class: all that the metrics are computed from.

    Counts of one seed lie side by side, [seeds, classes] flattened. An answer adds to three of them at most, so what
    answers add is kept as sparse tables: memory grows with the answers, not with answers times seeds.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        seeds, self.seed = np.unique(answers.seeds, return_inverse=True)
        self.shape = (len(seeds), answers.n_classes)
        self.size = len(seeds) * answers.n_classes
        everything = np.arange(len(answers.labels))
        self.total = _times(np.ones((1, 1)), self.table(everything, np.zeros_like(everything), 1, support=True))[0]

    def table(self, chosen: np.ndarray, group: np.ndarray, groups: int, support: bool = False) -> csr_array:
        """What the answers `chosen` add, those of one `group` (int64 [m], from 0 to `groups` - 1) together: float32
        [groups, 2 S C] (hits, answers), or [groups, 3 S C] with the support.
        """
        from scipy.sparse import csr_array

        offset = self.seed[chosen] * self.shape[1]
        label, predicted = offset + self.answers.labels[chosen], offset + self.answers.predicted[chosen]
        right = label == predicted
        columns = [label[right], self.size + predicted] + ([2 * self.size + label] if support else [])
        rows = [group[right], group] + ([group] if support else [])
        at = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.ones(len(at[0]), np.float32), at), shape=(groups, (3 if support else 2) * self.size))

    def metric(self, name: str, change: np.ndarray | None = None) -> np.ndarray:
        """The metric's mean over seeds, [draws]: of the answers with `change` [draws, 2 S C] added to the counts."""
        change = np.zeros((1, 2 * self.size)) if change is None else change
        counts = np.repeat(self.total[None], len(change), axis=0)
        counts[:, : 2 * self.size] += change
        return self.metric_of(name, counts)

    def metric_of(self, name: str, counts: np.ndarray) -> np.ndarray:
        """The metric's mean over seeds, float64 [draws], of counts [draws, 3 S C]; 0/0 is 0 as in `metrics`."""
        if name not in METRICS:
            raise HeadError(f"There is no metric '{name}'; choose one of {', '.join(METRICS)}.")
        hits, answers, support = (
            part.reshape(-1, *self.shape).astype(np.float64) for part in np.split(counts, 3, axis=1)
        )
        posts = np.maximum(support.sum(axis=2), 1)
        means: np.ndarray
        if name == "accuracy":
            means = (hits.sum(axis=2) / posts).mean(axis=1)
            return means
        f1 = 2 * hits / np.maximum(answers + support, 1)
        if name == "weighted_f1":
            means = ((f1 * support).sum(axis=2) / posts).mean(axis=1)
            return means
        present = np.maximum((answers + support > 0).sum(axis=2), 1)
        means = (f1.sum(axis=2) / present).mean(axis=1)
        return means


def _times(draws: np.ndarray, table: csr_array) -> np.ndarray:
    """`draws` [d, n] times `table` [n, k], float32 [d, k]: whole numbers, so exact."""
    return np.ascontiguousarray((table.T @ draws.T.astype(np.float32)).T)


def _common(first: Answers, second: Answers) -> tuple[Answers, Answers]:
    """The rows that both runs have, in one order; the n-th answer to a post of a seed goes with the n-th."""
    keys = [list(zip(a.seeds.tolist(), a.posts.tolist(), _repeats(a), strict=True)) for a in (first, second)]
    there = {key: row for row, key in enumerate(keys[1])}
    rows = [(row, there[key]) for row, key in enumerate(keys[0]) if key in there]
    if not rows:
        raise HeadError("The two runs have no post in common, so they cannot be compared.")
    a, b = (
        Answers(r.seeds[at], r.posts[at], r.labels[at], r.predicted[at], max(first.n_classes, second.n_classes))
        for r, at in zip((first, second), np.array(rows).T, strict=True)
    )
    if not np.array_equal(a.labels, b.labels):
        raise HeadError("The two runs know some posts under different labels, so they cannot be compared.")
    return a, b


def _repeats(answers: Answers) -> list[int]:
    """How often the same seed answered the same post before, per row."""
    seen: dict[tuple[int, int], int] = {}
    result = []
    for key in zip(answers.seeds.tolist(), answers.posts.tolist(), strict=True):
        result.append(seen.get(key, 0))
        seen[key] = result[-1] + 1
    return result
