"""Rare classes: their weight in the loss, and how many of their posts are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from classifiers.balance.choice import Balance
from classifiers.errors import HeadError
from classifiers.problem import Problem, Views, standardisation
from classifiers.tokens import TokenRows


def balanced(problem: Problem, balance: Balance, seed: int) -> Problem:
    """`problem` with its train rows sampled and its classes weighted as `balance` says; dev is never touched.

    Draws come from `seed` alone. Weights are those of the classes as they are after sampling.
    """
    if balance.sampling == "smote":
        problem = _with_synthetic(problem, balance.neighbours, seed)
    elif balance.sampling != "none":
        problem = taken(problem, sampled(problem.train_targets, balance.sampling, seed))
    if balance.class_weight == "none":
        return problem
    return replace(problem, class_weights=class_weights(problem, balance.class_weight))


def class_weights(problem: Problem, wanted: str | Mapping[int, float]) -> np.ndarray:
    """The weight of each of the problem's classes, float64 [C]; see `Balance`. A label that train does not show, as a
    class that a held-out event takes with it, has nothing to weigh.
    """
    counts = np.bincount(problem.train_targets, minlength=len(problem.classes))
    if isinstance(wanted, str):
        result: np.ndarray = counts.sum() / (len(counts) * counts)
        return result
    return np.array([wanted.get(label, 1.0) for label in problem.classes.tolist()])


def sampled(targets: np.ndarray, sampling: str, seed: int) -> np.ndarray:
    """Positions int64 [m] among `targets` int64 [n], each class as often as the commonest ("over") or the rarest
    ("under"), drawn by imbalanced-learn.
    """
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if sampling == "over" else RandomUnderSampler)(random_state=seed)
    positions = np.arange(len(targets))
    found, _ = sampler.fit_resample(positions[:, None], targets)
    return np.asarray(found)[:, 0].astype(np.int64)


def taken(problem: Problem, positions: np.ndarray) -> Problem:
    """The problem over some of its train rows, by `positions` int64 [m]; they may repeat."""
    views: Views = {
        name: cast(np.ndarray, TokenRows(view.array, view.rows[positions]))
        if isinstance(view, TokenRows)
        else view[positions]
        for name, view in problem.train.items()
    }
    return replace(
        problem,
        train=views,
        train_targets=problem.train_targets[positions],
        discordant=problem.discordant[:, positions],
    )


def _with_synthetic(problem: Problem, neighbours: int, seed: int) -> Problem:
    """The problem with SMOTE's vectors behind those of its posts (Chawla et al. 2002).

    Neighbours are looked for, and vectors drawn between them, in the concatenation of the train rows' standardised
    views. What the fit holds is its own copy, so nothing cached changes.
    """
    from imblearn.over_sampling import SMOTE

    tokens = [name for name, view in problem.train.items() if view.ndim == 3]
    if tokens:
        raise HeadError(f"SMOTE needs one vector per post, but the view '{tokens[0]}' has tokens; use sampling 'over'.")
    counts = np.bincount(problem.train_targets)
    rarest = int(counts.argmin())
    if counts.min() <= neighbours and counts.min() < counts.max():
        raise HeadError(
            f"SMOTE between {neighbours} neighbours needs {neighbours + 1} train posts of every class, but the label "
            f"{problem.classes[rarest]} has {counts[rarest]}; choose fewer neighbours or sampling 'over'."
        )
    means, scales = standardisation(problem.train)
    wide = np.concatenate([(view - means[name]) / scales[name] for name, view in problem.train.items()], axis=1)
    found, targets = SMOTE(k_neighbors=neighbours, random_state=seed).fit_resample(wide, problem.train_targets)
    n, end, views = len(wide), 0, {}
    for name, view in problem.train.items():
        new = found[n:, end : end + view.shape[1]] * scales[name] + means[name]
        views[name] = np.concatenate([view, new.astype(np.float32)])
        end += view.shape[1]
    return replace(
        problem,
        train=views,
        train_targets=np.asarray(targets, dtype=np.int64),
        discordant=np.pad(problem.discordant, ((0, 0), (0, len(found) - n))),
    )
