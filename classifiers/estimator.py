"""Any head as a scikit-learn classifier over one wide array, so that grid search, pipelines and calibration work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from classifiers.balance import Balance
from classifiers.errors import HeadError
from classifiers.fitting import fit


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A head behind scikit-learn's contract.

    `X` is float [n, D], the views side by side. `blocks` maps view names to their numbers of columns, in the
    order in which they lie in `X` (None: one view, "features"). `params` are hyperparameters of the head and its
    trainer, `balance` how train is balanced (None: not). A `dev_share` of the posts, drawn by class, is held out for
    early stopping and for what a head chooses on dev; with so few posts that no class can spare one, all of them
    serve as train and as dev.
    `random_state` as everywhere in scikit-learn.

    After `fit`: `classes_`, `n_features_in_`, `n_iter_` and `fitted_`, the `FittedHead`.
    """

    def __init__(
        self,
        head: str = "logistic",
        *,
        blocks: Mapping[str, int] | None = None,
        params: Mapping[str, Any] | None = None,
        balance: Balance | None = None,
        dev_share: float = 0.15,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.head = head
        self.blocks = blocks
        self.params = params
        self.balance = balance
        self.dev_share = dev_share
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> HeadClassifier:
        """Train on `X` [n, D] and labels `y` [n] of any type. What a head refuses is a `ValueError` here."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("A classifier needs two classes or more, but y holds one class only.")
        draw = check_random_state(self.random_state)
        train, dev = self._divided(targets, draw)
        seed = int(draw.randint(2**31 - 1))
        try:
            self.fitted_ = fit(
                self.head,
                self._views(X),
                targets,
                train,
                dev,
                len(self.classes_),
                seed,
                balance=self.balance,
                **dict(self.params or {}),
            )
        except HeadError as error:
            raise ValueError(str(error)) from error
        self.n_iter_ = self.fitted_.best_epoch
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities float32 [n, C], a column per entry of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return self.fitted_.predict_proba(self._views(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row, [n]."""
        best = self.predict_proba(X).argmax(axis=1)
        result: np.ndarray = self.classes_[best]
        return result

    def _views(self, X: np.ndarray) -> dict[str, np.ndarray]:
        blocks = dict(self.blocks or {"features": X.shape[1]})
        if sum(blocks.values()) != X.shape[1] or min(blocks.values()) < 1:
            told = ", ".join(f"{name} {width}" for name, width in blocks.items())
            raise ValueError(f"The blocks ({told}) must cover the {X.shape[1]} columns of X.")
        ends = np.cumsum(list(blocks.values()))
        return {name: X[:, end - width : end] for (name, width), end in zip(blocks.items(), ends, strict=True)}

    def _divided(self, targets: np.ndarray, draw: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers of train and of dev, every class in both, else all rows twice."""
        rows = np.arange(len(targets))
        count = round(self.dev_share * len(rows))
        classes = len(self.classes_)
        if np.bincount(targets).min() < 2 or count < classes or len(rows) - count < classes:
            return rows, rows
        train, dev = train_test_split(rows, test_size=count, stratify=targets, random_state=draw)
        return np.sort(train), np.sort(dev)
