"""Multinomial logistic regression over a whole path of penalties at once, the best of them chosen on dev."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from classifiers.heads.array_head import ArrayHead
from classifiers.heads.linear_path import solve_path
from classifiers.metrics import dev_scores, softmax
from classifiers.problem import Problem, Views, chunks


class LogisticHead(ArrayHead):
    """Softmax of `coef` x + `intercept`, x the concatenation of the standardised views.

    `c_grid` are the inverse penalties to try, `max_iter` the most steps of the stacked solver for all of them
    (`linear_path.solve_path`; scikit-learn's takes over after that). `dims` maps view names to D. Once fitted it
    predicts with numpy alone, in float64. It keeps `coef` [C, D] and `intercept` [C], float64.
    """

    learned = ("coef", "intercept")

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, c_grid: tuple[float, ...], max_iter: int) -> None:
        super().__init__(dims, n_outputs)
        self.c_grid = c_grid
        self.max_iter = max_iter
        self.coef = np.zeros((n_outputs, len(self.mean)))
        self.intercept = np.zeros(n_outputs)

    def fit(self, problem: Problem, seed: int) -> tuple[list[dict[str, float]], int]:
        """Fit every C of the grid; keep the highest dev macro-F1, among equals the lowest dev loss, then C.

        Returns the history, one row per C (`epoch` from 1, `c`, `train_loss`, `dev_loss`, `dev_accuracy`,
        `dev_macro_f1`, `converged`), and the chosen `epoch`. The problem is convex: nothing is random. Runs
        on one thread, so that the last bits do not depend on the number of cores.
        """
        from threadpoolctl import threadpool_limits

        self.standardise_by(problem.train)
        with threadpool_limits(1):
            return self._fit_path(problem)

    def probabilities(self, views: Views) -> np.ndarray:
        """Class probabilities for float32 views [n, D]: float32 [n, C]."""
        from threadpoolctl import threadpool_limits

        n = len(next(iter(views.values())))
        result = np.empty((n, len(self.coef)), dtype=np.float32)
        with threadpool_limits(1):
            for part in chunks(n):
                wide = self.standardised({name: views[name][part] for name in self.dims}, np.float64)
                result[part] = softmax(wide @ self.coef.T + self.intercept)
        return result

    def _fit_path(self, problem: Problem) -> tuple[list[dict[str, float]], int]:
        train, dev = self.standardised(problem.train), self.standardised(problem.dev, np.float64)
        (path,) = solve_path(
            train,
            [problem.train_targets],
            self.c_grid,
            weights=[problem.train_weights],
            max_iter=self.max_iter,
        )
        history = [
            {
                "epoch": epoch,
                "c": c,
                "train_loss": found.loss,
                **dev_scores(dev @ found.coef.T + found.intercept, problem),
                "converged": float(found.converged),
            }
            for epoch, (c, found) in enumerate(zip(self.c_grid, path, strict=True), start=1)
        ]
        best = min(history, key=lambda row: (-row["dev_macro_f1"], row["dev_loss"], row["c"]))
        best_epoch = int(best["epoch"])
        self.coef, self.intercept = path[best_epoch - 1].coef, path[best_epoch - 1].intercept
        return history, best_epoch
