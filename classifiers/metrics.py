"""Scores of predicted labels against true ones, equal to scikit-learn's, in a few numpy passes.

A class counts as present when it occurs among the true or the predicted labels; macro-F1 averages over the
present classes, weighted F1 weights them by support. A precision, recall or F1 of 0/0 is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from classifiers.errors import HeadError
from classifiers.problem import Problem


def confusion(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """int64 [n_classes, n_classes]: how many posts of the row's class were given the column's class.

    Both inputs are integers [n] from 0 to n_classes-1; `HeadError` otherwise, or when they are empty.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1 or len(truth) == 0:
        raise HeadError(
            f"True and predicted labels must be two lists of equal length with something in them, "
            f"but have shapes {truth.shape} and {predicted.shape}."
        )
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    if low < 0 or high >= n_classes:
        raise HeadError(f"Labels run from {low} to {high}, but the classes are 0 to {n_classes - 1}.")
    pairs = truth.astype(np.int64) * n_classes + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of posts whose label was predicted, 0..1."""
    matrix = _matrix(truth, predicted)
    return float(np.trace(matrix) / matrix.sum())


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 of the present classes, 0..1; scikit-learn's `f1_score(average="macro")`."""
    return _macro(_matrix(truth, predicted))


def weighted_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 of the present classes weighted by support, 0..1; `f1_score(average="weighted")`."""
    return _weighted(_matrix(truth, predicted))


def per_class(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """`precision`, `recall`, `f1` float64 and `support` int64, each [n_classes]."""
    matrix = confusion(truth, predicted, n_classes)
    hits = np.diag(matrix)
    return {
        "precision": _ratio(hits, matrix.sum(axis=0)),
        "recall": _ratio(hits, matrix.sum(axis=1)),
        "f1": _f1(matrix),
        "support": matrix.sum(axis=1),
    }


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """`accuracy`, `macro_f1` and `weighted_f1` at once."""
    matrix = _matrix(truth, predicted)
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "macro_f1": _macro(matrix),
        "weighted_f1": _weighted(matrix),
    }


def majority_label(labels: np.ndarray) -> int:
    """The most frequent of `labels` (integers from 0), the lowest of equals: what the majority baseline always says."""
    if len(labels) == 0:
        raise HeadError("There are no labels to take a majority of.")
    return int(np.bincount(np.asarray(labels)).argmax())


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in the dtype of `logits`; the largest of them overflows nothing."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return result


def dev_scores(logits: np.ndarray, problem: Problem) -> dict[str, float]:
    """`dev_loss`, `dev_accuracy` and `dev_macro_f1` of logits [n_dev, C] over the problem's C train classes.

    The loss is the mean cross-entropy in nats over the dev rows whose label occurs in train; the other rows
    count as wrong in accuracy and macro-F1.
    """
    wide = np.asarray(logits, dtype=np.float64)
    logs = wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
    known = np.isin(problem.dev_labels, problem.classes)
    targets = np.searchsorted(problem.classes, problem.dev_labels[known])
    predicted = problem.classes[wide.argmax(axis=1)]
    return {
        "dev_loss": float(-logs[known, targets].mean()),
        "dev_accuracy": accuracy(problem.dev_labels, predicted),
        "dev_macro_f1": macro_f1(problem.dev_labels, predicted),
    }


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """`mean`, `sd` (n - 1 in the denominator; 0.0 for a single value) and the `values`, one per seed."""
    if len(values) == 0:
        raise HeadError("There are no values to summarise.")
    numbers = [float(value) for value in values]
    sd = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
    return {"mean": float(np.mean(numbers)), "sd": sd, "values": numbers}


def _matrix(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The confusion over as many classes as the labels name."""
    highest = max(np.max(truth, initial=0), np.max(predicted, initial=0))
    return confusion(truth, predicted, int(highest) + 1)


def _f1(matrix: np.ndarray) -> np.ndarray:
    return _ratio(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def _macro(matrix: np.ndarray) -> float:
    present = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    return float(_f1(matrix)[present].mean())


def _weighted(matrix: np.ndarray) -> float:
    return float(np.average(_f1(matrix), weights=matrix.sum(axis=1)))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """top / bottom, and 0 where the bottom is 0."""
    result: np.ndarray = np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)
    return result
