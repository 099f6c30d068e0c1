"""From what a caller hands in to what a head trains on: checked, float32, split and relabelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from classifiers.errors import HeadError
from classifiers.tokens import TokenRows, moments, require_finite

# token views [n, T, D] are `TokenRows`, which answer to what is asked of arrays here
Views = dict[str, np.ndarray]

# A column whose deviation is below this share of its mean differs by float32 rounding only; one below this
# share of its view's typical deviation is a dead unit of the encoder (all-MiniLM-L6-v2 has three, at 1e-33
# and 1e-9), which float16 would store as zeros. Scaling either up would train on dust.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Problem:
    """One fit's data.

    `train` and `dev` map view names, sorted, to float32 [n, D]. `classes` int64 [C] are the labels that
    occur in train, ascending; `train_targets` int64 [n] are positions in it; `dev_labels` int64 [n] are
    labels, which need not occur in train. `discordant` bool [M, n] marks, per view, the train rows whose own label
    in that view is another than their label. `class_weights` float64 [C] weigh the train rows of each class in the
    loss (None: all 1).
    """

    train: Views
    dev: Views
    train_targets: np.ndarray
    dev_labels: np.ndarray
    classes: np.ndarray
    discordant: np.ndarray
    class_weights: np.ndarray | None = None

    @property
    def dims(self) -> dict[str, int]:
        """View name -> D, in sorted order."""
        return {name: array.shape[-1] for name, array in self.train.items()}

    @property
    def train_weights(self) -> np.ndarray | None:
        """The weight of each train row, that of its class, float64 [n]; None: all 1."""
        return None if self.class_weights is None else self.class_weights[self.train_targets]


def make_problem(
    views: Mapping[str, np.ndarray],
    labels: np.ndarray,
    train_rows: np.ndarray,
    dev_rows: np.ndarray,
    n_classes: int,
    discordant: Mapping[str, np.ndarray] | None = None,
) -> Problem:
    """Check everything a fit is given; rows outside train and dev are never looked at.

    `discordant` has per view the row numbers whose own label in that view is another than in `labels`.

    Raises `HeadError` for views that do not line up, row numbers out of range, an empty train or dev,
    labels outside 0..n_classes-1, vectors with a NaN or an infinity, a train with a single class, and a
    dev in which no label is known from train.
    """
    n = check_views(views)
    labels = np.asarray(labels)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise HeadError(
            f"The labels must be {n} integers, one per row, but have shape {labels.shape} ({labels.dtype})."
        )
    train_rows, dev_rows = check_rows(train_rows, n, "train"), check_rows(dev_rows, n, "dev")
    for part, rows in (("train", train_rows), ("dev", dev_rows)):
        if len(rows) == 0:
            raise HeadError(f"There are no {part} rows; choose a split that has some.")
        _check_labels(labels[rows], n_classes, part)
    classes, train_targets = np.unique(labels[train_rows].astype(np.int64), return_inverse=True)
    if len(classes) < 2:
        raise HeadError(f"All train rows have the label {classes[0]}; a head needs two classes or more.")
    dev_labels = labels[dev_rows].astype(np.int64)
    if not np.isin(dev_labels, classes).any():
        raise HeadError("No dev row has a label that occurs in train, so nothing can be chosen on dev.")
    return Problem(
        take_views(views, train_rows),
        take_views(views, dev_rows),
        train_targets.astype(np.int64),
        dev_labels,
        classes,
        _discordant(views, train_rows, discordant or {}, n),
    )


def _discordant(
    views: Mapping[str, np.ndarray], train_rows: np.ndarray, discordant: Mapping[str, np.ndarray], n: int
) -> np.ndarray:
    """bool [M, n_train]: which of the train rows `discordant` names, per view in sorted order."""
    none = np.zeros(0, dtype=np.int64)
    marked = [check_rows(discordant.get(name, none), n, "discordant") for name in sorted(views)]
    return np.stack([np.isin(train_rows, rows) for rows in marked])


def check_views(views: Mapping[str, np.ndarray]) -> int:
    """The number of rows that all views share; `HeadError` unless each is a number array [N, D] or
    [N, T, D] with D, T >= 1.
    """
    if not views:
        raise HeadError("There are no views to train on; name at least one.")
    for name, array in views.items():
        if array.ndim not in (2, 3) or 0 in array.shape[1:] or array.dtype.kind not in "fiu":
            raise HeadError(
                f"The view '{name}' must be an array of numbers [posts, features] or [posts, tokens, features], "
                f"but has shape {array.shape} ({array.dtype})."
            )
    lengths = {name: len(array) for name, array in views.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items()))
        raise HeadError(f"The views differ in their number of rows ({told}); read them from aligned files.")
    return next(iter(lengths.values()))


def check_rows(rows: np.ndarray, n: int, part: str) -> np.ndarray:
    """`rows` as int64 [m]; `HeadError` unless they are row numbers 0..n-1."""
    rows = np.asarray(rows)
    if rows.size == 0:
        return np.zeros(0, dtype=np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise HeadError(f"The {part} rows must be a list of row numbers, not {rows.dtype} {rows.shape}.")
    if rows.min() < 0 or rows.max() >= n:
        outside = rows.min() if rows.min() < 0 else rows.max()
        raise HeadError(f"The {part} rows name row {outside}, but the views have rows 0 to {n - 1}.")
    return rows.astype(np.int64)


def take_views(views: Mapping[str, np.ndarray], rows: np.ndarray) -> Views:
    """The given rows of every view, sorted by name, as float32 [m, D]; `HeadError` for a non-finite one.

    Token views stay where they are: their rows come as `TokenRows`.
    """
    taken: Views = {}
    for name in sorted(views):
        if views[name].ndim == 3:
            array = cast(np.ndarray, TokenRows(views[name], rows))
        else:
            # a value too large for float32 becomes an infinity, which is refused below by name
            with np.errstate(over="ignore"):
                array = np.ascontiguousarray(views[name][rows], dtype=np.float32)
        require_finite(name, array, rows)
        taken[name] = array
    return taken


def standardisation(train: Views) -> tuple[Views, Views]:
    """Mean and scale of each view's columns over the train rows, float32 [D].

    The scale is the population standard deviation; it is 1 for a column that is constant or a million
    times quieter than the median of its view, which thereby stays next to 0. Vectors of zeros (padding,
    absent views) do not count.
    """
    means: Views = {}
    scales: Views = {}
    for name, array in train.items():
        mean, scale = moments(array)
        constant = scale <= _NEGLIGIBLE * np.abs(mean)
        if not constant.all():
            constant |= scale <= _NEGLIGIBLE * np.median(scale[~constant])
        means[name] = mean.astype(np.float32)
        scales[name] = np.where(constant, 1.0, scale).astype(np.float32)
        # a deviation too small for float32 would divide by zero
        scales[name][scales[name] < np.finfo(np.float32).tiny] = 1.0
    return means, scales


def chunks(n: int, size: int = 4096) -> Sequence[slice]:
    """Slices that cover 0..n-1, so that prediction needs memory for `size` posts only."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _check_labels(labels: np.ndarray, n_classes: int, part: str) -> None:
    if labels.min() < 0 or labels.max() >= n_classes:
        outside = labels.min() if labels.min() < 0 else labels.max()
        raise HeadError(
            f"The {part} rows hold the label {outside}, but the classes are 0 to {n_classes - 1}; "
            f"leave rows without a label out."
        )
