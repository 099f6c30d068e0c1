"""Any scikit-learn classifier behind the heads' interface: `sklearn:random_forest`, `sklearn:package.Class`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from classifiers.errors import HeadError
from classifiers.heads import trees
from classifiers.heads.array_head import ArrayHead
from classifiers.metrics import dev_scores, softmax
from classifiers.problem import Problem, Views, chunks

# name -> (class, its own settings); anything else is taken as an import path
ESTIMATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "random_forest": ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 100, "min_samples_leaf": 2}),
    "extra_trees": ("sklearn.ensemble.ExtraTreesClassifier", {"n_estimators": 100, "min_samples_leaf": 2}),
    "decision_tree": ("sklearn.tree.DecisionTreeClassifier", {"min_samples_leaf": 5}),
    "svm": ("sklearn.svm.SVC", {}),
    "linear_svm": ("sklearn.svm.LinearSVC", {}),
    "naive_bayes": ("sklearn.naive_bayes.GaussianNB", {}),
    "lda": ("sklearn.discriminant_analysis.LinearDiscriminantAnalysis", {"solver": "lsqr", "shrinkage": "auto"}),
}


class SklearnHead(ArrayHead):
    """One scikit-learn classifier on the standardised, concatenated views.

    `estimator` is a name of `ESTIMATORS` or the import path of a classifier class that can be built without
    arguments. One that has no probabilities answers with the softmax of its decision values. Trees and forests
    are kept as plain arrays and answer with numpy; others live in memory only (`savable` is False).
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, estimator: str) -> None:
        super().__init__(dims, n_outputs)
        self.estimator = estimator
        self._trees: dict[str, np.ndarray] = {}
        self._model: Any = None

    @property
    def savable(self) -> bool:
        """Whether the head can be written without pickle."""
        return "nodes" in self._trees or self._model is None

    def fit(self, problem: Problem, seed: int) -> tuple[list[dict[str, float]], int]:
        """Fit once, on one thread; nothing is chosen on dev. History: one row."""
        from sklearn.utils.validation import has_fit_parameter
        from threadpoolctl import threadpool_limits

        self.standardise_by(problem.train)
        self._model = _build(self.estimator, seed)
        weights = {} if problem.train_weights is None else {"sample_weight": problem.train_weights}
        if weights and not has_fit_parameter(self._model, "sample_weight"):
            raise HeadError(
                f"'{self.estimator}' cannot weigh classes; balance by sampling, or take an estimator that can."
            )
        with threadpool_limits(1):
            try:
                self._model.fit(self.standardised(problem.train), problem.train_targets, **weights)
            except ValueError as error:
                raise HeadError(f"'{self.estimator}' cannot be fitted to this: {str(error).splitlines()[0]}") from error
        self._trees = trees.arrays_of(self._model)
        return [{"epoch": 1.0, **dev_scores(_logs(self.probabilities(problem.dev)), problem)}], 1

    def probabilities(self, views: Views) -> np.ndarray:
        """float32 [n, C] for float32 views [n, D]."""
        from threadpoolctl import threadpool_limits

        n = len(next(iter(views.values())))
        result = np.empty((n, self.n_outputs), dtype=np.float32)
        with threadpool_limits(1):
            for part in chunks(n):
                wide = self.standardised({name: views[name][part] for name in self.dims})
                result[part] = trees.answer(self._trees, wide) if "nodes" in self._trees else self._ask(wide)
        return result

    def tensors(self) -> dict[str, np.ndarray]:
        """`mean` and `scale` float32 [D], and the arrays of `trees.arrays_of`; `HeadError` if not `savable`."""
        if not self.savable:
            raise HeadError(
                f"A fitted '{self.estimator}' can only be kept as a pickle, which is neither written nor read here; "
                f"fit it again where it is needed, or use one of random_forest, extra_trees, decision_tree."
            )
        return {**super().tensors(), **self._trees}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take what `tensors` gave; `HeadError` when it does not fit."""
        self.mean, self.scale = self._fitting(tensors, "mean"), self._fitting(tensors, "scale")
        trees.check(tensors, len(self.mean), self.n_outputs)
        self._trees = {name: array for name, array in tensors.items() if name not in ("mean", "scale")}

    def _ask(self, wide: np.ndarray) -> np.ndarray:
        try:
            if hasattr(self._model, "predict_proba"):
                result: np.ndarray = self._model.predict_proba(wide)
                return result
            values = self._model.decision_function(wide)
        except ValueError as error:
            raise HeadError(f"'{self.estimator}' cannot answer this: {str(error).splitlines()[0]}") from error
        if values.ndim == 1:
            values = np.column_stack([np.zeros(len(values)), values])
        return softmax(values)


def _build(estimator: str, seed: int) -> Any:
    """The unfitted classifier, seeded where it takes a seed; `HeadError` for anything else."""
    from sklearn.base import is_classifier

    path, settings = ESTIMATORS.get(estimator, (estimator, {}))
    module, _, name = path.rpartition(".")
    try:
        if not module.split(".")[0] == "sklearn":
            raise ImportError("not a part of scikit-learn")
        model = getattr(importlib.import_module(module), name)(**settings)
        # a finder of outliers has decision values too, but never looks at labels
        if not is_classifier(model):
            raise TypeError("it does not learn classes from labels")
    except (ImportError, AttributeError, TypeError) as error:
        raise HeadError(
            f"There is no classifier '{estimator}' ({error}); give the import path of one of scikit-learn's, or "
            f"one of {', '.join(ESTIMATORS)}."
        ) from error
    if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
        raise HeadError(f"'{estimator}' says neither probabilities nor decision values, so it cannot be a head.")
    if "random_state" in model.get_params():
        model.set_params(random_state=seed % 2**32)
    return model


def _logs(probabilities: np.ndarray) -> np.ndarray:
    """Logits of probabilities; 0, which trees and Bayes may say, costs as much as the smallest float32."""
    result: np.ndarray = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return result
