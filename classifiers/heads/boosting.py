"""Gradient-boosted trees by LightGBM on the concatenated views, stopped early on dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from classifiers.errors import HeadError
from classifiers.heads.array_head import ArrayHead
from classifiers.heads.booster_text import check_text
from classifiers.metrics import dev_scores, softmax
from classifiers.problem import Problem, Views


class Boosting(ArrayHead):
    """LightGBM with `leaves` per tree, `min_leaf` posts in a leaf, each tree on a drawn `column_share`.

    At most `rounds` trees per class, fewer once the dev loss has not fallen for `patience` rounds. One thread
    and its deterministic mode: the same seed gives the same trees. It is kept as LightGBM's own text model.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n_outputs: int,
        *,
        lr: float,
        rounds: int,
        patience: int,
        leaves: int,
        min_leaf: int,
        column_share: float,
    ) -> None:
        super().__init__(dims, n_outputs)
        self.rounds = rounds
        self.patience = patience
        self._options = {
            "learning_rate": lr,
            "num_leaves": leaves,
            "min_data_in_leaf": min_leaf,
            "feature_fraction": column_share,
            "max_bin": 63,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            **({"objective": "multiclass", "num_class": n_outputs} if n_outputs > 2 else {"objective": "binary"}),
        }
        self._model: Any = None

    def fit(self, problem: Problem, seed: int) -> tuple[list[dict[str, float]], int]:
        """Grow trees until the dev loss stops falling, and keep those up to its lowest.

        History: one row per round (`epoch`, `train_loss`, `dev_loss`, `dev_accuracy`, `dev_macro_f1`).
        """
        import lightgbm

        options = {**self._options, "seed": seed % 2**31}
        known = np.isin(problem.dev_labels, problem.classes)
        train = lightgbm.Dataset(
            self.side_by_side(problem.train), problem.train_targets, weight=problem.train_weights, params=options
        )
        dev = lightgbm.Dataset(
            self.side_by_side(problem.dev)[known],
            np.searchsorted(problem.classes, problem.dev_labels[known]),
            reference=train,
            params=options,
        )
        losses: dict[str, dict[str, list[float]]] = {}
        grown = lightgbm.train(
            options,
            train,
            self.rounds,
            valid_sets=[train, dev],
            valid_names=["train", "dev"],
            # else the trees after the best round are gone before the history is told
            keep_training_booster=True,
            callbacks=[
                lightgbm.early_stopping(self.patience, verbose=False),
                lightgbm.record_evaluation(losses),
            ],
        )
        (train_losses,) = losses["train"].values()
        wide, logits = self.side_by_side(problem.dev), np.zeros((len(problem.dev_labels), self.n_outputs))
        history = []
        for epoch, train_loss in enumerate(train_losses, start=1):
            raw = grown.predict(wide, raw_score=True, start_iteration=epoch - 1, num_iteration=1, num_threads=1)
            logits += self._per_class(raw)
            history.append({"epoch": epoch, "train_loss": train_loss, **dev_scores(logits, problem)})
        best_epoch = int(grown.best_iteration) or len(history)
        # through the text, so that a fitted head and a loaded one are the same model
        self._take_text(grown.model_to_string(num_iteration=best_epoch))
        return history, best_epoch

    def probabilities(self, views: Views) -> np.ndarray:
        """float32 [n, C] for float32 views [n, D]."""
        wide = self.side_by_side(views)
        if not len(wide):
            return np.zeros((0, self.n_outputs), dtype=np.float32)
        logits = self._per_class(self._model.predict(wide, raw_score=True, num_threads=1))
        return softmax(logits).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """`model` uint8: LightGBM's text model, UTF-8."""
        text = "" if self._model is None else self._model.model_to_string(num_iteration=-1)
        return {"model": np.frombuffer(text.encode(), dtype=np.uint8).copy()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take what `tensors` gave; `HeadError` unless it is a model of this head's shape."""
        given = tensors.get("model")
        if given is None or given.dtype != np.uint8 or given.ndim != 1:
            raise HeadError("The saved weights do not fit the head: 'model' is absent or not a text.")
        trees = self.n_outputs if self.n_outputs > 2 else 1
        try:
            text = given.tobytes().decode()
            check_text(text, sum(self.dims.values()), trees)
            self._take_text(text)
        except (ValueError, RuntimeError) as error:
            raise HeadError("The saved weights do not fit the head: 'model' is not LightGBM's text.") from error
        shape = (self._model.num_feature(), self._model.num_model_per_iteration())
        if shape != (sum(self.dims.values()), trees):
            raise HeadError("The saved weights do not fit the head: 'model' differs in features or classes.")

    def _take_text(self, text: str) -> None:
        import lightgbm

        try:
            self._model = lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error

    def _per_class(self, raw: Any) -> np.ndarray:
        """Logits [n, C]; with two classes LightGBM gives the second's alone."""
        return raw if self.n_outputs > 2 else np.column_stack([np.zeros(len(raw)), raw])
