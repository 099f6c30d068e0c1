"""A trained head, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from classifiers.balance import Balance
from classifiers.errors import HeadError
from classifiers.heads.card import HeadCard
from classifiers.params import Training
from classifiers.problem import Views, check_rows, check_views, take_views
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
    mean, where the caller said so before saving. `balance` says how train was balanced. `encoders` says of each view
    which encoder its vectors are to come from, as plain JSON values, where the caller said so before saving: widths
    alone do not tell encoders apart.
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
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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
        result: np.ndarray = self.predict_proba(views, rows).argmax(axis=1)
        return result
