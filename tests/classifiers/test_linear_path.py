"""The stacked logistic regressions are scikit-learn's, whatever the data, and never worse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from classifiers import HeadError
from classifiers.heads import linear_path
from classifiers.heads.linear_path import Linear, solve_path

CS = (1e-3, 0.1, 10.0)


def posts(n: int = 400, dim: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) / np.sqrt(dim)).astype(np.float32)


def noisy(x: np.ndarray, prior: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Classes drawn from a linear model; every class occurs."""
    rng = np.random.default_rng(seed)
    logits = x @ rng.normal(size=(x.shape[1], len(prior))) + 3 * np.log(prior)
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[: len(prior)] = np.arange(len(prior))
    return y


def objective(x: np.ndarray, y: np.ndarray, c: float, coef: np.ndarray, intercept: np.ndarray) -> float:
    """C times the summed loss plus half the squared weights, over C n; read from scikit-learn's user guide."""
    logits = x.astype(np.float64) @ coef.T + intercept
    penalty = np.square(coef).sum() / 2
    if len(coef) == 1:
        loss = np.logaddexp(0, np.where(y == 1, -1, 1) * logits[:, 0])
    else:
        loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return float((c * loss.sum() + penalty) / (c * len(y)))


def reference(x: np.ndarray, y: np.ndarray, c: float, **options: Any) -> LogisticRegression:
    return LogisticRegression(C=c, **{"max_iter": 10_000, **options}).fit(x.astype(np.float64), y)


