"""Paired comparisons: equal to scipy's and to drawing by hand, and right about what they claim."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from classifiers import HeadError
from classifiers.metrics import scores
from classifiers.significance import METRICS, Answers, draws_for, holm, interval, over_posts, over_seeds


def answers(seed: int, n: int = 60, seeds: int = 2, right: float = 0.7, classes: int = 3) -> Answers:
    """`n` posts answered by `seeds` fits that are right with chance `right`; the labels are always the same."""
    truth = np.random.default_rng(99).integers(0, classes, n)
    rng = np.random.default_rng(seed)
    labels = np.tile(truth, seeds)
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    predicted = np.where(rng.random(len(labels)) < right, labels, wrong)
    return Answers(np.repeat(np.arange(seeds), n), np.tile(np.arange(n), seeds), labels, predicted, classes)


def mean_metric(found: Answers, metric: str, predicted: np.ndarray | None = None) -> float:
    predicted = found.predicted if predicted is None else predicted
    held = [found.seeds == seed for seed in np.unique(found.seeds)]
    return float(np.mean([scores(found.labels[rows], predicted[rows])[metric] for rows in held]))


def test_over_seeds_is_the_paired_t_test_and_says_when_seeds_cannot_tell() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.80, 0.01, 10), rng.normal(0.79, 0.01, 10)
    assert over_seeds(first, second) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert over_seeds([0.8] * 5, [0.8] * 5) == 1.0
    assert over_seeds([0.8] * 5, [0.7] * 5) is None
    assert over_seeds([0.8], [0.7]) is None
    with pytest.raises(HeadError, match="there are 2 and 3"):
        over_seeds([1, 2], [1, 2, 3])


def test_over_seeds_of_drawn_test_posts_is_the_corrected_resampled_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.80, 0.01, 10), rng.normal(0.79, 0.01, 10)
    gaps = first - second
    statistic = np.mean(gaps) / np.sqrt((1 / 10 + 25 / 75) * np.sum((gaps - np.mean(gaps)) ** 2) / 9)
    expected = 2 * stats.t.sf(abs(statistic), df=9)
    assert over_seeds(first, second, test_to_train=25 / 75) == pytest.approx(expected)
    assert expected > 5 * stats.ttest_rel(first, second).pvalue
    assert over_seeds([0.8] * 5, [0.8] * 5, 1 / 3) == 1.0
    assert over_seeds([0.8] * 5, [0.7] * 5, 1 / 3) is None


def test_two_equally_good_heads_seldom_differ_over_seeds_that_draw_their_test_posts() -> None:
    rng, plain, corrected = np.random.default_rng(0), [], []
    for _ in range(400):
        right = rng.random((2, 400)) < 0.8
        tests = [rng.permutation(400)[:100] for _ in range(10)]
        first, second = ([float(np.mean(one[test])) for test in tests] for one in right)
        plain.append(over_seeds(first, second) or 0.0)
        corrected.append(over_seeds(first, second, 100 / 300) or 0.0)
    # 400 tests at 0.05: 20 expected, deviation 4.4
    assert sum(p <= 0.05 for p in plain) > 100
    assert sum(p <= 0.05 for p in corrected) <= 33


@pytest.mark.parametrize("metric", METRICS)
def test_over_posts_approaches_the_exact_test_over_all_swaps(metric: str) -> None:
    first, second = answers(1, n=12, right=0.9), answers(2, n=12, right=0.5)
    observed = mean_metric(first, metric) - mean_metric(second, metric)
    differ = sorted({int(p) for p in first.posts[first.predicted != second.predicted]})
    extreme = 0
    for swapped in itertools.product([False, True], repeat=len(differ)):
        swap = np.isin(first.posts, [post for post, yes in zip(differ, swapped, strict=True) if yes])
        one = np.where(swap, second.predicted, first.predicted)
        other = np.where(swap, first.predicted, second.predicted)
        extreme += abs(mean_metric(first, metric, one) - mean_metric(first, metric, other)) >= abs(observed) - 1e-9
    exact = extreme / 2 ** len(differ)
    assert over_posts(first, second, metric, draws=20_000) == pytest.approx(exact, abs=0.015)


def test_over_posts_of_accuracy_and_one_seed_is_mcnemar() -> None:
    first, second = answers(3, n=200, seeds=1, right=0.85), answers(4, n=200, seeds=1, right=0.75)
    good, other = first.predicted == first.labels, second.predicted == second.labels
    wins, losses = int((good & ~other).sum()), int((other & ~good).sum())
    exact = stats.binomtest(wins, wins + losses).pvalue
    assert over_posts(first, second, "accuracy", draws=20_000) == pytest.approx(exact, abs=0.01)


def test_over_posts_keeps_its_level_when_runs_are_alike_and_finds_a_real_difference() -> None:
    found = [over_posts(answers(2 * i, n=150), answers(2 * i + 1, n=150), draws=200) for i in range(200)]
    # 200 tests at 0.05: 10 expected, deviation 3.1
    assert 2 <= sum(p <= 0.05 for p in found) <= 20
    assert over_posts(answers(1, n=400, right=0.85), answers(2, n=400, right=0.7)) < 0.01
    assert over_posts(answers(1), answers(1)) == 1.0


def test_runs_are_compared_on_the_posts_that_both_answered_whatever_their_order() -> None:
    first, second = answers(1), answers(2)
    order = np.random.default_rng(0).permutation(len(first.posts))
    turned = Answers(*(getattr(second, f)[order] for f in ("seeds", "posts", "labels", "predicted")), 3)
    assert over_posts(first, turned) == over_posts(first, second)
    kept = first.posts >= 20
    part = Answers(*(getattr(first, f)[kept] for f in ("seeds", "posts", "labels", "predicted")), 3)
    rest = Answers(*(getattr(second, f)[kept] for f in ("seeds", "posts", "labels", "predicted")), 3)
    assert over_posts(part, second) == over_posts(part, rest)
    with pytest.raises(HeadError, match="no post in common"):
        over_posts(first, Answers(second.seeds, second.posts + 1000, second.labels, second.predicted, 3))
    with pytest.raises(HeadError, match="under different labels"):
        over_posts(first, Answers(second.seeds, second.posts, (second.labels + 1) % 3, second.predicted, 3))
    with pytest.raises(HeadError, match="no metric 'auc'"):
        over_posts(first, second, "auc")


@pytest.mark.parametrize("metric", METRICS)
def test_interval_is_the_bootstrap_over_posts(metric: str) -> None:
    found = answers(5, n=80)
    rng, drawn = np.random.default_rng(1), []
    for _ in range(1500):
        posts = rng.integers(0, 80, 80)
        held = [np.flatnonzero(found.seeds == seed)[posts] for seed in (0, 1)]
        drawn.append(np.mean([scores(found.labels[rows], found.predicted[rows])[metric] for rows in held]))
    low, high = interval(found, metric)
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.012)
    assert low < mean_metric(found, metric) < high


def test_holm_equals_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06), None]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("comparisons", [1, 40, 101, 400, 5000])
def test_draws_leave_a_small_p_within_reach_however_many_runs_are_compared(comparisons: int) -> None:
    smallest = 1 / (1 + draws_for(comparisons))
    assert holm([smallest] * comparisons)[0] <= 0.02


def test_memory_grows_with_the_answers_and_not_with_their_square() -> None:
    def peak(seeds: int) -> int:
        first, second = (answers(seed, n=400, seeds=seeds) for seed in (1, 2))
        tracemalloc.start()
        over_posts(first, second, draws=20)
        interval(first, draws=20)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(80) < 6 * peak(20)
