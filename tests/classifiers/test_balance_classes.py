"""Rare classes: weights, over- and under-sampling and SMOTE, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from head_support import IMAGE, TEXT
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight
from test_balance_fits import POSTS, name_of

from classifiers import HEADS, Balance, FittedHead, HeadError, fit
from classifiers.balance.classes import balanced, sampled
from classifiers.heads.linear_path import solve_path
from classifiers.problem import make_problem, standardisation


def rare() -> np.ndarray:
    """Labels of which 2 is rare in train."""
    labels = POSTS.labels.copy()
    labels[np.flatnonzero(labels == 2)[12:]] = 1
    return labels


def test_balanced_class_weights_are_scikit_learn_s() -> None:
    labels = rare()
    problem = make_problem(POSTS.views, labels, POSTS.train, POSTS.dev, 3)
    train = labels[POSTS.train]
    wanted = compute_class_weight("balanced", classes=np.unique(train), y=train)
    np.testing.assert_allclose(balanced(problem, Balance(class_weight="balanced"), 0).class_weights, wanted)
    manual = balanced(problem, Balance(class_weight={2: 5, 0: 0.5}), 0).class_weights
    np.testing.assert_array_equal(manual, [0.5, 1.0, 5.0])
    with pytest.raises(HeadError, match="There is a class weight for the label 7; the labels are 0 to 2"):
        fit("concat", POSTS.views, labels, POSTS.train, POSTS.dev, 3, 0, balance=Balance(class_weight={7: 2.0}))
    # a class that train does not show has nothing to weigh
    there = make_problem(POSTS.views, labels, POSTS.train[labels[POSTS.train] != 2], POSTS.dev, 3)
    manual = balanced(there, Balance(class_weight={2: 5, 0: 0.5}), 0).class_weights
    np.testing.assert_array_equal(manual, [0.5, 1.0])


@pytest.mark.parametrize("head", [name for name, card in HEADS.items() if card.family == "torch"])
def test_every_torch_head_weighs_classes(head: str) -> None:
    views = {name: array[:, :16] for name, array in POSTS.views.items()}

    def run(weights: str | dict[int, float]) -> FittedHead:
        balance = Balance(class_weight=weights)
        return fit(head, views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=balance, max_epochs=2)

    # weights of 1 change nothing but the last digits, others do
    plain, ones, others = run("none"), run({0: 1.0}), run({0: 9.0})
    assert ones.history[-1]["dev_loss"] == pytest.approx(plain.history[-1]["dev_loss"], abs=1e-5)
    assert abs(others.history[-1]["dev_loss"] - plain.history[-1]["dev_loss"]) > 1e-4


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weight", ["balanced", {1: 4.0}])
def test_logistic_with_class_weights_equals_scikit_learn(weight: str | dict[int, float], classes: int) -> None:
    labels = np.minimum(rare(), classes - 1)
    fitted = fit(
        "logistic",
        POSTS.views,
        labels,
        POSTS.train,
        POSTS.dev,
        classes,
        0,
        balance=Balance(class_weight=weight),
        c_grid=(0.1,),
    )
    wide = np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1).astype(np.float64)
    wide = StandardScaler().fit(wide[POSTS.train]).transform(wide)
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000, class_weight=weight)
    model.fit(wide[POSTS.train], labels[POSTS.train])
    np.testing.assert_allclose(fitted.predict_proba(POSTS.views), model.predict_proba(wide), atol=1e-3)
    assert fitted.history[0]["converged"]


@pytest.mark.parametrize("head", ["concat", "logistic", "lightgbm", "sklearn:random_forest", "sklearn:svm"])
@pytest.mark.parametrize("balance", [Balance(class_weight={1: 15.0}), Balance(sampling="over")], ids=name_of)
def test_rare_classes_are_found_more_often(head: str, balance: Balance) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(900) < 0.06).astype(np.int64)
    views = {"a": labels[:, None] * 0.9 + rng.normal(size=(900, 4)), "b": rng.normal(size=(900, 3))}
    rows = np.arange(900)
    params = {"lr": 1e-2, "max_epochs": 10} if head == "concat" else {}

    def found(own: Balance) -> int:
        fitted = fit(head, views, labels, rows[:450], rows[450:], 2, 0, balance=own, **params)
        return int(fitted.predict(views, rows[450:]).sum())

    assert found(balance) > found(Balance()) + {"sklearn:random_forest": 0, "lightgbm": 3}.get(head, 10)


def test_over_and_under_sampling_repeat_and_thin_posts_until_classes_are_equal() -> None:
    targets = np.array([0] * 20 + [1] * 5 + [2] * 9)
    over, under = sampled(targets, "over", 0), sampled(targets, "under", 0)
    assert np.bincount(targets[over]).tolist() == [20] * 3
    assert np.bincount(targets[under]).tolist() == [5] * 3
    # every post is still there, and none is left out of those that were rarest
    assert set(over.tolist()) == set(range(34))
    assert len(set(under.tolist())) == 15
    assert set(range(20, 25)) <= set(under.tolist())
    assert sampled(targets, "over", 0).tolist() == over.tolist() != sampled(targets, "over", 1).tolist()
    assert sampled(targets, "under", 0).tolist() == under.tolist() != sampled(targets, "under", 1).tolist()


def test_smote_adds_vectors_between_train_posts_of_the_rare_class_and_touches_no_other() -> None:
    labels = rare()
    problem = make_problem(POSTS.views, labels, POSTS.train, POSTS.dev, 3)
    grown = balanced(problem, Balance(sampling="smote", neighbours=3), 0)
    n = len(POSTS.train)
    counts = np.bincount(grown.train_targets)
    assert counts.tolist() == [np.bincount(problem.train_targets).max()] * 3
    for name in problem.train:
        np.testing.assert_array_equal(grown.train[name][:n], problem.train[name])
        np.testing.assert_array_equal(grown.dev[name], problem.dev[name])
    means, scales = standardisation(problem.train)

    def wide(views: dict[str, np.ndarray]) -> np.ndarray:
        return np.concatenate([(views[k] - means[k]) / scales[k] for k in sorted(views)], axis=1).astype(np.float64)

    real, new = wide(problem.train), wide(grown.train)[n:]
    for vector, target in zip(new, grown.train_targets[n:], strict=True):
        own = real[problem.train_targets == target]
        # on the segment from one post of the class to one of its 3 nearest of that class
        distances = np.linalg.norm(own[:, None] - own[None], axis=2)
        on_segment = False
        for i in range(len(own)):
            for j in np.argsort(distances[i])[1:4]:
                along = own[j] - own[i]
                share = (vector - own[i]) @ along / (along @ along)
                rest = np.linalg.norm(vector - own[i] - share * along)
                on_segment |= rest < 1e-4 and -1e-4 <= share <= 1 + 1e-4
        assert on_segment
    again = balanced(problem, Balance(sampling="smote", neighbours=3), 1)
    assert not np.array_equal(again.train[IMAGE], grown.train[IMAGE])


def test_smote_refuses_a_class_with_too_few_posts() -> None:
    labels = POSTS.labels.copy()
    labels[np.intersect1d(np.flatnonzero(labels == 2), POSTS.train)[4:]] = 1
    problem = make_problem(POSTS.views, labels, POSTS.train, POSTS.dev, 3)
    with pytest.raises(HeadError, match=r"needs 6 train posts of every class, but the label 2 has 4; choose fewer"):
        balanced(problem, Balance(sampling="smote"), 0)
    assert len(balanced(problem, Balance(sampling="smote", neighbours=3), 0).train_targets) > len(POSTS.train)


def test_sampled_rows_stay_discordant_where_they_were() -> None:
    marked = {IMAGE: POSTS.train[::3], TEXT: POSTS.train[1::5]}
    problem = make_problem(POSTS.views, rare(), POSTS.train, POSTS.dev, 3, marked)
    positions = sampled(problem.train_targets, "over", 0)
    for sampling in ("over", "smote"):
        grown = balanced(problem, Balance(sampling=sampling, neighbours=3), 0)
        wanted = problem.discordant[:, positions] if sampling == "over" else np.zeros((2, len(grown.train_targets)))
        if sampling == "smote":
            wanted[:, : len(POSTS.train)] = problem.discordant
        np.testing.assert_array_equal(grown.discordant, wanted)


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_problems_are_solved_in_the_stack_beside_unweighted_ones(classes: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 12)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=300) > 1).astype(np.int64) if classes == 2 else rng.integers(4, size=300)
    weights = rng.uniform(0.2, 4, size=300)
    (plain,), (weighted,) = solve_path(x, [y, y], [0.3], weights=[None, weights])
    for found, own in ((plain, np.ones(300)), (weighted, weights)):
        assert not found.fell_back
        model = LogisticRegression(C=0.3, tol=1e-8, max_iter=5000).fit(x.astype(np.float64), y, sample_weight=own)
        ours = found.coef - found.coef.mean(axis=0)
        theirs = np.vstack([-model.coef_ / 2, model.coef_ / 2]) if classes == 2 else model.coef_
        np.testing.assert_allclose(ours, theirs - theirs.mean(axis=0), atol=1e-4)
