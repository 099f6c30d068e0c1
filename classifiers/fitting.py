"""One way to train any head."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from classifiers.balance import Balance, check_balance
from classifiers.errors import HeadError
from classifiers.fitted import FittedHead
from classifiers.heads.card import HeadCard
from classifiers.heads.registry import check_view_count
from classifiers.params import Training
from classifiers.problem import Problem, make_problem
from classifiers.spec import HeadSpec
from classifiers.tokens import refuse_tokens


def fit(
    head_name: str,
    views: Mapping[str, np.ndarray],
    labels: np.ndarray,
    train_rows: np.ndarray,
    dev_rows: np.ndarray,
    n_classes: int,
    seed: int,
    *,
    balance: Balance | None = None,
    discordant: Mapping[str, np.ndarray] | None = None,
    **params: Any,
) -> FittedHead:
    """Train one head on one core.

    `views` map names to float arrays [N, D] (float16 and float32 alike; computed in float32), `labels` are
    integers [N], `train_rows` and `dev_rows` row numbers; what lies in other rows is never looked at. Rows
    may repeat. Labels that never occur in train are allowed in dev: such rows count as wrong in accuracy
    and macro-F1 and are left out of the dev loss. Each view is standardised with its train rows' mean and
    deviation. `params` override the head's and the trainer's declared defaults (`HeadCard.defaults`,
    `classifiers.params.Training`). `balance` says how the train rows are balanced; `discordant` has per view
    the row numbers whose own label in that view is another than in `labels`; `sse` replaces those views.

    The same arguments give the same bits on one machine, whatever ran before. Raises `HeadError`.
    """
    spec = HeadSpec(head_name, params, balance or Balance())
    job = Job(spec, np.asarray(train_rows), np.asarray(dev_rows), n_classes, seed, discordant=discordant)
    return Fitter(views, {"": labels}).run(job).fitted


@dataclass(frozen=True)
class Job:
    """One fit to be done: the head of `spec` on `train_rows` and `dev_rows`, integers [n], with `seed`.

    `labels` names one of several label arrays, `views` those to train on (None: all). The posts of each
    array of rows in `answer` are predicted right after training, where the views already are. `discordant` as for
    `fit`.
    """

    spec: HeadSpec
    train_rows: np.ndarray
    dev_rows: np.ndarray
    n_classes: int
    seed: int = 0
    labels: str = ""
    views: tuple[str, ...] | None = None
    answer: tuple[np.ndarray, ...] = ()
    discordant: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True)
class Outcome:
    """A job's trained head and its probabilities float32 [n, n_classes] for each array of `Job.answer`."""

    fitted: FittedHead
    answers: tuple[np.ndarray, ...]


def sampling_seed(seed: int) -> int:
    """The seed of a fit's sampling, apart from those of `classifiers.training.trainer.seeds_of`'s other uses."""
    from classifiers.training.trainer import seeds_of

    return seeds_of(seed)[4]


class Fitter:
    """Does jobs one after the other; what neighbours share (rows, standardised views) is made once.

    `views` as for `fit`; `labels` maps names to integers [N]. A job's outcome does not depend on the jobs
    before it.
    """

    def __init__(self, views: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> None:
        self._views = views
        self._labels = labels
        self._problem: tuple[Any, Problem | None] = (None, None)
        self._prepared: tuple[Any, Any] = (None, None)

    def run(self, job: Job) -> Outcome:
        """Train and answer one job on one core; `HeadError` as `fit`."""
        card, balance = job.spec.card, job.spec.balance
        views = self._views if job.views is None else {name: self._views[name] for name in job.views}
        check_view_count(card, sorted(views))
        own, training = job.spec.split()
        if not 0 <= job.seed < 2**63:
            raise HeadError(f"The seed must be a whole number from 0 to 2^63 - 1, but is {job.seed}.")
        refuse_tokens(card.name, card.tokens, views)
        check_balance(balance, card, len(views))
        weighed = -1 if isinstance(balance.class_weight, str) else max(balance.class_weight, default=-1)
        if weighed >= job.n_classes:
            raise HeadError(
                f"There is a class weight for the label {weighed}; the labels are 0 to {job.n_classes - 1}."
            )
        started = time.perf_counter()
        key, problem = self._problem_of(job, views)
        if (balance.class_weight, balance.sampling) != ("none", "none"):
            from classifiers.balance.classes import balanced

            problem = balanced(problem, balance, sampling_seed(job.seed))
            if balance.sampling != "none":
                key = (key, balance.sampling, balance.neighbours, job.seed)
        if training is None:
            head: Any = card.build(problem.dims, len(problem.classes), own)
            history, best_epoch = head.fit(problem, job.seed)
        else:
            head, history, best_epoch = self._train(card, own, training, problem, job, key)
        seconds = time.perf_counter() - started
        fitted = FittedHead(
            card,
            head,
            own,
            training,
            problem.classes,
            job.n_classes,
            int(job.seed),
            history,
            best_epoch,
            seconds,
            balance=balance,
        )
        return Outcome(fitted, tuple(fitted.predict_proba(views, rows) for rows in job.answer))

    def _problem_of(self, job: Job, views: Mapping[str, np.ndarray]) -> tuple[Any, Problem]:
        discordant = tuple((name, np.asarray(rows).tobytes()) for name, rows in sorted((job.discordant or {}).items()))
        key = (job.views, job.labels, job.n_classes, job.train_rows.tobytes(), job.dev_rows.tobytes(), discordant)
        if self._problem[0] != key or self._problem[1] is None:
            labels = self._labels[job.labels]
            problem = make_problem(views, labels, job.train_rows, job.dev_rows, job.n_classes, job.discordant)
            self._problem = (key, problem)
            return key, problem
        return key, self._problem[1]

    def _train(
        self, card: HeadCard, own: dict[str, Any], training: Training, problem: Problem, job: Job, key: Any
    ) -> tuple[Any, list[dict[str, float]], int]:
        from classifiers.balance.make import make_balancer
        from classifiers.training.trainer import prepare, train

        balance = job.spec.balance
        apart = balance.method != "none"
        wanted = (key, card.name, tuple(sorted(own.items())), apart)
        if self._prepared[0] != wanted:
            # the old one is let go first: two would double the memory
            self._prepared = (None, None)
            self._prepared = (wanted, prepare(card, own, problem, apart))
        make = partial(make_balancer, balance) if apart else None
        outcome = train(card, own, training, problem, job.seed, self._prepared[1], make)
        return outcome.head, outcome.history, outcome.best_epoch