def separable(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, (x[:, 0] > np.median(x[:, 0])).astype(np.int64)


def constant_columns(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x[:, 3], x[:, 4] = 0.0, 7.5
    return x, noisy(x[:, :3], (0.5, 0.3, 0.2))


def repeated_columns(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x[:, 10:20] = x[:, :10]
    return x, noisy(x, (0.5, 0.3, 0.2))


def far_from_zero(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x * np.linspace(0.1, 3, x.shape[1], dtype=np.float32) + 5, noisy(x, (0.5, 0.5))


CASES: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "two classes": lambda: (posts(), noisy(posts(), (0.5, 0.5))),
    "five classes": lambda: (posts(), noisy(posts(), (0.2,) * 5)),
    "a class of a few posts": lambda: (posts(), noisy(posts(), (0.96, 0.02, 0.02))),
    "one post of a class": lambda: (posts(), np.eye(400, dtype=np.int64)[7]),
    "separable": lambda: separable(posts()),
    "constant columns": lambda: constant_columns(posts()),
    "repeated columns": lambda: repeated_columns(posts()),
    "far from zero": lambda: far_from_zero(posts()),
    "fewer posts than columns": lambda: (posts(40, 300), noisy(posts(40, 300), (0.4, 0.3, 0.3))),
    "two posts": lambda: (posts(2, 5), np.array([0, 1])),
    "all columns constant": lambda: (np.ones((6, 3), np.float32), np.array([0, 1, 0, 1, 0, 0])),
}


@pytest.mark.parametrize("case", CASES)
def test_objective_is_no_worse_than_scikit_learn_s_and_answers_are_those_of_the_optimum(case: str) -> None:
    x, y = CASES[case]()
    (path,) = solve_path(x, [y], CS)
    for c, ours in zip(CS, path, strict=True):
        default, exact = reference(x, y, c), reference(x, y, c, tol=1e-10, solver="newton-cholesky")
        shown = slice(1, None) if len(ours.coef) == 2 else slice(None)
        value = objective(x, y, c, ours.coef[shown], ours.intercept[shown])
        assert ours.converged
        assert not ours.fell_back
        assert ours.objective == pytest.approx(value, abs=1e-10)
        assert value <= objective(x, y, c, default.coef_, default.intercept_) + 1e-9
        assert value <= objective(x, y, c, exact.coef_, exact.intercept_) + 1e-6
        logits = x.astype(np.float64) @ ours.coef.T + ours.intercept
        answers = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        np.testing.assert_allclose(answers, exact.predict_proba(x.astype(np.float64)), atol=2e-3)


def test_a_problem_is_solved_alike_alone_and_in_a_stack() -> None:
    x = posts()
    tasks = [noisy(x, (0.5, 0.5)), noisy(x, (0.2,) * 5, seed=1), noisy(x, (0.6, 0.3, 0.1), seed=2)]
    together = solve_path(x, tasks, CS)
    for y, path in zip(tasks, together, strict=True):
        for c, ours in zip(CS, path, strict=True):
            ((alone,),) = solve_path(x, [y], [c])
            assert ours.objective == pytest.approx(alone.objective, abs=1e-7)
            np.testing.assert_allclose(ours.coef, alone.coef, atol=5e-3)


def test_posts_that_take_no_part_change_nothing() -> None:
    x, part = posts(), np.arange(400) % 3 > 0
    y = noisy(x, (0.5, 0.3, 0.2))
    ((ours,),) = solve_path(x, [np.where(part, y, -1)], [0.1])
    ((alone,),) = solve_path(x[part], [y[part]], [0.1])
    assert ours.objective == pytest.approx(alone.objective, abs=1e-7)
    np.testing.assert_allclose(ours.coef, alone.coef, atol=1e-3)


def test_each_problem_stops_on_its_own_gradient() -> None:
    x = posts()
    (path,) = solve_path(x, [noisy(x, (0.2,) * 5)], np.logspace(-5, 3, 9))
    steps = [one.iterations for one in path]
    assert steps[0] < steps[-1]
    assert all(one.gradient <= 2 * linear_path.TOLERANCE for one in path)


def test_the_gradient_that_decides_is_the_objective_s() -> None:
    x, y = posts(), noisy(posts(), (0.5, 0.3, 0.2))
    ((ours,),) = solve_path(x, [y], [0.1], tol=3e-3)
    mean = x.mean(axis=0, dtype=np.float64)
    weights = np.column_stack([ours.coef, ours.intercept + ours.coef @ mean])
    slopes, small = [], 1e-6
    for index in np.ndindex(*weights.shape):
        change = np.zeros_like(weights)
        change[index] = small
        up, down = (objective(x - mean, y, 0.1, w[:, :-1], w[:, -1]) for w in (weights + change, weights - change))
        slopes.append((up - down) / (2 * small))
    assert 1e-5 < np.abs(slopes).max() <= 6e-3
    assert ours.gradient == pytest.approx(np.abs(slopes).max(), rel=1e-3)


def test_what_does_not_converge_is_solved_by_scikit_learn() -> None:
    x, y = posts(), noisy(posts(), (0.5, 0.3, 0.2))
    for target in (y, (y > 0).astype(np.int64)):
        ((ours,),) = solve_path(x, [target], [10.0], max_iter=1)
        exact = reference(x, target, 10.0, tol=1e-10, solver="newton-cholesky")
        assert ours.fell_back
        assert ours.converged
        assert ours.iterations == 1
        assert ours.objective <= objective(x, target, 10.0, exact.coef_, exact.intercept_) + 1e-6


def test_a_stack_that_overflows_is_solved_by_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = posts(), noisy(posts(), (0.5, 0.3, 0.2))
    whole = linear_path.solve_stack

    def overflowing(*args: Any, **options: Any) -> Any:
        return [(np.full_like(coef, np.nan), intercept, steps) for coef, intercept, steps in whole(*args, **options)]

    monkeypatch.setattr(linear_path, "solve_stack", overflowing)
    ((ours,),) = solve_path(x, [y], [0.1])
    exact = reference(x, y, 0.1, tol=1e-10, solver="newton-cholesky")
    assert ours.fell_back
    assert ours.objective <= objective(x, y, 0.1, exact.coef_, exact.intercept_) + 1e-6


def test_the_same_problem_gives_the_same_bits() -> None:
    x, y = posts(), noisy(posts(), (0.2,) * 5)
    with threadpool_limits(1):
        one, two = ([p.coef for p in solve_path(x, [y], CS)[0]] for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("y", "cs", "words"),
    [
        (np.zeros(400, dtype=np.int64), CS, "two classes or more"),
        (np.arange(400) % 2 * 2, CS, "without a gap"),
        (np.zeros(399, dtype=np.int64), CS, "must be 400 integers"),
        (np.arange(400) % 2, (0.0,), "above 0"),
        (np.arange(400) % 2, (), "above 0"),
    ],
)
def test_wrong_targets_are_refused(y: np.ndarray, cs: tuple[float, ...], words: str) -> None:
    with pytest.raises(HeadError, match=words):
        solve_path(posts(), [y], cs)


def test_a_solution_has_a_row_per_class() -> None:
    x = posts()
    for classes in (2, 3):
        ((ours,),) = solve_path(x, [np.arange(400) % classes], [1.0])
        assert isinstance(ours, Linear)
        assert ours.coef.shape == (classes, 30)
        assert ours.intercept.shape == (classes,)
