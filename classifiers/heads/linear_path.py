"""Logistic regressions of many targets and many C over the same features, solved as one stacked problem.

scikit-learn's objective, per problem: C sum_i w_i loss_i + |W|^2 / 2, w_i a post's weight, the softmax loss with
one weight vector per class (two classes: the logistic loss with a single one), the intercept unpenalised. All
problems share the two matrix products of an iteration, [problems x posts x features] in float32; everything else is
small beside them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from classifiers.errors import HeadError
from classifiers.heads.linear_stack import Basis, solve_stack
from classifiers.problem import chunks

TOLERANCE = 2e-6
MAX_ITER = 200


@dataclass(frozen=True)
class Linear:
    """One solved problem: `coef` float64 [C, D] and `intercept` [C], a row per class whatever their number.

    `loss` is the mean over posts of weight times loss in nats, `objective` that plus |W|^2 / (2 C n), and
    `gradient` the largest entry of its gradient by the weights of the centred features and the intercepts, all
    computed in float64. `iterations` counts the stacked solver's steps. `converged`: `gradient` is within twice the
    tolerance, or scikit-learn's solver, which then took over (`fell_back`), said so.
    """

    coef: np.ndarray
    intercept: np.ndarray
    loss: float
    objective: float
    gradient: float
    iterations: int
    converged: bool
    fell_back: bool = False


def solve_path(
    x: np.ndarray,
    targets: Sequence[np.ndarray],
    c_grid: Sequence[float],
    *,
    weights: Sequence[np.ndarray | None] | None = None,
    tol: float = TOLERANCE,
    max_iter: int = MAX_ITER,
) -> list[list[Linear]]:
    """Every C of `c_grid` for every target: `[target][c]`.

    `x` float32 [n, D]; each of `targets` int64 [n] holds classes 0..K-1, all of which occur, and -1 for a post
    that takes no part in that problem (another task's, another seed's). `weights` has per target the weights of
    the posts, float [n] above 0 (None: 1). A problem leaves the stack when the
    largest entry of its gradient falls to `tol` (scikit-learn's own scale: mean loss), and whatever does not
    pass a last check in float64 is solved again by scikit-learn's lbfgs, from where the stack left it.
    Raises `HeadError` for targets without two classes, a class that does not occur, or a C that is not positive.
    """
    if not len(c_grid) or not min(c_grid) > 0:
        raise HeadError("The inverse penalties C must be one or more numbers above 0.")
    for y in targets:
        _check_target(y, len(x))
    mean = x.mean(axis=0, dtype=np.float64)
    basis = _basis(x, mean)
    masses = [
        np.ones(len(x)) if w is None else np.asarray(w, dtype=np.float64) for w in weights or [None] * len(targets)
    ]
    found = solve_stack(basis, targets, masses, np.asarray(c_grid, dtype=np.float64), tol=tol, max_iter=max_iter)
    solved = []
    for y, mass, (stacked, intercepts, iterations) in zip(targets, masses, found, strict=True):
        coef = stacked if basis.back is None else stacked @ basis.back.T
        checked = _checked(x, mean, y, mass, c_grid, coef, intercepts, iterations, tol)
        pairs = zip(c_grid, checked, strict=True)
        solved.append([one if one.converged else _fall_back(x, mean, y, mass, c, one, tol) for c, one in pairs])
    return solved


def _check_target(y: np.ndarray, n: int) -> None:
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise HeadError(f"A target must be {n} integers, one per row, but has shape {y.shape} ({y.dtype}).")
    counts = np.bincount(y[y >= 0])
    if len(counts) < 2 or counts.min() == 0:
        raise HeadError("A target must hold two classes or more, numbered from 0 without a gap.")


def _basis(x: np.ndarray, mean: np.ndarray) -> Basis:
    """The centred features and the eigenbasis of their Gram matrix.

    With fewer posts than features the features are turned into that basis, where there are no more of them
    than posts: a solution lies in the span of the posts, so nothing is lost.
    """
    n, dim = x.shape
    if n >= dim:
        centred = x - mean.astype(np.float32)
        values, vectors = np.linalg.eigh(centred.T @ centred / n)
        return Basis(centred, values.clip(0), vectors, None)
    wide = x - mean
    values, vectors = np.linalg.eigh(wide @ wide.T)
    kept = values > values[-1] * n * np.finfo(np.float64).eps
    if not kept.any():
        return Basis(np.zeros((n, 1), np.float32), np.zeros(1), None, np.zeros((dim, 1)))
    lengths = np.sqrt(values[kept])
    turned = (vectors[:, kept] * lengths).astype(np.float32)
    return Basis(turned, values[kept] / n, None, wide.T @ (vectors[:, kept] / lengths))


# a stack that overflowed has an objective and a gradient that are not numbers, and so does not pass
@np.errstate(over="ignore", invalid="ignore")
def _checked(
    x: np.ndarray,
    mean: np.ndarray,
    y: np.ndarray,
    mass: np.ndarray,
    c_grid: Sequence[float],
    coef: np.ndarray,
    intercept: np.ndarray,
    iterations: np.ndarray,
    tol: float,
) -> list[Linear]:
    """Objective and gradient of one target's problems in float64: `coef` [c, K', D], and `intercept` [c, K'] for
    the centred features.
    """
    c_count, rows, dim = coef.shape
    part = np.flatnonzero(y >= 0)
    n = len(part)
    loss = np.zeros(c_count)
    slope, slope_b = np.zeros((c_count * rows, dim)), np.zeros((c_count, rows))
    flat = coef.reshape(-1, dim)
    for span in chunks(n):
        held = x[part[span]] - mean
        logits = (held @ flat.T).reshape(len(held), c_count, rows) + intercept
        losses, residual = _loss(logits, y[part[span]])
        own = mass[part[span]]
        loss += own @ losses
        residual *= own[:, None, None]
        slope += residual.reshape(len(held), -1).T @ held
        slope_b += residual.sum(axis=0)
    result = []
    for index, c in enumerate(c_grid):
        penalty = 1.0 / (c * n)
        gradient = slope.reshape(coef.shape)[index] / n + penalty * coef[index]
        steepest = max(float(np.abs(gradient).max()), float(np.abs(slope_b[index] / n).max()))
        mean_loss = float(loss[index] / n)
        objective = mean_loss + penalty / 2 * float(np.square(coef[index]).sum())
        weights = _per_class(coef[index], intercept[index] - coef[index] @ mean)
        result.append(Linear(*weights, mean_loss, objective, steepest, int(iterations[index]), steepest <= 2 * tol))
    return result


def _loss(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss [n, c] and its derivative by the logits [n, c, K']; K' = 1 is the logistic loss."""
    if logits.shape[2] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
        loss, residual = _loss(logits, y)
        return loss, residual[:, :, 1:]
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    own = np.arange(len(y))
    residual = np.exp(logs)
    residual[own, :, y] -= 1
    return -logs[own, :, y], residual


def _per_class(coef: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One row per class: with two classes the single row is the second's, and the first's is zero."""
    if len(coef) > 1:
        return coef, intercept
    return np.vstack([np.zeros_like(coef), coef]), np.concatenate([np.zeros(1), intercept])


def _fall_back(
    x: np.ndarray, mean: np.ndarray, y: np.ndarray, mass: np.ndarray, c: float, start: Linear, tol: float
) -> Linear:
    """scikit-learn's lbfgs in float64 from where the stack stopped; the lower objective of the two is kept."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    part = y >= 0
    model = LogisticRegression(C=c, tol=tol, max_iter=5000, warm_start=True)
    if np.isfinite(start.objective):
        shown = slice(1, None) if len(start.coef) == 2 else slice(None)
        model.coef_, model.intercept_ = start.coef[shown], start.intercept[shown]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(x[part].astype(np.float64), y[part], sample_weight=mass[part])
    coef = np.array(model.coef_)[None]
    intercept = np.array(model.intercept_)[None] + coef @ mean
    (found,) = _checked(x, mean, y, mass, [c], coef, intercept, np.array([start.iterations]), tol)
    warned = any(issubclass(w.category, ConvergenceWarning) for w in caught)
    found = replace(found, converged=not warned, fell_back=True)
    # this way round, a start that overflowed is never kept
    return replace(start, converged=not warned, fell_back=True) if start.objective < found.objective else found
