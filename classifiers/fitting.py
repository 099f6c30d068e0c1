"""One way to train any head and one thing to hold the outcome."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from classifiers.balance import Balance, check_balance
from classifiers.errors import HeadError
from classifiers.heads.registry import HeadCard, check_view_count
from classifiers.params import Training
from classifiers.problem import Problem, Views, check_rows, check_views, make_problem, take_views
from classifiers.spec import HeadSpec
from classifiers.tokens import refuse_tokens


class Head(Protocol):
    """What both families of heads can do once trained."""

    dims: dict[str, int]

    def probabilities(self, views: Views) -> np.ndarray:
        """float32 views [n, D] to float32 probabilities [n, C] over the C classes seen in train."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that was learned, by name."""

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take what `tensors` gave; `HeadError` when it does not fit."""


@dataclass(frozen=True)
class FittedHead:
    """A trained head with all that decided it.

    `classes` int64 [C] are the labels seen in train, of `n_classes` in all; `training` is None for library
    heads. `history` has one row per epoch (per C for `logistic`), `best_epoch` is the row whose weights
    are kept; `seconds` is the fit's wall time (0.0 after `load`). `class_names` are what the labels 0..n_classes-1
    mean, where the caller said so before saving. `balance` says how train was balanced.
    """

    card: HeadCard
    head: Head
    params: dict[str, Any]
    training: Training | None
    classes: np.ndarray
    n_classes: int
    seed: int
    history: list[dict[str, float]]
    best_epoch: int
    seconds: float
    class_names: tuple[str, ...] = ()
    balance: Balance = field(default_factory=Balance)

    @property
    def dims(self) -> dict[str, int]:
        """View name -> D, sorted by name."""
        return dict(self.head.dims)

    @property
    def savable(self) -> bool:
        """Whether `save` can write the head: not so for a library model that only a pickle could keep."""
        return getattr(self.head, "savable", True)

    def predict_proba(self, views: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> np.ndarray:
        """Probabilities float32 [n, n_classes] of the posts in `rows` (default: all), dropout off.

        A class that train never showed has probability 0. A post's answer depends on that post alone. `views` and
        errors as for `take`.
        """
        own = self.take(views, rows)
        n = len(next(iter(own.values())))
        result = np.zeros((n, self.n_classes), dtype=np.float32)
        result[:, self.classes] = self.head.probabilities(own)
        bad = ~np.isfinite(result).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad)) if rows is None else int(rows[np.argmax(bad)])
            raise HeadError(
                f"The head has no finite answer for row {row}: its features are "
                f"too large beside those of train; check that row's vectors."
            )
        return result

    def take(self, views: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> Views:
        """The head's own views of the posts in `rows` (default: all), checked, float32 [n, D], sorted by name.

        `views` needs the views of the fit, each [N, D]; more are ignored. Raises `HeadError` for an absent view,
        another width, row numbers out of range and non-finite vectors.
        """
        absent = [name for name in self.dims if name not in views]
        if absent:
            raise HeadError(f"The head was trained on the view '{absent[0]}', which is not given.")
        own = {name: views[name] for name in self.dims}
        n = check_views(own)
        refuse_tokens(self.card.name, self.card.tokens, own)
        for name, dim in self.dims.items():
            if own[name].shape[-1] != dim:
                raise HeadError(
                    f"The view '{name}' has {own[name].shape[-1]} features, but the head was trained "
                    f"on {dim}; use features of the same encoder."
                )
        return take_views(own, np.arange(n) if rows is None else check_rows(rows, n, "requested"))

    def predict(self, views: Mapping[str, np.ndarray], rows: np.ndarray | None = None) -> np.ndarray:
        """The most probable label of each post, int64 [n]; see `predict_proba`."""
        return self.predict_proba(views, rows).argmax(axis=1)

    def save(self, folder: Path) -> None:
        """Write safetensors, config.json and a model card into `folder`, which must not hold a head yet."""
        from classifiers.storage import save

        save(self, folder)


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
