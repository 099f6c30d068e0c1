"""What balancers draw, against readings of their sources row by row; nothing here trains."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from balance_support import balancer, setup

from classifiers.balance.donors import Donors
from classifiers.balance.dynamic import change_probabilities
from classifiers.training.balancer import Setup
from classifiers.training.plan import Plan

ORDER = torch.from_numpy(np.random.default_rng(7).permutation(60))


def uniforms(shape: tuple[int, ...]) -> np.ndarray:
    """The numbers that a balancer made with this setup will draw next: the same generator, from the start."""
    return np.random.default_rng(1).random(shape)


def test_a_plan_is_cut_into_the_batches_it_is_trained_in() -> None:
    order = torch.arange(10)
    plan = Plan(order, rows=(order, order.flip(0)), keep=(order > 3, order > 5))
    parts = list(plan.split(4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert parts[1].rows is not None
    assert parts[1].rows[1].tolist() == [5, 4, 3, 2]
    assert parts[2].keep is not None
    assert parts[2].keep[0].tolist() == [True, True]
    assert parts[0].partner is None


def test_donors_are_equally_likely_never_the_row_itself_and_of_the_class_asked_for() -> None:
    targets = np.array([0, 1, 0, 2, 1, 0, 0, 2])
    pool = np.array([True, True, True, True, True, False, True, True])
    donors = Donors(targets, 3, pool)
    grid = (np.arange(840) + 0.5) / 840
    for row in range(8):
        asked = np.full(840, row)
        same = {k for k in range(8) if pool[k] and targets[k] == targets[row] and k != row}
        other = {k for k in range(8) if pool[k] and targets[k] != targets[row]}
        assert Counter(donors.same(asked, grid).tolist()) == {k: 840 // len(same) for k in same}
        assert Counter(donors.other(asked, grid).tolist()) == {k: 840 // len(other) for k in other}
        assert donors.same_count(asked[:1]) == len(same)
        assert donors.other_count(asked[:1]) == len(other)
    # a uniform number of nearly 1 stays in range; nobody to give: the row keeps its own
    edge = np.array([np.nextafter(1, 0)])
    assert donors.other(np.array([0]), edge)[0] in (3, 7)
    assert Donors(np.array([0, 1, 1]), 2).same(np.array([0]), edge)[0] == 0


def read_sse(made: Setup, order: np.ndarray, p0: float, rho: float) -> list[tuple[int, int]]:
    """(row of view a, row of view b) per row: section 3.4 read one row at a time, from the same numbers."""
    targets, wrong = made.targets.numpy(), made.discordant
    drawn = uniforms((4, len(order)))
    pairs = []
    for place, j in enumerate(order.tolist()):
        changed, side, kind, donor = drawn[:, place]
        bad = [m for m in (0, 1) if wrong[m, j]]
        if changed >= (1.0 if bad else p0):
            pairs.append((j, j))
            continue
        m = (bad or [0, 1])[int(side * len(bad or [0, 1]))]
        allowed = [k for k in range(len(targets)) if not wrong[m, k]]
        same = [k for k in allowed if targets[k] == targets[j] and k != j]
        # in the order of their classes, as the donors lie
        other = sorted((k for k in allowed if targets[k] != targets[j]), key=lambda k: (targets[k], k))
        within = kind < rho * len(same) / (rho * len(same) + len(other))
        group = same if within else other
        k = group[int(donor * len(group))]
        pairs.append((k, j) if m == 0 else (j, k))
    return pairs


@pytest.mark.parametrize("discordant", [(), ((3, 5, 8), (21, 40, 8))])
def test_sse_equals_its_reading_row_by_row(discordant: tuple[tuple[int, ...], ...]) -> None:
    made = setup(discordant=discordant)
    plan = balancer("sse", made, p0=0.4, rho=3.0).plan(1, ORDER)
    assert plan.rows is not None
    read = read_sse(made, ORDER.numpy(), 0.4, 3.0)
    assert list(zip(plan.rows[0].tolist(), plan.rows[1].tolist(), strict=True)) == read
    assert torch.equal(plan.order, ORDER)
    assert 15 < sum(a != b for a, b in read) < 35


def test_sse_makes_discordant_pairs_consistent() -> None:
    made = setup(discordant=((3, 5, 8), (21, 40)))
    sse = balancer("sse", made, p0=0.2, rho=1e9)
    targets = made.targets.numpy()
    for epoch in range(1, 20):
        plan = sse.plan(epoch, ORDER)
        assert plan.rows is not None
        for j, a, b in zip(ORDER.tolist(), plan.rows[0].tolist(), plan.rows[1].tolist(), strict=True):
            # no view whose label is another than the row's is left, and none is given to others
            assert a not in (3, 5, 8)
            assert b not in (21, 40)
            assert targets[a] == targets[b] == targets[j]
            assert j not in (3, 5, 8) or b == j
            assert j not in (21, 40) or a == j


def test_sse_s_transition_table_is_that_of_equations_9_and_10() -> None:
    made = setup(n=12, classes=3, seed=3)
    sse = balancer("sse", made, p0=0.5, rho=4.0)
    order = torch.zeros(200_000, dtype=torch.int64)
    plan = sse.plan(1, order)
    assert plan.rows is not None
    targets = made.targets.numpy()
    table = [np.bincount(rows.numpy(), minlength=12) / len(order) for rows in plan.rows]
    same = [k for k in range(1, 12) if targets[k] == targets[0]]
    other = [k for k in range(12) if targets[k] != targets[0]]
    unit = 0.5 / (4 * len(same) + len(other))
    for column in table:
        # each side takes half of the transitions
        assert column[0] == pytest.approx(1 - 0.25, abs=0.004)
        np.testing.assert_allclose(column[same], 4 * unit / 2, atol=0.003)
        np.testing.assert_allclose(column[other], unit / 2, atol=0.003)
    assert sse.record()["swapped"] == pytest.approx(0.5, abs=0.004)


def read_algorithm_1(made: Setup, order: np.ndarray, p_c: float, p_0: float, drawn: np.ndarray) -> list[tuple]:
    """Farah 2025, Algorithm 1, line by line."""
    targets = made.targets.numpy()
    pairs = []
    for place, i in enumerate(order.tolist()):
        n, which, n_prime = drawn[:, place]
        if n < p_c:
            others = sorted((j for j in range(len(targets)) if targets[j] != targets[i]), key=lambda j: (targets[j], j))
            j = others[int(which * len(others))]
            pairs.append((j, i) if n_prime < p_0 else (i, j))
        else:
            pairs.append((i, i))
    return pairs


def test_d_sse_swaps_as_algorithm_1_and_from_epoch_2_only() -> None:
    made = setup()
    dsse = balancer("d_sse", made, p_c=0.5)
    first = dsse.plan(1, ORDER)
    assert first.rows is None
    views = [view[ORDER] for view in made.views]
    dsse.watch(views, made.targets[ORDER])
    recorded = dsse.record()
    assert recorded["swapped"] == 0.0
    plan = dsse.plan(2, ORDER)
    assert plan.rows is not None
    read = read_algorithm_1(made, ORDER.numpy(), 0.5, recorded["P(a)"], uniforms((3, 60)))
    assert list(zip(plan.rows[0].tolist(), plan.rows[1].tolist(), strict=True)) == read
    changed = [(a, b) for a, b in read if a != b]
    assert len(changed) > 15
    targets = made.targets.numpy()
    assert all(targets[a] != targets[b] for a, b in changed)


def test_r_sse_draws_p_m_anew_each_epoch_and_swaps_between_classes() -> None:
    made = setup()
    rsse = balancer("r_sse", made, p_c=0.5)
    assert rsse.plan(1, ORDER).rows is None
    rng, seen = np.random.default_rng(1), []
    for epoch in (2, 3, 4):
        p = rng.dirichlet(np.ones(2))
        plan = rsse.plan(epoch, ORDER)
        read = read_algorithm_1(made, ORDER.numpy(), 0.5, p[0], rng.random((3, 60)))
        assert plan.rows is not None
        assert list(zip(plan.rows[0].tolist(), plan.rows[1].tolist(), strict=True)) == read
        recorded = rsse.record()
        assert recorded["P(a)"] == p[0]
        assert recorded["P(a)"] + recorded["P(b)"] == pytest.approx(1)
        seen.append(p[0])
    assert len(set(seen)) == 3
    # P_0 ~ U(0, 1): the first of two shares of the flat Dirichlet
    many = np.sort(np.random.default_rng(0).dirichlet(np.ones(2), size=4000)[:, 0])
    assert np.abs(many - (np.arange(4000) + 0.5) / 4000).max() < 0.03


def equation_5_4_3(s0: float, s1: float, a: float) -> float:
    rho = s0 / s1
    if rho >= 1:
        return 0.5 + 0.5 * np.tanh(a * (rho - 1))
    return 1 - (0.5 + 0.5 * np.tanh(a * (1 / rho - 1)))


def test_the_softmax_over_scores_is_equation_5_4_3_for_two_views() -> None:
    rng = np.random.default_rng(0)
    for s0, s1, a in zip(*rng.uniform(0.01, 1, size=(2, 500)), rng.uniform(0.1, 3, size=500), strict=True):
        p = change_probabilities(np.array([s0, s1]), a)
        assert p[0] == pytest.approx(equation_5_4_3(s0, s1, a), abs=1e-14)
        assert p.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_array_equal(change_probabilities(np.array([0.3, 0.3]), 1.5), [0.5, 0.5])
    # Figure 5.3: the view that scores higher is changed more often, and the more so the larger a
    assert 0.5 < change_probabilities(np.array([0.6, 0.5]), 0.5)[0] < change_probabilities(np.array([0.6, 0.5]), 1.5)[0]


def test_for_three_views_the_probabilities_follow_the_scores() -> None:
    scores = np.array([0.5, 0.3, 0.4])
    p = change_probabilities(scores, 1.5)
    assert p.sum() == pytest.approx(1)
    assert p.argsort().tolist() == scores.argsort().tolist()
    for turned in ([1, 2, 0], [2, 1, 0]):
        np.testing.assert_allclose(change_probabilities(scores[turned], 1.5), p[turned], atol=1e-15)
    np.testing.assert_allclose(change_probabilities(np.full(3, 0.2), 1.5), 1 / 3)
    # by hand, all pairs written out
    x = np.zeros((3, 3))
    for m in range(3):
        for k in range(3):
            rho = scores[m] / scores[k]
            x[m, k] = 1.5 * (rho - 1) if rho >= 1 else -1.5 * (1 / rho - 1)
    u = x.sum(axis=1) / 2
    np.testing.assert_allclose(p, np.exp(u) / np.exp(u).sum(), atol=1e-15)


def test_three_views_swap_each_its_share() -> None:
    made = setup(views=3)
    dsse = balancer("d_sse", made, p_c=1.0)
    dsse._p = np.array([0.2, 0.5, 0.3])
    order = ORDER.repeat(300)
    plan = dsse.plan(2, order)
    assert plan.rows is not None
    shares = [float((rows != order).double().mean()) for rows in plan.rows]
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.01)
    # one view at a time
    assert int(sum((rows != order).long() for rows in plan.rows).max()) == 1


def test_modality_dropout_takes_one_view_from_a_row() -> None:
    made = setup()
    plan = balancer("modality_dropout", made, p_c=0.3).plan(1, ORDER)
    changed, side = uniforms((2, 60))
    assert plan.keep is not None
    for place in range(60):
        lost = None if changed[place] >= 0.3 else int(side[place] * 2)
        assert [bool(keep[place]) for keep in plan.keep] == [lost != 0, lost != 1]


def test_shuffling_within_class_deals_every_vector_once_to_its_class() -> None:
    made = setup()
    shuffle = balancer("shuffle_within", made)
    plans = [shuffle.plan(epoch, ORDER) for epoch in (1, 2)]
    for plan in plans:
        assert plan.rows is not None
        assert torch.equal(plan.rows[0], ORDER)
        assert sorted(plan.rows[1].tolist()) == sorted(ORDER.tolist())
        assert torch.equal(made.targets[plan.rows[1]], made.targets[ORDER])
        assert float((plan.rows[1] != ORDER).double().mean()) > 0.8
    assert not torch.equal(plans[0].rows[1], plans[1].rows[1])  # type: ignore[index]


def test_mixup_pairs_with_a_second_order_and_draws_lambda_once_a_batch() -> None:
    made = setup()
    plan = balancer("mixup", made, alpha=0.5).plan(1, ORDER)
    rng = np.random.default_rng(1)
    partner, shares = ORDER.numpy()[rng.permutation(60)], rng.beta(0.5, 0.5, size=4)
    assert plan.partner is not None
    assert plan.share is not None
    assert plan.partner.tolist() == partner.tolist()
    assert plan.share.tolist() == [shares[place // 16] for place in range(60)]


@pytest.mark.parametrize("method", ["sse", "r_sse", "d_sse", "modality_dropout", "shuffle_within", "mixup"])
def test_draws_depend_on_the_generator_alone(method: str) -> None:
    def drawn(before: int) -> list[list[object]]:
        made = setup()
        # what others have drawn from the global generators must not reach the balancer
        torch.manual_seed(before)
        np.random.seed(before)  # noqa: NPY002
        found, told = balancer(method, made), []
        for epoch in (1, 2, 3):
            plan = found.plan(epoch, ORDER)
            parts = (*(plan.rows or ()), *(plan.keep or ()), plan.partner, plan.share)
            told.append([part.tolist() for part in parts if part is not None])
            if method == "d_sse":
                found.watch([view[:8] for view in made.views], made.targets[:8])
            found.record()
        return told

    assert drawn(0) == drawn(5)
    assert drawn(0)[2]
